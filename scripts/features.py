#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The table in Documentation/features.md, made from include/virtio_features.h.

Without arguments it prints the table; --update puts it into the page, and
--check fails if the page shows another one.
"""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(TOP, "include", "virtio_features.h")
PAGE = os.path.join(TOP, "Documentation", "features.md")
START = "\nVIRTIO_FEATURE("
ENTRY = re.compile(r'^VIRTIO_FEATURE\((\d+), (\w+), (\w+),[^"]*"(.*)"\)$',
                   re.M)
TAKEN = {"BOTH": "yes", "MODERN": "modern", "LEGACY": "legacy", "NEVER": "no"}


def table():
    """The table as Markdown, a row per feature bit."""
    with open(HEADER, encoding="utf-8") as f:
        text = f.read()
    entries = ENTRY.findall(text)
    if not entries or len(entries) != text.count(START):
        sys.exit(f"{HEADER}: {len(entries)} of {text.count(START)} "
                 "VIRTIO_FEATURE can be read")
    rows = ["| bit | feature | taken | why |", "|---|---|---|---|"]
    for bit, name, taken, why in entries:
        rows.append(f"| {bit} | {name} | {TAKEN[taken]} | {why} |")
    return "\n".join(rows) + "\n"


def main(args):
    """Command line entry."""
    if args not in ([], ["--check"], ["--update"]):
        sys.exit(f"usage: {sys.argv[0]} [--check | --update]")
    if not args:
        print(table(), end="")
        return
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    found = re.search(r"^\| bit \|.*?\n(?!\|)", text, re.M | re.S)
    if not found:
        sys.exit(f"{PAGE}: has no table that starts with | bit |")
    if args == ["--update"]:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(text.replace(found.group(), table()))
    elif found.group() != table():
        sys.exit(f"{PAGE}: the table of features is not that of {HEADER}; "
                 f"run {sys.argv[0]} --update")


if __name__ == "__main__":
    main(sys.argv[1:])
