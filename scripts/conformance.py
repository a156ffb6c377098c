#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make conformance: which requirements of virtio the two drivers meet.

    conformance.py [pytest arguments]   run the scenes, write the page
    conformance.py --page NOTES         only write the page

Every requirement has an id (conformance/requirements.tsv). Scenes note the ids
that they observe, for this driver and for upstream's. What no scene can show
is listed in conformance/reasons.tsv, with the reason; what a driver does instead
of a requirement that it does not meet, in conformance/deviations.tsv. Fails when
a MUST is not met, or neither observed nor listed there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance import upstream
from conformance.results import Results
from vbl import TREE, pick_kernel

PAGE = TREE / "Documentation/conformance.md"
SCENES = sorted((TREE / "selftests/host").glob("test_conformance*.py"))


def run(arguments, notes):
    """Run the scenes; whether all passed."""
    tool = shutil.which("pytest-3")
    command = [tool] if tool else [sys.executable, "-m", "pytest"]
    return subprocess.run(
        [*command, "-v", "-rx", "--full", *arguments, *map(str, SCENES)],
        cwd=TREE, env={**os.environ, "VBL_CONFORMANCE": str(notes)},
        check=False).returncode == 0


def report_upstream(results, passed):
    """What upstream's driver breaks beyond what is listed; the status."""
    broken = [r["id"] for r, _ in results.broken("upstream")]
    new = [i for i in broken if ("upstream", i) not in results.sentences]
    print(f"upstream: {len(broken)} requirements not met, "
          f"{len(broken) - len(new)} of them in deviations.tsv")
    print("".join(f"{i}: not met, and not in deviations.tsv\n" for i in new),
          end="")
    return 0 if passed and not new else 1


def main(arguments):
    """Run, write, judge."""
    passed = True
    with tempfile.TemporaryDirectory(prefix="vbl-conform-") as folder:
        notes = Path(folder) / "notes"
        if arguments[:1] == ["--page"]:
            notes = Path(arguments[1])
        else:
            notes.touch()
            passed = run(arguments, notes)
        results = Results(notes)
    # Of a part nobody knows what the rest would show.
    if not arguments and os.environ.get("DRIVER") != "lite":
        upstream.note(results, pick_kernel(os.environ.get("K")).release)
    # The page is about both drivers.
    if os.environ.get("DRIVER") == "upstream":
        return report_upstream(results, passed)
    if not os.environ.get("DRIVER") and \
            any(results.notes["lite", r["id"]] for r in results.rows):
        PAGE.write_text(results.page(
            pick_kernel(os.environ.get("K")).release))
    problems = results.problems()
    print(f"{PAGE.relative_to(TREE)}: {len(results.rows)} requirements, "
          f"{len(problems)} MUSTs not met or not shown")
    print("\n".join(problems + results.unexplained()))
    return 0 if passed and not problems else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
