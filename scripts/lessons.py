#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The lessons: run their commands, ask their questions, make a site of them."""

import argparse
import os
import sys

from lessons import check, page, run, site, skeleton
from vbl.errors import VblError


def cmd_run(args):
    """Run the commands of lessons; fail where a page shows something else."""
    for lesson in [page.lesson(n) for n in args.number] or page.lessons():
        print(f"== {lesson.number} {lesson.title}", flush=True)
        run.run(lesson, args.write, lambda text: print(text, flush=True))
    return 0


def cmd_check(args):
    """Ask the questions of a lesson; for lesson 11, test a driver."""
    if args.file:
        return skeleton.test(args.file, args.kernel) != 0
    return check.ask(page.lesson(args.number)) != 0


def cmd_skeleton(_args):
    """Print the skeleton of lesson 11's driver."""
    print(skeleton.make(), end="")
    return 0


def cmd_site(args):
    """Make the pages into a folder of HTML."""
    print(site.make(args.folder))
    return 0


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__)
    sub = top.add_subparsers(required=True)
    p = sub.add_parser("run", help=cmd_run.__doc__)
    p.add_argument("number", type=int, nargs="*", help="all when none is given")
    p.add_argument("--write", action="store_true",
                   help="put what was printed into the page")
    p.set_defaults(fn=cmd_run)
    p = sub.add_parser("check", help=cmd_check.__doc__)
    p.add_argument("number", type=int)
    p.add_argument("file", nargs="?", help="the driver of lesson 11 to test")
    p.add_argument("-k", "--kernel", default=os.environ.get("K"))
    p.set_defaults(fn=cmd_check)
    p = sub.add_parser("skeleton", help=cmd_skeleton.__doc__)
    p.set_defaults(fn=cmd_skeleton)
    p = sub.add_parser("site", help=cmd_site.__doc__)
    p.add_argument("folder")
    p.set_defaults(fn=cmd_site)
    args = top.parse_args()
    try:
        return args.fn(args)
    except VblError as e:
        print(f"lessons: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
