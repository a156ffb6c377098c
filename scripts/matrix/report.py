# SPDX-License-Identifier: GPL-2.0
"""All cells as KTAP, and as a table in text and HTML."""

import collections
import html
import json
from pathlib import Path

from vbl import ktap as vbl_ktap

from .convert import CONTROL

# How each outcome is written in a cell of the table.
MARKS = {"passed": "", "failed": " FAILED", "flaps": " flaps",
         "expected": " as expected", "skipped": " skipped"}
NAMES = ("matrix.ktap", "matrix.txt", "matrix.html", "matrix.json")


def write(folder, of):
    """Write the four files; the table's text."""
    folder = Path(folder)
    text = table(of)
    for name, content in zip(NAMES, (
            ktap(of), text, page(of),
            json.dumps([got for got in of.values() if got], indent=1))):
        # A full disk leaves what is there.
        new = folder / f"{name}.new"
        new.write_text(content, encoding="utf-8")
        new.rename(folder / name)
    return text


def ktap(of):
    """Every cell is a test, with its tests below it."""
    lines = ["KTAP version 1", f"1..{len(of)}"]
    for n, (cell, got) in enumerate(of.items(), 1):
        if not got:
            lines.append(f"ok {n} {cell} # SKIP not run: out of time")
            continue
        results = got["results"]
        lines += [f"# commit: {got['tree']}", "    KTAP version 1",
                  f"    1..{len(results)}"]
        for m, r in enumerate(results, 1):
            lines += _point(m, r)
        bad = any(r["outcome"] in ("failed", "flaps") for r in results)
        skip = " # SKIP " + _line(results[0]["why"]) if results and all(
            r["outcome"] == "skipped" for r in results) else ""
        lines.append(f"{'not ok' if bad else 'ok'} {n} {cell}{skip}")
    return "\n".join(lines) + "\n"


def _line(text):
    return CONTROL.sub("?", " ".join(str(text).split())).replace("#", "")[:200]


def _failed(why):
    """The reason after a not ok, where the word of a directive would excuse."""
    word = why.partition(" ")[0].strip(":").upper()
    return f"failed: {why}" if word in vbl_ktap.DIRECTIVES else why


def _point(n, r):
    name, why = _line(r["test"]), _line(r["why"])
    yield from (f"    # try {at}: {_line(t)}"
                for at, t in enumerate(r.get("tries", ()), 1))
    yield "    " + {
        "passed": f"ok {n} {name}",
        "skipped": f"ok {n} {name} # SKIP {why}",
        "expected": f"ok {n} {name} # XFAIL {why}",
        "flaps": f"not ok {n} {name} # flaps: the second try passed",
        "failed": f"not ok {n} {name} # {_failed(why)}",
    }[r["outcome"]]


def _cells(of):
    """(columns, {row: {column: (count by outcome, or None)}})."""
    columns = list(dict.fromkeys((c.part, c.driver) for c in of))
    rows = {}
    for cell, got in of.items():
        rows.setdefault((cell.release, cell.qemu), {})[
            cell.part, cell.driver] = got and collections.Counter(
                r["outcome"] for r in got["results"])
    return columns, rows


def _said(count):
    if count is None:
        return "not run"
    return ", ".join(f"{count[w]}{MARKS[w]}" for w in MARKS if count[w]) or "-"


def table(of):
    """Text: a line for each kernel with each QEMU, and what went wrong."""
    columns, rows = _cells(of)
    head = ["kernel", "QEMU", *(f"{p} {d}" for p, d in columns)]
    lines = [head] + [[k, q, *(_said(row.get(c)) for c in columns)]
                      for (k, q), row in rows.items()]
    width = [max(len(line[n]) for line in lines) for n in range(len(head))]
    out = ["  ".join(w.ljust(width[n]) for n, w in enumerate(line)).rstrip()
           for line in lines]
    for word in ("failed", "flaps"):
        out += ["", *(f"{word}: {where}: {_line(r['test'])}: "
                      f"{_line(r['why'])}"
                      for where, r in _with(of, word))]
    return "\n".join(out).rstrip() + "\n"


def _with(of, outcome):
    return [(cell, r) for cell, got in of.items() if got
            for r in got["results"] if r["outcome"] == outcome]


STYLE = """body{font:14px sans-serif}td,th{border:1px solid #bbb;padding:4px 8px}
table{border-collapse:collapse}.bad{background:#fbb}.good{background:#dfd}
.none{color:#888}"""


def page(of):
    """The same as HTML."""
    columns, rows = _cells(of)
    e = html.escape

    def cell(count):
        kind = "none" if count is None else \
            "bad" if count["failed"] + count["flaps"] else "good"
        return f'<td class="{kind}">{e(_said(count))}</td>'

    body = [f"<tr><th>kernel<th>QEMU{''.join(f'<th>{e(p)}<br>{e(d)}' for p, d in columns)}</tr>"]
    body += [f"<tr><td>{e(k)}<td>{e(q)}"
             + "".join(cell(row.get(c)) for c in columns) + "</tr>"
             for (k, q), row in rows.items()]
    found = [f"<li>{word}: {e(str(where))}: {e(_line(r['test']))}: "
             f"{e(_line(r['why']))}" + "".join(
                 f"<br>try {n}: {e(_line(t))}"
                 for n, t in enumerate(r.get("tries", ()), 1)) + "</li>"
             for word in ("failed", "flaps", "expected")
             for where, r in _with(of, word)]
    return ("<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">"
            f"<title>Regression matrix</title><style>{STYLE}</style>"
            "<h1>Regression matrix</h1><table>" + "\n".join(body)
            + "</table><ul>" + "\n".join(found) + "</ul></html>\n")
