#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs guests in QEMU from the command line."""

import argparse
import os
import sys

from vbl import (CommandFailed, Disk, Guest, SetupError, VblError,
                 build_module, demo, kernels, made_kernels, pick_kernel)
from vbl.guest import chosen_driver
from vbl.entry import leave_cleanly
from vbl.kernel import headers_to_build, must_build
from vbl.qemu import binary, check

KERNEL = ("a series, such as 6.1, or a release; debug or race; or a folder with "
          "a built kernel tree, or a vmlinuz and its modules")


def _file(text):
    host, eq, there = text.partition("=")
    if not eq or not there or not os.path.isfile(host):
        raise SetupError(f"--file {text}: expected HOST=GUEST, and HOST to be "
                         "a file")
    return there, host


def _guest(args):
    return Guest(kernel=args.kernel, driver=None if args.driver == "none"
                 else args.driver, smp=args.smp, mem=args.mem,
                 append=args.append, devices=args.device, params=args.params,
                 timeout=args.timeout, modules=args.module, iommu=args.iommu,
                 machine=args.machine,
                 disks=[Disk.parse(d.split(",")) for d in
                        args.disk or [""]],
                 files=dict(_file(f) for f in args.file))


def cmd_run(args):
    """Boot, run one shell command, print its output, end with its status."""
    with _guest(args) as g:
        status, out = g.status(args.command, timeout=args.timeout)
        print(out, end="")
        for line in args.monitor:
            print(g.hmp(line).replace("\r", ""), end="")
        if args.console:
            print(g.console, file=sys.stderr)
        return status


def cmd_demo(args):
    """Use a disk through the module and check what it did (make run)."""
    return demo.demo(args.kernel, args.driver, timeout=args.timeout)


def cmd_shell(args):
    """A prompt in a guest with the module and a disk (make shell)."""
    if not sys.stdin.isatty():
        raise SetupError("shell needs a terminal; use run for one command")
    return demo.shell(args.kernel, args.driver)


def cmd_kernels(_args):
    """List the usable kernels."""
    for k in kernels():
        print(f"{k.release}\t{k.headers}")
    for k in made_kernels():
        print(f"{k.series}\t{k.release}, made by scripts/setup, for guests")
    return 0 if kernels() else 1


def cmd_kdir(args):
    """Print the headers folder of a kernel."""
    print(pick_kernel(args.kernel).headers)
    return 0


def cmd_headers(args):
    """Print the headers that make builds the module with, here."""
    print(headers_to_build(args.kernel))
    return 0


def cmd_check(args):
    """Say in one line what is wrong with the chosen kernel, QEMU or driver."""
    chosen_driver()
    kernel = pick_kernel(args.kernel)
    if chosen_driver() == "lite":
        must_build(kernel)
    check(binary())
    return 0


def cmd_module(args):
    """Build the module for a kernel in the cache and print its path."""
    print(build_module(args.kernel))
    return 0


def _parser():
    top = argparse.ArgumentParser(description=__doc__, epilog="""
        Environment: K kernel, KDIR its headers, Q a QEMU by its version (7.2),
        VBL_QEMU another QEMU command, DRIVER lite or upstream,
        VBL_ACCEL=tcg or kvm instead of probing, VBL_CPU another CPU than max,
        VBL_SLOW=3 for three times longer limits, VBL_CACHE where images and
        builds are kept.""")
    sub = top.add_subparsers(dest="verb", required=True)
    for name, fn in (("run", cmd_run), ("demo", cmd_demo),
                     ("shell", cmd_shell), ("kernels", cmd_kernels),
                     ("kdir", cmd_kdir), ("headers", cmd_headers),
                     ("module", cmd_module), ("check", cmd_check)):
        p = sub.add_parser(name, help=fn.__doc__)
        p.set_defaults(fn=fn)
        p.add_argument("-k", "--kernel", default=os.environ.get("K"),
                       help=KERNEL)
        if name in ("kernels", "kdir", "headers", "module", "check"):
            continue
        p.add_argument("--driver", default=os.environ.get("DRIVER") or "lite",
                       choices=["lite", "upstream", "none"],
                       help="what is loaded before the command runs (lite); "
                       "the module is /virtio_lite.ko in any case")
        p.add_argument("--timeout", type=float, default=300,
                       help="seconds the guest may live")
        if name != "run":
            continue
        p.add_argument("--disk", action="append", metavar="SOURCE,OPT=V",
                       help="the path of an image, null, or an empty SOURCE "
                       "for a blank disk, then options (--disk "
                       "null,transport=modern --disk ,vectors=0); repeatable; "
                       "one blank disk when not given")
        p.add_argument("--smp", type=int, default=2, help="CPUs (2)")
        p.add_argument("--mem", type=int, default=512, help="megabytes (512)")
        p.add_argument("--machine", default="q35", help="QEMU's (q35)")
        p.add_argument("--append", default="", help="kernel command line")
        p.add_argument("--device", action="append", default=[],
                       help="more QEMU arguments, '-device x,y=z'")
        p.add_argument("--module", action="append", default=[],
                       help="more kernel modules for the guest")
        p.add_argument("--file", action="append", default=[],
                       metavar="HOST=GUEST", help="a file for the guest")
        p.add_argument("--params", default="",
                       help="parameters of virtio_lite, such as num_queues=1")
        p.add_argument("--iommu", action="store_true",
                       help="put an IOMMU before the disks")
        p.add_argument("--console", action="store_true",
                       help="print the guest's console too")
        p.add_argument("--monitor", action="append", default=[],
                       metavar="LINE", help="after the command, a line for "
                       "QEMU's monitor, such as 'info qtree'; repeatable")
        p.add_argument("command", help="shell command for the guest")
    return top


def main():
    """Command line entry."""
    args = _parser().parse_args()
    leave_cleanly()
    try:
        return args.fn(args)
    except CommandFailed as e:
        print(e, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except SetupError as e:
        print(e, file=sys.stderr)
        return 2
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
