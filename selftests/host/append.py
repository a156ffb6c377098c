# SPDX-License-Identifier: GPL-2.0
"""Zone appends in a guest, with a module of their own: selftests/append/."""

from pathlib import Path

import vbl

SOURCE = Path(__file__).resolve().parents[1] / "append"


def append(g, disk, zone, **options):
    """A Job that appends to the zone at a sector; appended() has its result.

    options are the module's parameters: count=, bytes=, poll=.
    """
    if g.status("[ -e /append.ko ]")[0]:
        g.put("/append.ko", vbl.build_module(g.kernel, source=SOURCE)
              .read_bytes())
    more = " ".join(f"{k}={v}" for k, v in options.items())
    return g.start(f"insmod /append.ko disk=/dev/{disk} zone={zone} {more} && "
                   "cat /sys/module/append/parameters/went && rmmod append")


def appended(job, timeout=30):
    """Where each went, in sectors, or minus an error number."""
    return [int(w) for w in job.wait(timeout).split(",")]
