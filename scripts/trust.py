#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make trust: each fault of a device, once with our driver, once with upstream's.

A write is held by the host, then the device does what it must not. Told are
what became of the write, of the disk, and whether the driver lets go of it.

    scripts/trust.py [--times N] [--only WORD] [-k KERNEL] [--write]

--write puts the table into Documentation/trust.md. Needs QEMU's qtest socket,
which reads and writes the guest's memory from outside.
"""

import argparse
import re
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1] / "selftests/host")]

import faults                               # noqa: E402
from qtest import Line, Ring                # noqa: E402
from vbl import TREE, Disk, Guest, VblError, ktap   # noqa: E402

PAGE = TREE / "Documentation" / "trust.md"
MARKS = ("<!-- made by scripts/trust.py --write -->", "<!-- end -->")
# Nothing that ends at all needs as long; times VBL_SLOW.
HANGS = 8
DRIVERS = ("lite", "upstream")
APPEND = "panic_on_warn=0 hung_task_panic=0 softlockup_panic=0"
PARAMS = "request_timeout=1"


class Scene:
    """A guest with a disk that a fault happens to."""

    def __init__(self, g, line):
        self.g, self.dev, self.bdf = g, g.dev(), g.bdf(0)
        self.ring = Ring(g, line.connect())

    def write(self):
        """A write that nothing holds."""
        return faults.start_write(self.g)


def breach(how):
    """A lie while the host has the write."""
    def run(s):
        held = faults.hold(s.g)
        how(s.ring, s.ring.newest())
        s.ring.interrupt()
        return held
    return run


def spoiled(how):
    """The write was done, and the answer is wrong."""
    return lambda s: faults.spoil(s.g, s.ring, how)


def withheld(s):
    """Younger requests come back, this one never."""
    held = faults.hold(s.g)
    s.g.start(f"for n in 1 2 3 4 5 6 7 8; do dd if=/dev/{s.dev} of=/dev/null "
              "bs=4k count=4 iflag=direct; sleep 1; done")
    return held


def needs_reset(s):
    """The device gives up."""
    held = faults.hold(s.g)
    s.ring.offend()
    return held


def no_interrupt(s):
    """The vector is masked behind the driver's back."""
    s.ring.mask(True)
    return s.write()


def no_master(s):
    """Bus mastering is switched off."""
    s.g.sh("vbl_tools")
    s.g.sh(f"setpci -s {s.bdf} COMMAND=0:4")
    return s.write()


def function_reset(s):
    """FLR while the host has the write."""
    held = faults.hold(s.g)
    # Not waited for: a driver may not let it end.
    s.g.start(f"echo 1 >/sys/bus/pci/devices/{s.bdf}/reset")
    return held


FAULTS = {
    "used id out of range": breach(faults.used_out_of_range),
    "used id of a request not in flight": breach(faults.used_not_in_flight),
    "request given back without being done":
        breach(faults.used_without_status),
    "used id given back twice": spoiled(faults.twice),
    "used element never written": spoiled(faults.never_written),
    "used index jumps ahead": spoiled(faults.too_far),
    "used index goes backwards": spoiled(faults.too_far_back),
    "used length makes no sense": spoiled(faults.length_huge),
    "completion lost, younger ones came": withheld,
    "interrupt lost": no_interrupt,
    "DEVICE_NEEDS_RESET": needs_reset,
    "bus mastering switched off": no_master,
    "function level reset": function_reset,
}


def ends(g, job, times=1):
    """Wait for a command that may hang; whether it ended."""
    until = time.monotonic() + HANGS * times * g.scale
    while not job.done:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def fate(g, job, times=1):
    """What became of a command: ok, fails or hangs."""
    if not ends(g, job, times):
        return "hangs"
    return "fails" if job.status else "ok"


def judge(s, held, before):
    """Afterwards: (write, disk, data, unbind)."""
    g = s.g
    # Late requests of ours are looked at after seconds only.
    write = fate(g, held, 2)
    if write == "ok" and faults.writes_of(g) == before:
        write = "lies"          # it says that it is done, and it is not
    disk = fate(g, g.start(f"dd if=/dev/zero of=/dev/{s.dev} bs=4k seek=99 "
                           "count=1 oflag=direct"))
    data = "-"
    if disk == "ok":
        data = fate(g, g.start(f"dd if=/dev/{s.dev} bs=4k skip=2 count=1 "
                               "iflag=direct 2>/dev/null | cmp - /tmp/held"))
        data = {"ok": "there", "fails": "lost"}.get(data, data)
    unbind = fate(g, g.start(
        f"echo {s.bdf} >/sys/bus/pci/devices/{s.bdf}/driver/unbind"), 2)
    return write, disk, data, unbind


def one(kernel, driver, fault):
    """(write, disk, data, unbind, splats) of one fault with one driver."""
    line = Line()
    disk = Disk(transport="modern", num_queues=1, throttle={}, root_port=True)
    try:
        with Guest(kernel, disks=[disk], driver=driver, devices=line.devices,
                   append=APPEND, timeout=600,
                   params=PARAMS if driver == "lite" else "") as g:
            s = Scene(g, line)
            before = faults.writes_of(g)
            held = FAULTS[fault](s)
            return *judge(s, held, before), len(ktap.scan_log(g.console)) > 0
    finally:
        line.close()


def tell(results):
    """One cell of the table, of all tries."""
    words = []
    for write, disk, data, unbind, splat in results:
        wrong = [f"{what} {how}" for what, how, good in (
            ("write", write, "ok"), ("disk", disk, "ok"),
            ("data", data, "there"), ("unbind", unbind, "ok"))
            if how not in (good, "-")]
        words.append(", ".join(wrong + ["splat"] * splat) or "nothing lost")
    return "; ".join(sorted(set(words)))


def table(kernel, names, times, say):
    """Lines of the table; says how it goes on."""
    rows = ["| fault | tried | virtio-blk lite | upstream |", "|---|---|---|---|"]
    good = True
    for fault in names:
        cells = [tell([one(kernel, d, fault) for _ in range(times)])
                 for d in DRIVERS]
        good = good and cells[0] == "nothing lost"
        rows.append(f"| {fault} | {times} | {cells[0]} | {cells[1]} |")
        say(rows[-1])
    return rows, good


def put(rows, kernel):
    """Between the marks in the page."""
    text = PAGE.read_text()
    body = "\n".join([MARKS[0], "", f"Kernel {kernel}:", "", *rows, "",
                      MARKS[1]])
    pattern = re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1])
    PAGE.write_text(re.sub(pattern, lambda m: body, text, flags=re.S))


def main():
    """Command line entry."""
    top = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    top.add_argument("--times", type=int, default=1)
    top.add_argument("--only", default="", help="faults with this word")
    top.add_argument("-k", "--kernel", help="release or prefix, such as 6.1")
    top.add_argument("--write", action="store_true")
    args = top.parse_args()
    names = [f for f in FAULTS if args.only in f]
    try:
        rows, good = table(args.kernel, names, args.times,
                           lambda text: print(text, flush=True))
        if args.write:
            put(rows, Guest(args.kernel).kernel)
    except VblError as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr)
        return 2
    return not good


if __name__ == "__main__":
    sys.exit(main())
