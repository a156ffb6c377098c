# SPDX-License-Identifier: GPL-2.0
"""Disks that are plugged, removed, resized and suspended, also in use."""

import hashlib
import time

import pytest
from faults.load import Busy, dd, host_caches, verify
from vbl import Disk, pick_kernel

MEGA = 1 << 20


# -- hot-plug ----------------------------------------------------------------

def plug(g, disk):
    """Plug a disk in; its name in the guest once our driver has it."""
    g.plug(disk)
    bdf = g.bdf(disk)
    # Where upstream's driver is built in, it binds the disk first.
    g.sh(f"take_over {bdf}")
    return g.dev(disk)


def gone(g, dev):
    """Nothing of the disk is left."""
    assert g.sh(f"ls /sys/block /dev | grep -cx {dev}", check=False) == "0\n"


@pytest.mark.parametrize("rounds", [
    3, pytest.param(10, marks=pytest.mark.full)])
@pytest.mark.parametrize("transport", ["modern", "legacy"])
def test_hotplug(boot, kernel, transport, rounds):
    """In and out again and again, used in between."""
    late = Disk(hotplug=True, transport=transport, serial="late")
    g = boot(kernel=kernel, disks=[Disk(), late])
    first = g.dev(0)
    for _ in range(rounds):
        dev = plug(g, late)
        assert dev == "vdb"
        assert g.sh(f"cat /sys/block/{dev}/serial") == "late"
        g.sh(f"dd if=/dev/{dev} of=/dev/null bs=64k count=16 iflag=direct")
        g.unplug(late)
        gone(g, dev)
    dev = plug(g, late)
    verify(g, dev, "--size=8M")
    verify(g, first, "--size=8M")


@pytest.mark.parametrize("rounds", [
    1, pytest.param(10, marks=pytest.mark.full)])
def test_unplug_busy(boot, kernel, rounds):
    """Unplug under load: the load gets errors, and nothing hangs."""
    late = [Disk(hotplug=True, transport="modern", **options) for options in (
        {}, {"indirect": False}, {"vectors": 0}, {"num_queues": 1})]
    g = boot(kernel=kernel, timeout=600, disks=[Disk(), *late])
    first = g.dev(0)
    for disk in late:
        for _ in range(rounds):
            dev = plug(g, disk)
            busy = Busy(g, dev, "--iodepth=64")
            g.unplug(disk)
            busy.ends()
            gone(g, dev)
            g.sh(f"dd if=/dev/{first} of=/dev/null bs=64k count=16 "
                 "iflag=direct")
        verify(g, plug(g, disk), "--size=8M")


def test_unplug_stuck(boot):
    """Unplugged while the host holds a request: removed once that completes."""
    late = Disk(hotplug=True, transport="modern", blkdebug={})
    g = boot(disks=[late], devices=[])
    objects, nodes = late.blockdevs(g.folder)
    dev = plug(g, late)
    g.qemu_io(late, "break pwritev A")
    held = g.start(f"dd if=/dev/zero of=/dev/{dev} bs=4k count=1 oflag=direct")
    g.sh(f"wait_for 10 grep -q ' 1$' /sys/block/{dev}/inflight")
    g.qmp("device_del", id=late.id)
    # The guest still answers while it waits for its request.
    assert g.sh("echo alive") == "alive\n"
    g.qemu_io(late, "resume A")
    g.wait_event("DEVICE_DELETED", device=late.id)
    held.wait(check=False)
    gone(g, dev)


def test_unplug_mounted(boot):
    """A file system whose disk is gone fails, and can be unmounted."""
    late = Disk(hotplug=True, transport="modern")
    g = boot(disks=[Disk(), late])
    dev = plug(g, late)
    g.sh(f"mkfs.ext4 -q /dev/{dev} && mount -t ext4 /dev/{dev} /mnt && "
         "echo x >/mnt/x && sync")
    g.unplug(late)
    gone(g, dev)
    assert g.status("dd if=/dev/zero of=/mnt/y bs=4k count=64 conv=fsync",
                    timeout=60)[0]
    g.sh("umount /mnt", timeout=60)
    dev = plug(g, late)
    g.sh(f"e2fsck -fy /dev/{dev}; mount -t ext4 /dev/{dev} /mnt && "
         "cat /mnt/x")


# -- resize ------------------------------------------------------------------

