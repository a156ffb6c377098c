# SPDX-License-Identifier: GPL-2.0
"""Test programs that run inside a guest: what they ask for, how they ended.

A program is selftests/NAME.sh, runnable by hand in any guest.  Comment lines
say which guest it wants when the harness runs it:

    # guest: disk size=64M transport=modern num_queues=2
    # guest: disk null size=1G
    # guest: smp=4 mem=512 append="a=b" driver=none params="x=1"
    # guest: iommu=on suspend=on
    # guest: modules=dm_mod,xfs kernels=6.12 timeout=120
    # guest: full            only in make check-all
    # guest: fresh           not in a guest another program used before

Without any it gets two CPUs, the lite driver and one 64 MB disk.
"""

import dataclasses
import re
import shlex
from pathlib import Path

from . import expected, ktap, tree
from .disk import Disk
from .errors import SetupError
from .guest import Guest, chosen_driver

FOLDER = tree.TREE / "selftests"
SKIP = 4


def _switch(text):
    if text not in ("on", "off"):
        raise ValueError(f"{text!r}: on or off")
    return text == "on"


# Words of a guest line that are options of Guest, and how to read them.
_READ = {
    "smp": int, "mem": int, "append": str, "params": str, "machine": str,
    "driver": lambda text: None if text == "none" else text,
    "modules": lambda text: tuple(text.split(",")),
    "iommu": _switch, "suspend": _switch,
}


@dataclasses.dataclass
class Wants:
    """The guest a program asks for."""

    disks: tuple = ()
    options: tuple = ()
    kernels: tuple = ()
    timeout: float = 45
    full: bool = False
    fresh: bool = False

    def key(self, kernel):
        """Equal for programs that can share a guest."""
        return (kernel.release, self.disks, self.options)

    def guest(self, kernel):
        """Such a guest, not started."""
        return Guest(kernel, disks=[Disk.parse(d) for d in self.disks],
                     timeout=0, **{"driver": chosen_driver(),
                                   **dict(self.options)})


def programs():
    """All test programs, by name."""
    return sorted(p for p in FOLDER.glob("*.sh")
                  if not p.name.startswith(("lib", "vbl", "_", "ktap")))


def default_timeout():
    """timeout= in the settings file beside the programs, as kselftest has."""
    try:
        got = re.search(r"^timeout=(\d+)", (FOLDER / "settings").read_text(),
                        re.M)
        return float(got[1])
    except (OSError, TypeError):
        return 45.0


def wants(path):
    """Read the guest lines of a program."""
    disks, options, want = [], {}, Wants(timeout=default_timeout())
    for n, line in enumerate(Path(path).read_text().splitlines(), 1):
        got = re.match(r"#\s*guest:\s*(.*)", line)
        try:
            words = shlex.split(got[1]) if got else []
            if words[:1] == ["disk"]:
                Disk.parse(words[1:])
                disks.append(tuple(words[1:]))
                continue
            for word in words:
                _want(want, options, *word.partition("="))
        except (ValueError, SetupError) as e:
            raise SetupError(f"{path}:{n}: {e}") from None
    want.disks = tuple(disks or [()])
    want.options = tuple(sorted(options.items()))
    return want


def _want(want, options, name, eq, value):
    """Take in one word of a guest line."""
    if name in ("full", "fresh") and not eq:
        setattr(want, name, True)
    elif name == "timeout":
        want.timeout = float(value)
    elif name == "kernels":
        want.kernels = tuple(value.split(","))
    elif name in _READ and eq:
        options[name] = _READ[name](value)
    else:
        raise SetupError(f"unknown guest word {name}{eq}{value}; known: disk, "
                         "full, fresh, timeout=, kernels=, "
                         + ", ".join(f"{w}=" for w in sorted(_READ)))


@dataclasses.dataclass
class Outcome:
    """How a program ended in a guest."""

    outcome: str            # passed, failed or skipped
    why: str
    output: str
    log: str
    skipped_points: list


def not_for(path):
    """Why a program is not about the chosen driver, or None."""
    return expected.find(chosen_driver(), "programs", Path(path).stem,
                         kind="n/a")


def _as_expected(driver, name, report):
    """Mark points of which it is known that they fail; whether there are any."""
    known = 0
    for p in report.points:
        reason = expected.find(driver, "programs", Path(name).stem, p.name)
        if reason and p.outcome == "failed":
            p.outcome, p.why = "skipped", f"expected to fail: {reason}"
            known += 1
    return known


def run(guest, name, timeout):
    """Run /selftests/NAME in a guest and judge output, status and log.

    Points that upstream's driver is expected to fail count as skipped.
    """
    mark = guest.dmesg_mark(name)
    # The console gets a copy, so a panic shows how far the program came.
    status, output = guest.status(
        f"export VBL_HARNESS=1 VBL_DRIVER={guest.driver or ''}; "
        f"cd /selftests && set -o pipefail && ./{name} 2>&1 | tee /dev/ttyS0",
        timeout)
    log = guest.dmesg_since(mark)
    report, bad = ktap.parse(output), ktap.scan_log(log)
    if _as_expected(guest.driver, name, report) and status == 1:
        status = 0
    skips = [p for p in report.points if p.outcome == "skipped"]
    why = report.problem()
    if bad:
        return Outcome("failed", "the kernel complained:\n" + "\n".join(bad),
                       output, log, skips)
    if status == SKIP and not any(p.outcome == "failed"
                                  for p in report.points):
        reason = report.skipped or "; ".join(
            sorted({p.why for p in skips if p.why})) or "no reason given"
        return Outcome("skipped", reason, output, log, [])
    if status == 0 and why:
        return Outcome("failed", f"exit status 0, but {why}", output, log,
                       skips)
    if status:
        return Outcome("failed", f"exit status {status}; {why}".rstrip("; "),
                       output, log, skips)
    return Outcome("passed", "", output, log, skips)
