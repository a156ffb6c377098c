# SPDX-License-Identifier: GPL-2.0
"""KTAP to JUnit XML and to KCIDB's JSON (I/O schema 4.0).

A point of the outermost level with points below it is a suite; points without
any are a suite together. What is expected to fail is a skip in JUnit, which
knows no better, and a waived failure for KCIDB.
"""

import collections
import dataclasses
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from vbl import SetupError, ktap

EXPECTED = ("XFAIL", "TODO")
# What XML cannot hold, no file can, or begins a line for Python alone.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x85\u2028\u2029"
                     r"\ufffe\uffff\ud800-\udfff]")
BEGIN = re.compile(r"^\s*(K?TAP version \d+|1\.\.\d+\b)", re.M)
ORIGIN = "virtio_blk_lite"


@dataclasses.dataclass
class Test:
    """A test point, with the lines about it."""

    name: str
    outcome: str        # passed, failed, skipped, expected
    why: str
    said: list


@dataclasses.dataclass
class Suite:
    """Tests that belong together."""

    name: str
    commit: str
    tests: list

    def count(self, outcome):
        """How many ended so."""
        return sum(t.outcome == outcome for t in self.tests)


def read(path):
    """The suites of a KTAP file."""
    try:
        text = CONTROL.sub("?", Path(path).read_text(encoding="utf-8",
                                                     errors="replace"))
    except OSError as e:
        raise SetupError(f"{path}: {e.strerror}") from None
    if not BEGIN.search(text):
        raise SetupError(f"{path}: no KTAP: neither a version nor a plan")
    suites, below, flat, said, commit = [], [], [], [], ""
    planned = seen = 0
    for line in text.splitlines():
        if line.strip().startswith("# "):
            found = re.match(r"# commit: (\S+)", line)
            commit = found[1] if found else commit
            said.append(line.strip()[2:])
            continue
        report = ktap.parse(line)
        planned += report.planned or 0
        if report.skipped:
            flat.append(Test(Path(path).stem, "skipped", report.skipped, said))
        if report.bailed:
            flat.append(Test("Bail out", "failed", report.bailed, said))
        for p in report.points:
            # More than two levels: the innermost ones are what counts.
            found = _test(p, said)
            said = []
            seen += not p.depth
            if p.depth:
                below.append(found)
            elif below:
                if found.outcome == "failed" and \
                        all(t.outcome != "failed" for t in below):
                    below.append(dataclasses.replace(
                        found, name=f"{found.name}, as a whole"))
                suites.append(Suite(found.name, commit, below))
                below = []
            else:
                flat.append(found)
    early = Test("end of the results", "failed", "the file ends early", said)
    if below:
        suites.append(Suite("unfinished", commit, [*below, early]))
    elif seen < planned:
        flat.append(early)
    if suites:
        # A suite that did not run has no tests below it.
        suites += [Suite(t.name, commit, [t]) for t in flat]
    elif flat:
        suites = [Suite(Path(path).stem, commit, flat)]
    if not suites:
        raise SetupError(f"{path}: there is no result in it, or it is no KTAP")
    return suites


def _test(point, said):
    outcome = "expected" if point.word in EXPECTED else point.outcome
    return Test(point.name, outcome, point.why or point.word, said)


# -- JUnit -------------------------------------------------------------------

def junit(suites):
    """The text of an XML file; scripts/matrix/junit.xsd says how it is made."""
    top = ET.Element("testsuites")
    for s in suites:
        of = ET.SubElement(
            top, "testsuite", name=s.name, tests=str(len(s.tests)),
            failures=str(s.count("failed")), errors="0",
            skipped=str(s.count("skipped") + s.count("expected")))
        for t in s.tests:
            case = ET.SubElement(of, "testcase", name=t.name,
                                 classname=s.name.replace(" ", "."))
            if t.outcome == "failed":
                ET.SubElement(case, "failure", message=t.why or "failed")
            elif t.outcome != "passed":
                word = "expected to fail: " if t.outcome == "expected" else ""
                ET.SubElement(case, "skipped", message=word + t.why)
            if t.said:
                ET.SubElement(case, "system-out").text = "\n".join(t.said)
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + \
        ET.tostring(top, encoding="unicode") + "\n"


# -- KCIDB -------------------------------------------------------------------

