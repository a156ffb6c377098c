# SPDX-License-Identifier: GPL-2.0
"""The complete table: every figure on every kernel."""

import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path

from vbl import TREE, GuestError
from vbl.kernel import made_kernels, pick_kernel, series
from vbl.qemu import binary

from . import (cost, document, growth, many, page, pairs, peer, registers,
               rest, show)
from .row import FAIL, Row

FORMAT = 1
# How often disks are bound and unbound, for rows of memory and time.
CYCLES = 7
PARTS = ("cost", "rest", "many", "peer", "registers", "growth", "pairs")


def add_arguments(parser):
    """The options of bench.py run."""
    parser.add_argument("-k", "--kernel", action="append",
                        help="a series, such as 6.1, or a release; repeatable; "
                        "every one but the debug kernel when there is none")
    parser.add_argument("--full", action="store_true",
                        help="also what takes long")
    parser.add_argument("--count", type=int, default=4000,
                        help="requests in each measurement")
    parser.add_argument("--pairs", type=int,
                        help="pairs of fio runs for each load")
    parser.add_argument("--only", action="append",
                        choices=PARTS,
                        help="a part of all that; repeatable")
    parser.add_argument("--no-page", action="store_true",
                        help="without bench.html, which needs gnuplot")
    parser.add_argument("--ko", help="a ready virtio_lite.ko, which fits one "
                        "kernel, instead of the one built from the tree")
    parser.add_argument("--json", default="bench.json",
                        help="where the figures go")
    parser.add_argument("--write", action="store_true",
                        help="write Documentation/performance.md anew")


def _first_line(command):
    try:
        got = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return (got.stdout.splitlines() or [""])[0].strip()


def _one_kernel(kernel, args, say):
    want = args.only or PARTS
    out = {"release": str(kernel), "rows": [], "listings": {}, "points": {},
           "lines": []}
    rows, lines, listings = [], out["lines"], {}

    def costs():
        c = cost.Cost(say, args.count, 31 if args.full else 11)
        try:
            c.everything(kernel, args.ko)
        finally:
            rows.extend(c.rows)
            listings.update(c.listings)

    def growths():
        lines.extend(growth.short(kernel, args.ko, say))
        if args.full:
            lines.extend(growth.long(kernel, args.ko, say))

    def times():
        got, out["points"] = pairs.measure(
            kernel, args.ko, say, args.pairs or (300 if args.full else 100),
            args.full)
        rows.extend(got)

    parts = {
        "cost": costs, "growth": growths, "pairs": times,
        "rest": lambda: rows.extend(
            rest.measure(kernel, args.ko, say, listings, CYCLES)),
        "many": lambda: rows.extend(
            many.measure(kernel, args.ko, say)),
        "peer": lambda: rows.extend(peer.measure(kernel, args.ko, say)),
        "registers": lambda: lines.append(
            registers.measure(kernel, args.ko, say))}
    for name in PARTS:
        if name not in want:
            continue
        try:
            parts[name]()
        except GuestError as e:
            # What was measured so far is worth keeping; this is worth telling.
            say(f"  {name}: {e}")
            rows.append(Row(f"broken.{name}", f"{name}: a guest did not come "
                            "to the end", "", 0, 0, verdict=FAIL,
                            note=str(e).splitlines()[0]))
    failed = {r.id.split(".")[0] for r in rows if r.verdict == FAIL}
    out["listings"] = {i: n for i, n in listings.items()
                       if i in failed or i in ("read1", "read32")}
    out["rows"] = [dataclasses.asdict(r) for r in rows]
    return out


def run(args):
    """Measure everything, print it, keep it."""
    if not args.no_page:
        page.gnuplot()
    kernels = [pick_kernel(k) for k in args.kernel or (
        *(k for k in made_kernels() if not k.debug), *series())]
    began = time.monotonic()

    def say(what):
        print(f"[{time.monotonic() - began:5.0f} s]{what}", flush=True)

    result = {
        "format": FORMAT, "full": args.full, "count": args.count,
        "qemu": _first_line([*binary(), "--version"]),
        "tree": _first_line(["git", "-C", str(TREE), "describe", "--always",
                             "--dirty"]),
        "cpus": os.cpu_count(), "kernels": []}
    for kernel in kernels:
        say(f" Linux {kernel}")
        result["kernels"].append(_one_kernel(kernel, args, say))
    result["seconds"] = round(time.monotonic() - began)
    Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    show.table(result)
    print(f"{args.json} has all figures")
    if not args.no_page:
        path = Path(args.json).with_suffix(".html")
        page.write(result, path)
        print(f"{path} shows them")
    if args.write:
        command = "make bench" + (" FULL=1" if args.full else "")
        print(f"{document.write(result, command)} is written")
    return 0
