# SPDX-License-Identifier: GPL-2.0
"""What is run in a cell. Each part is a command in a process of its own, which
leaves its outcome in a file."""

import json
import os
import shutil
import sys
from pathlib import Path

from vbl import TREE
from vbl.qemu import named, version

HOST = TREE / "selftests/host"
PYTESTS = {
    "programs": ["test_programs.py"],
    "cells": ["test_cells.py", "-k", "test_cell"],
    "conformance": ["--full", *sorted(
        p.name for p in HOST.glob("test_conformance*.py"))],
}
# With these a command ends that did all it had to: some of it failed with 1.
ENDS = (0, 1)
# From here on plugins have another interface than the counting one.
NEWER_PLUGINS = (9,)


def why_not(cell):
    """Why a part makes no sense in this cell, or None."""
    if cell.part == "bench" and version(named(cell.qemu)) >= NEWER_PLUGINS:
        return "the counting plugin is for QEMU 4.2 to 8.x"
    return None


def environment(cell, out):
    """The variables that a cell's process gets on top."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("VBL_QEMU", "T", "MAKEFLAGS", "MAKELEVEL", "KDIR")}
    return {**env, "K": cell.kernel, "Q": cell.qemu, "DRIVER": cell.driver,
            "VBL_RESULTS": str(out)}


def command(cell, out, only=None):
    """What is run; only these tests, when it is a second try."""
    if cell.part == "bench":
        return [sys.executable, "scripts/bench.py", "quick", "-k", cell.kernel,
                "--driver", cell.driver, "--json", str(out)]
    if cell.part == "faults":
        # One at a time the second time.
        return [sys.executable, "scripts/trust.py", "1", "-k", cell.kernel,
                "--driver", cell.driver, "--json", str(out),
                *(["--only", only[0]] if only else [])]
    tool = shutil.which("pytest-3")
    files = [str(HOST / w) if w.endswith(".py") else w
             for w in PYTESTS[cell.part]]
    if only:
        files = ["--full", *(str(HOST / t) for t in only)]
    return [*([tool] if tool else [sys.executable, "-m", "pytest"]), "-q",
            *files]


def read(cell, out, log, status=0):
    """(results, figures) of a command that has ended with @status."""
    out, found, figures = Path(out), [], []
    text = out.read_text() if out.exists() else ""
    try:
        if cell.part == "bench":
            figures = json.loads(text)
            found = [{"test": f["name"], "outcome": "passed", "seconds": 0,
                      "why": f"{f['instructions']:.0f} instructions"}
                     for f in figures]
        elif cell.part == "faults":
            found = [{"seconds": 0, **row} for row in json.loads(text)]
        else:
            for line in text.splitlines():
                found.append(json.loads(line))
    except ValueError:
        # It ended while it wrote.
        status = status or "an incomplete file"
    if not found or status not in ENDS:
        found.append({"test": cell.part, "outcome": "failed", "seconds": 0,
                      "why": (f"ended early with {status}: " if found else "")
                      + _last(log)})
    return found, figures


def _last(log):
    # A guest that died may have said nothing on its console.
    lines = [line for line in Path(log).read_text(errors="replace")
             .splitlines() if line.strip() and line != "last console lines:"]
    return (lines or ["it said nothing"])[-1]