def resize(g, n, size):
    """Tell QEMU, wait for the guest."""
    g.qmp("block_resize", node_name=g.disks[n].node, size=size)
    g.sh(f"wait_for 20 grep -qx {size // 512} /sys/block/{g.dev(n)}/size")


@pytest.mark.full
def test_grow_mounted(boot, kernel):
    """A file system grows with its disk, mounted and in use."""
    g = boot(kernel=kernel, disks=[Disk(size="32M", vectors=vectors)
                                   for vectors in (None, 0, 2)])
    for n in range(3):
        grow_mounted(g, n)


def grow_mounted(g, n):
    dev = g.dev(n)
    g.sh(f"mkfs.ext4 -q /dev/{dev} && mount -t ext4 /dev/{dev} /mnt")
    g.sh("head -c 10000000 /dev/urandom >/mnt/data; sync")
    data = g.sh("sha256sum </mnt/data")
    blocks = "df -k /mnt | awk 'END { print $2 }'"
    before = int(g.sh(blocks))
    writer = g.start("rm -f /tmp/stop; while [ ! -e /tmp/stop ]; do "
                     "dd if=/dev/zero of=/mnt/w bs=64k count=16 conv=fsync "
                     "2>/dev/null || exit 1; done")
    resize(g, n, 64 * MEGA)
    g.sh(f"resize2fs /dev/{dev}", timeout=60)
    g.sh("touch /tmp/stop")
    writer.wait()
    assert int(g.sh(blocks)) > before + 25000
    g.sh("head -c 30000000 /dev/zero >/mnt/more && sync", timeout=60)
    assert g.sh("sha256sum </mnt/data") == data
    g.sh(f"umount /mnt && e2fsck -fn /dev/{dev}")


def test_shrink(boot, kernel):
    """What was cut off fails; what stays is there."""
    g = boot(kernel=kernel, disks=[Disk(size="64M")])
    dev = g.dev()
    verify(g, dev, "--size=16M --randseed=5")
    with Busy(g, dev):
        resize(g, 0, 32 * MEGA)
    status, _ = dd(g, dev, 40 * 256, write=True)
    assert status
    assert dd(g, dev, 32 * 256 - 1)[0] == 0
    resize(g, 0, 64 * MEGA)
    assert dd(g, dev, 40 * 256, write=True)[0] == 0


def test_resize_often(boot):
    """Many changes, faster than the guest reads them; the last one counts."""
    g = boot(disks=[Disk(size="64M")])
    with Busy(g, g.dev()):
        for n in range(1, 101):
            g.qmp("block_resize", node_name=g.disks[0].node,
                  size=(64 + n % 7) * MEGA)
        resize(g, 0, 96 * MEGA)


# -- CPUs --------------------------------------------------------------------

@pytest.mark.full
@pytest.mark.parametrize("orders", [
    [(1, 2, 3)], pytest.param([(1, 2, 3), (3, 1, 2)], marks=pytest.mark.full)],
    ids=["once", "twice"])
@pytest.mark.parametrize("vectors", [(5, 0), (2, 3)],
                         ids=["own-intx", "shared-groups"])
def test_cpus_come_and_go(boot, kernel, vectors, orders):
    """No request is lost with the CPU that its interrupt was for."""
    g = boot(kernel=kernel, smp=4, timeout=600, disks=[
        Disk(num_queues=4, vectors=v) for v in vectors])
    load = "--numjobs=4 --size=8M --offset_increment=8M"
    with Busy(g, g.dev(0), load) as first, Busy(g, g.dev(1), load) as second:
        for order in orders:
            for state in (0, 1):
                for cpu in order:
                    g.sh(f"echo {state} "
                         f">/sys/devices/system/cpu/cpu{cpu}/online",
                         timeout=60)
                    first.progresses()
                    second.progresses()


# -- the end -----------------------------------------------------------------

@pytest.mark.parametrize("how", [
    "poweroff", pytest.param("reboot", marks=pytest.mark.full)])
def test_shutdown_busy(boot, kernel, how):
    """The machine goes down under load, and goes down cleanly."""
    g = boot(kernel=kernel, disks=[
        Disk(transport="legacy"), Disk(transport="modern"), Disk(vectors=0)])
    for n in range(3):
        Busy(g, g.dev(n), "--iodepth=64")
    g.start(f"{how} -f")
    g.wait_exit(60)


