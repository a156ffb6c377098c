# SPDX-License-Identifier: GPL-2.0
"""virtio-lite shows which driver has a disk, says what stands against a move,
and moves it; what it cannot do it says in one line, and the disk stays."""

import re

import pytest
from vbl import Disk, Guest

OURS, THEIRS = "virtio-pci-lite", "virtio-pci"


@pytest.fixture(scope="module")
def guest(kernel):
    """A guest whose disks upstream's driver has."""
    disks = [Disk(size="32M", transport="legacy", serial="first"),
             Disk(size="32M", transport="modern", serial="second",
                  num_queues=2),
             Disk(size="32M", transport="modern", packed=True)]
    with Guest(kernel, disks, None, modules=["pci-stub", "dm-mod"],
               timeout=0) as g:
        g.sh("vbl_load_upstream")
        yield g


@pytest.fixture
def loaded(guest):
    guest.sh("[ -d /sys/module/virtio_lite ] || vbl_load")
    yield guest
    # In the order of their names; see test_bind.py.
    guest.sh("for b in $(vbl_disks); do virtio-lite unbind $b || exit 1; done")


def driver(g, n):
    return g.sh(f"pci_driver {g.bdf(n)}").strip()


def complaint(g, command):
    """The one line of standard error that a failing command leaves."""
    status, out = g.status(f"{command} 2>&1 >/dev/null")
    lines = out.splitlines()
    assert status == 1 and len(lines) == 1, (status, out)
    assert lines[0].startswith("virtio-lite: ")
    return lines[0]


def table(g):
    """virtio-lite list, as {address: {heading: cell}}."""
    head, *rows = g.sh("virtio-lite list").splitlines()
    at = [m.start() for m in re.finditer(r"\S+(?: \S+)*", head)] + [None]
    cells = [[row[a:b].strip() for a, b in zip(at, at[1:])]
             for row in [head, *rows]]
    return {row[1]: dict(zip(cells[0], row)) for row in cells[1:]}


# The guest's module is not where modprobe finds it, so this comes first.
def test_not_loaded(guest):
    assert driver(guest, 0) == THEIRS
    line = complaint(guest, f"virtio-lite bind {guest.bdf(0)}")
    assert "load virtio_lite.ko first" in line
    assert f"install linux-headers-{guest.kernel.release}" in line
    line = complaint(guest, f"virtio-lite persist on {guest.bdf(0)}")
    assert "nothing is changed" in line
    assert guest.status("test -e /etc/virtio-lite")[0] == 1
    assert driver(guest, 0) == THEIRS


def test_list(loaded):
    """Each disk, by both drivers."""
    g = loaded
    g.sh(f"virtio-lite bind {g.dev(1)}")
    g.sh(f"mkfs.ext4 -q /dev/{g.dev(2)} && mount /dev/{g.dev(2)} /mnt")
    try:
        rows = table(g)
    finally:
        g.sh("umount /mnt")
    assert list(rows) == [g.bdf(n) for n in range(3)]
    first, second, third = rows.values()
    assert (first["DRIVER"], second["DRIVER"]) == \
        ("virtio_blk", "virtio_blk_lite")
    assert (first["TRANSPORT"], second["TRANSPORT"]) == ("legacy", "modern")
    assert second["QUEUES"] == "2" and second["VECTORS"] == "3"
    assert (first["IN USE"], third["IN USE"]) == \
        ("-", f"{g.dev(2)} mounted on /mnt")
    assert "packed" in third["FEATURES"].split(",")
    assert "version_1" in second["FEATURES"].split(",")
    assert "version_1" not in first["FEATURES"].split(",")
    for n, row in enumerate(rows.values()):
        assert row["DISK"] == g.dev(n)


def test_status(loaded):
    g = loaded
    g.sh(f"virtio-lite bind {g.bdf(0)}")
    out = g.sh(f"virtio-lite status {g.dev(0)}")
    assert f"{g.bdf(0)}: {g.dev(0)}" in out
    assert "virtio_blk_lite on virtio-pci-lite" in out
    assert re.search(r"serial: +first\n", out)
    assert re.search(r"size: +32 MB\n", out)
    assert re.search(r"errors: .*lost_interrupts 0", out)
    everything = g.sh("virtio-lite status")
    assert "module: loaded" in everything
    assert "chosen for every boot: none" in everything
    assert everything.count("transport:") == 3


