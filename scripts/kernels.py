#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Builds the module for every kernel of Debian's suites.

    scripts/kernels.py [SUITE...]

The newest kernel of each flavour that a suite carries, with that suite's own
compiler and W=1; a warning is a failure. A kernel that is too old has to be
refused in one line. Nothing is installed: headers and compilers are unpacked
into the cache.
"""

import sys

from vbl.errors import BuildFailed, SetupError, VblError
from vbl.kernel import Kernel, build_module, module_warnings
from vbl.lab import build_root
from vbl.suites import RELEASE, Lists

FLAVOURS = ("amd64", "cloud-amd64", "rt-amd64")
# Before 6.1: what a user of such a kernel is told.
TOO_OLD = {"bullseye": "is too old: Linux 6.1 or newer is needed"}


def build(suite, release, root):
    """(outcome, why) of the module for one kernel."""
    kernel = Kernel(release, root / "usr/src" / f"linux-headers-{release}",
                    root=root, foreign=True)
    try:
        ko = build_module(kernel, make_args=["W=1"], quiet=True)
    except BuildFailed as e:
        told = TOO_OLD.get(suite)
        if not told:
            return "failed", str(e)
        errors = [line for line in str(e).splitlines() if "error" in line]
        if told in str(e) and not errors:
            return "passed", "refused as too old"
        return "failed", f"not refused in one line:\n{e}"
    if suite in TOO_OLD:
        return "failed", "built, but should be refused as too old"
    warnings = module_warnings(ko)
    return ("failed", warnings) if warnings else ("passed", "")


def suite_outcomes(lists, suite):
    """(outcome, kernel, why) for each flavour of a suite."""
    found = {f: lists.headers(suite, f) for f in FLAVOURS}
    packages = [p for p in found.values() if p]
    try:
        root = build_root(suite, packages) if packages else None
    except SetupError as e:
        root, missing = None, str(e)
    for flavour, package in found.items():
        if not package:
            yield "skipped", flavour, "not in this suite"
        elif not root:
            yield "failed", package.removeprefix("linux-headers-"), missing
            missing = "the same"
        else:
            release = package.removeprefix("linux-headers-")
            outcome, why = build(suite, release, root)
            yield outcome, release, why


def main():
    """Command line entry."""
    suites = sys.argv[1:] or list(RELEASE)
    unknown = [s for s in suites if s not in RELEASE]
    if unknown:
        print(f"kernels.py: {unknown[0]}: no such suite; there are: "
              + ", ".join(RELEASE), file=sys.stderr)
        return 2
    tally = dict.fromkeys(("passed", "failed", "skipped"), 0)
    try:
        lists = Lists()
        for suite in suites:
            for outcome, kernel, why in suite_outcomes(lists, suite):
                tally[outcome] += 1
                first, _, rest = why.partition("\n")
                print(f"{outcome:<8} {suite:<19} {kernel:<30} {first}".rstrip(),
                      flush=True)
                for line in rest.splitlines()[-30:]:
                    print(f"    {line}")
    except VblError as e:
        print(f"kernels.py: {e}", file=sys.stderr)
        return 2
    print(", ".join(f"{n} {what}" for what, n in tally.items()))
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
