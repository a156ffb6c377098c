#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make powercut: kill QEMU while a guest writes; acknowledged data must stay.

A program in the guest writes blocks, flushes, and says on a serial port of its
own which blocks are safe. At a random moment QEMU is killed. What a cache may
forget is forgotten too: the disk logs every write and flush, and of the log
only what was flushed (or written through) counts, and of the rest nothing or a
random half. Every block that was said to be safe must be there. --write keeps
the figures for Documentation/trust.md.

    scripts/powercut.py [N] [--what fsync,postgres] [--seed S] [-k KERNEL]
                        [--mode MODE] [--write]

The same with PostgreSQL (vbl/postgres.py), whose clients say which rows are
committed: what is left of its database must recover, with all of these rows.

Modes take turns: write back, write through, both in turn at run time; packed
and legacy rings. --lie makes the guest skip its flushes: blocks must be lost
then, or this would detect nothing.
"""

import argparse
import sys

from faults import powercut
from vbl import VblError, record


def one(what, args):
    """The campaign with one workload: how much is lost."""
    with record.noted(args.write, f"power cut, {what}", args.kernel, args.n,
                      record.make("powercut", N=args.n, SEED=args.seed,
                                  WHAT=what, K=args.kernel)) as figures:
        acked, gone = powercut.campaign(
            args.n, args.seed, args.kernel, args.mode or (), args.lie,
            lambda *a: print(*a, flush=True), what)
        unit = powercut.WORKLOADS[what].unit
        figures.update(lost=gone, said=f"{acked} {unit} acknowledged")
    return gone


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("n", nargs="?", type=int, default=len(powercut.MODES))
    top.add_argument("--what", default="fsync",
                     help="workloads, one after another: "
                     + ", ".join(powercut.WORKLOADS))
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("-k", "--kernel",
                     help="a series, such as 6.1, or a release")
    top.add_argument("--mode", action="append", choices=list(powercut.MODES))
    top.add_argument("--lie", action="store_true",
                     help="acknowledge without a flush: has to lose something")
    top.add_argument("--write", action="store_true")
    args = top.parse_args()
    if args.write and (args.mode or args.lie):
        top.error("--write is for all modes, and no lies")
    for what in args.what.split(","):
        if what not in powercut.WORKLOADS:
            top.error(f"{what}: one of " + ", ".join(powercut.WORKLOADS))
    try:
        gone = [one(what, args) for what in args.what.split(",")]
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2
    return any(gone)


if __name__ == "__main__":
    sys.exit(main())
