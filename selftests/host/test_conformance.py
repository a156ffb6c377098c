# SPDX-License-Identifier: GPL-2.0
"""make conformance: negotiation, registers, capabilities, interrupts."""

import pytest
from conform import ALL, LEGACY, RINGS, Script, exercise, play, requests, scene
from device.spec import FAILED, FEATURES_OK, KNOWN, bit, mask

pytestmark = pytest.mark.full
LAST = 64 << 11         # sectors of a disk


def enabled(dev):
    """How many queues the driver enabled."""
    return len(dev.log.find("write", "queue_enable"))


# -- negotiation -------------------------------------------------------------

@pytest.mark.parametrize("ring", RINGS)
@play("GEN-FEAT-06")
def test_work(stage, ring):
    """All kinds of requests on all kinds of rings."""
    exercise(stage, stage.start("modern", RINGS[ring]))


@play("GEN-FEAT-04 GEN-FEAT-05 GEN-FEAT-08 GEN-RSVD-10")
def test_every_bit(stage):
    """Bits that mean nothing for a disk are left alone, and harm nobody."""
    strange = (1 << 128) - 1 & ~mask(KNOWN) | mask(["SR_IOV"])
    exercise(stage, stage.start("modern", mask(ALL) | strange))


@play()
def test_every_known_bit(stage):
    """All that a disk may offer, at once."""
    disk = stage.start("modern", mask(KNOWN - {bit("BLK_RO")}),
                       config={"model": 0})
    exercise(stage, disk)


@play("GEN-FEAT-02 GEN-FEAT-03")
def test_inconsistent_bits(stage):
    """A feature without the one that it needs is left alone."""
    exercise(stage, stage.start("modern", [f for f in ALL
                                           if f != "BLK_FLUSH"]))


class Refuse(Script):
    """No features are good enough."""

    def features_ok(self, dev):
        return False


@play("GEN-INIT-02 GEN-INIT-06 GEN-INIT-07 GEN-STATUS-03")
def test_features_refused(stage):
    """A device that refuses is given up, and can be tried again."""
    dev = stage.on("modern", ALL, script=Refuse())
    assert stage.bind() is None
    history = dev.status_reg.history
    stage.expect("GEN-INIT-06", any(s & FAILED for s in history),
                 f"status written: {history}")
    stage.expect("GEN-INIT-02 GEN-INIT-07", not enabled(dev),
                 "queues were enabled")
    with dev.lock:
        dev.script = Script()
    stage.expect("GEN-STATUS-03", stage.bind(), "no disk the second time")


@play("GEN-FEAT-07")
def test_no_version_1(stage):
    """Modern registers only, and no VERSION_1: nothing can be done."""
    dev = stage.on("modern", [f for f in ALL if f != "VERSION_1"])
    assert stage.bind() is None
    history = dev.status_reg.history
    assert not any(s & FEATURES_OK for s in history)
    stage.expect("GEN-FEAT-07", any(s & FAILED for s in history),
                 f"status written: {history}")


@play("LEG-FEAT-01 LEG-INIT-01")
def test_transitional_without_version_1(stage):
    """The capabilities are there, but it is a legacy device."""
    disk = stage.start("transitional", LEGACY)
    stage.expect("LEG-FEAT-01", stage.dev.legacy_used,
                 "the modern interface was used")
    exercise(stage, disk)


@play("LEG-DETECT-01")
def test_transitional(stage):
    """The modern interface is preferred."""
    dev = stage.on("transitional", ALL)
    exercise(stage, stage.bind())
    stage.expect("LEG-DETECT-01", not any(
        str(e[3]).startswith("legacy.") for e in dev.log.entries
        if e[2] in ("read", "write")), "BAR0 was used")


@pytest.mark.parametrize("kind", ["modern", "legacy"])
@play("GEN-RESET-01")
def test_slow_reset(stage, kind):
    """Reset takes as long as the device wants."""
    script = Script()
    script.reset_seconds = 1.0
    exercise(stage, stage.start(kind, ALL if kind == "modern" else LEGACY,
                                script=script))


# -- device config -----------------------------------------------------------

class Torn(Script):
    """Capacity changes between the reads of its halves, a few times."""

    small, large, times = 0xffffffff, 0x100000000, 3

    def read(self, dev, name, value):
        if name in ("config+0x0", "config+0x4") and self.times:
            self.times -= 1
            now = dev.config["capacity"]
            dev.config["capacity"] = self.small + self.large - now
            dev.config.generation += 1
        return value


