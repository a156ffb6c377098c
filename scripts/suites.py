#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make suites: other people's tests on both drivers, and what differs.

    scripts/suites.py [-k KERNEL] [--what NAME,...] [--driver D] [--to FOLDER]

pgbench and fio come from Debian; BLKTESTS=, XFSTESTS= and LIBURING= name folders
in which the others were built. Nothing is fetched of those. ONLY= has words for
the one that is chosen instead of its usual tests.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from others import system, tests
from vbl import GuestError, SetupError, pick_kernel
from vbl.entry import main, words
from vbl.kernel import must_build

DRIVERS = ("lite", "upstream")


def drivers(only):
    """Those that are run: @only this one, if it is one."""
    return [only] if only else DRIVERS


def log_of(to, name, driver):
    """Where the log of a suite is."""
    return to / f"{name}-{driver}.log"


def one(name, driver, kernel, image, to):
    """Run a suite; {test: outcome}. A guest that dies is an outcome too."""
    try:
        found, text = tests.run(name, driver, kernel, image,
                                os.environ.get("ONLY", ""))
    except GuestError as e:
        found, text = {"the guest": "failed"}, str(e)
    path = log_of(to, name, driver)
    path.write_text(text, encoding="utf-8", errors="replace")
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


def command():
    """What the command line asks for."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("-k", "--kernel", default=os.environ.get("K"))
    top.add_argument("--what", default="", help=", ".join(tests.SUITES))
    top.add_argument("--driver", choices=DRIVERS,
                     default=os.environ.get("DRIVER") or None,
                     help="only this one: nothing to compare then")
    top.add_argument("--to", default="suites-results", help="where logs go")
    args = top.parse_args()
    try:
        what = tests.chosen(words("WHAT", args.what) if args.what else [],
                            os.environ)
        kernel, to = pick_kernel(args.kernel), Path(args.to)
        if args.driver != "upstream":
            must_build(kernel)
        to.mkdir(parents=True, exist_ok=True)
        # Not after hours.
        for name in what:
            for driver in drivers(args.driver):
                with open(log_of(to, name, driver), "ab"):
                    pass
        return int(any([run(name, folder, args.driver, kernel, to)
                        for name, folder in what.items()]))
    except OSError as e:
        raise SetupError(f"{e.filename or args.to}: {e.strerror}") from None


def run(name, folder, driver, kernel, to):
    """Run a suite; whether something is wrong with the driver that is judged:
    this one, or ours beside upstream's."""
    with tempfile.TemporaryDirectory(prefix="vbl-suite-") as tmp:
        image = folder and system.folder_image(folder, tmp)
        of = {d: one(name, d, kernel, image, to) for d in drivers(driver)}
    if not driver:
        print("".join(f"  {line}\n" for line in differences(of) or
                      ["no difference"]), end="", flush=True)
    return not all(of.values()) or not {"failed", tests.HANGS}.isdisjoint(
        of[driver or "lite"].values())


if __name__ == "__main__":
    sys.exit(main(command))
