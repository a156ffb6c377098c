#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make trust: each fault, so many times with our driver and with upstream's.

    scripts/trust.py [N] [--only WORD] [-k KERNEL] [--driver D] [--write]

N tries for ours, a fifth of them for upstream's, most of which cost a guest.
--write puts the table into Documentation/trust.md, which says what is counted.
Needs QEMU's qtest socket, which reads and writes the guest's memory.
"""

import argparse
import json
import os
import sys
import time

from trust import held, rows, tally
from vbl import VblError, expected, pick_kernel, record


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("n", nargs="?", type=int, default=1)
    top.add_argument("--only", default="", help="faults with this word")
    top.add_argument("-k", "--kernel",
                     help="a series, such as 6.1, or a release")
    top.add_argument("--write", action="store_true")
    top.add_argument("--driver", choices=tally.DRIVERS,
                     default=os.environ.get("DRIVER") or None,
                     help="only this one; the other's cells stay empty")
    top.add_argument("--json", help="where each outcome goes")
    args = top.parse_args()
    if args.write and (args.only or args.driver):
        top.error("--write is for all faults and both drivers")
    names = [f for f in rows.FAULTS if args.only in f]

    def say(text):
        print(text, flush=True)

    began = time.monotonic()
    try:
        of, guests = rows.run(names, args.n, args.kernel, say,
                              [args.driver] if args.driver else tally.DRIVERS)
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
    results = outcomes(of)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)
    if args.driver == "upstream":
        for r in results:
            if r["outcome"] == "failed":
                print(f"{r['test']}: {r['why']}, which expected.tsv does not "
                      "have")
    judged = args.driver or "lite"
    return any(r["outcome"] == "failed" for r in results
               if r["driver"] == judged)


def outcomes(of):
    """A row for each fault and driver: passed, failed, expected or skipped."""
    found = []
    for fault, each in of.items():
        for driver, one in each.items():
            row = {"test": fault, "driver": driver, "outcome": "passed",
                   "why": one if isinstance(one, str) else one.text}
            if isinstance(one, str):
                row["outcome"] = "skipped"
            elif not one.good:
                reason = expected.find(driver, "faults", fault)
                row["outcome"] = "expected" if reason else "failed"
                row["why"] += f": {reason}" if reason else ""
            found.append(row)
    return found


if __name__ == "__main__":
    sys.exit(main())