@pytest.mark.parametrize("kind", ["modern", "legacy"])
@play("GEN-CFG-01 GEN-CFG-03")
def test_torn_capacity(stage, kind):
    """The size is one that the disk had, and no mixture."""
    disk = stage.start(kind, ALL if kind == "modern" else LEGACY,
                       config={"capacity": Torn.small}, script=Torn())
    size = int(stage.g.sh(f"cat /sys/block/{disk}/size"))
    stage.expect("GEN-CFG-01", size in (Torn.small, Torn.large),
                 f"the disk has {size:#x} sectors")
    if kind == "legacy":
        stage.expect("LEG-CFG-01", size in (Torn.small, Torn.large),
                     f"the disk has {size:#x} sectors")


@play("BLK-INIT-02 BLK-INIT-03 BLK-INIT-04 BLK-OP-12 BLK-OP-13")
def test_cache(stage):
    """Who has a cache, and what a switch of it means."""
    g, plain = stage.g, [f for f in ALL if f != "BLK_CONFIG_WCE"]
    disk = stage.start("modern", [f for f in plain if f != "BLK_FLUSH"])
    mode = g.sh(f"cat /sys/block/{disk}/queue/write_cache").strip()
    scene.copy(g, disk)
    stage.expect("BLK-INIT-02", mode == "write through" and
                 not requests(stage.dev, 4), mode)
    disk = stage.start("modern", plain)
    mode = g.sh(f"cat /sys/block/{disk}/queue/write_cache").strip()
    stage.expect("BLK-INIT-03", mode == "write back", mode)
    disk = stage.start("modern", ALL)
    g.sh(f"dd if=/dev/zero of=/dev/{disk} bs=64k count=1 oflag=direct 2>&1; "
         f"echo 'write through' >/sys/block/{disk}/cache_type; "
         f"dd if=/dev/zero of=/dev/{disk} bs=512 count=1 seek=999 conv=fsync "
         "2>&1")
    writes = [e[4] for e in stage.dev.log.find("write", "config+0x20")]
    stage.expect("BLK-OP-12", writes == [0], f"written: {writes}")
    flushes = [e[0] for e in requests(stage.dev, 4)]
    first = min(e[0] for e in requests(stage.dev, 1))
    stage.expect("BLK-OP-13", flushes and max(flushes) > first,
                 "writes from before the switch were never flushed")


@play("GEN-RESET-01 PCI-COMMON-05 GEN-INIT-04 BLK-INIT-04")
def test_cache_during_reset(stage):
    """Whoever switches the cache waits until nobody resets the device."""
    if stage.driver != "lite":
        pytest.skip("upstream does not reset a device that needs it")
    disk = stage.start("modern", ALL)
    dev, g = stage.dev, stage.g
    with dev.lock:
        dev.script = Script()
        dev.script.reset_seconds = 8.0
        dev.status_reg.history.clear()
        dev.needs_reset()
    job = g.start(f"dd if=/dev/{disk} of=/dev/null bs=4k count=1 "
                  "iflag=direct 2>&1")
    dev.wait(lambda d: 0 in d.status_reg.history, 60, "a reset")
    text = g.sh(f"echo 'write through' >/sys/block/{disk}/cache_type && "
                f"cat /sys/block/{disk}/cache_type", timeout=90)
    assert text == "write through\n", text
    job.wait(60)
    assert dev.log.find("write", "config+0x20"), "the mode was never written"
    scene.copy(g, disk)


@pytest.mark.parametrize("kind", ["modern", "intx", "one vector", "legacy"])
@play("BLK-OP-01 PCI-CFGCHG-01")
def test_resize(stage, kind):
    """The disk grows and shrinks while it works."""
    disk = stage.start(kind, LEGACY if kind == "legacy" else ALL)
    busy = stage.g.start(f"dd if=/dev/{disk} of=/dev/null bs=4k count=3000 "
                         "iflag=direct 2>/dev/null")
    for mega in (65, 96, 80, 33):
        with stage.dev.lock:
            stage.dev.resize(mega << 20)
        stage.g.sh(f"wait_for 20 grep -qx {mega << 11} "
                   f"/sys/block/{disk}/size")
    busy.wait(60)
    scene.copy(stage.g, disk)


