#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make ports: the module on other architectures.

    scripts/ports.py [--arch ARCH] [-k KERNEL]

For each architecture and each of its kernels of Debian: a build with W=1, of
which a warning is a failure, and a guest with a disk of each kind that is
read, written, and discarded on. Nothing is installed: kernels and compilers are
unpacked into the cache.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from ports import kernels, machines
from ports.load import PARTS, Load
from vbl import BuildFailed, SetupError
from vbl.entry import main

COLUMNS = ("build", *PARTS)
WIDTHS = (9, 27, 8, *(max(len(c), 7) + 1 for c in COLUMNS), 6)


def wanted(chosen, name):
    """(machine, flavour, suite, what kernels.find() gives or raises), for each
    kernel that is called @name, or for all."""
    for machine in chosen:
        for suite in kernels.SUITES:
            for flavour in machine.flavours:
                try:
                    found = kernels.find(machine, flavour, suite)
                except SetupError as e:
                    found = e
                if name and not (isinstance(found, tuple) and
                                 kernels.is_called(found[0], name)):
                    continue
                yield machine, flavour, suite, found


def outcomes(machine, suite, found):
    """{column: (outcome, why)} for one kernel, and the size of its pages."""
    machine.command()
    kernel = kernels.fetch(machine, suite, *found)
    try:
        ko, warnings = kernels.build(kernel)
    except BuildFailed as e:
        return {"build": ("failed", str(e))}, 0
    build = {"build": ("failed", warnings) if warnings else ("passed", "")}
    with tempfile.TemporaryDirectory(prefix="vbl-ports-") as folder:
        load = Load(machine, kernel, ko, Path(folder))
        return build | load.run(), load.page


def shown(outcome, why):
    """What stands in a cell."""
    if outcome == "passed":
        return "refused" if why else "ok"
    return {"failed": "FAILED", "skipped": "-"}[outcome]


def row(cells):
    """A line of the table."""
    return "".join(f"{text:<{width}}" for text, width in
                   zip(cells, WIDTHS)).rstrip()


def report(name, began, seen, page):
    """Print a row, and below it what failed and why something was skipped."""
    cells = [shown(*seen.get(c, ("skipped", ""))) for c in COLUMNS]
    print(row([*name, f"{page >> 10} KiB" if page else "-", *cells,
               f"{time.monotonic() - began:.0f} s"]), flush=True)
    for column, (outcome, why) in seen.items():
        if outcome == "failed":
            print(f"  {column}: " + "\n    ".join(why.splitlines()[-40:]))
    for why in dict.fromkeys(w for o, w in seen.values() if o != "failed"):
        if why:
            print(f"  {', '.join(c for c in seen if seen[c][1] == why)}: {why}")


def one(machine, flavour, suite, found):
    """Run one kernel, or say why not: a list of outcomes."""
    began = time.monotonic()
    if not found:
        seen, page = {"build": ("skipped", f"Debian {suite} has none")}, 0
    elif isinstance(found, SetupError):
        seen, page = {"build": ("failed", str(found))}, 0
    else:
        try:
            seen, page = outcomes(machine, suite, found)
        except SetupError as e:
            seen, page = {"build": ("failed", str(e))}, 0
    release = found[0] if isinstance(found, tuple) else flavour
    report((machine.arch, release), began, seen, page)
    return [outcome for outcome, _ in seen.values()]


def command():
    """What the command line asks for; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--arch", help=", ".join(machines.MACHINES))
    parser.add_argument("-k", "--kernel", help="a series or a release")
    args = parser.parse_args()
    for name in ("Q", "VBL_QEMU", "DRIVER"):
        if os.environ.get(name):
            raise SetupError(f"{name}={os.environ[name]}: make ports takes "
                             "ARCH= and K= only")
    chosen = machines.chosen(args.arch)
    for machine in chosen:
        machine.command()
    todo = list(wanted(chosen, args.kernel))
    if not todo:
        raise SetupError(f"K={args.kernel}: no such kernel; there are: "
                         + ", ".join(sorted({
                             found[0] for *_, found in wanted(chosen, None)
                             if isinstance(found, tuple)})))
    print(row(["arch", "kernel", "pages", *COLUMNS, "time"]), flush=True)
    all_of = [outcome for case in todo for outcome in one(*case)]
    print(", ".join(f"{all_of.count(o)} {o}" for o in
                    ("passed", "failed", "skipped")))
    return int("failed" in all_of)


if __name__ == "__main__":
    sys.exit(main(command))
