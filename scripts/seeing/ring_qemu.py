# SPDX-License-Identifier: GPL-2.0
"""Which QEMU: the one of this release, the newer one, or a command."""

from vbl import lab
from vbl.qemu import binary

WORDS = {"debian": lambda: binary("qemu-system-x86_64"),
         "newer": lambda: [lab.qemu()]}


def command(word):
    """The command as a list; None leaves it to the harness."""
    if not word:
        return None
    return WORDS[word]() if word in WORDS else binary(word)
