# SPDX-License-Identifier: GPL-2.0
"""make conformance: features that no stock QEMU offers.

A feature that the driver does not take makes its rows "n/a".
"""

import pytest
from append import append, appended
from conform import ALL, RINGS, Script, exercise, play, read, requests, scene
from device import HoldRequests
from device.spec import IN, NEEDS_RESET, OK, OUT, SECURE_ERASE, SUSPENDED, \
    ZONE_APPEND

pytestmark = pytest.mark.full
BOTH = pytest.mark.parametrize("ring", ["split", "packed"])
PLAIN = {"split": "split, no indirect, no event",
         "packed": "packed, no indirect, no event"}


# -- IN_ORDER ----------------------------------------------------------------

ORDER = {"split": "SPLIT-DESC-I01 SPLIT-INDIR-05 SPLIT-INORD-I01",
         "packed": "PACK-INORD-I01"}


@BOTH
@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "chain"])
@play()
def test_in_order(stage, ring, indirect):
    """Descriptors are used in order, and one used element ends many."""
    features = RINGS[ring if indirect else PLAIN[ring]]
    disk = stage.take("IN_ORDER", ORDER[ring], "modern",
                      (*features, "IN_ORDER"), queues=1)
    exercise(stage, disk)
    dev = stage.dev
    dev.blk.data[800 * 512:1000 * 512] = bytes(range(200)) * 512
    with dev.lock:
        dev.script = HoldRequests(IN, only=lambda req: req.data_len == 4096
                                  and req.sector >= 800)
    job = stage.g.start(
        f"for n in 0 1 2 3 4 5 6 7; do dd if=/dev/{disk} of=/tmp/$n bs=4k "
        "count=1 skip=$((100 + n)) iflag=direct 2>/dev/null & done; wait; "
        "cat /tmp/[0-7] | sha256sum; rm /tmp/[0-7]")
    dev.wait(lambda d: len(d.held) == 8, 30, "eight reads")
    with dev.lock:
        dev.release()
        dev.script = Script()
    import hashlib
    want = hashlib.sha256(dev.blk.data[800 * 512:864 * 512]).hexdigest()
    assert job.wait(30).split()[0] == want
    sizes = [e[5] for e in dev.log.find("used batch")]
    stage.expect(ORDER[ring].split()[-1], 8 in sizes, f"batches of {sizes}")
    assert ring == "packed" or dev.check.seen["SPLIT-DESC-I01"] > 8
    assert ring == "packed" or dev.check.seen["SPLIT-INDIR-05"] > 8
    scene.copy(stage.g, disk)


# -- RING_RESET --------------------------------------------------------------

PARAMS = "cd /sys/module/virtio_lite/parameters"


class SlowQueueReset(HoldRequests):
    """Takes its time to reset a queue."""

    queue_reset_seconds = 0.5


@BOTH
@play()
def test_ring_reset(stage, ring):
    """One queue is reset, and reinitialised."""
    if stage.driver != "lite":
        pytest.skip("upstream waits for ever for a lost request")
    idents = "GEN-QRST-01 GEN-QRST-03 PCI-COMMON-07 PCI-COMMON-08"
    disk = stage.take("RING_RESET", idents, "modern",
                      (*RINGS[ring], "RING_RESET"))
    dev, g = stage.dev, stage.g
    # This device drops its requests when their queue is reset.
    g.sh(f"{PARAMS} && echo reset >timeout_action && "
         f"echo 1 >trust_queue_reset && "
         f"echo 1000 >/sys/block/{disk}/queue/io_timeout")
    with dev.lock:
        dev.script = SlowQueueReset(OUT)
        dev.status_reg.history.clear()
    job = g.start(f"dd if=/dev/urandom of=/dev/{disk} bs=4k count=1 "
                  "oflag=direct 2>&1")
    dev.wait(lambda d: d.held, 30, "a write")
    held = dev.held[0]
    dev.wait(lambda d: held not in d.held, 60, "a reset")
    dev.script.hold = False
    with dev.lock:
        dev.release()
    job.wait(60)
    g.sh(f"{PARAMS} && echo auto >timeout_action && "
         "echo 0 >trust_queue_reset")
    assert dev.log.find("queue reset"), "no queue was reset"
    assert not dev.status_reg.history, "the device was reset"
    assert not set(idents.split()) - set(dev.check.seen)
    exercise(stage, disk)


