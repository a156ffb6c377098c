# SPDX-License-Identifier: GPL-2.0
"""The table on a terminal."""

from .row import FAIL


def number(n):
    """A figure with as many digits as mean something."""
    if n is None:
        return "-"
    if n == int(n) and abs(n) < 1e9:
        return f"{n:.0f}"
    for limit, digits in ((10, 3), (1000, 2), (10000, 1)):
        if abs(n) < limit:
            return f"{n:.{digits}f}"
    return f"{n:.0f}"


def ratio(row):
    """The ratio, with its interval."""
    if row["ratio"] is None:
        return "-"
    text = f"{row['ratio']:.3f}"
    if row["low"] is not None:
        text += f" [{row['low']:.2f}, {row['high']:.2f}]"
    return text


def target(row):
    """What the ratio should be."""
    if row["target"] is None:
        return ""
    return (">= " if row["more"] else "<= ") + f"{row['target']:.4g}"


def _rows(kernel):
    for r in kernel["rows"]:
        yield (r["label"], r["unit"], number(r["ours"]),
               number(r["upstream"]), ratio(r), target(r), r["verdict"])


def _listing(name, both):
    print(f"\n  {name}, by function")
    for what, functions in both.items():
        print(f"   {what}")
        for label, n in functions[:16]:
            print(f"  {n:12.2f}  {label}")


def _line(line):
    print(f"\n  {line['label']}: {line['unit']}")
    rows = [["", *line["x"]]] + [[n, *map(number, line["y"][n])]
                                 for n in line["y"]]
    for r in rows:
        print(f"  {r[0]:<10}" + "".join(f"{c!s:>10}" for c in r[1:])
              if len(r) > 3 else
              f"  {r[0]:<10}" + "".join(f"{c!s:>18}" for c in r[1:]))


def table(result):
    """Print all kernels' rows, and the functions behind what failed."""
    heads = ("", "unit", "ours", "upstream", "ratio", "target", "")
    for kernel in result["kernels"]:
        rows = [heads, *_rows(kernel)]
        width = [max(len(r[n]) for r in rows) for n in range(len(heads))]
        print(f"\nLinux {kernel['release']}")
        for r in rows:
            cells = [t.ljust(w) if n in (0, 1, 4, 5, 6) else t.rjust(w)
                     for n, (t, w) in enumerate(zip(r, width))]
            print("  " + "  ".join(cells).rstrip())
        for line in kernel.get("lines", []):
            _line(line)
        failed = dict.fromkeys(r["id"].split(".")[0] for r in kernel["rows"]
                               if r["verdict"] == FAIL)
        for name in failed:
            if name in kernel["listings"]:
                _listing(name, kernel["listings"][name])
    print(f"\n{verdicts(result)}; {result['seconds']} s")


def verdicts(result):
    """How many rows passed, failed or are open."""
    every = [r["verdict"] for k in result["kernels"] for r in k["rows"]]
    return ", ".join(f"{every.count(v)} {v}" for v in ("PASS", "FAIL", "OPEN"))
