# SPDX-License-Identifier: GPL-2.0
"""A journey as a sequence diagram.

One file for a wide and a narrow window, for light and dark: lanes with the
sentences beside them from 1000 pixels on, a list below that.
"""

import html
import textwrap

from .journey import LANE_NAMES
from .steps import LANES

WIDTH, TIME, LANE, LEFT = 1264, 66, 54, 74
NAME = LEFT + LANE * len(LANES) + 14
TEXT = NAME + 150
WRAP, NARROW_WRAP = 72, 52
LINE, ROW, TOP = 15, 22, 118
NARROW_TOP = 92
QEMU = next(n for n, lane in enumerate(LANES) if lane[2] == "qemu")

STYLE = """
svg { --paper: #ffffff; --ink: #1c1c1e; --soft: #62626a; --line: #d5d5da;
  --guest: #f2f6fc; --qemu: #fdf5ec; background: var(--paper);
  font: 12px system-ui, "DejaVu Sans", sans-serif; width: 100%; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #17181b; --ink: #ececf0; --soft: #a5a5ae; --line: #3d3e45;
    --guest: #1b222d; --qemu: #2a231b; } }
text { fill: var(--ink); } .soft { fill: var(--soft); }
.b { font-weight: 600; } .title { font-size: 15px; font-weight: 600; }
.line { stroke: var(--line); } .guest { fill: var(--guest); }
.qemu { fill: var(--qemu); } .border { stroke: var(--soft);
  stroke-dasharray: 5 4; }
.go { stroke: var(--soft); stroke-width: 1.3; fill: none; }
.head { fill: var(--soft); }
.r { text-anchor: end; } .m { text-anchor: middle; }
.hollow { fill: var(--paper); stroke-width: 2; }
.narrow { display: none; }
@media (max-width: 999px) { .wide { display: none; }
  .narrow { display: inline; } svg { height: NARROWpx; } }
"""
COLOURS = ("#5b6ee1", "#2f8fc4", "#1f9d8a", "#3f9b3f", "#8a9a1d", "#c59a0a",
           "#d9822b", "#d1573b", "#c2477f", "#8d56c7")
PLACE = {lane[0]: n for n, lane in enumerate(LANES)}


def _x(n):
    return LEFT + LANE * n + LANE // 2


def _text(x, y, words, kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{kind}>{html.escape(words)}</text>'


def _says(r, wrap):
    times = f" ({r.count} times)" if r.count > 1 else ""
    return textwrap.wrap(r.says + times, wrap)


def _title(journey, wrap):
    return textwrap.wrap(journey.title, wrap)


def _footer(journey, wrap):
    lines = textwrap.wrap(journey.certainty, wrap)
    for note in journey.notes:
        lines += textwrap.wrap(note, wrap)
    return lines


def _heads(bottom):
    """The lanes, their names, and where guest and QEMU meet."""
    middle = LEFT + LANE * QEMU
    end = LEFT + LANE * len(LANES)
    out = [f'<rect class="guest" x="{LEFT}" y="46" width="{middle - LEFT}" '
           f'height="{bottom - 46}"/>',
           f'<rect class="qemu" x="{middle}" y="46" width="{end - middle}" '
           f'height="{bottom - 46}"/>',
           _text((LEFT + middle) // 2, 60, "guest", "soft m"),
           _text((middle + end) // 2, 60, "QEMU", "soft m"),
           f'<line class="border" x1="{middle}" x2="{middle}" y1="46" '
           f'y2="{bottom}"/>',
           _text(TIME - 2, TOP - 18, "\N{MICRO SIGN}s", "soft r")]
    for n, (_, name, _) in enumerate(LANES):
        lines = textwrap.wrap(name.replace(",", ""), 9)
        for k, word in enumerate(lines):
            out.append(_text(_x(n), TOP - 18 - 13 * (len(lines) - 1 - k),
                             word, "m"))
        out.append(f'<line class="line" x1="{_x(n)}" x2="{_x(n)}" '
                   f'y1="{TOP - 10}" y2="{bottom}"/>')
    return out


def _arrow(x1, y1, x2, y2):
    if x1 == x2:
        return f'<path class="go" d="M{x1} {y1}V{y2}"/>'
    tip = x2 - 6 if x2 > x1 else x2 + 6
    back = tip - 6 if x2 > x1 else tip + 6
    return (f'<path class="go" d="M{x1} {y1}V{y2}H{tip}"/>'
            f'<path class="head" d="M{tip} {y2}L{back} {y2 - 4}V{y2 + 4}z"/>')


def _wide(journey):
    y, last, body = TOP, None, []
    for r in journey.rows:
        n = PLACE[r.lane]
        lines = _says(r, WRAP)
        if not r.loose:
            if last:
                body.append(_arrow(*last, _x(n), y))
            last = _x(n), y
        kind = (f'class="hollow" stroke="{COLOURS[n]}"' if r.loose
                else f'fill="{COLOURS[n]}"')
        body.append(f'<g><title>{html.escape(r.event)}</title>'
                    f'<circle cx="{_x(n)}" cy="{y}" r="5" {kind}/>'
                    + _text(TIME - 2, y + 4, f"{r.at:.0f}", "soft r")
                    + _text(NAME, y + 4, r.key, "b")
                    + "".join(_text(TEXT, y + 4 + LINE * k, words)
                              for k, words in enumerate(lines)) + "</g>")
        y += ROW + LINE * (len(lines) - 1)
    bottom = y
    out = [_text(12, 26, words, "title") if k == 0 else
           _text(12, 26 + 16 * k, words)
           for k, words in enumerate(_title(journey, 150))]
    out += _heads(bottom) + body
    for words in _footer(journey, 170):
        y += LINE + 2
        out.append(_text(12, y + 4, words, "soft"))
    return out, y + 24


def _narrow(journey):
    y, out = 24, []
    for k, words in enumerate(_title(journey, 48)):
        out.append(_text(10, y, words, "b"))
        y += 17
    y += 10
    for r in journey.rows:
        n = PLACE[r.lane]
        lines = _says(r, NARROW_WRAP)
        high = LINE * (len(lines) + 1) + 4
        out.append(f'<rect x="52" y="{y - 11}" width="4" height="{high - 2}" '
                   f'fill="{COLOURS[n]}"/>'
                   + _text(46, y, f"{r.at:.0f}", "soft r")
                   + f'<text x="64" y="{y}"><tspan class="b">'
                   f'{html.escape(r.key)}</tspan><tspan class="soft" dx="8">'
                   f'{html.escape(LANE_NAMES[r.lane])}</tspan></text>')
        for k, words in enumerate(lines, 1):
            out.append(_text(64, y + LINE * k, words))
        y += high + 4
    for words in _footer(journey, 58):
        y += LINE
        out.append(_text(10, y, words, "soft"))
    return out, y + 20


def render(journey):
    """The text of the SVG file."""
    wide, high = _wide(journey)
    narrow, narrow_high = _narrow(journey)
    style = STYLE.replace("NARROW", str(narrow_high))
    return "\n".join([
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" height="{high}" '
        f'width="{WIDTH}" role="img">',
        f"<title>{html.escape(journey.title)}</title>",
        f"<style>{style}</style>", '<g class="wide">', *wide, "</g>",
        '<g class="narrow">', *narrow, "</g>", "</svg>", ""])
