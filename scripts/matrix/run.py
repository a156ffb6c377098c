# SPDX-License-Identifier: GPL-2.0
"""Runs the cells, some at a time, until the time is over.

What a cell gave is kept in a file of the folder, so that another run with the
same folder continues. A test that fails is tried again, and both tries are kept:
a test that then passes is one that flaps.
"""

import concurrent.futures
import dataclasses
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from vbl import TREE, SetupError, record

from . import parts


class Stopped(Exception):
    """The time is over."""


class Run:
    """One run of the matrix.

    folder   where the outcome of each cell is kept
    hours    how long, or None
    """

    def __init__(self, folder, hours=None, say=print):
        self.folder, self.say = Path(folder), say
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise SetupError(f"TO={folder}: {e.strerror}") from None
        self.until = time.monotonic() + hours * 3600 if hours else None
        self.tree = tree_state()

    def kept(self, cell):
        """What an earlier run has of this cell, if it is of the same tree and
        the same build of the kernel."""
        path = self.folder / cell.file
        if not path.exists():
            return None
        got = json.loads(path.read_text())
        return got if (got["tree"], got["build"]) == \
            (self.tree, cell.build) else None

    def all(self, cells, jobs):
        """Run what is missing; {cell: what is known of it, or None}."""
        todo = [c for c in cells if not self.kept(c)]
        self.say(f"{len(cells)} cells, {len(cells) - len(todo)} of them done "
                 "before")
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self._one, todo))
        return {c: self.kept(c) for c in cells}

    def _left(self):
        return None if self.until is None else \
            max(0, self.until - time.monotonic())

    def _one(self, cell):
        if self._left() == 0:
            return
        began = time.time()
        try:
            got = self._try(cell)
        except Stopped:
            self.say(f"stopped  {cell}: the time is over")
            return
        got = {**dataclasses.asdict(cell), "tree": self.tree,
               "began": began, "seconds": round(time.time() - began, 1), **got}
        path = self.folder / cell.file
        new = path.with_suffix(".new")
        new.write_text(json.dumps(got, indent=1))
        new.rename(path)
        self.say(f"{tally(got):24} {cell}, {got['seconds']:.0f} s")

    def _try(self, cell):
        why = parts.why_not(cell)
        if why:
            return {"results": [{"test": cell.part, "outcome": "skipped",
                                 "why": why, "seconds": 0}], "figures": []}
        results, figures = self._execute(cell)
        bad = [r for r in results if r["outcome"] == "failed"]
        if bad:
            self._again(cell, bad)
        return {"results": results, "figures": figures}

    def _again(self, cell, bad):
        """Try those that failed once more, and note both tries."""
        each = [[r["test"]] for r in bad] if cell.part == "faults" else \
            [[r["test"] for r in bad]]
        second = {}
        for tests in each:
            # A part that ended early has no single test to try.
            only = None if tests == [cell.part] else tests
            for r in self._execute(cell, only)[0]:
                second[r["test"]] = r
        for r in bad:
            other = second.get(r["test"])
            if r["test"] == cell.part and not other and second:
                other = {"outcome": "passed", "why": ""}
            r["tries"] = [f"failed: {r['why']}",
                          f"{other['outcome']}: {other['why']}" if other
                          else "did not run again"]
            if other and other["outcome"] != "failed":
                r["outcome"] = "flaps"

    def _execute(self, cell, only=None):
        with tempfile.TemporaryDirectory(prefix="vbl-matrix-") as tmp:
            out = Path(tmp) / "out"
            log = self.folder / cell.file.replace(".json", ".log")
            with open(log, "ab") as f:
                f.write(f"=== {'second try' if only else 'first try'}\n"
                        .encode())
                f.flush()
                self._wait(subprocess.Popen(
                    parts.command(cell, out, only), cwd=TREE, stdout=f,
                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    env=parts.environment(cell, out), start_new_session=True))
            return parts.read(cell, out, log)

    def _wait(self, process):
        try:
            process.wait(self._left())
        except subprocess.TimeoutExpired:
            raise Stopped from None
        finally:
            if process.poll() is None:
                for number, seconds in ((signal.SIGTERM, 20),
                                        (signal.SIGKILL, 20)):
                    os.killpg(process.pid, number)
                    try:
                        process.wait(seconds)
                        break
                    except subprocess.TimeoutExpired:
                        pass


def tally(got):
    """The outcome of a cell in a few words."""
    words = [r["outcome"] for r in got["results"]]
    return ", ".join(f"{words.count(w)} {w}" for w in dict.fromkeys(words)) \
        or "nothing ran"


def tree_state():
    """The commit, and whether files were changed since."""
    got = subprocess.run(["git", "-C", str(TREE), "diff", "--quiet", "HEAD"])
    return record.commit() + ("-changed" if got.returncode else "")
