#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make suites: other people's tests on both drivers, and what differs.

    scripts/suites.py [-k KERNEL] [--what NAME,...] [--driver D] [--to FOLDER]

pgbench and fio come from Debian; BLKTESTS=, XFSTESTS= and LIBURING= name folders
in which the others were built. Nothing is fetched of those.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from others import system, tests
from vbl import GuestError, VblError, pick_kernel

DRIVERS = ("lite", "upstream")


def one(name, driver, kernel, image, to):
    """Run a suite; {test: outcome}. A guest that dies is an outcome too."""
    try:
        found, text = tests.run(name, driver, kernel, image)
    except GuestError as e:
        found, text = {"the guest": "failed"}, str(e)
    path = to / f"{name}-{driver}.log"
    path.write_text(text)
    words = list(found.values())
    print(f"{name} {driver}: " + (", ".join(
        f"{words.count(w)} {w}" for w in dict.fromkeys(words))
        or f"it said nothing, see {path}"), flush=True)
    return found


def differences(of):
    """Lines: what one driver does otherwise than the other."""
    lite, upstream = (of[d] for d in DRIVERS)
    return [f"{test}: lite {lite.get(test, 'did not run')}, upstream "
            f"{upstream.get(test, 'did not run')}"
            for test in dict.fromkeys((*lite, *upstream))
            if lite.get(test) != upstream.get(test)]


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("-k", "--kernel", default=os.environ.get("K"))
    top.add_argument("--what", default="", help=", ".join(tests.SUITES))
    top.add_argument("--driver", choices=DRIVERS,
                     default=os.environ.get("DRIVER") or None,
                     help="only this one: nothing to compare then")
    top.add_argument("--to", default="suites-results", help="where logs go")
    args = top.parse_args()
    drivers = [args.driver] if args.driver else DRIVERS
    try:
        what = tests.chosen([w for w in args.what.split(",") if w], os.environ)
        kernel, to = pick_kernel(args.kernel), Path(args.to)
        to.mkdir(parents=True, exist_ok=True)
        bad = False
        for name, folder in what.items():
            with tempfile.TemporaryDirectory(prefix="vbl-suite-") as tmp:
                image = folder and system.folder_image(folder, tmp)
                of = {d: one(name, d, kernel, image, to) for d in drivers}
            bad |= not all(of.values()) or \
                "failed" in of.get("lite", {}).values()
            if len(of) == len(DRIVERS):
                lines = differences(of)
                print("".join(f"  {line}\n" for line in lines or
                              ["no difference"]), end="", flush=True)
        return int(bad)
    except VblError as e:
        print(e, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
