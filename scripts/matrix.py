#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make matrix: kernels x QEMUs x drivers x parts, in one report.

    scripts/matrix.py run [--hours H] [--to FOLDER] ...
    scripts/matrix.py compare OLD NEW
    scripts/matrix.py convert FILE.ktap [--junit FILE] [--kcidb FILE]
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from matrix import compare, convert, plan, report, run
from vbl import SetupError
from vbl.entry import main, words


def cmd_run(args):
    """Run the cells that the folder does not have yet; 1 if a test failed."""
    cells = plan.cells(args.kernels, args.qemus, args.drivers or plan.DRIVERS,
                       args.parts or plan.PARTS)
    one = run.Run(args.to, args.hours, lambda text: print(text, flush=True))
    other = one.of_another_tree()
    if other:
        raise SetupError(f"TO={args.to}: has the results of {other}, which "
                         "matrix-compare may want: another TO= keeps them")
    of = one.all(cells, args.jobs)
    print("\n" + report.write(args.to, of), end="")
    cmd_convert(argparse.Namespace(
        file=str(Path(args.to) / "matrix.ktap"),
        junit=str(Path(args.to) / "matrix.junit.xml"),
        kcidb=str(Path(args.to) / "matrix.kcidb.json")))
    missing = sum(got is None for got in of.values())
    if missing:
        print(f"{missing} of {len(of)} cells are not run yet: the same command "
              "continues")
    return int(any(r["outcome"] in ("failed", "flaps")
                   for got in of.values() if got for r in got["results"]))


def cmd_compare(args):
    """Say what is new; 1 if something got worse."""
    old, new = compare.load(args.old), compare.load(args.new)
    if not old.keys() & new.keys():
        raise SetupError("the two runs have no cell in common")
    lines, worse = compare.compare(old, new)
    print("\n".join(lines or ["nothing is new"]))
    return int(worse)


def cmd_convert(args):
    """Write the same results for other programs."""
    if not args.junit and not args.kcidb:
        raise SetupError("convert: --junit FILE or --kcidb FILE says to what")
    files = [os.path.realpath(f) for f in (args.file, args.junit, args.kcidb)
             if f]
    if len(set(files)) < len(files):
        raise SetupError("convert: each file needs a name of its own")
    suites = convert.read(args.file)
    if args.junit:
        Path(args.junit).write_text(convert.junit(suites), encoding="utf-8")
    if args.kcidb:
        made = convert.kcidb(suites)
        bad = convert.kcidb_problems(made)
        if bad:
            raise SetupError(f"{args.file}: does not fit KCIDB: {bad[0]}")
        Path(args.kcidb).write_text(json.dumps(made, indent=1) + "\n")
    return 0


def hours(text):
    """A number of hours above 0."""
    return _above_0("HOURS", "a number of hours, such as 2 or 0.5", float, text)


def jobs(text):
    """A number of cells."""
    return _above_0("J", "a number of cells", int, text)


def _above_0(name, what, kind, text):
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise SetupError(f"{name}={text}: expected {what}")
    return number


def _parser():
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    sub = top.add_subparsers(dest="verb", required=True)
    p = sub.add_parser("run", help=cmd_run.__doc__)
    p.set_defaults(fn=cmd_run)
    p.add_argument("--hours", type=hours, help="stop after so many")
    p.add_argument("--to", default="matrix-results",
                   help="the folder with what was found so far")
    p.add_argument("--jobs", type=jobs, default=2,
                   help="cells at a time (2)")
    for name, what in (("kernels", "as K= takes them"),
                       ("qemus", "as Q= takes them"),
                       ("drivers", "lite, upstream"),
                       ("parts", ", ".join(plan.PARTS))):
        p.add_argument(f"--{name}", type=partial(words, name.upper()),
                       help=f"{what}; all when there are none")
    p = sub.add_parser("compare", help=cmd_compare.__doc__)
    p.set_defaults(fn=cmd_compare)
    p.add_argument("old", help="a folder of make matrix, or its matrix.json")
    p.add_argument("new")
    p = sub.add_parser("convert", help=cmd_convert.__doc__)
    p.set_defaults(fn=cmd_convert)
    p.add_argument("file", help="KTAP of any test")
    p.add_argument("--junit", help="where JUnit XML goes")
    p.add_argument("--kcidb", help="where KCIDB JSON goes")
    return top


def command():
    """What the command line asks for."""
    args = _parser().parse_args()
    try:
        return args.fn(args)
    except OSError as e:
        raise SetupError(f"{e.filename or 'matrix'}: {e.strerror}") from None


if __name__ == "__main__":
    sys.exit(main(command))
