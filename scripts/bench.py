#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a request costs with this driver and with upstream's."""

import argparse
import os
import sys

from bench import compare, exact, full, quick
from vbl import VblError
from vbl.entry import leave_cleanly


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__)
    sub = top.add_subparsers(dest="verb", required=True)
    for verb, module in (("quick", quick), ("run", full), ("exact", exact),
                         ("compare", compare)):
        p = sub.add_parser(verb, help=module.__doc__)
        module.add_arguments(p)
        p.set_defaults(fn=module.run)
    args = top.parse_args()
    # One QEMU for all figures: the one the plugin is built for.
    if not os.environ.get("Q"):
        os.environ.setdefault("VBL_QEMU", "qemu-system-x86_64")
    leave_cleanly()
    try:
        return args.fn(args)
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
