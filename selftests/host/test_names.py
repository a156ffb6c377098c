# SPDX-License-Identifier: GPL-2.0
"""Names of disks: nobody gets one that another driver's next disk wants."""

import pytest
from vbl import Disk

WARNING = "virtio_blk may want this name for a disk that comes later"


def plug(g, disk):
    """Plug a disk in, which virtio_blk gets; its name."""
    g.plug(disk)
    return g.dev(disk)


def owned(g, n):
    """(driver, name) of a disk, which can be read."""
    g.sh(f"dd if=/dev/{g.dev(n)} of=/dev/null bs=64k count=2 iflag=direct")
    return g.sh(f"pci_driver {g.bdf(n)}").strip(), g.dev(n)


OURS, THEIRS = "virtio-pci-lite", "virtio-pci"


def test_moved_disk_keeps_its_name(boot, kernel):
    """And so does whatever virtio_blk gets while it is here, and later."""
    later = [Disk(hotplug=True, size="8M") for _ in range(2)]
    g = boot(kernel=kernel, driver=None, disks=[Disk(), Disk(), *later])
    for disk in later:
        disk.blockdevs(g.folder)
    g.sh("vbl_load_upstream")
    for n in range(2):
        g.sh(f"[ -n \"$(pci_driver {g.bdf(n)})\" ] || "
             f"echo {g.bdf(n)} >/sys/bus/pci/drivers_probe")
    before = [owned(g, n) for n in range(2)]
    assert before == [(THEIRS, "vda"), (THEIRS, "vdb")]
    g.sh("vbl_load")
    mark = g.dmesg_mark("moved")

    g.sh(f"take_over {g.bdf(1)}")
    assert owned(g, 1) == (OURS, "vdb")
    assert plug(g, later[0]) == "vdc"
    # The other way round, too: the first one moves, and goes back last.
    g.sh(f"take_over {g.bdf(0)}")
    assert owned(g, 0) == (OURS, "vda")
    assert plug(g, later[1]) == "vdd"
    assert WARNING not in g.dmesg_since(mark)

    # Gone from here, and here again.
    g.sh(f"echo {g.bdf(1)} >/sys/bus/pci/drivers/{OURS}/unbind; "
         f"echo {g.bdf(1)} >/sys/bus/pci/drivers_probe")
    assert owned(g, 1) == (OURS, "vdb")
    for n in range(2):
        g.sh(f"give_back {g.bdf(n)}")
    assert [owned(g, n) for n in range(2)] == before
    g.dmesg_check(mark)
    # Nothing of theirs is held any more.
    g.sh("vbl_unload; ! [ -e /sys/module/virtio_blk/refcnt ] || "
         "grep -qx 0 /sys/module/virtio_blk/refcnt")


@pytest.mark.full
def test_any_order_back(boot, kernel):
    """Disks that were moved go back in any order, under their names."""
    g = boot(kernel=kernel, driver=None, disks=[Disk(), Disk()])
    g.sh("vbl_load_upstream; for b in $(vbl_disks); do "
         "[ -n \"$(pci_driver $b)\" ] || echo $b >/sys/bus/pci/drivers_probe; "
         "done; vbl_load; vbl_take_all")
    for n in (1, 0):
        at = f"/sys/bus/pci/devices/{g.bdf(n)}"
        g.sh(f"echo {THEIRS} >{at}/driver_override; "
             f"echo {g.bdf(n)} >{at}/driver/unbind; "
             f"echo {g.bdf(n)} >/sys/bus/pci/drivers_probe")
    assert [owned(g, n) for n in range(2)] == \
        [(THEIRS, "vda"), (THEIRS, "vdb")]


@pytest.mark.full
@pytest.mark.parametrize("late", [
    False, pytest.param(True, marks=pytest.mark.full)])
def test_new_disk_is_told(boot, kernel, late):
    """A disk that virtio_blk never had gets the first name, and a warning
    where virtio_blk is there or comes."""
    if late and kernel.series != "6.1":
        pytest.skip("virtio_blk is a part of this kernel")
    new = Disk(hotplug=True, size="8M")
    g = boot(kernel=kernel, driver=None, disks=[Disk(), new])
    new.blockdevs(g.folder)
    if late:
        g.sh("vbl_load; vbl_take_all")
        mark = g.dmesg_mark("late")
        g.sh("vbl_load_upstream")
        assert "knows nothing of 1 names" in g.dmesg_since(mark)
        return
    g.sh("vbl_load_upstream; [ -n \"$(pci_driver " + g.bdf(0) + ")\" ] || "
         f"echo {g.bdf(0)} >/sys/bus/pci/drivers_probe; vbl_load")
    assert plug(g, new) == "vdb"
    mark = g.dmesg_mark("new")
    # Taken from virtio_blk before it is said who gets it: not moved.
    at = f"/sys/bus/pci/devices/{g.bdf(new)}"
    g.sh(f"echo {g.bdf(new)} >{at}/driver/unbind; "
         f"echo {OURS} >{at}/driver_override; "
         f"echo {g.bdf(new)} >/sys/bus/pci/drivers_probe")
    assert owned(g, 1) == (OURS, "vdb")
    log = g.dmesg_since(mark)
    assert log.count(WARNING) == 1 and f"{g.bdf(new)}: vdb: " in log
