# SPDX-License-Identifier: GPL-2.0
"""Looks at a ring as one page with a slider: no network, no other file."""

import html
import json
from pathlib import Path

from . import ring_text

HERE = Path(__file__).resolve().parent


def _words(look):
    """A look with the sentences that the text has too."""
    queues = []
    for q in look.queues:
        def say(b):
            return dict(b, says=f"{ring_text.request(b)}",
                        ends=ring_text.status(b))
        queues.append(dict(q, buffers=[say(b) for b in q["buffers"]],
                           back=[say(b) for b in q["back"]]))
    return {"title": look.title, "queues": queues}


def render(looks, about):
    """The page; @about is what it was made with."""
    text = (HERE / "ring_page.html").read_text()
    data = json.dumps([_words(look) for look in looks],
                      separators=(",", ":")).replace("<", "\\u003c")
    made = ", ".join(w for w in (
        f"{about['driver']} driver", f"Linux {about['kernel']}",
        f"QEMU {about['qemu']}", about["disk"]) if w)
    return text.replace("@MADE@", html.escape(made)).replace("@DATA@", data)
