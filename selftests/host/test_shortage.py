# SPDX-License-Identifier: GPL-2.0
"""What a machine has too little of: interrupt vectors, bounce buffers, memory."""

from pathlib import Path

from faults.load import verify
from vbl import build_module
from vbl.disk import Disk

MAPPED = {"transport": "modern", "iommu_platform": True}
SELFTESTS = Path(__file__).resolve().parents[1]


def said(g):
    """What the driver said last."""
    return g.sh("dmesg | grep virtio-pci-lite | tail -n 20", check=False)


# -- memory that devices do not reach ------------------------------------------

def test_restricted_memory(boot, kernel):
    """A platform that restricts memory: ACCESS_PLATFORM, or no disk."""
    g = boot(kernel=kernel, driver=None, disks=[
        Disk(transport="modern"), Disk(transport="legacy"), Disk(**MAPPED)])
    module = build_module(g.kernel, source=SELFTESTS / "restricted")
    g.put("/restricted.ko", module.read_bytes())
    g.sh("insmod /restricted.ko; vbl_load")
    taken = [g.status(f"take_over {g.bdf(n)}", timeout=60)[0]
             for n in range(3)]
    assert [not t for t in taken] == [False, False, True], said(g)
    assert g.sh("dmesg").count("needs ACCESS_PLATFORM") == 2
    verify(g, g.sh(f"disk_of {g.bdf(2)}").strip(), "--size=4M")
    # Not restricted any more.
    g.sh(f"rmmod restricted; take_over {g.bdf(0)}", timeout=60)
