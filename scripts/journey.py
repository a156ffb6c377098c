#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""See it work: one request, or one probe, through guest and QEMU.

    make journey WHAT=write DRIVER=lite K=6.12 QEMU=debian DISK=packed=on
    make journey-diff OLD=a.journey.json NEW=b.journey.json
    make probe-story WHAT=bind DRIVER=lite DISK=transport=legacy
"""

import argparse
import os
import sys
from pathlib import Path

from seeing import compare, journey, perfetto, probe, svg, text
from seeing.record import qemu_command
from seeing.steps import WHATS
from vbl import Disk, SetupError, TREE, VblError
from vbl.disk import parse_options
from vbl.entry import leave_cleanly

OUT = TREE / "journeys"
DISK_OPTIONS = ("packed", "transport", "ioeventfd", "iothread", "event_idx",
                "indirect", "num_queues", "queue_size", "in_order")


def disk_of(words):
    """Options of a disk from packed=on,iothread=on."""
    words = [w for part in words for w in part.split(",") if w]
    for word in words:
        name, eq, _ = word.partition("=")
        if not eq or name not in DISK_OPTIONS:
            raise SetupError(f"DISK={word}: expected one of "
                             + ", ".join(f"{o}=" for o in DISK_OPTIONS))
    got = parse_options(words)
    Disk(**got)         # what does not go together is refused here
    return got


def _write(out, name, files):
    """Write {ending: text} and say where."""
    out.mkdir(parents=True, exist_ok=True)
    print()
    for ending, (content, says) in files.items():
        path = out / f"{name}.{ending}"
        path.write_text(content)
        shown = os.path.relpath(path)
        print(f"{shown if not shown.startswith('../..') else path}: {says}")


def _name(info, *more):
    words = [*more, info["driver"], info["kernel"].split("+")[0],
             "qemu-" + info["qemu"]]
    words += [f"{k}-{v}" for k, v in info["disk"].items()]
    return "-".join(words)


def cmd_run(args):
    """One request on one axis (make journey)."""
    got = journey.record(args.what, args.driver, args.kernel,
                         qemu_command(args.qemu), disk_of(args.disk),
                         strace=not args.no_strace, timeout=300)
    print(text.render(got, args.events), end="")
    wrong = journey.out_of_order(got.rows) if not WHATS[args.what].fold \
        else None
    _write(args.out, _name(got.info, args.what), {
        "txt": (text.render(got, True), "the same with the events"),
        "svg": (svg.render(got), "a sequence diagram; open it in a browser"),
        "trace.json": (perfetto.render(got), "open it in ui.perfetto.dev"),
        "journey.json": (got.dumps(), "for make journey-diff")})
    if wrong:
        raise VblError(f"the table's order is not that of this journey: "
                       f"{wrong}")
    return 0


def cmd_diff(args):
    """Two journeys side by side (make journey-diff); 1 if they differ."""
    shown, differ = compare.render(journey.Journey.load(args.old),
                                   journey.Journey.load(args.new))
    print(shown, end="")
    return int(differ)


def cmd_probe(args):
    """How a driver gets a device, or does not (make probe-story)."""
    got = probe.record(args.what, args.driver, args.kernel,
                       qemu_command(args.qemu), disk_of(args.disk))
    shown = probe.render(got)
    print(shown, end="")
    _write(args.out, _name(got.info, "probe", args.what),
           {"txt": (shown, "the same")})
    return 0


def _parser():
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sub = top.add_subparsers(dest="verb", required=True)
    for verb, fn, whats in (("run", cmd_run, WHATS),
                            ("probe", cmd_probe, probe.WHATS)):
        p = sub.add_parser(verb, help=fn.__doc__)
        p.set_defaults(fn=fn)
        p.add_argument("what", nargs="?", choices=whats,
                       default=next(iter(whats)))
        p.add_argument("--driver", choices=("lite", "upstream"),
                       default="lite")
        p.add_argument("-k", "--kernel", default=os.environ.get("K"),
                       help="a series, such as 6.1, or a release")
        p.add_argument("--qemu", help="debian, newer, or a command")
        p.add_argument("--disk", action="append", default=[],
                       metavar="OPT=V,...", help=", ".join(DISK_OPTIONS))
        p.add_argument("--out", type=Path, default=OUT,
                       help="folder for the files (journeys/)")
        if verb == "run":
            p.add_argument("--events", action="store_true",
                           help="print the event of each step too")
            p.add_argument("--no-strace", action="store_true")
    p = sub.add_parser("diff", help=cmd_diff.__doc__)
    p.set_defaults(fn=cmd_diff)
    p.add_argument("old")
    p.add_argument("new")
    return top


def main():
    """Command line entry."""
    args = _parser().parse_args()
    leave_cleanly()
    try:
        return args.fn(args)
    except KeyboardInterrupt:
        return 130
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