def test_moves(loaded):
    """There and back, with the data, by any name of the disk."""
    g = loaded
    data = g.sh(f"head -c 1048576 /dev/urandom >/tmp/r; dd if=/tmp/r "
                f"of=/dev/{g.dev(0)} bs=1M conv=fsync 2>/dev/null; "
                "sha256sum </tmp/r")
    for name in g.dev(0), f"/dev/{g.dev(0)}", g.bdf(0)[5:]:
        out = g.sh(f"virtio-lite bind {name}")
        assert f"driver {OURS}, disk {g.dev(0)}" in out
        assert g.sh(f"head -c 1048576 /dev/{g.dev(0)} | sha256sum") == data
        assert driver(g, 0) == OURS
        g.sh(f"virtio-lite unbind {name}")
        assert driver(g, 0) == THEIRS
    assert g.sh(f"cat /sys/bus/pci/devices/{g.bdf(0)}/driver_override") == \
        "(null)\n"


# (what makes it used, with $disk; how it ends; what check says)
USES = {
    "mounted": ("mkfs.ext4 -q $disk; mount $disk /mnt", "umount /mnt",
                "mounted on /mnt"),
    "swap": ("mkswap $disk >/dev/null; swapon $disk", "swapoff $disk",
             "used as swap"),
    "open": ("sleep 1000 <$disk & echo $! >/tmp/pid", "kill $(cat /tmp/pid)",
             "open in process"),
    "namespace": ("unshare -m -p -f sleep 1000 <$disk & "
                  "wait_for 20 pidof sleep; pidof sleep >/tmp/pid",
                  "kill -9 $(cat /tmp/pid); "
                  "wait_for 20 sh -c '! pidof unshare'", "open in process"),
    "loop": ("losetup /dev/loop0 $disk", "losetup -d /dev/loop0",
             "held by block/loop0"),
    "lazy": ("mkfs.ext4 -q $disk; mount $disk /mnt; exec 8>/mnt/f; "
             "sleep 1000 & echo $! >/tmp/pid; umount -l /mnt",
             "kill $(cat /tmp/pid)", "in use by the kernel"),
}


@pytest.mark.parametrize("use", USES)
def test_check(loaded, use):
    """What check says of a disk in use, and that bind leaves it alone."""
    g = loaded
    begin, end, words = USES[use]
    name = g.dev(0)
    g.sh(f"modprobe loop; modprobe ext4; disk=/dev/{name}; {begin}")
    try:
        status, out = g.status("virtio-lite check")
        assert status == 1
        here, *others = out.splitlines()
        assert here.startswith(f"{g.bdf(0)} {name}: stays: ")
        assert words in here
        assert all("can be moved to" in line for line in others)
        assert len(others) == 2
        assert g.status(f"virtio-lite check {name}") == (1, here + "\n")
        assert words in complaint(g, f"virtio-lite bind {name}")
        assert driver(g, 0) == THEIRS
    finally:
        g.sh(f"disk=/dev/{name}; {end}")
        g.sh(f"wait_for 20 blockdev --rereadpt /dev/{name}")
    assert g.sh(f"virtio-lite check {name}") == \
        f"{g.bdf(0)} {name}: can be moved to {OURS}\n"


def test_check_order(loaded):
    """A disk whose name virtio_blk would not get stays, and check says so."""
    g = loaded
    for n in range(3):
        g.sh(f"virtio-lite bind {g.bdf(n)}")
    status, out = g.status(f"virtio-lite check {g.bdf(1)}")
    assert status == 1 and f"give back {g.dev(0)} first" in out


