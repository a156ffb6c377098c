# SPDX-License-Identifier: GPL-2.0
"""Rows of time: fio on both disks of one guest by turns, A B B A.

An emulated CPU on a shared host varies far more than two drivers differ, so
one comparison says nothing. What does is the ratio within each of many pairs:
their median, and the interval that drawing pairs again and again leaves it in.
Many short pairs tell more than a few long ones: the host changes slowly.
"""

import json

from vbl import Disk, Guest

from .measure import DISK_SIZE, DRIVERS, ONE_CPU, no_scheduler
from .row import sampled

# id: (name, fio's rw, bytes, depth)
LOADS = {
    "1": ("read, depth 1", "randread", 4096, 1),
    "32": ("read, depth 32", "randread", 4096, 32),
}
MORE_LOADS = {
    "w1": ("write, depth 1", "randwrite", 4096, 1),
    "w32": ("write, depth 32", "randwrite", 4096, 32),
    "l8": ("read 128 KiB, depth 8", "randread", 128 << 10, 8),
}
# id: (name, unit, is more better, must it not be worse, its value)
FIGURES = {
    "iops": ("IOPS", "per second", True, True, lambda r: r["iops"]),
    "p50": ("median latency", "us", False, False, lambda r: _clat(r, 50)),
    "p99": ("99th percentile of latency", "us", False, True,
            lambda r: _clat(r, 99)),
    "p999": ("99.9th percentile of latency", "us", False, False,
             lambda r: _clat(r, 99.9)),
}
RUNTIME = 0.15          # seconds a half of a pair


def _clat(read, percent):
    return read["clat_ns"]["percentile"][f"{percent:.6f}"] / 1e3


def _jobs(names, load, pairs):
    """A job file: fio runs its sections one after another."""
    _, rw, size, depth = load
    text = ["[global]", "direct=1", "ioengine=libaio", f"rw={rw}",
            f"bs={size}", "norandommap", "randrepeat=1", "thread", "time_based",
            f"iodepth={depth}", f"iodepth_batch_submit={depth}",
            f"runtime={int(RUNTIME * 1000)}ms"]
    for n in range(-1, pairs):
        # Neither is always the first of its pair.
        for driver in DRIVERS[::-1 if n % 2 else 1]:
            text += [f"[{driver}]", "stonewall",
                     f"filename=/dev/{names[driver]}"]
    return "\n".join(text) + "\n"


def _rows(ident, label, jobs, pairs):
    """Rows of one load, and the ratios of the single pairs."""
    rows, points = [], {}
    # The first pair is for warming up.
    runs = [[max(j["read"], j["write"], key=lambda r: r["total_ios"])
             for j in jobs if j["jobname"] == d][1:] for d in DRIVERS]
    for figure, (what, unit, more, judged, value) in FIGURES.items():
        ours, theirs = ([value(r) for r in rs] for rs in runs)
        figure += ident
        rows.append(sampled(
            figure, f"{what}, {label}", unit, ours, theirs, more=more,
            target=1.0 if judged else None, note=f"{pairs} pairs"))
        points[figure] = [a / b for a, b in zip(ours, theirs) if b]
    return rows, points


def measure(kernel, ko, say, pairs, full=False):
    """Rows of one kernel, and the ratios of the single pairs."""
    disks = {d: Disk("null", size=DISK_SIZE) for d in DRIVERS}
    rows, points = [], {}
    say(f"  fio, {pairs} pairs of {2 * RUNTIME:g} s for each load: booting")
    with Guest(kernel, disks=disks.values(), driver=None, ko=ko,
               **ONE_CPU,
               timeout=0) as g:
        g.sh(f"vbl_load_upstream; vbl_load; take_over {g.bdf(disks['lite'])}",
             timeout=60)
        names = {d: g.dev(disks[d]) for d in DRIVERS}
        g.sh(no_scheduler(*names.values()))
        for n, load in (LOADS | (MORE_LOADS if full else {})).items():
            say(f"  fio, {load[0]}")
            g.put("/tmp/pairs.fio", _jobs(names, load, pairs))
            out = g.sh("fio --output-format=json --output=/tmp/out "
                       "/tmp/pairs.fio >&2; cat /tmp/out",
                       timeout=120 + pairs * 8)
            jobs = json.loads(out[out.index("{"):])["jobs"]
            more_rows, more_points = _rows(n, load[0], jobs, pairs)
            rows += more_rows
            points |= more_points
    return rows, points
