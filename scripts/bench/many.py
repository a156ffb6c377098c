# SPDX-License-Identifier: GPL-2.0
"""Many queues and many disks: what each costs that is not used."""

from vbl import Guest

from .measure import DRIVERS
from .rest import disks, each, further, load
from .row import sampled

QUEUES, FEW, DISKS = 64, 4, 32
# So few that binding them takes seconds, with 64 queues each.
DEVICES = 4
# The kernel gives each CPU a queue that may ever be there; that most of them
# are not started makes an emulated guest boot in seconds.
CPUS = {"smp": QUEUES, "append": "nokaslr maxcpus=4"}


def measure(kernel, ko, say, cycles):
    """Rows of one kernel."""
    say(f"  {QUEUES} queues, {DISKS} disks: booting")
    large, small = disks(DEVICES, QUEUES, 4), disks(DISKS, FEW, 5)
    with Guest(kernel, disks=large + small, driver=None, ko=ko, tools=False,
               mem=2048, timeout=0, **CPUS) as g:
        load(g)
        (wide, wide_ms, vectors), (narrow, ms, _), (many, many_ms, taken) = (
            zip(*(each(g, d, n, cycles) for d in DRIVERS))
            for n in (large, small[:DEVICES], small))
    queue = [[(b - a) / (QUEUES - FEW) for a, b in zip(*pair)]
             for pair in zip(narrow, wide)]
    disk = [further(a, DEVICES, b, DISKS) for a, b in zip(narrow, many)]
    smoke = "a smoke test, as all times here"
    return [
        sampled("many.queue", f"memory of each queue from the {FEW}th to the "
                    f"{QUEUES}th", "KiB", *queue, target=1.0, within=0.1,
            note=f"of a guest with {QUEUES} CPUs, {FEW} of them running"),
        sampled("many.probe", f"time from bind to disk, {QUEUES} queues", "ms",
            *wide_ms, target=1.0, within=0.5, note=smoke),
        sampled("many.vectors", f"interrupt vectors, {QUEUES} queues", "",
            *vectors, target=1.0),
        sampled("many.disk", f"memory of each disk from the {DEVICES}th to the "
            f"{DISKS}th, {FEW} queues", "KiB", *disk, target=1.0,
            within=0.1),
        sampled("many.disks", f"time from bind to disk, each of {DEVICES}, "
            f"{FEW} queues", "ms", *ms, target=1.0, within=0.5, note=smoke),
        sampled("many.disk32", f"time from bind to disk, each of {DISKS}, "
            f"{FEW} queues", "ms", *many_ms, target=1.0, within=0.5, note=smoke),
        sampled("many.taken", f"interrupt vectors of each of {DISKS} disks, "
            f"{FEW} queues", "", *taken, target=1.0),
    ]
