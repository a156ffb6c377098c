# SPDX-License-Identifier: GPL-2.0
"""Rows of time: fio on both disks of one guest by turns, A B A B.

An emulated CPU on a shared host varies far more than two drivers differ, so
one comparison says nothing. What does is the ratio within each of many pairs:
their median, and the interval that drawing pairs again and again leaves it in.
"""

import json

from vbl import Disk, Guest

from .measure import DISK_SIZE, DRIVERS, ONE_CPU
from .row import sampled

LOADS = {"1": ("depth 1", 1), "32": ("depth 32", 32)}
RUNTIME = 0.25          # seconds a half of a pair


def _jobs(names, depth, pairs):
    """A job file: fio runs its sections one after another."""
    text = ["[global]", "direct=1", "ioengine=libaio", "rw=randread",
            "bs=4k", "norandommap", "randrepeat=1", "thread", "time_based",
            f"iodepth={depth}", f"iodepth_batch_submit={depth}",
            f"runtime={int(RUNTIME * 1000)}ms"]
    for n in range(-1, pairs):
        for name in names:
            text += [f"[{n}]", "stonewall", f"filename=/dev/{name}"]
    return "\n".join(text) + "\n"


def measure(kernel, ko, say, pairs):
    """Rows of one kernel, and the ratios of the single pairs."""
    disks = {d: Disk("null", size=DISK_SIZE) for d in DRIVERS}
    rows, points = [], {}
    say(f"  fio, {pairs} pairs of {2 * RUNTIME:g} s for each load: booting")
    with Guest(kernel, disks=disks.values(), driver=None, ko=ko,
               **ONE_CPU,
               timeout=0) as g:
        g.sh(f"vbl_load_upstream; vbl_load; take_over {g.bdf(disks['lite'])}",
             timeout=60)
        names = [g.dev(disks[d]) for d in DRIVERS]
        g.sh("".join(f"echo none >/sys/block/{n}/queue/scheduler;"
                     for n in names))
        for n, (label, depth) in LOADS.items():
            say(f"  fio, {label}")
            g.put("/tmp/pairs.fio", _jobs(names, depth, pairs))
            out = g.sh("fio --output-format=json --output=/tmp/out "
                       "/tmp/pairs.fio >&2; cat /tmp/out",
                       timeout=120 + pairs * 8)
            # The first pair is for warming up.
            jobs = json.loads(out[out.index("{"):])["jobs"][2:]
            reads = [[j["read"] for j in jobs[n::2]] for n in (0, 1)]
            for ident, unit, more, value in (
                    ("iops", "per second", True, lambda r: r["iops"]),
                    ("p99", "us", False, lambda r:
                     r["clat_ns"]["percentile"]["99.000000"] / 1e3)):
                ours, theirs = ([value(r) for r in rs] for rs in reads)
                ident = f"{ident}{n}"
                what = "IOPS" if more else "99th percentile of latency"
                rows.append(sampled(
                    ident, f"{what}, read, {label}", unit, ours, theirs,
                    target=1.0, more=more, note=f"{pairs} pairs"))
                points[ident] = [a / b for a, b in zip(ours, theirs) if b]
    return rows, points