@BOTH
@play()
def test_ring_resize(stage, ring):
    """Queues are reset, and reinitialised with another size."""
    if stage.driver != "lite":
        pytest.skip("upstream has no use for rings of another size")
    disk = stage.take("RING_RESET", "GEN-QRST-03 PCI-COMMON-09", "modern",
                      (*RINGS[PLAIN[ring]], "RING_RESET"), queues=2,
                      config={"seg_max": 30})
    for size in (64, 128):
        stage.g.sh(f"echo {size} >/sys/block/{disk}/ring_size")
        assert {q.size for q in stage.dev.queues} == {size}
        exercise(stage, disk)
    assert stage.dev.check.seen["PCI-COMMON-09"] >= 2 * len(stage.dev.queues)


# -- SUSPEND -----------------------------------------------------------------

class SlowSuspend(Script):
    """Takes half a second to suspend and to wake."""

    suspend_seconds = 0.5


# While nothing is done that must not be, there is nothing to judge.
SILENCE = {"GEN-SUSP-05", "GEN-SUSP-06"}


@play()
def test_suspend(stage):
    """The device sleeps with the system, undisturbed, and wakes."""
    idents = " ".join(f"GEN-SUSP-{n:02}" for n in (1, 3, 4, 5, 6, 7))
    disk = stage.take("SUSPEND", idents, "modern", (*ALL, "SUSPEND"),
                      script=SlowSuspend())
    g = stage.g
    busy = g.start(f"while :; do {read(disk, 0, 50)} || exit 1; done")
    g.sh("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; "
         "echo none >/sys/power/pm_test", timeout=90)
    busy.kill("TERM")
    busy.wait(30, check=False)
    history = stage.dev.status_reg.history
    assert any(s & SUSPENDED for s in history), f"status written: {history}"
    assert not stage.dev.status & (SUSPENDED | NEEDS_RESET)
    assert not set(idents.split()) - set(stage.dev.check.seen) - SILENCE
    scene.copy(g, disk)


# -- SECURE_ERASE, LIFETIME --------------------------------------------------

@play()
def test_secure_erase(stage):
    """Secure discards are cut to what the device takes."""
    disk = stage.take("BLK_SECURE_ERASE", "BLK-OP-10", "modern",
                      (*ALL, "BLK_SECURE_ERASE"),
                      config={"max_secure_erase_sectors": 64,
                              "max_secure_erase_seg": 4})
    stage.dev.blk.data[1 << 20:2 << 20] = b"\xa5" * (1 << 20)
    stage.g.sh(f"/bin/blkdiscard -f -s -o 1M -l 1M /dev/{disk}", timeout=60)
    stage.expect("BLK-OP-10", requests(stage.dev, 14) and
                 not any(stage.dev.blk.data[1 << 20:2 << 20]),
                 "nothing was erased")


@play()
def test_lifetime(stage):
    """The wear of the medium can be read; reserved values are no harm."""
    disk = stage.take("BLK_LIFETIME", "BLK-LIFE-I01", "modern",
                      (*ALL, "BLK_LIFETIME"))
    show = f"cd /sys/block/{disk} && grep -r . $(find . -name '*life*')"
    said = stage.g.sh(show)
    stage.expect("BLK-LIFE-I01", requests(stage.dev, 10), "never asked")
    stage.dev.blk.lifetime = (0xffff, 0xffff, 12)
    assert stage.g.sh(show) != said


# -- ZONED -------------------------------------------------------------------

ZONE_IDS = " ".join(f"BLK-ZONE-{n:02}" for n in (1, 2, 4, 5, 10, 11, 12)) + \
    " BLK-ZONE-I02 BLK-INIT-05"


@BOTH
@play()
def test_zones(stage, ring):
    """Zones are reported, written in order, and managed."""
    features = [f for f in RINGS[ring] if f != "BLK_DISCARD"]
    disk = stage.take("BLK_ZONED", ZONE_IDS, "modern",
                      (*features, "BLK_ZONED"), size=60 << 20,
                      zones={"conventional": 1, "capacity": 6144})
    g, dev = stage.g, stage.dev
    zones = dev.blk.zones.zones
    assert g.sh(f"cat /sys/block/{disk}/queue/zoned").strip() == \
        "host-managed"
    report = g.sh(f"/bin/blkzone report /dev/{disk}")
    stage.expect("BLK-ZONE-I02", report.count("start:") == len(zones), report)
    g.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=64k count=4 seek=64 "
         "oflag=direct 2>&1")
    assert zones[1].wp == zones[1].start + 512
    at = f"-o {zones[1].start} -c 1 /dev/{disk}"
    for verb, state in (("open", 3), ("close", 4), ("finish", 14),
                        ("reset", 1)):
        g.sh(f"/bin/blkzone {verb} {at}")
        assert zones[1].state == state, f"{verb}: {zones[1].state}"
    g.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=64k count=48 seek=64 "
         "oflag=direct 2>&1")
    assert zones[1].state == 14
    g.sh(f"/bin/blkzone report /dev/{disk}; /bin/blkzone reset /dev/{disk}")
    assert all(z.wp == z.start for z in zones[1:])
    assert g.status(f"dd if=/dev/zero of=/dev/{disk} bs=64k count=1 seek=65 "
                    "oflag=direct 2>&1")[0], "a write out of order succeeded"


