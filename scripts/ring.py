#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows a virtqueue's memory before, while and after the device has requests."""

import argparse
import os
import sys
from pathlib import Path

from seeing import ring_page, ring_scene, ring_text
from vbl import Disk
from vbl.disk import parse_options
from vbl.entry import main
from vbl.qemu import called, version


def _parser():
    p = argparse.ArgumentParser(description=__doc__, epilog="""
        Environment: K kernel.""")
    p.add_argument("hold", nargs="?", type=int, default=2,
                   help="requests that the device holds (2)")
    p.add_argument("-k", "--kernel", default=os.environ.get("K"))
    p.add_argument("--driver", default="lite", choices=["lite", "upstream"])
    p.add_argument("--qemu", help="debian, newer, or a command")
    p.add_argument("--what", default="write", choices=ring_scene.KINDS)
    p.add_argument("--disk", default="", metavar="OPT=V,OPT=V",
                   help="options of the disk: transport=legacy, packed=on, "
                   "in_order=on, indirect=off, event_idx=off, num_queues=2 ...")
    p.add_argument("--html", metavar="FILE",
                   help="also as a page with a slider")
    return p


def _options(text):
    """Options of Disk from the command line, which has no source."""
    options = parse_options([w for w in text.split(",") if w])
    Disk(**options)         # what does not go together is refused here
    return options


def show(args):
    """Boot, hold, look, print."""
    with ring_scene.Scene(args.kernel, args.driver, args.hold,
                          _options(args.disk), args.what,
                          qemu=called(args.qemu)) as scene:
        kernel = scene.guest.kernel.release
        qemu = ".".join(map(str, version(scene.guest.process.argv[0])))
        looks = scene.play()
    print(f"{args.driver} driver, {kernel}, QEMU {qemu}"
          + (f", {args.disk}" if args.disk else ""))
    print(ring_text.render(looks), end="")
    if args.html:
        about = {"driver": args.driver, "kernel": kernel, "qemu": qemu,
                 "disk": args.disk}
        Path(args.html).write_text(ring_page.render(looks, about))
        print(f"page: {args.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main(lambda: show(_parser().parse_args())))
