#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make fuzz: guests, each with a hostile device.

Each round has another device, drawn from its own seed: it lies while it is
probed, used and unbound. The disk may work or fail; the kernel may not
complain, nothing may hang, and the module can always be unloaded.
"""

import argparse
import multiprocessing
import sys
import time

from fuzz.campaign import Campaign, Sum
from vbl import VblError, record


def one_guest(args, total, more, failures):
    """A process: rounds in a guest of its own."""
    try:
        Campaign(args.kernel, args.verbose, total=total).run(
            total.seeds(args.seed, args.rounds), more)
    except VblError as e:
        total.add(failed=1)
        failures.put((str(e), record.costs(e)))
    except KeyboardInterrupt:
        pass                    # the parent reports it


def all_guests(args, total, more, figures):
    """Run all guests until more() is false, or one of them fails."""
    failures = multiprocessing.SimpleQueue()
    guests = [multiprocessing.Process(target=one_guest, args=(
        args, total, more, failures)) for _ in range(args.guests)]
    for g in guests:
        g.start()
    try:
        for g in guests:
            g.join()
    finally:
        for g in guests:
            g.join()
        # A hostile disk keeps no data that could be lost.
        figures.update(tried=total.mutations, said=str(total), lost=None)
    if not failures.empty():
        text, costs = failures.get()
        figures.update(costs, lost=None)
        raise VblError(text)
    if any(g.exitcode for g in guests):
        raise VblError("a guest's process died; see above")


def count(text):
    """A number of guests."""
    if not text.isdecimal() or not 1 <= int(text) <= 16:
        raise argparse.ArgumentTypeError(f"{text}: 1 to 16 guests")
    return int(text)


def main():
    """Command line entry."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("-k", "--kernel",
                   help="debug, a series, such as 6.1, or a release")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--mutations", type=int,
                   help="run until the driver has read so many lies")
    p.add_argument("--rounds", type=int, help="exactly so many rounds")
    p.add_argument("--guests", type=count, default=1,
                   help="so many at a time: each waits more than it computes")
    p.add_argument("--seed", type=int, default=int(time.time()),
                   help="of the first round; each next one has one more")
    p.add_argument("--verbose", action="store_true",
                   help="show the kernel log of each round")
    p.add_argument("--write", action="store_true",
                   help="keep the figures for Documentation/trust.md")
    args = p.parse_args()
    total, began = Sum(), time.monotonic()

    def more(total):
        if total.failed:
            return False
        # At least one round, or nothing was tried.
        if args.rounds or not total.rounds:
            return True
        if args.mutations:
            return total.mutations < args.mutations
        return time.monotonic() - began < args.seconds

    try:
        with record.noted(args.write, "hostile device", args.kernel, None,
                        record.make("fuzz", N=args.mutations, SEED=args.seed,
                                  K=args.kernel, SECONDS=f"{args.seconds:g}"
                                  if not args.mutations else None,
                                  GUESTS=args.guests if args.guests > 1
                                  else None)) as figures:
            all_guests(args, total, more, figures)
    except VblError as e:
        print(f"fuzz: {e}", file=sys.stderr)
        return 1
    print(f"{total.mutations} mutations in {total}, "
          f"{time.monotonic() - began:.0f} s: no complaint, no hang, unloaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