@play("GEN-STATUS-04 GEN-CFGCHG-I01")
def test_needs_reset(stage):
    """The device is at its end: the disk is not, or at least says so."""
    disk = stage.start("modern", ALL)
    dev = stage.dev
    with dev.lock:
        before = dev.log.count
        dev.needs_reset()
    job = stage.g.start(f"dd if=/dev/{disk} of=/dev/null bs=4k count=1 "
                        "iflag=direct 2>&1")
    dev.wait(lambda d: any(e[0] > before and e[3] == "status"
                           for e in d.log.find("read")), 30,
             "a read of status")
    stage.expect("GEN-CFGCHG-I01", True)
    job.wait(60, check=False)
    stage.expect("GEN-STATUS-04", True)


# -- capabilities ------------------------------------------------------------

GOOD_CAPS = {
    "junk caps": "PCI-CAP-01", "bad BARs": "PCI-CAP-02 PCI-CAP-04",
    "huge caps": "PCI-CAP-03 PCI-CAP-05 PCI-CAP-06 PCI-CAP-09 GEN-CFG-05",
    "tiny caps": "PCI-CAP-07 GEN-CFG-06", "vendor cap":
    "PCI-VNDR-01 PCI-VNDR-02", "revision 255": "PCI-DISC-02 PCI-DISC-03",
    "modern rev 255": "PCI-DISC-01 PCI-DISC-03",
    "notify 4096": "PCI-NADDR-I01",
}


@pytest.mark.parametrize("kind", GOOD_CAPS)
@play()
def test_capabilities(stage, kind):
    """Odd capabilities, revisions and places, and a disk all the same."""
    stage.about(GOOD_CAPS[kind])
    disk = stage.start(kind, ("VERSION_1",) if kind == "tiny caps" else ALL)
    scene.copy(stage.g, disk)


@pytest.mark.parametrize("kind, idents", [
    ("broken caps", "PCI-CAP-07"), ("short config", "GEN-CFG-06")])
@play()
def test_bad_capabilities(stage, kind, idents):
    """Structures too short to be used are refused."""
    stage.about(idents)
    stage.on(kind, ALL)
    stage.expect(idents, stage.bind() is None, "it was taken for a disk")


@play("PCI-NADDR-I01")
def test_notify_outside(stage):
    """A notify address outside of its structure is not used."""
    dev = stage.on("modern", ALL)
    with dev.lock:
        dev.queues[0].notify_off = 0x7000
    stage.expect("PCI-NADDR-I01", stage.bind() is None and
                 not dev.log.find("kick"), "it was used")
    stage.quiet("GEN-INIT-08")


@play("PCI-COMMON-I01")
def test_queue_missing(stage):
    """A queue of size 0 is none; the disk has fewer, or there is none."""
    dev = stage.on("modern", ALL)
    with dev.lock:
        dev.queues[2].max_size = dev.queues[2].size = 0
    disk = stage.bind()
    if disk:
        scene.copy(stage.g, disk)


# -- interrupts --------------------------------------------------------------

@pytest.mark.parametrize("kind", ["intx", "one vector", "two vectors",
                                  "2048 vectors"])
@play()
def test_vectors(stage, kind):
    """Any number of vectors will do."""
    disk = stage.start(kind, ALL)
    exercise(stage, disk)
    with stage.dev.lock:
        stage.dev.resize(72 << 20)
    stage.g.sh(f"wait_for 20 grep -qx {72 << 11} /sys/block/{disk}/size")
    if kind != "intx":
        stage.expect("PCI-MSIX-01", True)
    if kind == "one vector":
        stage.expect("PCI-MSIX-02 PCI-MSIX-03", True)


class RefuseVector(Script):
    """One of the queues gets no vector, whichever is asked for."""

    def __init__(self, queue):
        self.queue = queue

    def vector(self, dev, name, vector):
        if name == "queue_vector" and dev.pci.modern.select == self.queue:
            return 0xffff
        return vector


@pytest.mark.parametrize("queue", [0, 1])
@play("PCI-MSIX-06")
def test_vector_refused(stage, queue):
    """A queue without a vector is no queue: a way out, or no disk."""
    stage.on("modern", ALL, script=RefuseVector(queue))
    disk = stage.bind()
    if disk:
        exercise(stage, disk)


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("SPLIT-UNOTIF-05")
def test_spurious_interrupts(stage, ring):
    """Interrupts that mean nothing change nothing."""
    disk = stage.start("modern", RINGS[ring])
    dev = stage.dev
    job = stage.g.start(f"dd if=/dev/{disk} of=/dev/null bs=4k count=500 "
                        "iflag=direct 2>/dev/null")
    for _ in range(100):
        with dev.lock:
            for _ in range(100):
                dev.interrupt(dev.queues[0])
    job.wait(60)
    scene.copy(stage.g, disk)
