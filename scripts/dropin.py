#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make dropin: a Debian system moves to this driver with its root, and back.

Images of Debian systems are made once, into the cache: of each suite, with
their root on ext4, LVM, xfs, btrfs or LUKS. A guest boots such a disk with
QEMU's own firmware, installs the packages of this tree, and goes through the
journey: the choice that lasts, reboots, work, a new kernel, hibernation, and
back without a trace. Each step is printed with its time.

    scripts/dropin.py [--suite bookworm,trixie,sid] [--root ext4,lvm,...]
                      [--what journey,nobuild,refused,dracut,powercut]
                      [--modules most] [--debs FOLDER]

Other than the journey: a kernel for which the module does not build, one that
refuses it, an initramfs of dracut's, and power cuts while the choice is made.
"""

import argparse
import itertools
import os
import sys

from dropin import cases, images, packages
from vbl import VblError, qemu

WHAT = ("journey", "short", *cases.CASES)


def _words(text, known):
    words = text.split(",")
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(
                f"{word}: one of {', '.join(known)}")
    return words


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("--suite", type=lambda t: _words(t, images.NEXT),
                     default=list(images.NEXT))
    top.add_argument("--root", type=lambda t: _words(t, images.ROOTS),
                     default=["ext4"])
    top.add_argument("--what", type=lambda t: _words(t, WHAT),
                     default=["journey"])
    top.add_argument("--modules", choices=("dep", "most"), default="dep",
                     help="what an initramfs has: what this machine needs, or "
                     "as Debian has it, which takes an emulated one minutes")
    top.add_argument("--debs", help="these packages, not those of the tree")
    args = top.parse_args()
    os.environ.setdefault("VBL_CPU", qemu.QUICK_CPU)
    rows = []
    try:
        debs = packages.image(args.debs)
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2
    for what, suite, root in itertools.product(args.what, args.suite,
                                               args.root):
        print(f"== {what}: Debian {suite}, root on {root}", flush=True)
        seconds, result = {}, "passed"
        try:
            cases.run(what, suite, root, debs,
                      lambda line: print(line, flush=True), args.modules,
                      seconds)
        except VblError as e:
            print(f"{type(e).__name__}: {e}", flush=True)
            result = " ".join(["failed", *list(seconds)[-1:]])
        rows.append((what, suite, root, result, seconds))
    table(rows)
    return any(row[3] != "passed" for row in rows)


def table(rows):
    """What was done, with the minutes of each and the seconds of its steps."""
    print("\n| what | Debian | root | result | minutes | seconds of each step |")
    print("|---|---|---|---|---|---|")
    for *row, seconds in rows:
        row.append(f"{sum(seconds.values()) / 60:.0f}")
        row.append(", ".join(f"{k} {v:.0f}" for k, v in seconds.items()))
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    sys.exit(main())
