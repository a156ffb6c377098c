# SPDX-License-Identifier: GPL-2.0
"""The choice that lasts: at boot the chosen disks go to this driver, all others
stay, and whatever fails leaves them with upstream's, which the log says."""

import pytest
from vbl import Disk, Guest

OURS, THEIRS = "virtio-pci-lite", "virtio-pci"
BOOT = "/usr/lib/virtio-lite/boot"

# As before udev starts at boot: no disk driver, whoever the functions are with.
AT_BOOT = """
    umount /proc/cmdline 2>/dev/null
    rm -rf /etc/virtio-lite /run/virtio-lite.noted
    # It holds virtio_blk for the names of disks that were moved.
    [ ! -d /sys/module/virtio_lite ] || rmmod virtio_lite || exit 1
    [ ! -d /sys/module/virtio_blk ] || rmmod virtio_blk || exit 1
    # All leave, and come in the order of their addresses.
    for b in $(vbl_disks); do
        echo >/sys/bus/pci/devices/$b/driver_override
        [ -z "$(pci_driver $b)" ] ||
            echo $b >/sys/bus/pci/devices/$b/driver/unbind
    done
    for b in $(vbl_disks); do
        echo $b >/sys/bus/pci/drivers_probe
    done 2>/dev/null
    mkdir -p /lib/modules/$(uname -r)/updates
    cp /virtio_lite.ko /lib/modules/$(uname -r)/updates/ && depmod
"""


@pytest.fixture(scope="module")
def guest(kernel):
    """Three disks, a device of virtio that is none, and room for two more."""
    disks = [Disk(size="32M", transport="legacy", serial="first"),
             Disk(size="32M", transport="modern", serial="the  second"),
             Disk(size="32M"),
             Disk(size="32M", hotplug=True, serial="late"),
             Disk(size="32M", hotplug=True)]
    with Guest(kernel, disks, None, timeout=0,
               devices=["-device virtio-rng-pci,addr=0x18"]) as g:
        yield g


@pytest.fixture
def at_boot(guest):
    guest.sh(AT_BOOT)
    guest.dmesg_mark("boot")
    yield guest


def choose(g, *lines):
    g.put("/etc/virtio-lite/disks", "".join(f"{line}\n" for line in lines))


def boot(g):
    """What the initramfs runs, and what the kernel log says of it then."""
    mark = g.dmesg_mark("choice")
    g.sh(BOOT, timeout=60)
    # udev loads it for whatever is left.
    g.sh("vbl_load_upstream")
    return [line.partition("virtio-lite: ")[2] for line in
            g.dmesg_since(mark).splitlines() if "virtio-lite: " in line]


def driver(g, n):
    return g.sh(f"pci_driver {g.bdf(n)}").strip()


def owners(g, names=("vda", "vdb", "vdc")):
    """Who has the disks, which all have the names that upstream's gives."""
    assert [g.dev(n) for n in range(3)] == list(names)
    assert g.sh("pci_driver 0000:00:18.0").strip() in ("", THEIRS)
    for n in range(3):
        g.sh(f"dd if=/dev/{g.dev(n)} of=/dev/null bs=64k count=4 iflag=direct")
        assert g.sh(f"cat /sys/bus/pci/devices/{g.bdf(n)}/driver_override") \
            in ("(null)\n", "\n" if driver(g, n) == THEIRS else f"{OURS}\n")
    return [driver(g, n) for n in range(3)]


def test_no_choice(at_boot):
    assert boot(at_boot) == []
    assert owners(at_boot) == [THEIRS] * 3
    assert "virtio_lite" not in at_boot.sh("lsmod")


def test_all(at_boot):
    g = at_boot
    choose(g, "all")
    g.sh(BOOT, timeout=60)
    assert "virtio_blk" not in g.sh("lsmod")
    assert owners(g) == [OURS] * 3


