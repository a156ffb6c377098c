#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make soak: disks are removed and added again, N times, under load.

    unplug   hot-unplugged by QEMU and plugged in again
    rebind   unbound from the driver and bound again
    reload   the module unloaded and loaded again

    scripts/soak.py [N] [--what unplug,...] [--seed S] [-k KERNEL] [--write]

What was written and synced before has to be there each time, whoever used the
disk has to get an error, nothing may hang, and the kernel may not complain.
--write keeps the figures for Documentation/trust.md.
"""

import argparse
import sys

from faults import removal
from vbl import VblError, record


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("n", nargs="?", type=int, default=20)
    top.add_argument("--what", default=",".join(removal.CAMPAIGNS))
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("-k", "--kernel",
                     help="a series, such as 6.1, or a release")
    top.add_argument("--write", action="store_true")
    args = top.parse_args()
    for what in args.what.split(","):
        if what not in removal.CAMPAIGNS:
            top.error(f"{what}: one of " + ", ".join(removal.CAMPAIGNS))
        options = removal.TURNS[args.seed % len(removal.TURNS)]
        print(f"{what}: {args.n} times, seed {args.seed}, {options}",
              flush=True)
        try:
            title = f"{removal.TITLES[what]}, {removal.ring(options)}"
            with record.noted(args.write, title, args.kernel, args.n,
                              record.make("soak", N=args.n, SEED=args.seed,
                                          WHAT=what, K=args.kernel)):
                took = removal.campaign(what, args.n, args.seed, args.kernel)
        except VblError as e:
            print(f"{what}: {type(e).__name__}: {e}", file=sys.stderr)
            return 1
        print(f"{what}: {args.n} of {args.n}, nothing lost, nothing hung, "
              f"{took:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
