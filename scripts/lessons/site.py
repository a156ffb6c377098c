# SPDX-License-Identifier: GPL-2.0
"""The pages as a small site of plain HTML, by pandoc."""

import html
import re
import shutil
import subprocess
from pathlib import Path

from vbl.errors import SetupError, VblError
from vbl.tree import TREE

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --back: #fff;
  --line: #c8c8c8; --code: #f3f3f3; --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e3e3; --back: #17191c; --line: #454a50; --code: #23272c;
    --link: #8ec1f5; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--text); background: var(--back);
  font: 16px/1.55 system-ui, sans-serif; }
.page { display: grid; grid-template-columns: 15rem minmax(0, 1fr);
  gap: 2rem; max-width: 75rem; margin: 0 auto; padding: 1rem; }
nav { border-right: 1px solid var(--line); padding-right: 1rem; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav li { padding: .15rem 0; }
nav .here { font-weight: 600; }
main { min-width: 0; max-width: 100%; }
h1 { line-height: 1.25; margin-top: 0; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
a { color: var(--link); }
pre, code { font: .86rem/1.45 ui-monospace, monospace;
  background: var(--code); }
code { padding: .1rem .25rem; overflow-wrap: anywhere; }
pre { padding: .75rem; overflow-x: auto; border: 1px solid var(--line); }
pre code { padding: 0; overflow-wrap: normal; }
pre .typed { font-weight: 700; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; }
img, svg { max-width: 100%; height: auto; }
@media (max-width: 50rem) {
  .page { display: flex; flex-direction: column; gap: 1rem; }
  main { order: -1; }
  nav { border-right: 0; border-top: 1px solid var(--line);
    padding-top: 1rem; } }
"""
FIRST = ("README.md", "Documentation/lessons/README.md")


def pages():
    """Every page of the tree, the way in first, then the lessons."""
    lessons = sorted(str(p.relative_to(TREE)) for p in
                     (TREE / "Documentation" / "lessons").rglob("*.md"))
    rest = sorted(str(p.relative_to(TREE))
                  for p in (TREE / "Documentation").glob("*.md"))
    named = [*FIRST, *lessons, *rest, "CHANGELOG.md", "SECURITY.md"]
    return list(dict.fromkeys(named))


def title(path):
    """The heading of a page."""
    return re.search(r"^# (.*)$", (TREE / path).read_text(), re.M).group(1)


def _target(path):
    return path[:-3].replace("README", "index") + ".html"


def _up(path):
    return "../" * path.count("/")


def _navigation(here):
    groups = (("Start", ["README.md"]),
              ("Lessons", [p for p in pages() if "/lessons/" in p
                           and "/solutions/" not in p]),
              ("Pages", [p for p in pages() if "/lessons/" not in p
                         and p != "README.md"]))
    out = []
    for name, group in groups:
        out.append(f"<strong>{name}</strong><ul>")
        for p in group:
            mark = ' class="here" aria-current="page"' if p == here else ""
            out.append(f'<li{mark}><a href="{_up(here)}{_target(p)}">'
                       f"{html.escape(title(p))}</a></li>")
        out.append("</ul>")
    return "\n".join(out)


def _body(path):
    got = subprocess.run(["pandoc", "-f", "gfm", "-t", "html5",
                          "--no-highlight", "--wrap=none", str(TREE / path)],
                         capture_output=True, text=True)
    if got.returncode:
        raise VblError(f"pandoc {path}: {got.stderr.strip()}")
    body = got.stdout
    known = set(pages())

    def link(m):
        target, _, mark = m.group(1).partition("#")
        if "://" in target or not target:
            return m.group()
        there = (TREE / path).parent.joinpath(target).resolve()
        name = str(there.relative_to(TREE))
        if name in known:
            return (f'href="{_up(path)}{_target(name)}'
                    f'{"#" + mark if mark else ""}"')
        return m.group()

    body = re.sub(r'href="([^"]*)"', link, body)
    body = re.sub(r"(?m)^(<pre[^>]*><code>|)((?:\$|/ #) .*)$",
                  r'\1<span class="typed">\2</span>', body)
    body = body.replace("<table", '<div class="wide"><table')
    return body.replace("</table>", "</table></div>")


def make(folder):
    """Write the site into a folder; the path of its first page."""
    if not shutil.which("pandoc"):
        raise SetupError("pandoc is missing: apt-get install pandoc")
    folder = Path(folder)
    for path in pages():
        out = folder / _target(path)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            "<!DOCTYPE html>\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n"
            '<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f"<title>{html.escape(title(path))}</title>\n"
            f'<link rel="stylesheet" href="{_up(path)}style.css"></head>\n'
            f'<body><div class="page"><nav>{_navigation(path)}</nav>\n'
            f"<main>{_body(path)}</main></div></body></html>\n")
    (folder / "style.css").write_text(STYLE.lstrip())
    for picture in (TREE / "Documentation").rglob("*.svg"):
        to = folder / picture.relative_to(TREE)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, to)
    return folder / _target(FIRST[0])
