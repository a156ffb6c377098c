# SPDX-License-Identifier: GPL-2.0
"""Many queues and many disks: what each costs that is not used."""

from vbl import Guest

from .measure import DRIVERS
from .rest import disks, each, further, load
from .row import Row, sampled

QUEUES, FEW, DISKS = 64, 4, 32
# So few that binding them takes seconds, with 64 queues each.
DEVICES, CYCLES = 4, 5
# The kernel gives each CPU a queue that may ever be there; that most of them
# are not started makes an emulated guest boot in seconds.
CPUS = {"smp": QUEUES, "append": f"nokaslr maxcpus={FEW}"}


def measure(kernel, ko, say):
    """Rows of one kernel."""
    say(f"  {QUEUES} queues, {DISKS} disks: booting")
    large, small = disks(DEVICES, QUEUES, 4), disks(DISKS, FEW, 5)
    with Guest(kernel, disks=large + small, driver=None, ko=ko, tools=False,
               mem=2048, timeout=0, **CPUS) as g:
        load(g)
        (wide, wide_ms, vectors), (narrow, ms, _), (many, many_ms, taken) = (
            zip(*(each(g, d, n, CYCLES) for d in DRIVERS))
            for n in (large, small[:DEVICES], small))
    # Of all disks together, as many as there are.
    few, all_of_them = ([[len(which) * kib for kib in cycles] for cycles in of]
                        for which, of in ((small[:DEVICES], narrow),
                                          (small, many)))
    smoke = {"target": 1.0, "within": 0.5,
             "note": "a smoke test, as all times here"}
    memory = {"target": 1.0, "within": 0.1}
    return [
        sampled("many.queue", f"memory of each queue, {FEW} to {QUEUES}",
                "KiB", *further(narrow, wide, QUEUES - FEW), **memory,
                note=f"of a guest with {QUEUES} CPUs, {FEW} of them running"),
        sampled("many.probe", f"time from bind to disk, {QUEUES} queues",
                "ms", *wide_ms, **smoke),
        Row("many.vectors", f"interrupt vectors, {QUEUES} queues", "",
            *(v[-1] for v in vectors), target=1.0),
        sampled("many.disk", f"memory of each disk, {DEVICES} to {DISKS}, "
                f"{FEW} queues", "KiB",
                *further(few, all_of_them, DISKS - DEVICES), **memory),
        sampled("many.disks", f"time from bind to disk, each of {DEVICES}, "
                f"{FEW} queues", "ms", *ms, **smoke),
        sampled("many.disk32", f"time from bind to disk, each of {DISKS}, "
                f"{FEW} queues", "ms", *many_ms, **smoke),
        Row("many.taken", f"interrupt vectors of each of {DISKS} disks, "
            f"{FEW} queues", "", *(v[-1] for v in taken), target=1.0),
    ]
