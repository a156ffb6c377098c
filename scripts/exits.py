#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Counts the register accesses of a request on IDE, AHCI, NVMe and virtio."""

import argparse
import os
import sys
from pathlib import Path

from seeing import exits, exits_svg
from vbl.entry import main
from vbl.qemu import called, version


def _parser():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("-k", "--kernel", default=os.environ.get("K"))
    p.add_argument("--qemu", help="debian, newer, or a command")
    p.add_argument("--what", default="read", choices=exits.WHAT)
    p.add_argument("--svg", metavar="FILE", help="also as a picture")
    return p


def show():
    """Boot, count, print."""
    args = _parser().parse_args()
    result, (kernel, qemu) = exits.measure(args.kernel, args.what,
                                           qemu=called(args.qemu))
    about = kernel, ".".join(map(str, version(qemu)))
    print(f"Linux {about[0]}, QEMU {about[1]}")
    print(exits.table(result, args.what))
    if args.svg:
        Path(args.svg).write_text(exits_svg.picture(result, args.what, about))
        print(f"picture: {args.svg}")
    return 0


if __name__ == "__main__":
    sys.exit(main(show))
