# SPDX-License-Identifier: GPL-2.0
"""Hibernation: memory is written out, the power goes, and all comes back.

The image is on an NVMe disk; the disks under test are in use meanwhile. The
kernel that reads the image back has a driver of its own on them, which it takes
from them before the one of the image goes on.
"""

import pytest
from load import Busy, verify
from vbl import Disk

SWAP = "512M"


def sleep(g):
    """Write memory to the NVMe disk and power off; the job that asked for it."""
    swap = g.dev(1)
    g.sh(f"mkswap /dev/{swap} && swapon /dev/{swap}")
    job = g.start("echo 0 >/sys/power/image_size; echo shutdown "
                  ">/sys/power/disk; echo disk >/sys/power/state")
    g.wait_exit(60)
    return job


def wake(g, old):
    """What @old had in memory goes on in @g."""
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
    dev = old.dev(0)
    boot_id = old.sh("cat /proc/sys/kernel/random/boot_id")
    busy = Busy(old, dev, "--iodepth=32")
    job = sleep(old)
    g = busy.g = boot(kernel=kernel, suspend=True, timeout=600, disks=disks())
    wake(g, old)
    job.wait(60)
    assert g.sh("cat /proc/sys/kernel/random/boot_id") == boot_id, \
        "it is not the system that went to sleep"
    busy.goes_on()
    busy.stop()
    verify(g, dev, "--size=8M")