STATUS = {"passed": "PASS", "failed": "FAIL", "skipped": "SKIP",
          "expected": "FAIL"}


def kcidb(suites, origin=ORIGIN):
    """A dictionary for json.dump."""
    checkouts, builds, tests = {}, {}, []
    same = collections.Counter()
    for s in suites:
        commit = s.commit or "unknown"
        release, *rest = s.name.split(" ")
        checkout, build = f"{origin}:{commit}", f"{origin}:{commit}-{release}"
        checkouts[checkout] = {
            "id": checkout, "origin": origin, "tree_name": "virtio-blk-lite",
            "git_commit_name": commit, "valid": True}
        builds[build] = {
            "id": build, "origin": origin, "checkout_id": checkout,
            "architecture": os.uname().machine, "config_name": release,
            "valid": True}
        name = f"{build}-{'-'.join(rest)}"
        same[name] += 1
        name += f"-{same[name]}" if same[name] > 1 else ""
        for n, t in enumerate(s.tests, 1):
            tests.append({
                "id": f"{name}-{n}", "origin": origin,
                "build_id": build, "status": STATUS[t.outcome],
                "waived": t.outcome == "expected",
                "path": ".".join(_word(w) for w in (
                    "virtio_lite", *rest[-1:], t.name)),
                "comment": t.name, "environment": {"comment": s.name},
                **({"log_excerpt": "\n".join(filter(None, [
                    t.why, *t.said]))[:16384]} if t.why or t.said else {}),
            })
    return {"version": {"major": 4, "minor": 0},
            "checkouts": list(checkouts.values()),
            "builds": list(builds.values()), "tests": tests}


def _word(text):
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", text).strip("_") or "unnamed"


# What the schema 4.0 says of the properties used here: a type or a pattern.
ID = re.compile(r"[a-z0-9_]+:.*", re.S)
NAME = re.compile(r"[a-z0-9_]+")
SCHEMA = {
    "checkouts": ({"id": ID, "origin": NAME, "tree_name": str,
                   "git_commit_hash": re.compile(r"[0-9a-f]{40}"),
                   "git_commit_name": str, "valid": bool, "misc": dict},
                  ("id", "origin")),
    "builds": ({"id": ID, "origin": NAME, "checkout_id": ID, "comment": str,
                "architecture": re.compile(r"[a-z0-9_]*"), "valid": bool,
                "config_name": str, "misc": dict},
               ("id", "origin", "checkout_id")),
    "tests": ({"id": ID, "origin": NAME, "build_id": ID, "comment": str,
               "environment": dict, "log_excerpt": str, "waived": bool,
               "path": re.compile(r"[.a-zA-Z0-9_-]*"), "misc": dict,
               "status": re.compile("FAIL|ERROR|PASS|DONE|SKIP")},
              ("id", "origin", "build_id")),
}


def kcidb_problems(report):
    """What the schema does not allow in a report: lines."""
    bad = []
    if report.get("version") != {"major": 4, "minor": 0}:
        bad.append("version: not 4.0")
    bad += [f"{k}: not a property" for k in report
            if k not in ("version", *SCHEMA)]
    seen = {}
    for kind, (properties, required) in SCHEMA.items():
        seen[kind] = set()
        for n, item in enumerate(report.get(kind, ())):
            at = f"{kind}[{n}]"
            bad += [f"{at}: no {k}" for k in required if k not in item]
            bad += [f"{at}.{k}: {v!r}" for k, v in item.items()
                    if not _allowed(properties.get(k), v)]
            if set(item.get("environment", ())) - {"comment", "misc"}:
                bad.append(f"{at}.environment: more than a comment")
            if len(item.get("log_excerpt", "")) > 16384:
                bad.append(f"{at}.log_excerpt: too long")
            if item.get("id") in seen[kind]:
                bad.append(f"{at}.id: twice")
            seen[kind].add(item.get("id"))
    for kind, key, of in (("builds", "checkout_id", "checkouts"),
                          ("tests", "build_id", "builds")):
        bad += [f"{kind}: {item.get(key)} is not in {of}"
                for item in report.get(kind, ())
                if item.get(key) not in seen[of]]
    return bad


def _allowed(rule, value):
    if rule is None:
        return False
    if isinstance(rule, re.Pattern):
        return isinstance(value, str) and bool(rule.fullmatch(value))
    return isinstance(value, rule)
