# SPDX-License-Identifier: GPL-2.0
"""bench.html: the table and its plots, in one file."""

import html
import shutil
import subprocess

from vbl import SetupError

from .show import number, ratio, target, verdicts

STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 75em; margin: 2em auto;
       padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.PASS { color: #17692b } .FAIL { color: #b01818; font-weight: bold }
.OPEN { color: #8a6100 }
figure { display: inline-block; margin: .5em } figcaption { color: #555 }
"""
OURS, THEIRS = "#1f6fb2", "#c05a12"
COLOURS = (OURS, THEIRS, "#3c8c3c", "#7b4fa3", "#888888")
HEAD = ("set terminal svg size 620,380 font 'sans-serif,12' background "
        "'#ffffff'\nset grid ytics lc rgb '#dddddd'\nset border 3\n"
        "set tics nomirror\n")


def gnuplot():
    """Path of gnuplot, or a clear refusal before anything is measured."""
    path = shutil.which("gnuplot")
    if not path:
        raise SetupError("gnuplot is missing, which draws the plots: install "
                         "the package gnuplot-nox, or use --no-page")
    return path


def _draw(script):
    got = subprocess.run([gnuplot()], input=HEAD + script, text=True,
                         capture_output=True)
    if got.returncode:
        raise SetupError(f"gnuplot failed:\n{got.stderr.strip()}")
    # Only the picture: a page has one document type.
    return got.stdout[got.stdout.index("<svg"):]


def _block(name, rows):
    return f"${name} << EOD\n" + "\n".join(
        " ".join(str(c) for c in r) for r in rows) + "\nEOD\n"


def _quote(text):
    return '"' + text.replace('"', "'").replace("_", r"\\_") + '"'


def _ratios(kernel):
    """A bar for each ratio; a mark where the target is."""
    rows = [r for r in kernel["rows"] if r["ratio"] is not None][::-1]
    bars = [(n, r["ratio"], r["target"] if r["target"] is not None else "NaN",
             r["low"] if r["low"] is not None else "NaN",
             r["high"] if r["high"] is not None else "NaN")
            for n, r in enumerate(rows)]
    tics = ", ".join(f"{_quote(r['label'])} {n}" for n, r in enumerate(rows))
    top = max(1.2, min(3, max(r["ratio"] for r in rows) * 1.05))
    return _draw(
        _block("d", bars)
        + f"set terminal svg size 1000,{100 + 19 * len(rows)} font "
        "'sans-serif,12' background '#ffffff'\n"
        f"set ytics ({tics})\nset yrange [-1:{len(rows)}]\n"
        f"set xrange [0:{top}]\nset xlabel 'ours / upstream'\n"
        "set style fill solid 0.75 noborder\nset key outside top center horizontal\nset xtics 0.2\n"
        "set arrow from 1,-1 to 1,graph 1 nohead lc rgb '#888888'\n"
        f"plot $d using (0):1:(0):2:($1-0.35):($1+0.35) with boxxyerror "
        f"lc rgb '{OURS}' title 'ratio', "
        f"$d using 3:1 with points pt 2 ps 0.9 lw 2 lc rgb '{THEIRS}' title "
        "'target', $d using 2:1:4:5 with xerrorbars pt 0 lc rgb '#222222' "
        "title '95 % interval'\n")


def _line(line):
    """Lines over a logarithmic axis, or bars for kinds of disks."""
    names = list(line["y"])
    if line.get("bars"):
        rows = [(_quote(n), *line["y"][n]) for n in names]
        plots = ", ".join(f"$d using {n + 2}:xtic(1) title {_quote(str(x))} "
                          f"lc rgb '{COLOURS[n]}'"
                          for n, x in enumerate(line["x"]))
        return _draw(_block("d", rows)
                     + "set style data histogram\nset style fill solid 0.75 "
                     "noborder\nset yrange [0:*]\nset key outside top center "
                     "horizontal\nset ylabel "
                     f"{_quote(line['label'])}\nplot {plots}\n")
    rows = list(zip(line["x"], *line["y"].values()))
    plots = ", ".join(f"$d using 1:{n + 2} with linespoints pt 7 ps 0.6 lw 2 "
                      f"lc rgb '{COLOURS[n]}' title {_quote(name)}"
                      for n, name in enumerate(names))
    tics = ", ".join(f'"{_short(x)}" {x}' for x in line["x"])
    return _draw(_block("d", rows)
                 + f"set logscale x 2\nset xtics ({tics})\nset yrange [0:*]\n"
                 f"set xlabel {_quote(line['label'])}\nset ylabel "
                 f"{_quote(line['unit'])}\nset key outside top center horizontal\nplot {plots}\n")


def _short(x):
    for unit, n in (("M", 1 << 20), ("K", 1 << 10)):
        if x >= n and x % n == 0:
            return f"{x // n}{unit}"
    return str(x)


def _pairs(ident, label, ratios):
    """Every pair, from the least to the greatest ratio."""
    rows = list(enumerate(sorted(ratios), 1))
    return _draw(_block("d", rows)
                 + "set logscale y 2\nset xlabel 'pairs, sorted'\nset ylabel "
                 f"{_quote(label + ', ours / upstream')}\nset key off\n"
                 "set arrow from graph 0,first 1 to graph 1,first 1 nohead "
                 f"lc rgb '#888888'\nplot $d with points pt 7 ps 0.5 lc rgb "
                 f"'{OURS}'\n")


def _table(kernel):
    out = ["<table><tr><th>figure<th>unit<th>ours<th>upstream<th>ratio"
           "<th>target<th></tr>"]
    for r in kernel["rows"]:
        text = [html.escape(t) for t in (
            r["label"], r["unit"], number(r["ours"]), number(r["upstream"]),
            ratio(r), target(r), r["verdict"])]
        note = f' title="{html.escape(r["note"])}"' if r["note"] else ""
        out.append(f"<tr{note}><td>{text[0]}<td>{text[1]}"
                   + "".join(f'<td class="n">{t}' for t in text[2:6])
                   + f'<td class="{text[6]}">{text[6]}</tr>')
    return "\n".join(out + ["</table>"])


def write(result, path):
    """Write the page."""
    body = []
    for k in result["kernels"]:
        labels = {r["id"]: r["label"] for r in k["rows"]}
        figures = [_ratios(k)] if k["rows"] else []
        figures += [_line(x) for x in k["lines"]]
        figures += [_pairs(i, labels[i], p) for i, p in k["points"].items()]
        body.append(f"<h2>Linux {k['release']}</h2>\n{_table(k)}\n"
                    + "\n".join(f"<figure>{f}</figure>" for f in figures))
    path.write_text(
        "<!doctype html>\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n"
        '<html lang="en"><meta charset="utf-8"><title>virtio-blk lite: '
        f"performance</title><style>{STYLE}</style>\n"
        "<h1>What a request costs, beside upstream's driver</h1>\n"
        f"<p>{verdicts(result)}. {html.escape(result['qemu'])}; tree "
        f"{html.escape(result['tree'])}; how it is measured stands in "
        "Documentation/performance.md.</p>\n" + "\n".join(body) + "</html>\n")