def test_top(loaded):
    """Reads that a person makes show, on the disk and its vectors."""
    g = loaded
    g.sh(f"virtio-lite bind {g.bdf(1)}")
    name = g.dev(1)
    load = g.start(f"while :; do dd if=/dev/{name} of=/dev/null bs=4k "
                   "count=200 iflag=direct 2>/dev/null; done")
    out = g.sh(f"virtio-lite top -d 1 -n 2 {name}", timeout=60)
    load.kill()
    g.sh(f"wait_for 20 virtio-lite check {name}")
    rows = [line.split() for line in out.splitlines()
            if line.startswith(name)]
    assert len(rows) == 2 and all(float(row[1]) > 10 for row in rows), out
    irqs = re.findall(r"virtio\d+-req\.\d +(\d+) interrupts/s", out)
    assert len(irqs) == 4 and sum(map(int, irqs)) > 10, out
    assert re.search(r"queue 0 +\d+ of \d+ tags busy", out)
    assert re.search(r"requests", out), out


@pytest.mark.parametrize("command, words", [
    ("bind 00:1e.0", "not a virtio block disk"),
    ("bind 0000:00:15.0", "no such PCI function"),
    ("bind vdz", "vdz: no such"),
    ("unbind nvme0n1", "nvme0n1"),
    ("check vdz", "vdz: no such"),
    ("list vdz", "vdz: no such"),
    ("status vdz", "vdz: no such"),
    ("bind vda vdb", "only one disk at a time"),
    ("bind --fast vda", "unknown option --fast"),
    ("frob", "unknown command frob"),
    ("persist maybe", "on or off"),
    ("persist on", "needs a disk"),
    ("persist on vda vdb", "only one choice"),
    ("persist on vdz", "vdz: no such"),
    ("persist on --fast", "unknown option --fast"),
    ("persist off vda", "is not chosen"),
    ("top -d x", "-d needs a number"),
    ("top -n 0", "-n needs a number"),
    ("top vdz", "vdz: no such"),
])
def test_bad_use(loaded, command, words):
    g = loaded
    assert words in complaint(g, f"virtio-lite {command}")
    assert [driver(g, n) for n in range(3)] == [THEIRS] * 3


def test_nobody(loaded):
    """Without permission nothing is moved, and it is said."""
    g = loaded
    g.sh("grep -q nobody /etc/passwd 2>/dev/null || "
         "echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd")
    for command in "bind vda", "unbind vda", "check", "persist on vda", \
            "persist off":
        line = complaint(g, f"su nobody -c 'virtio-lite {command}'")
        assert "only root can" in line
    assert g.bdf(0) in g.sh("su nobody -c 'virtio-lite list'")


def test_other_driver(loaded):
    """A function that pci-stub has stays there."""
    g, bdf = loaded, loaded.bdf(2)
    dev = f"/sys/bus/pci/devices/{bdf}"
    g.sh(f"modprobe pci-stub; echo pci-stub >{dev}/driver_override; "
         f"echo {bdf} >{dev}/driver/unbind;"
         f"echo {bdf} >/sys/bus/pci/drivers_probe")
    try:
        assert "pci-stub" in complaint(g, f"virtio-lite bind {bdf}")
        status, out = g.status(f"virtio-lite check {bdf}")
        assert status == 1 and "stays: pci-stub has it" in out
        assert table(g)[bdf]["DRIVER"] == "pci-stub"
    finally:
        g.sh(f"echo >{dev}/driver_override; echo {bdf} >{dev}/driver/unbind; "
             f"echo {bdf} >/sys/bus/pci/drivers_probe")


def test_removed(boot, kernel):
    """A device that was pulled out is named by what was typed."""
    late = Disk(hotplug=True)
    g = boot(kernel=kernel, driver=None, disks=[late])
    g.sh("vbl_load_upstream && vbl_load")
    g.plug(late)
    name, bdf = g.sh("wait_for 20 sh -c '. /lib/vbl.sh; "
                     "disk_of $(vbl_disks)'").strip(), g.bdf(late)
    g.unplug(late)
    for what in name, bdf:
        line = complaint(g, f"virtio-lite bind {what}")
        assert f"{what}: no such PCI function or disk" in line
