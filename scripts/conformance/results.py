# SPDX-License-Identifier: GPL-2.0
"""The requirements, what was noted of each, and the page that shows it.

requirements.tsv has a row for each, reasons.tsv those that no scene can show,
deviations.tsv a sentence for each that a driver does not meet.
"""

import collections
import csv
import json
from pathlib import Path

DRIVERS = ("lite", "upstream")
HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Written by make conformance. -->
# Conformance to virtio 1.4

{total} requirements for a driver of a block device over PCI. Each was watched on devices whose every answer is a script
(`scripts/device/`), this driver and upstream's `virtio_blk` ({kernel}) on the same ones.

| | this driver | upstream |
|---|---|---|
{tally}

*met*: seen to be met, and never broken in any scene. *by reading*: no device can observe it; the reason is given. *n/a*: does not
apply; the reason is given. *open*: no scene shows it yet. A MAY is *met* where the driver makes use of it.
"""


def table(name):
    """Rows of a file of tab-separated values."""
    with open(Path(__file__).with_name(name), newline="") as f:
        return list(csv.DictReader((line for line in f
                                    if not line.startswith("#")),
                                   delimiter="\t"))


class Results:
    """What was noted of each requirement, by driver."""

    def __init__(self, notes):
        self.rows = table("requirements.tsv")
        self.reasons = {r["id"]: r for r in table("reasons.tsv")}
        self.sentences = {(r["driver"], r["id"]): r["sentence"]
                          for r in table("deviations.tsv")}
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
        # A requirement that does not apply is not met by inaction.
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
        # Prefer a scene about the requirement to one that met it by the way.
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

    def broken(self, driver):
        """(row, first note) of each requirement that a driver does not meet."""
        for r in self.rows:
            bad = [n for n in self.notes[driver, r["id"]] if n["ok"] is False]
            if bad:
                yield r, bad[0]

    def unexplained(self):
        """The deviations without a sentence of what the driver does."""
        return [f"{r['id']} of {d}: no sentence in deviations.tsv"
                for d in DRIVERS for r, _ in self.broken(d)
                if (d, r["id"]) not in self.sentences]

    def deviations(self, driver):
        """Lines: a sentence for each, and what was logged, folded."""
        said, logged = [], []
        for r, note in self.broken(driver):
            sentence = self.sentences.get((driver, r["id"]),
                                          "Not met: see the log below.")
            test = note["test"].replace(f"{driver}-", "").replace(
                f"[{driver}]", "")
            text = note["text"].replace("|", "/").replace("<", "&lt;")
            said.append(f"- {r['id']} ({r['level']}): {sentence} (`{test}`)")
            logged.append(f"- {r['id']}: {text}")
        if not said:
            return ["None was seen."]
        return [*said, "", "<details><summary>What the devices and the kernel "
                "logged</summary>", "", *logged, "", "</details>"]

    def page(self, kernel):
        """All of Documentation/conformance.md."""
        out = [HEAD.format(total=len(self.rows), kernel=kernel,
                           tally="\n".join(self.tally()))]
        out += ["## Deviations of this driver", "", *self.deviations("lite"),
                "", "## Deviations of upstream's driver", "",
                "Seen by the same checks on the same devices:", "",
                *self.deviations("upstream")]
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
