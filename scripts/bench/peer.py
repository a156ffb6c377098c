# SPDX-License-Identifier: GPL-2.0
"""What QEMU spends on a request, in the thread that does a disk's I/O."""

from pathlib import Path

from vbl import Disk, Guest

from . import build
from .measure import DISK_SIZE, ONE_CPU, Job, no_scheduler
from .row import sampled

JOBS = {"1": ("read, depth 1", Job(how="b", count=4000)),
        "32": ("read, batches of 32", Job(depth=32, batch=32, how="b",
                                          count=32000))}
PAIRS = 20
# Upstream's driver first: its disk is the one that ours does not take over.
DISKS = {"upstream": {}, "ours": {}, "direct": {"indirect": False}}


class Thread:
    """The thread of a disk; its time on a CPU of the host."""

    def __init__(self, guest, disk):
        ident = next(t["thread-id"] for t in guest.qmp("query-iothreads")
                     if t["id"] == f"{disk.id}-io")
        pid = guest.process.popen.pid
        self.path = Path(f"/proc/{pid}/task/{ident}/schedstat")

    def ns(self):
        """Nanoseconds so far."""
        return int(self.path.read_text().split()[0])


def measure(kernel, ko, say, pairs=PAIRS):
    """Rows of one kernel."""
    say(f"  QEMU's I/O threads, {pairs} rounds: booting")
    disks = {n: Disk("null", size=DISK_SIZE, iothread=True, **more)
             for n, more in DISKS.items()}
    with Guest(kernel, disks=disks.values(), driver=None, ko=ko, tools=False,
               files={"bin/iob": build.iob()}, timeout=0, **ONE_CPU) as g:
        g.sh("vbl_load_upstream; vbl_load; " + "".join(
            f"take_over {g.bdf(disks[n])};" for n in ("ours", "direct")),
            timeout=60)
        names = {n: g.dev(d) for n, d in disks.items()}
        g.sh(no_scheduler(*names.values()))
        threads = {n: Thread(g, d) for n, d in disks.items()}
        got = {(job, n): [] for job in JOBS for n in names}
        for turn in range(-1, pairs):
            for job, (_, load) in JOBS.items():
                # None is always the first of its round; the first is for warmth.
                for n in list(names)[::-1 if turn % 2 else 1]:
                    before = threads[n].ns()
                    g.sh(load.command(f"/dev/{names[n]}", load.batch),
                         timeout=120)
                    if turn >= 0:
                        got[job, n].append((threads[n].ns() - before)
                                           / load.total)
    rows = []
    for job, (label, _) in JOBS.items():
        rows.append(sampled(
            f"peer{job}.upstream", f"time of QEMU's I/O thread, {label}", "ns",
            got[job, "ours"], got[job, "upstream"], target=1.0,
            note=f"{pairs} pairs; by the clock of the host's scheduler"))
        rows.append(sampled(
            f"peer{job}.direct", f"time of QEMU's I/O thread, {label}, "
            "indirect descriptors", "ns", got[job, "ours"],
            got[job, "direct"], target=1.0, other="our direct ones",
            note=f"{pairs} pairs; which of both is better for a short request"))
    return rows
