#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make trust: each fault, so many times with our driver and with upstream's.

    scripts/trust.py [N] [--only WORD] [-k KERNEL] [--write]

N tries for ours, a fifth of them for upstream's, most of which cost a guest.
--write puts the table into Documentation/trust.md, which says what is counted.
Needs QEMU's qtest socket, which reads and writes the guest's memory.
"""

import argparse
import sys
import time

from trust import held, rows, tally
from vbl import VblError, pick_kernel, record


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("n", nargs="?", type=int, default=1)
    top.add_argument("--only", default="", help="faults with this word")
    top.add_argument("-k", "--kernel",
                     help="a series, such as 6.1, or a release")
    top.add_argument("--write", action="store_true")
    args = top.parse_args()
    if args.write and args.only:
        top.error("--write is for all faults")
    names = [f for f in rows.FAULTS if args.only in f]

    def say(text):
        print(text, flush=True)

    began = time.monotonic()
    try:
        of, guests = rows.run(names, args.n, args.kernel, say)
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2
    lines = tally.table(of)
    print(*lines, sep="\n")
    if args.write:
        minutes = (time.monotonic() - began) / 60
        record.put("faults", [
            f"`{record.make('trust', N=args.n, K=args.kernel)}` on "
            f"{pick_kernel(args.kernel).release}, in {minutes:.0f} minutes; "
            f"for the first {len(held.ROWS)} ours needed {guests['lite']} "
            f"guests, upstream's {guests['upstream']}:", "", *lines])
    return not all(isinstance(one["lite"], str) or one["lite"].good
                   for one in of.values())


if __name__ == "__main__":
    sys.exit(main())
