# SPDX-License-Identifier: GPL-2.0
"""What upstream's driver is expected to do otherwise: expected.tsv.

What a requirement of virtio asks and upstream does not do has a list of its
own, conformance/deviations.tsv.
"""

import functools
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import SetupError

FILE = Path(__file__).with_suffix(".tsv")
COLUMNS = ("suite", "test", "point", "kind", "reason")
KINDS = ("n/a", "fails")


def read(path=FILE):
    """Rows of such a file."""
    rows = []
    for n, line in enumerate(Path(path).read_text().splitlines(), 1):
        cells = line.split("\t")
        if line.startswith("#") or tuple(cells) == COLUMNS:
            continue
        row = dict(zip(COLUMNS, cells))
        if len(cells) != len(COLUMNS) or not row["reason"].strip() or \
                row["kind"] not in KINDS:
            raise SetupError(f"{path}:{n}: expected {', '.join(COLUMNS)}, with "
                             f"a kind of {' or '.join(KINDS)} and a reason")
        rows.append(row)
    return rows


@functools.cache
def _rows():
    return read()


def find(driver, suite, test, point="", kind=None):
    """The reason why @driver does otherwise, or None.

    Without a point only rows that are about all of the test count.
    """
    if driver != "upstream":
        return None
    for row in _rows():
        if row["suite"] == suite and fnmatchcase(test, row["test"]) and \
                kind in (None, row["kind"]) and \
                (row["point"] == "*" or
                 point and fnmatchcase(point, row["point"])):
            return row["reason"]
    return None
