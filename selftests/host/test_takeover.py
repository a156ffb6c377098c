# SPDX-License-Identifier: GPL-2.0
"""bind-lite loses no disk: one that is in use stays where it is, and a move
that brings no disk is undone."""

import re

import pytest
from vbl import Disk, Guest

OURS, THEIRS = "virtio-pci-lite", "virtio-pci"


@pytest.fixture(scope="module")
def guest(kernel):
    """A guest whose disk upstream's driver has; the second has partitions."""
    with Guest(kernel, [Disk(size="32M"), Disk(size="32M")], None,
               modules=["pci-stub"], timeout=0) as g:
        g.sh("vbl_load_upstream; vbl_load")
        g.sh("for b in $(vbl_disks); do echo $b >/sys/bus/pci/drivers_probe; "
             "done")
        g.sh("printf 'o\nn\np\n1\n2048\n+8M\nn\np\n2\n32768\n+8M\nw\n' | "
             f"busybox fdisk /dev/{g.dev(1)}; test -b /dev/{g.dev(1)}2")
        yield g


@pytest.fixture
def theirs(guest):
    """The same, whatever the test before it left behind."""
    for n in range(2):
        bdf = guest.bdf(n)
        dev = f"/sys/bus/pci/devices/{bdf}"
        guest.sh(f"echo >{dev}/driver_override; "
                 f"if [ \"$(pci_driver {bdf})\" != {THEIRS} ] || ! disk_of {bdf};"
                 f"then echo {bdf} >{dev}/driver/unbind; "
                 f"echo {bdf} >/sys/bus/pci/drivers_probe; fi 2>/dev/null")
    everything_is(guest, THEIRS)
    return guest


def owner(g, n=0):
    return g.sh(f"pci_driver {g.bdf(n)}").strip()


def override(g, n=0):
    return g.sh(f"cat /sys/bus/pci/devices/{g.bdf(n)}/driver_override").strip()


def everything_is(g, driver):
    for n in range(2):
        assert (owner(g, n), override(g, n)) == (
            driver, OURS if driver == OURS else "(null)")
        g.sh(f"dd if=/dev/{g.dev(n)} of=/dev/null bs=64k count=4 iflag=direct")


def complaint(g, command):
    """The one line of standard error that a failing command leaves."""
    status, out = g.status(f"{command} 2>&1 >/dev/null")
    lines = out.splitlines()
    assert status == 1 and len(lines) == 1, (status, out)
    assert lines[0].startswith("bind-lite: ")
    return lines[0]


# -- a move that brings no disk is undone ------------------------------------

def bus(g, name, probe):
    """Let the bus @name probe new devices by itself, or not."""
    g.sh(f"echo {int(probe)} >/sys/bus/{name}/drivers_autoprobe")


@pytest.fixture
def refusing(theirs):
    """Our transport takes a function, and our disk driver never a disk."""
    bus(theirs, "virtio-lite", False)
    yield theirs
    bus(theirs, "virtio-lite", True)


@pytest.mark.parametrize("n", [0, 1])
def test_ours_refuses(refusing, n):
    """Upstream's has the disk again, by the same name, with its data."""
    g = refusing
    name, data = g.dev(n), g.sh(f"md5sum </dev/{g.dev(n)}")
    line = complaint(g, f"bind-lite {g.bdf(n)}")
    assert g.bdf(n) in line and f"{THEIRS} again, disk {name}" in line
    everything_is(g, THEIRS)
    assert g.dev(n) == name and g.sh(f"md5sum </dev/{name}") == data


def test_ours_refuses_a_free_disk(refusing):
    """What no driver had, no driver has."""
    g, bdf = refusing, refusing.bdf(0)
    g.sh(f"echo {bdf} >/sys/bus/pci/drivers/{THEIRS}/unbind")
    try:
        line = complaint(g, f"bind-lite {bdf}")
        assert "no driver" in line
        assert (owner(g), override(g)) == ("", "(null)")
    finally:
        g.sh(f"echo {bdf} >/sys/bus/pci/drivers_probe")


def test_upstream_refuses(theirs):
    """Back to upstream's, which has no disk driver for it: ours keeps it."""
    g, bdf = theirs, theirs.bdf(0)
    g.sh(f"bind-lite {bdf}")
    bus(g, "virtio", False)
    try:
        name = g.dev(0)
        line = complaint(g, f"bind-lite {bdf} --back")
        assert f"{OURS} again, disk {name}" in line
        assert (owner(g), override(g), g.dev(0)) == (OURS, OURS, name)
        g.sh(f"dd if=/dev/{name} of=/dev/null bs=64k count=4 iflag=direct")
    finally:
        bus(g, "virtio", True)
    g.sh(f"bind-lite {bdf} --back")


def test_no_undo(theirs):
    """Nor does upstream's take it back: said plainly, and mendable."""
    g, bdf = theirs, theirs.bdf(0)
    bus(g, "virtio-lite", False)
    bus(g, "virtio", False)
    try:
        line = complaint(g, f"bind-lite {bdf}")
        assert "no disk" in line and override(g) == "(null)"
    finally:
        bus(g, "virtio-lite", True)
        bus(g, "virtio", True)
    g.sh(f"echo {bdf} >/sys/bus/pci/drivers/{THEIRS}/unbind; "
         f"echo {bdf} >/sys/bus/pci/drivers_probe")


