# SPDX-License-Identifier: GPL-2.0
"""Results: KTAP from test programs, complaints from the kernel log."""

import dataclasses
import re

from .errors import KernelComplained

# What a healthy kernel never says. A kernel has many data races; only those of
# the module count.
_BAD = re.compile(
    r"\bBUG\b[: ](?! *KCSAN)|\bWARNING: |\bOops\b|Kernel panic|Call [Tt]race:|"
    r"general protection fault|Unable to handle kernel|"
    r"INFO: task .* blocked for more than|possible (recursive|circular) lock|"
    r"possible deadlock|inconsistent lock state|suspicious RCU usage|"
    r"rcu: INFO:|soft lockup|hard LOCKUP|UBSAN:|KASAN:|KFENCE:|"
    r"KCSAN:.*\[virtio_lite\]|"
    r"DMA-API: (?!preallocated|debugging enabled)|unreferenced object|"
    r"refcount_t:|list_(add|del) corruption|"
    r"bad: scheduling|sleeping function called|nobody cared|"
    r"kernel BUG at")
# Lines that continue a report.
_DETAIL = re.compile(r"Call [Tt]race:|\bOops\b|Kernel panic")
_POINT = re.compile(r"^(?P<indent>\s*)(?P<ok>not ok|ok)\b\s*(?P<n>\d+)?\s*"
                    r"(?:-\s+)?(?P<name>[^#]*?)\s*"
                    r"(?:#\s*(?P<why>.*))?$")
_WORD = re.compile(r"(\w+)\b[:\s]*(.*)", re.S)
# What follows a # and is no part of the reason.
DIRECTIVES = ("SKIP", "TODO", "XFAIL")
_PLAN = re.compile(r"^(?P<indent>\s*)1\.\.(?P<n>\d+)(?:\s*#\s*SKIP\s*(?P<why>.*))?",
                   re.I)


def scan_log(text):
    """Lines of a kernel log that mean something went wrong."""
    lines = text.splitlines()
    bad = []
    for n, line in enumerate(lines):
        if _BAD.search(line):
            bad += lines[n:n + 12]
            break
    return bad


def reports(text):
    """How many things went wrong, according to a kernel log.

    A hung task is reported again and again, and counts once.
    """
    heads = set()
    for line in text.splitlines():
        if _BAD.search(line) and not _DETAIL.search(line):
            hung = re.search(r"INFO: task \S+", line)
            heads.add(hung[0] if hung else line)
    return len(heads)


def must_be_quiet(text):
    """Raise when a kernel log says that something went wrong."""
    bad = scan_log(text)
    if bad:
        raise KernelComplained("the kernel complained:\n" + "\n".join(bad))


@dataclasses.dataclass
class Point:
    """One test point."""

    name: str
    outcome: str        # passed, failed or skipped
    why: str = ""
    depth: int = 0
    word: str = ""      # SKIP, XFAIL and the like


@dataclasses.dataclass
class Report:
    """What a test program said."""

    points: list
    planned: int = None
    bailed: str = ""
    skipped: str = ""

    @property
    def top(self):
        """The points of the outermost level."""
        return [p for p in self.points if p.depth == 0]

    def problem(self):
        """Why this report is no success, or an empty string."""
        if self.bailed:
            return f"Bail out! {self.bailed}"
        failed = [p.name for p in self.points if p.outcome == "failed"]
        if failed:
            return f"{len(failed)} not ok: " + "; ".join(failed)
        if self.skipped:
            return ""
        if self.planned is not None and self.planned != len(self.top):
            return f"planned {self.planned} test points, " \
                f"got {len(self.top)}"
        if not self.points:
            return "no test point in the output"
        return ""


def parse(text):
    """Read KTAP."""
    report = Report([])
    for line in text.splitlines():
        plan, point = _PLAN.match(line), _POINT.match(line)
        if line.strip().lower().startswith("bail out!"):
            report.bailed = line.strip()[9:].strip() or "no reason given"
        elif plan and not plan["indent"]:
            report.planned = int(plan["n"])
            if report.planned == 0:
                report.skipped = plan["why"] or "nothing to test"
        elif point:
            why = (point["why"] or "").strip()
            found = _WORD.match(why)
            word = found[1].upper() if found else ""
            if word in DIRECTIVES:
                why = found[2].strip()
            else:
                word = ""
            outcome = "passed" if point["ok"] == "ok" else "failed"
            if word == "SKIP":
                outcome = "skipped"
            elif word in ("TODO", "XFAIL") and outcome == "failed":
                outcome = "skipped"
            report.points.append(Point(
                point["name"] or f"point {point['n']}", outcome,
                why, len(point["indent"]), word))
    return report
