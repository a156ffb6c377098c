# SPDX-License-Identifier: GPL-2.0
"""Who owns a disk: the module alone, and disks moved between drivers."""

import pytest
from vbl import Disk, Guest


@pytest.fixture(scope="module")
def guest(kernel):
    """A guest with two disks that nobody but its kernel has touched."""
    with Guest(kernel, [Disk(size="32M"), Disk(size="32M")], None,
               timeout=0) as g:
        yield g


@pytest.fixture
def ours(guest):
    """The same guest, with both disks in our hands."""
    guest.sh("[ -d /sys/module/virtio_lite ] || vbl_load; vbl_take_all")
    return guest


def owners(g):
    return [g.sh(f"pci_driver {g.bdf(n)}").strip() for n in range(2)]


def test_load(guest):
    """Free disks are claimed at once; owned ones stay where they are."""
    before = owners(guest)
    mark = guest.dmesg_mark("load")
    guest.sh("vbl_load")
    for was, now in zip(before, owners(guest)):
        assert now == (was or "virtio-pci-lite")
    guest.dmesg_check(mark)


def test_take_over(ours):
    mark = ours.dmesg_mark("take over")
    assert owners(ours) == ["virtio-pci-lite"] * 2
    for n in range(2):
        v = ours.sh(f"virtio_of {ours.bdf(n)}").strip()
        assert ours.sh(f"readlink -f {v}/driver").strip() == \
            "/sys/bus/virtio-lite/drivers/virtio_blk_lite"
        assert ours.sh(f"readlink -f {v}/subsystem").strip() == \
            "/sys/bus/virtio-lite"
        # The same names as on the virtio bus, for scripts that read these.
        assert set(ours.sh(f"ls {v}").split()) >= \
            {"block", "device", "driver", "features", "status", "vendor"}
        ours.sh(f"dd if=/dev/{ours.dev(n)} of=/dev/null bs=1M count=8 "
                 "iflag=direct")
    again = ours.sh(f"take_over {ours.bdf(0)}")
    assert "unbinding" not in again
    ours.dmesg_check(mark)


def test_refuses_a_used_disk(ours):
    ours.sh(f"mkfs.ext4 -q /dev/{ours.dev(0)} && "
             f"mount /dev/{ours.dev(0)} /mnt")
    status, out = ours.status(f"give_back {ours.bdf(0)}")
    ours.sh("umount /mnt")
    assert status == 1 and "mounted on /mnt" in out
    assert owners(ours)[0] == "virtio-pci-lite"


def test_give_back_one(ours):
    """One disk goes back, with its data; the other one stays."""
    mark = ours.dmesg_mark("give back")
    data = ours.sh(f"head -c 1048576 /dev/urandom >/tmp/r; "
                    f"dd if=/tmp/r of=/dev/{ours.dev(0)} bs=1M "
                    "conv=fsync 2>/dev/null; sha256sum </tmp/r")
    ours.sh(f"give_back {ours.bdf(0)}")
    assert owners(ours) == ["virtio-pci", "virtio-pci-lite"]
    assert ours.sh(f"virtio_driver {ours.bdf(0)}") == "virtio_blk\n"
    assert ours.sh(f"head -c 1048576 /dev/{ours.dev(0)} | sha256sum") == data
    ours.sh(f"take_over {ours.bdf(0)}")
    assert ours.sh(f"head -c 1048576 /dev/{ours.dev(0)} | sha256sum") == data
    ours.dmesg_check(mark)


def test_give_back_in_order(ours):
    """The kernel's driver would lose a disk whose next name we hold."""
    status, out = ours.status(f"give_back {ours.bdf(1)}")
    assert status == 1 and "give back vda first" in out
    assert owners(ours) == ["virtio-pci-lite"] * 2
    for n in range(2):
        ours.sh(f"give_back {ours.bdf(n)}")
        ours.sh(f"dd if=/dev/{ours.dev(n)} of=/dev/null bs=1M count=8 "
                "iflag=direct")
    assert owners(ours) == ["virtio-pci"] * 2
    ours.sh("vbl_take_all")


def test_unload(ours):
    """The module leaves, and the disks are free for anyone."""
    mark = ours.dmesg_mark("unload")
    ours.sh("vbl_unload")
    assert owners(ours) == ["", ""]
    assert ours.sh("cat /proc/partitions | grep -c vd", check=False) == "0\n"
    ours.sh("vbl_load && vbl_take_all")
    assert owners(ours) == ["virtio-pci-lite"] * 2
    ours.dmesg_check(mark)
