# SPDX-License-Identifier: GPL-2.0
"""Rows that are counted: instructions, notifications, interrupts, memory
taken. The driver's own repeat exactly, on any host."""

import statistics

from .measure import DRIVERS, Bench, Job
from .row import SAME, Row, sampled
from .symbols import DRIVER, SCHED, group_of

# Depth 1 keeps the CPU busy, so that no idle loop is counted.
READ, READS = Job(how="b"), Job(depth=32, batch=32, how="b")
MIXED = {
    "write1": ("write, depth 1", Job("w", how="b")),
    "write32": ("write, batches of 32", Job("w", depth=32, batch=32, how="b")),
    "discard1": ("discard", Job("d", how="b")),
    "discard32": ("discard, 32 a call", Job("d", depth=32, batch=32, how="b")),
    "flush1": ("flush", Job("f", how="b")),
    "large8": ("read 128 KiB, 32 segments, batches of 8",
               Job("r", 128 << 10, depth=8, batch=8, how="pb")),
    "large1": ("read 128 KiB, 32 vectors, depth 1",
               Job("r", 128 << 10, how="sb")),
}
# The kernel pins vectors one by one, which is half of that row's cost before
# either driver is called: its total says little about them.
NO_TARGET = ("large1.all",)
# How many of these share an interrupt is not in our hands.
LOOSE = {"discard32": 0.1, "large8": 0.05}
URING = Job(depth=32, batch=32, how="ub")
POLLED = URING.but(how="ib")
# One queue is polled, and another one is not.
POLL = {"params": "poll_queues=1", "disk": {"num_queues": 2}, "smp": 2,
        "one_thread": True}
SINGLES = Job(depth=32, batch=1)
# How often a call that sleeps is counted, for its median.
CALLS = 9
# Pairs in each boot, where a boot is a sample.
PAIRS = 6
# So that one call for 32 times 4 KiB is 32 discards.
DISK = {"discard": True, "max_discard_sectors": 8}
PLATFORM = {"transport": "modern", "iommu_platform": True}
WHERE = {
    "iommu": ("behind an IOMMU", 0.75, {"iommu": True}),
    "swiotlb": ("with swiotlb", 0.50, {"append": "swiotlb=force"}),
}
DRIVER_MIXED, ALL = 0.40, 0.85
# Nine parts in ten of a flush belong to neither driver.
FLUSH = 0.86