@pytest.mark.full
@pytest.mark.parametrize("how", ["address", "serial"])
@pytest.mark.parametrize("n", range(2))
def test_one(at_boot, n, how):
    """Only that one, and it keeps its name; so do the others."""
    g = at_boot
    serial = ["serial=first", "serial=the  second"][n]
    choose(g, "serial=somebody else's", "0000:00:1f.7",
           g.bdf(n) if how == "address" else serial)
    assert boot(g) == [f"{g.bdf(n)}: vd{'ab'[n]} is with virtio_lite, "
                       "as chosen"]
    assert owners(g) == [OURS if i == n else THEIRS for i in range(3)]


def test_off(at_boot):
    """virtio_lite=off on the command line: as without a choice."""
    g = at_boot
    choose(g, "all")
    g.sh("sed 's/$/ virtio_lite=off/' /proc/cmdline >/tmp/cmdline && "
         "mount --bind /tmp/cmdline /proc/cmdline")
    assert boot(g) == []
    assert owners(g) == [THEIRS] * 3


def test_no_module(at_boot):
    g = at_boot
    choose(g, "all")
    g.sh("rm /lib/modules/*/updates/virtio_lite.ko; depmod")
    why, = boot(g)
    assert "stay with the kernel's own driver" in why
    assert f"not there for Linux {g.kernel.release}" in why
    assert owners(g) == [THEIRS] * 3
    # Later events say it no more.
    mark = g.dmesg_mark("later")
    g.sh(f"virtio-lite plug {g.bdf(0)}")
    assert "virtio-lite:" not in g.dmesg_since(mark)


@pytest.mark.full
def test_broken_module(at_boot):
    g = at_boot
    choose(g, "all")
    g.sh("truncate -s 4096 /lib/modules/*/updates/virtio_lite.ko")
    why, = boot(g)
    assert "stay with the kernel's own driver" in why
    assert owners(g) == [THEIRS] * 3


@pytest.mark.full
def test_not_taken(at_boot):
    """Our transport has it and our disk driver does not: it goes back."""
    g = at_boot
    choose(g, "all")
    g.sh("vbl_load_upstream; vbl_load; "
         "echo 0 >/sys/bus/virtio-lite/drivers_autoprobe")
    said = boot(g)
    assert len(said) == 3
    for n in range(3):
        assert f"{g.bdf(n)}: virtio_lite does not take it" in said[n]
    assert owners(g) == [THEIRS] * 3


def plug(g, n):
    """Plug in a disk, and run what the rule of udev does."""
    g.plug(g.disks[n])
    bdf = g.bdf(n)
    g.sh(f"virtio-lite plug {bdf}")
    return bdf


@pytest.mark.full
@pytest.mark.parametrize("lines, wanted", [
    (["serial=late"], OURS), (["all"], OURS), (["serial=first"], THEIRS)])
def test_plug(at_boot, lines, wanted):
    """A chosen disk that comes later is taken too, and no other one."""
    g = at_boot
    choose(g, *lines)
    boot(g)
    bdf = plug(g, 3)
    try:
        assert g.sh(f"pci_driver {bdf}").strip() == wanted or \
            wanted == THEIRS and "a name of its disks is taken" in \
            g.sh("dmesg | tail")
        name = g.dev(3)
        g.sh(f"dd if=/dev/{name} of=/dev/null bs=64k count=4 iflag=direct")
    finally:
        g.unplug(g.disks[3])


def test_plug_in_use(at_boot):
    """A disk that somebody uses stays where it is."""
    g = at_boot
    g.sh("vbl_load_upstream")
    name = g.dev(2)
    g.sh(f"mkfs.ext4 -q /dev/{name} && mount /dev/{name} /mnt")
    choose(g, "all")
    mark = g.dmesg_mark("plug")
    try:
        g.sh(f"virtio-lite plug {g.bdf(2)}")
        assert driver(g, 2) == THEIRS
        assert "but stays with virtio-pci: " \
            f"/dev/{name} is mounted on /mnt" in g.dmesg_since(mark)
    finally:
        g.sh("umount /mnt")