def test_synced_is_safe(boot):
    """What fsync said is written, is: also when the power goes."""
    g = boot(disks=[Disk()])
    want = g.sh(f"head -c 1048576 /dev/urandom >/tmp/x; dd if=/tmp/x "
                f"of=/dev/{g.dev()} bs=64k conv=fsync 2>/dev/null; "
                "sha256sum </tmp/x").split()[0]
    data = g.disks[0].path.read_bytes()[:MEGA]
    assert hashlib.sha256(data).hexdigest() == want


# -- sleep -------------------------------------------------------------------

def suspend_guest(boot, kernel, **options):
    return boot(kernel=kernel, suspend=True, timeout=600, disks=[
        Disk(**options), Disk(transport="legacy", vectors=0)])


def can_wake_up(kernel):
    """Skip where no guest comes back from S3, whatever drives its disks."""
    if pick_kernel(kernel).debug == "race":
        pytest.skip("the kernel with KCSAN does not come back from S3")


def asleep(g, how, wake, timeout=60):
    """Put the guest to sleep and wake it up again; under load."""
    with Busy(g, g.dev(0), "--iodepth=32") as first, \
            Busy(g, g.dev(1)) as second:
        job = g.start(how)
        wake()
        job.wait(timeout)
        first.progresses()
        second.progresses()


@pytest.mark.parametrize("level", [
    pytest.param(p, marks=pytest.mark.full)
    for p in ("freezer", "devices", "platform", "processors", "core")])
def test_suspend_stages(boot, kernel, level):
    """Each stage of a suspend, and back from there."""
    g = suspend_guest(boot, kernel)
    asleep(g, f"echo {level} >/sys/power/pm_test; echo mem >/sys/power/state",
           lambda: None)
    verify(g, g.dev(0), "--size=8M")


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {}, *(pytest.param(o, marks=pytest.mark.full) for o in (
        {"indirect": False}, {"vectors": 0}, {"transport": "legacy"},
        {"event_idx": False}))], ids=lambda o: "-".join(o) or "plain")
def test_suspend_to_memory(boot, kernel, options):
    """S3 under load: the devices lose everything, the disks nothing."""
    can_wake_up(kernel)
    g = suspend_guest(boot, kernel, **options)

    def wake():
        g.wait_event("SUSPEND")
        g.qmp("system_wakeup")
        g.wait_event("WAKEUP")

    # Once only: QEMU 7.2 does not stop for a second time, with any driver.
    asleep(g, "echo mem >/sys/power/state", wake)
    verify(g, g.dev(0), "--size=8M")


def test_changed_while_asleep(boot, kernel):
    """A new size, and the cache mode of before, are there after waking up."""
    can_wake_up(kernel)
    g = suspend_guest(boot, kernel)
    dev = g.dev(0)
    g.sh(f"echo 'write through' >/sys/block/{dev}/cache_type")
    assert not host_caches(g)
    job = g.start("echo mem >/sys/power/state")
    g.wait_event("SUSPEND")
    g.qmp("block_resize", node_name=g.disks[0].node, size=96 * MEGA)
    g.qmp("system_wakeup")
    g.wait_event("WAKEUP")
    job.wait()
    g.sh(f"wait_for 20 grep -qx {96 * 2048} /sys/block/{dev}/size")
    assert g.sh(f"cat /sys/block/{dev}/cache_type").strip() == "write through"
    assert not host_caches(g)
    g.sh(f"dd if=/dev/zero of=/dev/{dev} bs=1M seek=95 count=1 conv=fsync")


@pytest.mark.full
def test_suspend_to_idle(boot, kernel):
    """s2idle: woken by a byte on the serial line."""
    g = suspend_guest(boot, kernel)
    # The last thing the kernel says before it sleeps has to reach the console.
    g.sh("for w in /sys/class/tty/ttyS*/power/wakeup "
         "/sys/class/tty/ttyS*/device/power/wakeup; do "
         "[ -e $w ] && echo enabled >$w; done; dmesg -n 8; "
         "echo N >/sys/module/printk/parameters/console_suspend; "
         "echo 1 >/sys/power/pm_debug_messages")
    mark = g.dmesg_mark("idle")

    def wake():
        until = time.monotonic() + 60 * g.scale
        while "PM: suspend-to-idle" not in g.console.rpartition(mark)[2]:
            assert time.monotonic() < until, "it does not go to sleep"
            time.sleep(0.1)
        g.poke()

    asleep(g, "echo freeze >/sys/power/state", wake)
