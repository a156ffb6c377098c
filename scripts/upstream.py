#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make upstream: Documentation/upstream.md, from what was seen so far.

    upstream.py             write the page anew
    upstream.py --check     fail when it is not up to date
"""

import sys

from conformance import upstream
from conformance.results import table


def main(arguments):
    """Write or compare."""
    sentences = {(r["driver"], r["id"]): r["sentence"]
                 for r in table("deviations.tsv")}
    text = upstream.page(table("requirements.tsv"), sentences)
    if arguments == ["--check"]:
        same = upstream.PAGE.exists() and upstream.PAGE.read_text() == text
        print("up to date" if same else "run make upstream")
        return int(not same)
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    upstream.PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
