# SPDX-License-Identifier: GPL-2.0
"""make conformance: who uses a device's registers while it is reset: nobody.

In each scene the device takes its time for a reset, and meanwhile somebody wants
something of the disk.
"""

import pytest
from conform import ALL, LEGACY, Script, play, scene
from device.spec import DRIVER_OK

pytestmark = pytest.mark.full
IDENTS = "GEN-RESET-01 PCI-COMMON-05"
SECONDS = 6.0
# Neither tells nor asks anything of the device's state.
HARMLESS = ("status", "isr", "legacy.status", "legacy.isr")


def touched(dev):
    """What was accessed after a reset began and before it had ended."""
    busy, found = False, []
    for _, _, what, *detail in dev.log.entries:
        if what == "reset":
            busy = True
        elif what == "read" and detail[0] in ("status", "legacy.status") and \
                detail[1] == 0:
            busy = False
        elif busy and what in ("read", "write", "kick") and \
                detail[0] not in HARMLESS:
            found.append((what, *detail))
    return found


def begin_reset(stage):
    """Have the driver reset the device, which takes its time."""
    dev = stage.dev
    with dev.lock:
        dev.script.reset_seconds = SECONDS
        dev.status_reg.history.clear()
        dev.needs_reset()
    dev.wait(lambda d: 0 in d.status_reg.history, 60, "a reset")


def end_reset(stage):
    """Nobody disturbed it, and it went well."""
    dev = stage.dev
    dev.wait(lambda d: d.status & DRIVER_OK, 90, "the end of the reset")
    found = touched(dev)
    stage.expect("GEN-RESET-01", not found, f"during a reset: {found[:5]}")
    assert not found, found[:20]


def lite_only(stage):
    """Skip upstream's driver."""
    if stage.driver != "lite":
        pytest.skip("upstream does not reset a device that needs it")


EXTRA = ("BLK_LIFETIME", "RING_RESET")
KINDS = {
    "modern": ("modern", ALL + EXTRA, {}),
    "packed": ("modern", ALL + EXTRA + ("RING_PACKED",), {}),
    "zoned": ("modern", ALL + EXTRA + ("BLK_ZONED",), {"zones": {}}),
    "intx": ("intx", ALL + EXTRA, {}),
    "legacy": ("legacy", LEGACY, {}),
    "transitional": ("transitional", LEGACY, {}),
}
# Commands, and what of them is shown when all is over.
WANTED = {
    "serial": "cat /sys/block/$D/serial",
    "lifetime": "[ ! -e /sys/block/$D/lifetime ] || "
                "cat /sys/block/$D/lifetime/*",
    "cache": "echo 'write through' >/sys/block/$D/cache_type; "
             "echo 'write back' >/sys/block/$D/cache_type",
    "rings": "[ $(cut -c41 $V/features) = 0 ] || "
             "echo 128 >/sys/block/$D/ring_size",
    "geometry": "busybox fdisk -l /dev/$D",
    "device": "cat $V/features $V/status $V/vendor",
    # Those of power management fail on any disk.
    "files": "cat $(find /sys/block/$D/ -type f -perm -400 "
             "! -path '*/power/*') >/dev/null",
    "read": "dd if=/dev/$D of=/dev/null bs=4k count=1 iflag=direct",
    "flush": "dd if=/dev/zero of=/dev/$D bs=4k count=1 seek=9 conv=fsync",
}


@pytest.mark.parametrize("kind", KINDS)
@play(IDENTS)
def test_wanted_during_reset(stage, kind):
    """Whoever reads or writes a file of the disk waits for the reset."""
    lite_only(stage)
    if kind == "zoned":
        stage.needs_zones()
    name, features, options = KINDS[kind]
    disk = stage.start(name, features, **options)
    g, dev = stage.g, stage.dev
    virtio = g.sh(f"virtio_of {dev.bdf}").strip()
    wanted = dict(WANTED)
    if kind == "zoned":
        wanted["zones"] = "/bin/blkzone report /dev/$D"
        del wanted["flush"]
    begin_reset(stage)
    jobs = {what: g.start(f"D={disk}; V={virtio}; {{ {command}; }} 2>&1")
            for what, command in wanted.items()}
    # What the device says by itself is heard later.
    if kind != "zoned":
        with dev.lock:
            dev.resize(80 << 20)
    end_reset(stage)
    for job in jobs.values():
        job.wait(60)
    if kind != "zoned":
        g.sh(f"wait_for 20 grep -qx {80 << 11} /sys/block/{disk}/size")
        scene.copy(g, disk)
    found = touched(dev)
    assert not found, found[:20]


SLEEP = ("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; "
         "echo none >/sys/power/pm_test")


@pytest.mark.parametrize("kind, extra", [("modern", ()),
                                         ("modern", ("SUSPEND",)),
                                         ("legacy", ())],
                         ids=["modern", "suspend", "legacy"])
@play(IDENTS)
def test_sleep_during_reset(stage, kind, extra):
    """The system goes to sleep when the reset is over."""
    lite_only(stage)
    disk = stage.start(kind, (LEGACY if kind == "legacy" else ALL) + extra)
    begin_reset(stage)
    job = stage.g.start(SLEEP)
    end_reset(stage)
    stage.dev.script.reset_seconds = 0
    job.wait(90)
    scene.copy(stage.g, disk)


@pytest.mark.parametrize("kind", ["modern", "legacy"])
@play(IDENTS)
def test_unbind_during_reset(stage, kind):
    """The disk is removed when the reset is over, or resets the device anew."""
    lite_only(stage)
    stage.start(kind, LEGACY if kind == "legacy" else ALL)
    dev, g = stage.dev, stage.g
    begin_reset(stage)
    job = g.start(f"echo {dev.bdf} >/sys/bus/pci/drivers/virtio-pci-lite/"
                  "unbind")
    job.wait(90)
    found = touched(dev)
    stage.expect("GEN-RESET-01", not found, f"during a reset: {found[:5]}")
    assert not found, found[:20]
    assert stage.bind(), "no disk"


class Hasty(Script):
    """Breaks the protocol before anybody asked it for anything.

    The capacity changes as long as no reset was begun, so that it is still
    read when that happens.
    """

    done = False

    def write(self, dev, name, value):
        if name == "status" and value & DRIVER_OK and not self.done:
            self.done = True
            self.reset_seconds = SECONDS
            dev.status_reg.history.clear()
            # Into the used ring, behind flags: an index that cannot be.
            q = dev.queues[0]
            dev.memory.write(q.device, b"\0\0\xff\x7f")
            dev.status_reg.write(value)
            dev.interrupt(q)
            return None
        return value

    def read(self, dev, name, value):
        if name in ("generation", "config+0x0") and self.done and \
                0 not in dev.status_reg.history:
            dev.config.generation += 1
        return value


@play(IDENTS)
def test_probe_during_reset(stage):
    """A device that has to be reset while its disk is added."""
    lite_only(stage)
    dev = stage.on("modern", ALL, script=Hasty())
    disk = stage.bind()
    stage.g.sh(f"wait_for 60 disk_of {dev.bdf}")
    disk = disk or scene.disk(stage.g, dev)
    assert 0 in dev.status_reg.history, "it was not reset"
    found = touched(dev)
    stage.expect("GEN-RESET-01", not found, f"during a reset: {found[:5]}")
    assert not found, found[:20]
    scene.copy(stage.g, disk)
