# SPDX-License-Identifier: GPL-2.0
"""Hibernation: memory is written to disk, and resumed after a power-off.

The image is on an NVMe disk; the disks under test are in use meanwhile. The
kernel that reads the image back has a driver of its own on them, which it takes
from them before the kernel of the image continues.
"""

import re
import time

import pytest
from faults.inflight import limit
from faults.load import Busy, verify
from vbl import Disk

SWAP = "512M"


def fall_asleep(g):
    """Write memory to the NVMe disk and power off; the job that asked for it."""
    swap = g.dev(1)
    g.sh(f"mkswap /dev/{swap} && swapon /dev/{swap}")
    return g.start("echo 0 >/sys/power/image_size; echo shutdown "
                   ">/sys/power/disk; echo disk >/sys/power/state")


def wake(g, old):
    """Resume the memory image of @old in @g."""
    swap = g.sh(f"cat /sys/class/block/{g.dev(1)}/dev").strip()
    g.adopt(old)
    # This never ends: who asks for it belongs to a kernel that is no more.
    g.start(f"echo {swap} >/sys/power/resume")


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {}, {"packed": True}, {"vectors": 0}, {"indirect": False},
    {"transport": "legacy"}], ids=lambda o: "-".join(o) or "plain")
def test_hibernate(boot, kernel, image, options):
    """Under load: requests in flight are neither lost nor done twice."""
    files = [image(), image(SWAP)]

    def disks():
        return [Disk(files[0], **{"transport": "modern", **options}),
                Disk(files[1], kind="nvme")]

    old = boot(kernel=kernel, suspend=True, timeout=600, disks=disks())
    boot_id = old.sh("cat /proc/sys/kernel/random/boot_id")
    busy = Busy(old, old.dev(0), "--iodepth=32")
    job = fall_asleep(old)
    old.wait_exit(60)
    g = busy.g = boot(kernel=kernel, suspend=True, timeout=600, disks=disks())
    wake(g, old)
    is_well(g, busy, job)
    assert g.sh("cat /proc/sys/kernel/random/boot_id") == boot_id, \
        "it is not the system that went to sleep"


# -- requests that the host still has ----------------------------------------

def hold_all(g):
    """A load of 32 requests, none of which the host finishes, in the queue of
    the CPU that stays online: with others the system does not sleep."""
    # The console shows at once what the kernel says while it suspends.
    g.sh("echo N >/sys/module/printk/parameters/console_suspend; "
         "echo 1 >/sys/power/pm_print_times")
    busy = Busy(g, g.dev(0), "--iodepth=32 --cpus_allowed=0")
    limit(g, 1)
    g.sh("wait_for 20 awk '{ exit $1 + $2 != 32 }' "
         f"/sys/block/{g.dev(0)}/inflight")
    return busy


def told_to_let_go(g, stage, host):
    """The driver waits for them; a slow host finishes them, a stuck one not."""
    # Not every kernel has the PM.
    said = re.compile(rf"{g.bdf(0)}: (?:PM: )?(?:calling )?pci_pm_{stage}.*")
    until = time.monotonic() + 60 * g.scale
    while not said.search(g.console):
        assert time.monotonic() < until and g.alive, g.console[-2000:]
        time.sleep(0.05)
    assert len(said.findall(g.console)) == 1, "it did not wait"
    limit(g, 0)
    if host == "slow":
        # This is what lets go of those that it already has.
        g.qmp("stop")
        g.qmp("cont")


def taken_back(g):
    """Whether the driver said that it waits no longer."""
    return "taking them back" in g.console


def is_well(g, busy, job):
    """After waking up: no request is lost or done twice."""
    job.wait(60)
    busy.progresses()
    busy.stop()
    verify(g, g.dev(0), "--size=8M")


@pytest.mark.full
@pytest.mark.parametrize("host", ["slow", "stuck"])
def test_suspend_in_flight(boot, kernel, host):
    """S3, when the host has not finished what it was given."""
    g = boot(kernel=kernel, suspend=True, timeout=600,
             disks=[Disk(transport="modern", throttle={})])
    busy = hold_all(g)
    job = g.start("echo mem >/sys/power/state")
    told_to_let_go(g, "suspend", host)
    g.wait_event("SUSPEND", 60)
    assert taken_back(g) == (host == "stuck")
    g.qmp("system_wakeup")
    g.wait_event("WAKEUP")
    is_well(g, busy, job)


@pytest.mark.full
@pytest.mark.parametrize("host", ["slow", "stuck"])
def test_hibernate_in_flight(boot, kernel, image, host):
    """The same with hibernation, resumed in another QEMU."""
    files = [image(), image(SWAP)]

    def boots(**options):
        return boot(kernel=kernel, suspend=True, timeout=600, disks=[
            Disk(files[0], transport="modern", **options),
            Disk(files[1], kind="nvme")])

    old = boots(throttle={})
    busy = hold_all(old)
    job = fall_asleep(old)
    told_to_let_go(old, "freeze", host)
    old.wait_exit(90)
    assert taken_back(old) == (host == "stuck")
    g = busy.g = boots()
    wake(g, old)
    is_well(g, busy, job)