# -- persist -----------------------------------------------------------------

# Stands for the one of initramfs-tools: says what it finds.
TOOL = """#!/bin/sh
echo "$*" >>/tmp/calls
cat /etc/virtio-lite/disks >/tmp/found 2>/dev/null || echo nothing >/tmp/found
[ ! -e /tmp/fail ] && cp /tmp/found /boot/initrd.img-$(uname -r)
"""


@pytest.fixture
def persist(at_boot):
    g = at_boot
    g.put("/bin/update-initramfs", TOOL, 0o755)
    g.sh("rm -f /tmp/calls /tmp/found /tmp/fail; vbl_load_upstream; "
         "mkdir -p /boot; : >/boot/initrd.img-$(uname -r)")
    yield g
    g.sh("rm -f /bin/update-initramfs")


def test_persist(persist):
    """One choice after the other, and back to nothing."""
    g = persist
    g.sh(f"virtio-lite persist on {g.dev(1)}")
    assert g.sh("cat /tmp/found") == f"{g.bdf(1)}\n"
    g.sh("virtio-lite persist on 'serial=the  second'")
    g.sh("virtio-lite persist on --all; virtio-lite persist on --all")
    assert g.sh("cat /tmp/found /etc/virtio-lite/disks") == \
        f"{g.bdf(1)}\nserial=the  second\nall\n" * 2
    assert driver(g, 1) == THEIRS
    assert "serial=the  second" in g.sh("virtio-lite persist")
    g.sh(f"virtio-lite persist off {g.bdf(1)}")
    g.sh("virtio-lite persist off --all")
    assert g.sh("cat /tmp/found") == "serial=the  second\n"
    g.sh("virtio-lite persist off")
    assert g.sh("cat /tmp/found") == "nothing\n"
    assert g.sh("sort -u /tmp/calls") == f"-u -k {g.kernel.release}\n"
    assert g.status("ls -d /etc/virtio-lite")[0] == 1


@pytest.mark.full
def test_persist_fails(persist):
    """No initramfs: the choice is as it was, and so is what comes at boot."""
    g = persist
    g.sh("touch /tmp/fail")
    for command in "on --all", f"on {g.bdf(0)}":
        status, out = g.status(f"virtio-lite persist {command}")
        assert status == 1 and "the choice is as it was" in out
        assert g.status("ls -d /etc/virtio-lite")[0] == 1
    g.sh("rm /tmp/fail; virtio-lite persist on --all; touch /tmp/fail")
    status, out = g.status("virtio-lite persist off")
    assert status == 1 and "the choice is as it was" in out
    assert g.sh("cat /etc/virtio-lite/disks") == "all\n"


@pytest.mark.full
def test_persist_needs_module(persist):
    """What cannot be loaded now is not chosen for the next boot."""
    g = persist
    g.sh("rm /lib/modules/*/updates/virtio_lite.ko; depmod")
    status, out = g.status("virtio-lite persist on --all")
    assert status == 1 and "nothing is changed" in out
    assert g.status("ls -d /etc/virtio-lite /tmp/calls")[0] != 0


# Irreversible, so it is the last one.
def test_refused(at_boot):
    """A kernel that takes signed modules only: upstream's has the disks."""
    g = at_boot
    g.sh("vbl_load_upstream; modprobe ext4")
    if g.status("echo 1 >/sys/module/module/parameters/sig_enforce")[0]:
        pytest.skip("this kernel checks no signatures")
    status, out = g.status(f"virtio-lite bind {g.bdf(0)}")
    assert status == 1 and "Secure Boot" in out
    status, out = g.status("virtio-lite persist on --all")
    assert status == 1 and "Secure Boot" in out and "nothing is changed" in out
    choose(g, "all")
    why, = boot(g)
    assert "not signed with a key" in why
    assert owners(g) == [THEIRS] * 3
