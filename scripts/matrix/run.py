# SPDX-License-Identifier: GPL-2.0
"""Runs the cells, some at a time, until the time is over.

What a cell gave is kept in a file of the folder, so that another run with the
same folder continues. A test that fails is tried again, and both tries are kept:
a test that then passes is one that flaps.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from vbl import TREE, SetupError, cache, record, tree
from vbl.entry import end

from . import parts, plan


# What a cell's file must have.
FORM = {"results", "figures", *(f.name for f in dataclasses.fields(plan.Cell))}
# Beside the driver's sources.
WHAT_RUNS = ("scripts", "selftests", "tools")


class Stopped(Exception):
    """The time is over, or the matrix was ended."""


@contextlib.contextmanager
def _patient():
    """One more Ctrl-C does nothing. It comes to the main thread only, and only
    that one can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    impatient = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, impatient)


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
        # What runs; and whether nothing more may begin.
        self.running, self.over, self.lock = set(), False, threading.Lock()

    def kept(self, cell):
        """What an earlier run has of this cell, if it is of the same tree and
        the same build of the kernel."""
        try:
            got = json.loads((self.folder / cell.file).read_text())
            same = (got["tree"], got["build"]) == (self.tree, cell.build) and \
                FORM <= got.keys()
        except (OSError, ValueError, TypeError, LookupError):
            # Not there, or as another version of this program left it.
            return None
        return got if same else None

    def of_another_tree(self):
        """The tree of results that the folder has, if it is not this one."""
        for path in sorted(self.folder.glob("*_*.json")):
            try:
                other = json.loads(path.read_text())["tree"]
            except (OSError, ValueError, TypeError, LookupError):
                continue
            if other != self.tree:
                return other
        return None

    def all(self, cells, jobs):
        """Run what is missing; {cell: what is known of it, or None}."""
        todo = [c for c in cells if not self.kept(c)]
        self.say(f"{len(cells)} cells, {len(cells) - len(todo)} of them done "
                 "before")
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            every = [pool.submit(self._one, c) for c in todo]
            try:
                for one in concurrent.futures.as_completed(every):
                    one.result()
            except BaseException:
                # Cells have sessions of their own, which no Ctrl-C reaches.
                self._end(every)
                raise
        return {c: self.kept(c) for c in cells}

    def _end(self, every):
        """Begin nothing more, and end what runs."""
        with _patient():
            with self.lock:
                self.over, running = True, list(self.running)
            for one in every:
                one.cancel()
            for process in running:
                end(process)

    def _left(self):
        return None if self.until is None else \
            max(0, self.until - time.monotonic())

    def _one(self, cell):
        if self.over or self._left() == 0:
            return
        try:
            self._keep(cell, time.time(), self._try(cell))
        except Stopped:
            self.say(f"stopped  {cell}" + ("" if self.over else
                                           ": the time is over"))
        except OSError as e:
            self.over = True
            raise SetupError(f"{e.filename or self.folder}: {e.strerror}, "
                             f"at {cell}") from None

    def _keep(self, cell, began, got):
        if tree_state() != self.tree:
            self.over = True
            raise SetupError(f"{cell}: the tree was changed meanwhile; the "
                             "same command begins anew")
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
            # A part that ended early: what the first try did not come to.
            known = {r["test"] for r in results}
            second, again = self._again(cell, bad)
            results += [r for test, r in second.items() if test not in known]
            figures = figures or again
        return {"results": results, "figures": figures}

    def _again(self, cell, bad):
        """Try those that failed once more, and note both tries; ({test: result}
        of the second one, its figures)."""
        each = [[r["test"]] for r in bad] if cell.part == "faults" else \
            [[r["test"] for r in bad]]
        second, figures = {}, []
        for tests in each:
            # A part that ended early has no single test to try.
            only = None if cell.part in tests else tests
            results, more = self._execute(cell, only)
            second.update((r["test"], r) for r in results)
            figures += more
        for r in bad:
            other = second.get(r["test"])
            if r["test"] == cell.part and not other and second:
                other = {"outcome": "passed", "why": ""}
            r["tries"] = [f"failed: {r['why']}",
                          f"{other['outcome']}: {other['why']}" if other
                          else "did not run again"]
            if other and other["outcome"] != "failed":
                r["outcome"] = "flaps"
        return second, figures

    def _execute(self, cell, only=None):
        with tempfile.TemporaryDirectory(prefix="vbl-matrix-") as tmp:
            out = Path(tmp) / "out"
            log = self.folder / cell.file.replace(".json", ".log")
            with open(log, "ab") as f:
                f.write(f"=== {'second try' if only else 'first try'}\n"
                        .encode())
                f.flush()
                with self.lock:
                    if self.over:
                        raise Stopped
                    process = subprocess.Popen(
                        parts.command(cell, out, only), cwd=TREE, stdout=f,
                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                        env=parts.environment(cell, out),
                        start_new_session=True)
                    self.running.add(process)
                status = self._wait(process)
            return parts.read(cell, out, log, status)

    def _wait(self, process):
        try:
            status = process.wait(self._left())
        except subprocess.TimeoutExpired:
            raise Stopped from None
        finally:
            end(process)
            with self.lock:
                self.running.discard(process)
        if self.over:
            raise Stopped
        return status


def tally(got):
    """The outcome of a cell in a few words."""
    words = [r["outcome"] for r in got["results"]]
    return ", ".join(f"{words.count(w)} {w}" for w in dict.fromkeys(words)) \
        or "nothing ran"


def tree_state():
    """The commit, and which changes what runs has on top of it."""
    paths = [*WHAT_RUNS, *sorted({n.partition("/")[0]
                                  for n in tree.kernel_sources()})]
    got = subprocess.run(["git", "-C", str(TREE), "status", "--porcelain",
                          "-uall", "--", *paths], capture_output=True)
    if got.returncode == 0 and not got.stdout:
        return record.commit()
    content = [[n, cache.file_hash(TREE / n)] for n in tree.sources()
               if n.partition("/")[0] in paths]
    return f"{record.commit()}-changed-{cache.digest(content)[:8]}"
