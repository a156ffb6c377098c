# SPDX-License-Identifier: GPL-2.0
"""Disks that are removed and added again, N times, under load.

    unplug   hot-unplugged by QEMU and plugged in again
    rebind   unbound from the driver and bound again
    reload   the module unloaded and loaded again

What was written and synced before, also under load until the disk was removed,
has to be there each time, whoever used the disk has to get an error, nothing may
hang, and the kernel may not complain.
"""

import random
import tempfile
import time
from pathlib import Path

from vbl import Disk, Guest, ktap

from . import powercut

SECONDS_EACH = 20
TURNS = ({"transport": "modern"}, {"transport": "modern", "packed": True},
         {"transport": "legacy"}, {"transport": "modern", "vectors": 0})


def in_guest(what):
    """A campaign that one program in the guest runs alone."""
    def run(g, n, seed):
        g.sh(f"/selftests/_soak.sh {what} {g.bdf(0)} {n} {seed} {g.driver}",
             timeout=60 + SECONDS_EACH * n)
    return run


def unplug(g, n, seed):
    """QEMU unplugs the disk and plugs it in again."""
    disk, rng = g.disks[0], random.Random(seed)
    for i in range(n):
        g.plug(disk)
        bdf = g.bdf(disk)
        # Where upstream's driver is built in, it binds the disk first.
        if g.driver == "lite":
            g.sh(f"take_over {bdf}")
        dev = g.dev(disk)
        g.sh(f"/selftests/_soak.sh {'is_kept' if i else 'keep'} {dev}")
        load = g.start(f"/selftests/_soak.sh load {dev}")
        g.sh(f"/selftests/_soak.sh is_busy {dev}", timeout=70)
        time.sleep(rng.random() / 20)
        g.unplug(disk)
        load.wait(60)


CAMPAIGNS = {"unplug": unplug, "rebind": in_guest("rebind"),
             "reload": in_guest("reload")}
TITLES = {"unplug": "hot-unplug under load", "rebind": "unbind under load",
          "reload": "unload after writes"}


def campaign(what, n, seed=1, kernel=None, options=None, driver="lite"):
    """Run one; raises unless all of it was right.  Its seconds."""
    hot = what == "unplug"
    disk = Disk(hotplug=hot, **(options or TURNS[seed % len(TURNS)]))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Guest(
            kernel, disks=[disk], driver=driver, tools=False,
            files={"bin/ack": powercut.writer(Path(folder))},
            timeout=600 + SECONDS_EACH * n) as g:
        if hot:
            disk.blockdevs(g.folder)
        CAMPAIGNS[what](g, n, seed)
        ktap.must_be_quiet(g.sh("dmesg") + g.console)
        if driver == "lite":
            g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")
    return time.monotonic() - began


def ring(options):
    """The disk of a campaign, in words."""
    return {"packed": "packed", "vectors": "INTx"}.get(
        next((o for o in options if o != "transport"), None),
        options["transport"])
