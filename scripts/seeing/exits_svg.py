# SPDX-License-Identifier: GPL-2.0
"""Register accesses per request as one picture."""

from html import escape

from .exits import JOBS, number, total

WIDTH, LEFT, ROW, BAR, TOP = 760, 96, 62, 20, 76
ROOM = 70           # right of the longest bar, for its number
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1b1f24; }
.soft { fill: #5b6470; font-size: 12px; } .title { font-size: 17px; font-weight: 600; }
.read { fill: #1d5fbf; } .write { fill: #c2410c; } .back { fill: #ffffff; }
@media (prefers-color-scheme: dark) { text { fill: #e6e9ed; }
.soft { fill: #a3adb8; } .read { fill: #7db3ff; } .write { fill: #f0a04b; }
.back { fill: #14171b; } }
"""


def _bars(found, y, scale):
    x, out = LEFT, []
    for op in ("read", "write"):
        width = total(found, op) * scale
        if width:
            out.append(f'<rect class="{op}" x="{x:.1f}" y="{y}" '
                       f'width="{max(width, 1):.1f}" height="{BAR}"/>')
            x += width
    out.append(f'<text x="{x + 6:.1f}" y="{y + 15}">'
               f'{number(total(found))}</text>')
    return out


def picture(result, what, about):
    """The SVG; @about is (kernel, QEMU)."""
    most = max(total(j) for jobs in result.values() for j in jobs.values())
    scale = (WIDTH - LEFT - ROOM) / most
    height = TOP + ROW * len(result) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
           f'{height}" role="img" aria-label="register accesses per request">',
           "<!-- SPDX-License-Identifier: GPL-2.0 -->",
           f"<style>{STYLE}</style>",
           f'<rect class="back" width="{WIDTH}" height="{height}"/>',
           f'<text class="title" x="12" y="26">Register accesses per {what} of'
           " 4 KiB: each is an exit to the host</text>",
           '<rect class="read" x="12" y="40" width="14" height="14"/>'
           '<text class="soft" x="32" y="52">reads</text>'
           '<rect class="write" x="84" y="40" width="14" height="14"/>'
           '<text class="soft" x="104" y="52">writes</text>'
           '<text class="soft" x="170" y="52">upper bar: '
           + "; lower bar: ".join(JOBS) + "</text>"]
    for row, (kind, jobs) in enumerate(result.items()):
        y = TOP + ROW * row
        out.append(f'<text x="12" y="{y + 27}">{escape(kind)}</text>')
        for n, found in enumerate(jobs.values()):
            out += _bars(found, y + n * (BAR + 3), scale)
    out.append(f'<text class="soft" x="12" y="{height - 12}">Linux '
               f"{escape(about[0])}, QEMU {escape(about[1])}</text>")
    return "\n".join([*out, "</svg>", ""])