class Elsewhere(Script):
    """Says of appends that they went to another zone."""

    def request(self, dev, req):
        if req.kind != ZONE_APPEND:
            return None
        req.append_sector = 3 << 13
        return OK


@BOTH
@play()
def test_zone_append(stage, ring):
    """Appends go to the start of a zone, and say where they went."""
    features = [f for f in RINGS[ring] if f != "BLK_DISCARD"]
    idents = "BLK-ZONE-06 BLK-ZONE-07 BLK-ZONE-08 BLK-ZONE-09 BLK-ZONE-I01"
    disk = stage.take("BLK_ZONED", idents, "modern",
                      (*features, "BLK_ZONED"), queues=1,
                      zones={"conventional": 1, "capacity": 6144},
                      config={"max_append_sectors": 128})
    g, dev, zone = stage.g, stage.dev, stage.dev.blk.zones.zones[2]
    assert g.sh(f"cat /sys/block/{disk}/queue/zone_append_max_bytes") == \
        "65536\n"
    with dev.lock:
        dev.script = HoldRequests(ZONE_APPEND)
    job = append(g, disk, zone.start, count=8, bytes=8192)
    dev.wait(lambda d: len(d.held) == 8, 60, "eight appends")
    # The last one is done first, and all of them come back together.
    with dev.lock:
        dev.release(*reversed(dev.held))
        dev.script = Script()
    went = appended(job)
    assert sorted(went) == [zone.start + n * 16 for n in range(8)]
    assert went != sorted(went)
    for n, sector in enumerate(went, 1):
        assert dev.blk.data[sector * 512:sector * 512 + 8192] == \
            bytes([n]) * 8192, f"append {n} is not at {sector}"

    # As long as may be, and no longer.
    assert appended(append(g, disk, zone.start, bytes=65536)) == \
        [zone.start + 128]
    count = len(requests(dev, ZONE_APPEND))
    assert appended(append(g, disk, zone.start, bytes=69632))[0] < 0
    stage.expect("BLK-ZONE-08", len(requests(dev, ZONE_APPEND)) == count,
                 "an append that is too long was sent")
    # What cannot be is an error, not somebody else's sector.
    with dev.lock:
        dev.script = Elsewhere()
    got = appended(append(g, disk, zone.start))[0]
    stage.expect("BLK-ZONE-09", got < 0, f"a sector of another zone: {got}")


@play()
def test_zone_erase(stage):
    """A secure erase covers complete zones."""
    features = [f for f in ALL if f != "BLK_DISCARD"]
    disk = stage.take("BLK_ZONED", "BLK-ZONE-13", "modern",
                      (*features, "BLK_ZONED", "BLK_SECURE_ERASE"), zones={},
                      config={"max_secure_erase_sectors": 16384,
                              "secure_erase_sector_alignment": 8192})
    stage.g.status(f"/bin/blkdiscard -f -s -o 4M -l 1M /dev/{disk}")
    stage.expect("BLK-ZONE-13", not requests(stage.dev, SECURE_ERASE),
                 "a part of a zone was erased")
    stage.g.sh(f"/bin/blkdiscard -f -s -o 4M -l 8M /dev/{disk}")
    assert stage.dev.check.seen["BLK-ZONE-13"]


# -- a bus with an IOMMU, other subsystems -----------------------------------

@play("GEN-RSVD-03 GEN-RSVD-04")
def test_iommu(stage):
    """With ACCESS_PLATFORM, addresses are those of the IOMMU."""
    stage.reboot(iommu=True, only=["modern"])
    disk = stage.start("modern", (*ALL, "ACCESS_PLATFORM"))
    exercise(stage, disk)
    assert stage.dev.check.seen["GEN-RSVD-04"] > 100
    mapped = len(stage.dev.memory.ranges)
    assert mapped != 1, "all of memory is mapped: there is no IOMMU"


@play("PCI-DISC-01 PCI-DISC-02 PCI-DISC-04")
def test_subsystem(stage):
    """Anybody's subsystem will do."""
    for kind in ("subsystem", "transitional"):
        scene.copy(stage.g, stage.start(kind, ALL))