class Cost:
    """Collects rows, and the functions behind each.

    count   requests in each measurement
    boots   guests that show how single reads share notifications
    calls   how often a call that sleeps is counted; 0 leaves its row out
    """

    def __init__(self, say, count, boots, calls=CALLS):
        self.say, self.count, self.boots = say, count, boots
        self.calls = calls
        self.rows, self.listings, self.allocs = [], {}, {}

    def _cell(self, bench, ident, job, drivers=DRIVERS):
        """Both drivers' results of one job."""
        job = job.but(count=self._count(job))
        self.say(f"  {ident}")
        got = {d: bench.run(d, job, warm=min(2000, self.count))
               for d in drivers}
        self.listings[ident] = {
            **{f"instructions of {d}": listing(r, d) for d, r in got.items()},
            "instructions of the kernel around ours": around(got["lite"]),
            **{f"cache lines of {d} and of what maps data for it": touched(r)
               for d, r in got.items()}}
        self.allocs[ident] = {d: r.allocs * 1e6 for d, r in got.items()}
        return got

    def _count(self, job):
        # Large requests take longer, and differ less.
        return max(self.count * 4096 // max(job.size, 4096), self.count // 8)

    def _row(self, ident, field, label, got, target, unit="instructions",
             **more):
        ours, upstream = ((field(got[d]) for d in DRIVERS) if callable(field)
                          else (getattr(got[d], field) for d in DRIVERS))
        self.rows.append(Row(ident, label, unit, ours, upstream, target,
                             **more))

    def reads(self, bench):
        """The rows that everything else is built on."""
        one = self._cell(bench, "read1", READ)
        many = self._cell(bench, "read32", READS)
        both = (("1", "depth 1", one), ("32", "batches of 32", many))
        for (n, how, got), target in zip(both, (0.35, 0.30)):
            self._row(f"read{n}.driver", "driver",
                      f"driver, read, {how}", got, target)
        for n, how, got in both:
            self._row(f"read{n}.submit", "submit",
                      f"submission and below, read, {how}", got, 0.50)
        self._row("read32.all", "kernel",
                  "all of the kernel, read, batches of 32", many, ALL)
        self._row("read1.all", "kernel",
                  "all of the kernel, read, depth 1", one, None)
        ours = many["lite"]
        self.rows.append(Row(
            "read32.nothing", "all of the kernel, read, batches of 32",
            "instructions", ours.kernel, ours.kernel - ours.driver, 1.02,
            other="if the driver cost nothing"))
        for n, how, got in both:
            self._row(f"read{n}.complete", "complete",
                      f"completion and below, read, {how}", got, None)
        for n, how, got in both:
            self._row(f"read{n}.lines", "lines",
                      f"cache lines, read, {how}", got, 0.50, "per request",
                      note="of the driver, of what maps data for it, of the "
                      "stack; each once from one submission to the next; not "
                      "of what takes memory, as upstream does for a request")
        for n, how, got in both:
            self._row(f"read{n}.notify", "registers",
                      f"notifications, read, {how}", got, SAME, "per request")
            self._row(f"read{n}.interrupt", "interrupts",
                      f"interrupts, read, {how}", got, SAME, "per request")

    def mixed(self, bench):
        """Everything else that a disk is asked for."""
        for ident, (label, job) in MIXED.items():
            got = self._cell(bench, ident, job)
            self._row(f"{ident}.driver", "driver", f"driver, {label}", got,
                      DRIVER_MIXED, within=LOOSE.get(ident, 0.02))
            if job.op in "df":
                if self.calls:
                    self._calls(bench, ident, label, job, got)
                continue
            ident += ".all"
            self._row(ident, "kernel", f"all of the kernel, {label}", got,
                      None if ident in NO_TARGET else ALL)

    def _calls(self, bench, ident, label, job, first):
        """The rest of a system call that sleeps, or finds that it need not."""
        job = job.but(count=self._count(job) // 2)
        got = [first] + [{d: bench.run(d, job, warm=200) for d in DRIVERS}
                         for _ in range(self.calls - 1)]
        self.rows.append(sampled(
            f"{ident}.all", f"all but the scheduler, {label}", "instructions",
            *([g[d].work for g in got] for d in DRIVERS),
            target=FLUSH if job.op == "f" else ALL,
            note=f"{self.calls} pairs; a driver that costs nothing would have "
            f"""{statistics.median((g["lite"].work - g["lite"].driver)
                                   / g["upstream"].work for g in got):.3f}"""))

    def singles(self, kernel, ko):
        """32 in flight, each submitted alone: the host's speed decides.

        It is another one with each boot, so a boot is one sample.
        """
        job = SINGLES.but(count=max(self.count // 4, 500))
        self.say(f"  32 single reads in flight: {self.boots} boots")
        fields = {"notify": ("notifications", lambda r: r.registers),
                  "interrupt": ("interrupts", lambda r: r.interrupts),
                  "both": ("notifications and interrupts",
                           lambda r: r.registers + r.interrupts)}
        samples = {i: {d: [] for d in DRIVERS} for i in fields}
        for _ in range(self.boots):
            with Bench(kernel, ko=ko, disk=DISK, mem=1024) as bench:
                got = {d: [] for d in DRIVERS}
                for n in range(PAIRS):
                    for d in DRIVERS[::-1 if n % 2 else 1]:
                        got[d].append(bench.run(d, job, warm=200))
            for ident, (_, field) in fields.items():
                for d in DRIVERS:
                    samples[ident][d].append(
                        statistics.median(map(field, got[d])))
        for ident, (label, _) in fields.items():
            ours, upstream = (samples[ident][d] for d in DRIVERS)
            self.rows.append(sampled(
                f"singles.{ident}", f"{label}, 32 single reads in flight",
                "per request", ours, upstream,
                target=None if ident == "both" else 1.0,
                note=f"{self.boots} boots; ours {min(ours):.2f} to "
                f"{max(ours):.2f}, upstream {min(upstream):.2f} to "
                f"{max(upstream):.2f}"))

    def platform(self, kernel, ko):
        """Where the device's addresses are not the memory's."""
        for ident, (label, target, guest) in WHERE.items():
            self.say(f"  {label}: booting")
            with Bench(kernel, ko=ko, disk=PLATFORM, **guest) as bench:
                for n, how, job in (("1", "depth 1", READ),
                                    ("32", "batches of 32", READS)):
                    got = self._cell(bench, f"{ident}{n}", job)
                    self._row(f"{ident}{n}.both",
                              lambda r: r.submit + r.complete,
                              "submission and completion, read, "
                              f"{how}, {label}", got, target)

    def packed(self, kernel, ko):
        """Our packed ring beside our split one, when there is one."""
        self.say("  packed ring: booting")
        with Bench(kernel, ("lite",), ko=ko,
                   disk={"transport": "modern", "packed": True}) as bench:
            g, disk = bench.guest, bench.disks["lite"]
            bits = g.sh(f"cat $(virtio_of {g.bdf(disk)})/features").strip()
            if bits[34:35] != "1":
                self.say("  our driver did not negotiate RING_PACKED")
                return
            for n, how, job in (("1", "depth 1", READ),
                                ("32", "batches of 32", READS)):
                split = next(r for r in self.rows
                             if r.id == f"read{n}.driver").ours
                got = self._cell(bench, f"packed{n}", job, ("lite",))["lite"]
                self.rows.append(Row(
                    f"packed{n}.driver", f"driver, read, {how}, packed ring",
                    "instructions", got.driver, split, 1.0,
                    other="our split ring"))

    def uring(self, bench):
        """Batches of io_uring, of registered buffers and a registered file."""
        self._row("uring32.all", "kernel", "all of the kernel, read by "
                  "io_uring, batches of 32",
                  self._cell(bench, "uring32", URING), 0.70)

    def polled(self, kernel, ko):
        """The same, and the disk is polled."""
        self.say("  polled queues: booting")
        with Bench(kernel, ko=ko, mem=1024, **POLL) as bench:
            got = self._cell(bench, "polled32", POLLED)
            self._row("polled32.all", "kernel", "all of the kernel, read by "
                      "io_uring, polled, batches of 32", got, 0.70)

    def allocations(self):
        """One row for all loads, from what was counted beside."""
        worst = {d: max(a.get(d, 0) for a in self.allocs.values())
                 for d in DRIVERS}
        self.rows.append(Row(
            "allocations", "allocations, the worst of the loads above",
            "per million", worst["lite"], worst["upstream"], 0,
            note="; ".join(f"{i} {a['lite']:.0f}" for i, a in
                           self.allocs.items() if a["lite"])))

    def everything(self, kernel, ko=None):
        """All rows of one kernel."""
        self.say("  booting")
        # Enough memory for huge pages, which decide what is a segment.
        with Bench(kernel, ko=ko, disk=DISK, mem=1024) as bench:
            release = str(bench.guest.kernel)
            self.reads(bench)
            self.mixed(bench)
            self.uring(bench)
        self.polled(kernel, ko)
        self.singles(kernel, ko)
        self.platform(kernel, ko)
        self.packed(kernel, ko)
        self.allocations()
        return release


def exact(kernel, ko, say, count=320):
    """Rows of one kernel that @count requests decide, and its release."""
    c = Cost(say, count, 0, calls=0)
    with Bench(kernel, ko=ko, disk=DISK, mem=1024) as bench:
        release = str(bench.guest.kernel)
        c.reads(bench)
        c.mixed(bench)
    c.packed(kernel, ko)
    c.allocations()
    parts = (".driver", ".notify", ".interrupt", ".lines", "allocations")
    return [r for r in c.rows if r.id.endswith(parts)], release


def _by_size(figures, least):
    return sorted(((f"{name} [{module}]" if module else name, n)
                   for (name, module), n in figures.items() if n >= least),
                  key=lambda r: -r[1])


def _functions(result, driver, wanted):
    return _by_size({f: n for f, n in result.functions.items()
                     if wanted(group_of(*f, driver))}, 0.5)


def listing(result, driver):
    """[(function, instructions)] of the driver in one result."""
    return _functions(result, driver, lambda group: group == DRIVER)


def touched(result):
    """[(function, cache lines)]: each line by the first that uses it."""
    return _by_size(result.touched, 0.05)


def around(result):
    """The same of the largest that are neither ours nor the scheduler's."""
    return _functions(result, "lite",
                      lambda group: group not in (DRIVER, SCHED))[:30]