def test_interrupted(theirs):
    """Control-C in the middle does not leave half a move."""
    g, bdf = theirs, theirs.bdf(0)
    g.sh("for i in 1 2 3 4 5 6 7 8; do"
         f" bind-lite {bdf} >/dev/null 2>&1 & p=$!; usleep ${{i}}0000;"
         " kill -TERM $p; wait $p;"
         f" d=$(disk_of {bdf}) || exit 1;"
         f" [ -n \"$(pci_driver {bdf})\" ] || exit 1;"
         f" bind-lite {bdf} --back >/dev/null || exit 1; done", timeout=60)


# -- a disk in use stays -----------------------------------------------------

USES = {
    "mounted elsewhere": (
        0, "mkfs.ext4 -q $disk; (exec unshare -m sh -c 'mount $disk "
        "/mnt && touch /tmp/there && exec sleep 1000') & "
        "echo $! >/tmp/pid; wait_for 20 test -e /tmp/there",
        "mounted on /mnt"),
    "mounted elsewhere, partition": (
        1, "mkfs.ext4 -q ${disk}2; (exec unshare -m sh -c 'mount ${disk}2 "
        "/mnt && touch /tmp/there && exec sleep 1000') & "
        "echo $! >/tmp/pid; wait_for 20 test -e /tmp/there",
        "mounted on /mnt"),
    "open": (
        0, "sleep 1000 <$disk & echo $! >/tmp/pid", "open in process"),
    "open, partition": (
        1, "sleep 1000 <${disk}1 & echo $! >/tmp/pid", "open in process"),
    "open by another node": (
        0, "mknod /tmp/other b $(sed 's/:/ /' /sys/class/block/$name/dev); "
        "sleep 1000 </tmp/other & echo $! >/tmp/pid", "open in process"),
    # Nothing but the kernel knows of this one.
    "unmounted lazily": (
        0, "mkfs.ext4 -q $disk; mount $disk /mnt; exec 8>/mnt/f; "
        "sleep 1000 & echo $! >/tmp/pid; umount -l /mnt",
        "in use by the kernel"),
    "unmounted lazily, partition": (
        1, "mkfs.ext4 -q ${disk}1; mount ${disk}1 /mnt; exec 8>/mnt/f; "
        "sleep 1000 & echo $! >/tmp/pid; umount -l /mnt",
        "in use by the kernel"),
    "loop by another node": (
        0, "mknod /tmp/other b $(sed 's/:/ /' /sys/class/block/$name/dev); "
        "losetup /dev/loop0 /tmp/other", "held by block/loop0"),
    "swap by another node": (
        0, "mkswap $disk >/dev/null; sync; mknod /tmp/other b "
        "$(sed 's/:/ /' /sys/class/block/$name/dev); swapon /tmp/other",
        "use"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("back", [False, True], ids=["take", "back"])
def test_in_use(theirs, use, back):
    """Refused, with who it is; the user of the disk notices nothing."""
    g = theirs
    n, command, words = USES[use]
    where = OURS if back else THEIRS
    bdf = g.bdf(n)
    if back:
        g.sh(f"bind-lite {bdf}")
    name = g.dev(n)
    g.sh("rm -f /tmp/there /tmp/other /tmp/pid; modprobe loop; modprobe ext4; "
         f"export name={name} disk=/dev/{name}; {command}")
    try:
        line = complaint(g, f"bind-lite {bdf} {'--back' if back else ''}")
        assert words in line and name in line
        if "process" in words:
            assert g.sh("cat /tmp/pid").strip() in line and "sleep" in line
        assert owner(g, n) == where and g.dev(n) == name
        g.sh(f"dd if=/dev/{name} of=/dev/null bs=4k count=8 iflag=direct")
    finally:
        g.sh("[ ! -e /tmp/pid ] || kill $(cat /tmp/pid); "
             "swapoff /tmp/other 2>/dev/null; "
             "losetup -d /dev/loop0 2>/dev/null; true")
        # The kernel lets go of a file system after its last file.
        g.sh(f"wait_for 20 blockdev --rereadpt /dev/{name}")
    g.sh(f"bind-lite {bdf} {'--back' if back else ''}")
    assert owner(g, n) == (THEIRS if back else OURS)


def test_other_driver(theirs):
    """A function that somebody else's driver has is not ours to move."""
    g, bdf = theirs, theirs.bdf(0)
    g.sh("modprobe pci-stub")
    dev = f"/sys/bus/pci/devices/{bdf}"
    g.sh(f"echo pci-stub >{dev}/driver_override; echo {bdf} >{dev}/driver/unbind;"
         f"echo {bdf} >/sys/bus/pci/drivers_probe")
    try:
        for way in "", "--back":
            assert "pci-stub" in complaint(g, f"bind-lite {bdf} {way}")
            assert (owner(g), override(g)) == ("pci-stub", "pci-stub")
    finally:
        g.sh(f"echo >{dev}/driver_override; echo {bdf} >{dev}/driver/unbind; "
             f"echo {bdf} >/sys/bus/pci/drivers_probe")


def test_names(theirs):
    """What is no disk, or not a virtio disk, is called by what was typed."""
    for word in "vdz", "/dev/vdb1x", "0000:00:19.0", "nvme0n1":
        line = complaint(theirs, f"bind-lite {word}")
        assert re.search(rf"{re.escape(word)}\b", line)
