# SPDX-License-Identifier: GPL-2.0
"""Whether a command printed what the page shows: names, order and counts.

Times, addresses, versions and speeds differ from run to run and are not
compared.
"""

import re

from .page import ELISION

_VARIES = (
    (re.compile(r"\[ *\d+\.\d{6}\]"), "[TIME]"),
    (re.compile(r"\b\d{1,2}:\d{2}:\d{2}(\.\d+)?\b"), "TIME"),
    (re.compile(r"[+-]?\b\d+(\.\d+)? ?(ns|us|µs|ms|s|seconds)\b"), "TIME"),
    (re.compile(r"\b\d+\.\d+\.\d+[\w.+-]*"), "VERSION"),
    (re.compile(r"\b(0x)?[0-9a-f]{8,}\b"), "ADDRESS"),
    (re.compile(r"\b\d+(\.\d+)? ?[kKMG]?i?B/s\b"), "SPEED"),
    (re.compile(r" +"), " "),
)


def steady(line, varies=None):
    """The line without what differs from run to run; @varies: more of it."""
    if varies:
        line = varies.sub("VARIES", line)
    for pattern, name in _VARIES:
        line = pattern.sub(name, line)
    return line.strip()


def difference(shown, got, varies=None):
    """None, or the first line in which they differ, in words."""
    parts, last = [[]], []
    for line in shown:
        if line.strip() == ELISION:
            parts.append([])
        else:
            parts[-1].append(line)
    got_steady = [steady(g, varies) for g in got]
    at = 0
    for n, part in enumerate(parts):
        want = [steady(p, varies) for p in part]
        if n == 0:
            last = _whole(part, want, got, got_steady, 0)
        elif n == len(parts) - 1:
            start = len(got) - len(part)
            if start < at:
                return f"it printed {len(got)} lines, too few for the page"
            last = _whole(part, want, got, got_steady, start)
        else:
            found = next((s for s in range(at, len(got) - len(part) + 1)
                          if got_steady[s:s + len(part)] == want), None)
            if found is None:
                return f"the page shows {part[0]!r}, which was not printed"
            at = found
            last = None
        if last:
            return last
        at += len(part)
    if len(parts) == 1 and len(got) > len(shown):
        return f"it printed more than the page shows: {got[len(shown)]!r}"
    return None


def _whole(part, want, got, got_steady, start):
    for n, line in enumerate(want):
        if start + n >= len(got):
            return f"the page shows {part[n]!r}, where nothing was printed"
        if got_steady[start + n] != line:
            return f"the page shows {part[n]!r}, printed was {got[start + n]!r}"
    return None
