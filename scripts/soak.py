#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make soak: disks are removed and added again, N times, under load.

    unplug   hot-unplugged by QEMU and plugged in again
    rebind   unbound from the driver and bound again
    reload   the module unloaded and loaded again
    storm    two minutes of lies of the device and new settings, N devices; only
             when asked for

    scripts/soak.py [N] [--what unplug,...] [--seed S] [-k KERNEL] [--write]

What was written and synced before has to be there each time, whoever used the
disk has to get an error, nothing may hang, and the kernel may not complain.
--write keeps the figures for Documentation/trust.md.
"""

import argparse
import sys

from faults import removal
from trust import storm
from vbl import SetupError, VblError, record


def removals(what, args):
    """One of removal.CAMPAIGNS."""
    options = removal.TURNS[args.seed % len(removal.TURNS)]
    print(f"{what}: {args.n} times, seed {args.seed}, {options}", flush=True)
    title = f"{removal.TITLES[what]}, {removal.ring(options)}"
    with record.noted(args.write, title, args.kernel, args.n,
                      record.make("soak", N=args.n, SEED=args.seed,
                                  WHAT=what, K=args.kernel)):
        took = removal.campaign(what, args.n, args.seed, args.kernel)
    print(f"{what}: {args.n} of {args.n}, nothing lost, nothing hung, "
          f"{took:.0f} s", flush=True)


def storms(what, args):
    """Storms of so many seeds, from the first one on."""
    def again(n, seed):
        return record.make("soak", N=n, SEED=seed, WHAT=what, K=args.kernel)

    with record.noted(args.write, "storm of lies and settings", args.kernel,
                      args.n, again(args.n, args.seed)):
        for seed in range(args.seed, args.seed + args.n):
            one = storm.Storm(args.kernel, seed)
            print(f"{what}: seed {seed}, {one.lies.in_words()}", flush=True)
            try:
                print(f"{what}: seed {seed}, {one.run()}", flush=True)
            except SetupError:
                raise
            except VblError as e:
                raise VblError(f"{e}\nrepeat it: {again(1, seed)}") from e


WHAT = {**dict.fromkeys(removal.CAMPAIGNS, removals), "storm": storms}


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
        if what not in WHAT:
            top.error(f"{what}: one of " + ", ".join(WHAT))
        try:
            WHAT[what](what, args)
        except VblError as e:
            print(f"{what}: {type(e).__name__}: {e}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
