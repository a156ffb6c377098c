#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make conformance: what is required of a driver, and who was seen doing it.

    conformance.py [pytest arguments]   run the scenes, write the page
    conformance.py --page NOTES         only write the page

Every requirement has an id (selftests/device/requirements.tsv). Scenes note
the ids that they observe, for this driver and for upstream's. What no scene
can show stands in selftests/device/reasons.tsv, with the reason. Fails when a
MUST is not met, or neither observed nor listed there.
"""

import collections
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
DATA = TREE / "selftests/device"
PAGE = TREE / "Documentation/conformance.md"
SCENES = sorted((TREE / "selftests/host").glob("test_conformance*.py"))
DRIVERS = ("lite", "upstream")
HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Written by make conformance. -->
# Conformance to virtio 1.4

{total} requirements for a driver of a block device over PCI. Each was watched on devices whose every answer is a script
(`selftests/device/`), this driver and upstream's `virtio_blk` ({kernel}) on the same ones.

| | this driver | upstream |
|---|---|---|
{tally}

*met*: seen to be kept, never broken. *by reading*: no device can see it; the reason is given. *n/a*: does not apply, the reason is
given. *open*: nothing shows it yet. A MAY is *met* where it was made use of.
"""


def table(name):
    """Rows of a file of tab-separated values."""
    with open(DATA / name, newline="") as f:
        return list(csv.DictReader((line for line in f
                                    if not line.startswith("#")),
                                   delimiter="\t"))


def run(arguments, notes):
    """Run the scenes; whether all passed."""
    tool = shutil.which("pytest-3")
    command = [tool] if tool else [sys.executable, "-m", "pytest"]
    return subprocess.run(
        [*command, "-v", "--full", *arguments, *map(str, SCENES)],
        cwd=TREE, env={**os.environ, "VBL_CONFORMANCE": str(notes)},
        check=False).returncode == 0


class Results:
    """What was noted of each requirement, by driver."""

    def __init__(self, notes):
        self.rows = table("requirements.tsv")
        self.reasons = {r["id"]: r for r in table("reasons.tsv")}
        self.notes = collections.defaultdict(list)
        known = {r["id"] for r in self.rows}
        for line in Path(notes).read_text().splitlines():
            note = json.loads(line)
            if note["id"] not in known:
                raise SystemExit(f"{note['test']} observes {note['id']}, "
                                 "which is no requirement")
            self.notes[note["driver"], note["id"]].append(note)

    def state(self, driver, ident):
        """met, not met, by reading, n/a or open."""
        notes = self.notes[driver, ident]
        if any(n["ok"] is False for n in notes):
            return "**not met**"
        # What does not apply is not met by never having been done.
        reason = self.reasons.get(ident)
        if reason and reason["kind"] == "n/a":
            return "n/a"
        if any(n["ok"] for n in notes):
            return "met"
        if notes:
            return "n/a"
        return reason["kind"] if reason else "open"

    def seen_by(self, ident):
        """(test, device) that observed it, or why there is none."""
        notes = self.notes["lite", ident]
        reason = self.reasons.get(ident)
        if reason and (reason["kind"] == "n/a" or not notes):
            return reason["reason"], ""
        if not notes:
            return "", ""
        if all(n["ok"] is None for n in notes):
            return notes[0]["text"], ""
        notes = [n for n in notes if n["ok"] is not None]
        bad = [n for n in notes if not n["ok"]] or notes
        # Rather a scene about it than one in which it came up.
        best = min(bad, key=lambda n: (not n["about"], len(n["test"])))
        tests = {n["test"] for n in notes}
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        name = best["test"].replace("lite-", "").replace("[lite]", "")
        return f"`{name}`{more}", best["device"]

    def problems(self):
        """The MUSTs that are not met, or not shown at all."""
        return [f"{r['id']}: {self.state('lite', r['id']).strip('*')}"
                + "".join(f", {n['test']}: {n['text']}" for n in
                          self.notes["lite", r["id"]] if n["ok"] is False)
                for r in self.rows if r["level"].startswith("MUST") and
                self.state("lite", r["id"]) in ("**not met**", "open")]

    def tally(self):
        """Rows of the summary."""
        states = ("met", "**not met**", "by reading", "n/a", "open")
        for level in ("MUST", "SHOULD", "MAY"):
            of = [r["id"] for r in self.rows if r["level"].startswith(level)]
            cells = []
            for d in DRIVERS:
                count = collections.Counter(self.state(d, i) for i in of)
                cells.append(", ".join(f"{count[s]} {s.strip('*')}"
                                       for s in states if count[s]))
            yield f"| {level} | {cells[0]} | {cells[1]} |"

    def page(self, kernel):
        """All of Documentation/conformance.md."""
        out = [HEAD.format(total=len(self.rows), kernel=kernel,
                           tally="\n".join(self.tally()))]
        out += ["## What upstream does otherwise", "",
                "Its own deviations, seen by the same checks:", ""]
        for r in self.rows:
            bad = [n for n in self.notes["upstream", r["id"]]
                   if n["ok"] is False]
            if bad:
                text = bad[0]["text"].replace("|", "/").replace("<", "&lt;")
                out.append(f"- {r['id']} ({r['level']}): {text} "
                           f"(`{bad[0]['test'].replace('upstream-', '')}`)")
        section = None
        for r in self.rows:
            if r["section"] != section:
                section = r["section"]
                out += ["", f"## {section}", "", "| id | level | this driver "
                        "| upstream | observed by, or why not | device |",
                        "|---|---|---|---|---|---|"]
            by, where = self.seen_by(r["id"])
            out.append(f"| {r['id']} | {r['level']} | "
                       f"{self.state('lite', r['id'])} | "
                       f"{self.state('upstream', r['id'])} | {by} | {where} |")
        return "\n".join(out) + "\n"


def main(arguments):
    """Run, write, judge."""
    sys.path.insert(0, str(TREE / "scripts"))
    import vbl
    passed = True
    with tempfile.TemporaryDirectory(prefix="vbl-conform-") as folder:
        notes = Path(folder) / "notes"
        if arguments[:1] == ["--page"]:
            notes = Path(arguments[1])
        else:
            notes.touch()
            passed = run(arguments, notes)
        results = Results(notes)
    if any(results.notes["lite", r["id"]] for r in results.rows):
        PAGE.write_text(results.page(vbl.pick_kernel(None).release))
    problems = results.problems()
    print(f"{PAGE.relative_to(TREE)}: {len(results.rows)} requirements, "
          f"{len(problems)} MUSTs not met or not shown")
    print("\n".join(problems))
    return 0 if passed and not problems else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
