# SPDX-License-Identifier: GPL-2.0
"""Lines: how the driver's cost of a request grows with what is asked of it."""

from .measure import DRIVERS, Bench, Job

KIB = 1 << 10
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZES = (512, 1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB)
SEGMENTS = (1, 2, 4, 8, 16, 32, 64, 126)
QUEUES = (1, 2, 4, 8, 16)
DEVICES = (1, 2, 4, 8, 16, 32)
CPUS = (1, 2, 4, 8)
ONE_CPU = "The load stays on CPU 0; the other queues are there, and idle."


def _line(ident, label, x, unit="driver instructions per read", note=""):
    return {"id": f"growth.{ident}", "label": label, "unit": unit,
            "x": list(x), "y": {"ours": [], "upstream": []}, "note": note}


def _add(line, bench, job):
    for driver, name in zip(DRIVERS, line["y"]):
        if driver in bench.drivers:
            line["y"][name].append(
                bench.run(driver, job, warm=max(job.batch, 200)).driver)


def _count(depth, size=4 * KIB):
    return max(1500 * 4 * KIB // max(size, 4 * KIB), 4 * depth, 100)


def short(kernel, ko, say):
    """The lines that one guest gives."""
    depth = _line("depth", "queue depth", DEPTHS,
                  note="As many requests are submitted together, and waited "
                  "for.")
    size = _line("size", "bytes of contiguous data", SIZES)
    segments = _line("segments", "segments of 4 KiB", SEGMENTS)
    say("  growth with depth, size and segments: booting")
    # Linux gives huge pages, which make data contiguous, from 512 MiB on only.
    with Bench(kernel, ko=ko, mem=1024) as bench:
        for n in DEPTHS:
            _add(depth, bench, Job(depth=n, batch=n, count=_count(n),
                                   how="b"))
        for n in SIZES:
            _add(size, bench, Job(size=n, count=_count(1, n), how="b"))
        for n in SEGMENTS:
            _add(segments, bench, Job(size=4 * KIB * n, how="sb",
                                      count=_count(1, 4 * KIB * n)))
    return [depth, size, segments]


def long(kernel, ko, say):
    """The lines with a guest for each point."""
    queues = _line("queues", "queues", QUEUES, note=ONE_CPU)
    devices = _line("devices", "disks of the driver", DEVICES,
                    note="One of them is read.")
    cpus = _line("cpus", "CPUs, each reading by a queue of its own", CPUS,
                 note="The emulator runs one CPU at a time, so waiting for a "
                 "lock hardly shows; what each executes does.")
    cpus["within"] = 0.05       # how requests share interrupts is chance
    job = Job(depth=8, batch=8, count=2000)
    for n in QUEUES:
        say(f"  growth, {n} queues: booting")
        with Bench(kernel, ko=ko, smp=n, disk={"num_queues": n},
                   mem=1024) as bench:
            _add(queues, bench, job.but(how="b"))
    for n in DEVICES:
        say(f"  growth, {n} disks: booting")
        for driver in DRIVERS:
            with Bench(kernel, (driver,), ko=ko, more=n - 1) as bench:
                _add(devices, bench, job.but(how="b"))
    for n in CPUS:
        say(f"  growth, {n} CPUs: booting")
        with Bench(kernel, ko=ko, smp=n, disk={"num_queues": n}, mem=1024,
                   one_thread=True) as bench:
            _add(cpus, bench, job.but(jobs=n))
    return [queues, devices, cpus]
