# SPDX-License-Identifier: GPL-2.0
"""A second driver, of a module of its own, on the unchanged bus, transport and
rings: the entropy device, beside a disk."""

import time

import pytest
from faults import qtest
from vbl import Disk, build_module
from vbl.entropy import BDF, FREE, check, read, write_source

LOAD = "insmod /virtio_rng_lite.ko"
CURRENT = "/sys/class/misc/hw_random/rng_current"
TRANSPORTS = {"modern": "disable-legacy=on", "legacy": "disable-legacy=off,"
              "disable-modern=on", "transitional": "disable-legacy=off"}


@pytest.fixture
def source(tmp_path):
    """What the device gives out: a file without two equal blocks."""
    return write_source(tmp_path / "source")


@pytest.fixture
def start(boot, kernel, source):
    """start(...): a guest with a disk and an entropy device."""
    ko = build_module(kernel, ["SAMPLES=1"])

    def one(transport="modern", options="", backend=None, more=(), **guest):
        backend = backend or f"rng-random,id=r0,filename={source}"
        guest.setdefault("disks", [Disk()])
        g = boot(kernel=kernel, ko=ko, modules=("rng_core",),
                 files={"virtio_rng_lite.ko":
                        ko.parent / "samples/virtio_rng_lite.ko"},
                 devices=[*more, f"-object {backend}",
                          f"-device virtio-rng-pci,rng=r0,addr=0x9,"
                          f"{TRANSPORTS[transport]}{options}"], **guest)
        g.sh(FREE)
        return g
    return one


def entropy(g, source, blocks=16):
    """Read from the device: bytes of its source, no block twice."""
    name = g.sh(f"ls /sys/bus/pci/devices/{BDF} | grep virtio").strip()
    assert g.sh(f"cat {CURRENT}").strip() == name
    g.sh(read(blocks))
    return check(g, source, blocks)


def disk_works(g):
    """Data of a disk of our driver, written and read back."""
    assert g.sh(f"pci_driver {g.bdf(0)}").strip() == "virtio-pci-lite"
    g.sh(f"head -c 65536 /dev/urandom >/tmp/d; dd if=/tmp/d of=/dev/{g.dev()} "
         "bs=64k oflag=direct 2>&1; echo 3 >/proc/sys/vm/drop_caches; "
         f"head -c 65536 /dev/{g.dev()} | cmp - /tmp/d")


def driver(g):
    return g.sh(f"pci_driver {BDF}").strip()


def test_after_the_disk(start, source):
    """The function is taken while a driver for it is there, and not before or
    after; the disk goes on."""
    g = start()
    mark = g.dmesg_mark("rng")
    assert driver(g) == "" and BDF not in g.dmesg_since(mark)
    g.sh(LOAD)
    assert driver(g) == "virtio-pci-lite"
    first = entropy(g, source)
    assert g.sh("grep -c 'virtio[0-9]*-input.0$' /proc/interrupts").strip() \
        == "1"
    disk_works(g)
    # The bus cannot go while somebody uses it.
    assert g.status("rmmod virtio_lite")[0] != 0
    g.sh("rmmod virtio_rng_lite")
    assert driver(g) == "" and g.sh(f"cat {CURRENT}").strip() == "none"
    disk_works(g)
    g.sh(LOAD)
    assert not first & entropy(g, source)
    g.sh("rmmod virtio_rng_lite; vbl_unload")


@pytest.mark.full
@pytest.mark.parametrize("transport, options", [
    ("legacy", ""), ("transitional", ""), ("modern", ",packed=on"),
    ("modern", ",indirect_desc=off"), ("modern", ",packed=on,"
                                       "indirect_desc=off"),
    ("modern", ",event_idx=off,vectors=0"), ("legacy", ",vectors=0")])
def test_before_the_disk(start, source, transport, options):
    """The disk is probed when the other device works, and goes before it."""
    g = start(transport, options, driver=None,
              disks=[Disk(transport=transport)])
    d = f"/sys/bus/pci/devices/{g.bdf(0)}"
    g.sh(f"[ ! -e {d}/driver ] || echo {g.bdf(0)} >{d}/driver/unbind; "
         f"echo none >{d}/driver_override; vbl_load; {LOAD}")
    assert g.status(f"disk_of {g.bdf(0)}")[0] != 0
    entropy(g, source)
    g.sh(f"take_over {g.bdf(0)}")
    disk_works(g)
    entropy(g, source)
    kind = "legacy" if transport == "legacy" else "modern"
    assert f"{BDF}: virtio0: {kind} entropy device" in g.sh("dmesg")
    g.sh(f"echo {g.bdf(0)} >{d}/driver/unbind")
    entropy(g, source)
    g.sh("rmmod virtio_rng_lite; rmmod virtio_lite")


@pytest.mark.full
def test_silent_device(start):
    """A device that never answers keeps neither a reader nor an unload."""
    g = start(backend="rng-egd,id=r0,chardev=c0",
              more=["-chardev null,id=c0"])
    g.sh(LOAD)
    reader = g.start("head -c 64 /dev/hwrng | wc -c")
    g.sh("wait_for 10 eval \"ps | grep -q '[h]ead -c 64'\"")
    g.sh("rmmod virtio_rng_lite", timeout=60)
    reader.wait(check=False)
    disk_works(g)


def test_lying_device(start, line):
    """A device that lies is given up: its reader has an error, and the module
    leaves nothing behind that somebody could call."""
    g = start(options=",id=rng9", backend="rng-egd,id=r0,chardev=c0",
              more=["-chardev null,id=c0", *line.devices])
    line.connect()
    mark = g.dmesg_mark("lie")
    g.sh(LOAD)
    reader = g.start("head -c 64 /dev/hwrng | wc -c")
    ring = qtest.Ring(g, line, other=("rng9", BDF))
    while not ring.avail_idx:       # until the guest's time is over
        time.sleep(0.05)
    ring.give(ring.num + 1)
    ring.interrupt()
    assert reader.wait(check=False).strip().endswith("0")
    assert "device wrote a bad used" in g.dmesg_since(mark)
    g.sh("rmmod virtio_rng_lite; cat /sys/class/misc/hw_random/rng_available")
    assert driver(g) == "" and g.sh(f"cat {CURRENT}").strip() == "none"
    disk_works(g)


@pytest.mark.full
@pytest.mark.parametrize("transport", ["modern", "legacy"])
def test_sleep_and_reset(start, source, transport):
    """The device comes back from a sleep and from a reset of its function."""
    g = start(transport, suspend=True)
    g.sh(LOAD)
    entropy(g, source)
    if g.status("[ -e /sys/power/pm_test ]")[0]:
        pytest.skip("this kernel has no CONFIG_PM_TEST")
    g.sh("echo devices >/sys/power/pm_test; echo mem >/sys/power/state",
         timeout=60)
    entropy(g, source)
    if g.status(f"[ -e /sys/bus/pci/devices/{BDF}/reset ]")[0] == 0:
        g.sh(f"echo 1 >/sys/bus/pci/devices/{BDF}/reset", timeout=60)
        entropy(g, source)
    disk_works(g)
