# SPDX-License-Identifier: GPL-2.0
"""make conformance: rings, requests, and devices that lie about them."""

import time

import pytest
from conform import ALL, LEGACY, RINGS, Script, exercise, play, read, scene
from device import HoldRequests, SILENT
from device.spec import IN, OUT
from vbl import kernel

pytestmark = pytest.mark.full
PLAIN = [f for f in ALL if f not in ("INDIRECT_DESC", "EVENT_IDX")]
PACKED = ALL + ("RING_PACKED",)


# -- sizes and limits --------------------------------------------------------

@pytest.mark.parametrize("features, size", [
    (ALL, 8), (PLAIN, 8), (PACKED, 8), (PACKED, 100), (PACKED, 255),
    (PLAIN + ["RING_PACKED"], 9), (ALL, 1024)],
    ids=["split 8", "split plain 8", "packed 8", "packed 100", "packed 255",
         "packed plain 9", "split 1024"])
@play()
def test_size(stage, features, size):
    """Small and odd queues; large requests, that have to be split."""
    disk = stage.start("modern", features, queue_size=size)
    stage.g.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=512k count=2 "
               "oflag=direct 2>&1; " + read(disk, 0, 2, "512k"), timeout=60)
    scene.copy(stage.g, disk, block="512k")
    exercise(stage, disk)


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("SPLIT-AVAIL-I01")
def test_laps(stage, ring):
    """More requests than an index of 16 bits can count."""
    disk = stage.start("modern", RINGS[ring], queue_size=8, queues=1,
                       size=96 << 20)
    each = 16800 if ring == "split" else 2000
    out = stage.g.sh("for n in 1 2 3 4; do "
                     + read(disk, 0, each) + " & done; wait",
                     timeout=400)
    assert out.count(f"{each}+0 records out") == 4, out
    q = stage.dev.queues[0]
    if ring == "split":
        stage.expect("SPLIT-AVAIL-I01", q.kicks and
                     len(q.out) == 0, "requests got lost")
        done = int(stage.g.sh(f"cut -c1-9 /sys/block/{disk}/stat"))
        assert done > 65536
    scene.copy(stage.g, disk)


@pytest.mark.parametrize("seg_max, size_max", [(1, 65536), (2, 4096),
                                               (126, 8192)])
@pytest.mark.parametrize("ring", ["split", "packed"])
@play("BLK-LIM-I01 BLK-LIM-I02")
def test_segments(stage, ring, seg_max, size_max):
    """No more and no longer segments than the device takes."""
    disk = stage.start("modern", RINGS[ring],
                       config={"seg_max": seg_max, "size_max": size_max})
    scene.copy(stage.g, disk, block="256k")


@pytest.mark.parametrize("segments", [1, 4])
@play("BLK-LIM-I03 BLK-OP-09 BLK-OP-11 BLK-OP-14 BLK-OP-07")
def test_ranges(stage, segments):
    """Discards and their kin are cut to what the device takes."""
    disk = stage.start("modern", ALL, config={
        "max_discard_sectors": 64, "max_discard_seg": segments,
        "max_write_zeroes_sectors": 48, "max_write_zeroes_seg": 1})
    stage.g.sh(f"d=/dev/{disk}; /bin/blkdiscard -f -l 1M $d && "
               "/bin/blkdiscard -f -z -o 1M -l 1M $d", timeout=60)
    kinds = {e[4] for e in stage.dev.log.find("request")}
    assert {11, 13} <= kinds, f"only requests of types {kinds} came"


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("BLK-LIM-I03")
def test_ranges_in_a_short_ring(stage, ring):
    """A discard of many ranges is one descriptor, and so has room."""
    kind = ("RING_PACKED",) if ring == "packed" else ()
    disk = stage.start("modern", [*PLAIN, *kind], queue_size=4, queues=1,
                       config={"max_discard_seg": 32})
    # What is given back by several at once, the scheduler puts together.
    out = stage.g.sh(
        f"cd /sys/block/{disk}; echo mq-deadline >queue/scheduler; "
        f"mkfs.ext4 -q -O ^has_journal /dev/{disk} && mkdir -p /tmp/m && "
        f"mount -o discard /dev/{disk} /tmp/m && seq 600 | while read n; do "
        "echo $n >/tmp/m/$n; done; sync; for n in 2 4 6 8; do "
        "rm -f /tmp/m/*$n & done; wait; sync; fstrim /tmp/m; umount /tmp/m; "
        "cat stat", timeout=60)
    assert int(out.split()[-5]), "no discard had many ranges"


@play("BLK-OP-16 BLK-OP-15")
def test_range_fails(stage):
    """A discard that fails says so."""
    class Fail(Script):
        def request(self, dev, req):
            return 1 if req.kind == 11 else None
    disk = stage.start("modern", ALL, script=Fail())
    status, _ = stage.g.status(f"/bin/blkdiscard -f -l 1M /dev/{disk}")
    stage.expect("BLK-OP-16", status, "a failed discard was a success")
    zeroes = stage.g.sh(f"cat /sys/block/{disk}/queue/discard_zeroes_data")
    stage.expect("BLK-OP-15", zeroes.strip() == "0", "discard_zeroes_data")


@play("BLK-RO-I01 BLK-OP-03")
def test_read_only(stage):
    """Nothing is written to a disk that is read-only."""
    disk = stage.start("modern", ALL + ("BLK_RO",))
    stage.expect("BLK-RO-I01", stage.g.sh(f"cat /sys/block/{disk}/ro").strip()
                 == "1", "ro is not 1")
    assert stage.g.status(f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 "
                          "oflag=direct")[0]
    stage.g.sh(read(disk))


@play("BLK-REQ-I01")
def test_large_blocks(stage):
    """Sectors have 512 bytes whatever the block size."""
    disk = stage.start("modern", ALL, config={"blk_size": 4096})
    assert stage.g.sh(f"cat /sys/block/{disk}/queue/logical_block_size") \
        .strip() == "4096"
    exercise(stage, disk)
    data = bytes(stage.dev.blk.data[4096 * 3000:4096 * 3001])
    out = stage.g.sh(f"dd if=/dev/{disk} bs=4k skip=3000 count=1 iflag=direct "
                     "2>/dev/null | sha256sum")
    import hashlib
    stage.expect("BLK-REQ-I01", out.split()[0]
                 == hashlib.sha256(data).hexdigest(), "wrong place")


@play("BLK-OP-08 BLK-OP-02 BLK-OP-05")
def test_serial(stage):
    """A serial number of 20 characters needs no NUL."""
    stage.on("modern", ALL)
    stage.dev.blk.serial = "twenty characters it"
    disk = stage.bind()
    said = stage.g.sh(f"cat /sys/block/{disk}/serial")
    stage.expect("BLK-OP-08", said.strip() == "twenty characters it", said)
    end = stage.g.status(f"dd if=/dev/{disk} of=/dev/null bs=4k skip=16383 "
                         "iflag=direct 2>&1")
    assert end[0] == 0, f"the last block cannot be read: {end}"


# -- kicks -------------------------------------------------------------------

class Polls(Script):
    """Wants no kicks, polls by itself."""

    used_flags = 1
    late_kicks = 2


@pytest.mark.parametrize("ring", ["split, no indirect, no event",
                                  "packed, no indirect, no event", "packed"])
@play()
def test_no_kicks(stage, ring):
    """A device that polls is not kicked."""
    stage.about("SPLIT-ANOTIF-03 SPLIT-ANOTIF-04" if "split" in ring
                else "PACK-KICK-I01")
    disk = stage.start("modern", RINGS[ring], queues=1)
    dev = stage.dev
    with dev.lock:
        dev.script = Polls()
        dev.queues[0].ring.ask_kick()
        before = dev.queues[0].kicks
    job = stage.g.start(read(disk, 0, 300))
    until = time.monotonic() + 60
    while not job.done and time.monotonic() < until:
        with dev.lock:
            dev.run_all()
    job.wait(10)
    stage.expect("SPLIT-ANOTIF-03" if "split" in ring else "PACK-KICK-I01",
                 dev.queues[0].kicks - before <= 2,
                 f"{dev.queues[0].kicks - before} kicks")
    with dev.lock:
        dev.script = Script()
        dev.queues[0].ring.ask_kick()
        dev.run_all()
    stage.g.sh(read(disk, 0, 50))


class Misleads(Script):
    """The part of the used ring that does not count says "no kicks"."""

    def __init__(self, event_idx):
        self.used_flags = 1 if event_idx else 0
        self.event_idx = event_idx

    def ring_enabled(self, dev, queue):
        if not self.event_idx:
            dev.memory.put(queue.ring.used + 4 + 8 * queue.size, 0x7000)


@pytest.mark.parametrize("event_idx, ident", [(True, "SPLIT-ANOTIF-05"),
                                              (False, "SPLIT-ANOTIF-02")])
@play()
def test_misleading_flags(stage, event_idx, ident):
    """The driver does not read a field that was not negotiated."""
    disk = stage.start("modern", ALL if event_idx else PLAIN,
                       script=Misleads(event_idx))
    stage.g.sh(read(disk, 0, 100))
    stage.expect(ident, stage.dev.queues[0].kicks or
                 stage.dev.queues[1].kicks)


class Later(Script):
    """Wants to be kicked for every fourth request only."""

    park = 3


@pytest.mark.parametrize("ring", ["split", "packed"])
@play()
def test_later_kicks(stage, ring):
    """The kick comes with the request that was asked for, not before."""
    disk = stage.start("modern", RINGS[ring], queues=1)
    dev = stage.dev
    with dev.lock:
        dev.script = Later()
        dev.queues[0].ring.ask_kick()
        before = dev.queues[0].kicks
    job = stage.g.start("for n in 1 2 3 4 5 6 7 8; do "
                        + read(disk, "$n", 100) + " & done; wait")
    until = time.monotonic() + 90
    while not job.done and time.monotonic() < until:
        now = dev.log.count
        time.sleep(0.2)
        with dev.lock:
            if dev.log.count == now:        # too few are left to be noticed
                dev.script.late_kicks += 1
                dev.run_all()
    job.wait(10)
    kicks = dev.queues[0].kicks - before
    ident = "SPLIT-ANOTIF-06 SPLIT-ANOTIF-07" if ring == "split" \
        else "PACK-KICK-I01"
    stage.expect(ident, 0 < kicks <= 200, f"{kicks} kicks for 800 requests")


@pytest.mark.parametrize("features", [
    ("NOTIFICATION_DATA",), ("NOTIF_CONFIG_DATA",),
    ("NOTIFICATION_DATA", "NOTIF_CONFIG_DATA")],
    ids=["38", "39", "38+39"])
@pytest.mark.parametrize("ring", ["split", "packed"])
@play()
def test_kick_data(stage, ring, features):
    """What a kick carries."""
    disk = stage.start("modern", RINGS[ring] + features)
    exercise(stage, disk)


# -- what the device gives back ----------------------------------------------

class Once(Script):
    """Lies about one read of 4 KiB at sector 800."""

    done = False
    answer = None

    def mine(self, req):
        return not self.done and req.kind == IN and req.sector == 800

    def request(self, dev, req):
        if self.mine(req):
            self.done = True
            return self.answer
        return None


class Silent(Once):
    """Gives a read back with nothing written."""

    answer = SILENT


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("SPLIT-USED-01 SPLIT-USED-02")
def test_silent(stage, ring):
    """A status that was never written is no success."""
    disk = stage.start("modern", RINGS[ring])
    stage.g.sh(read(disk, 1, 200))
    with stage.dev.lock:
        stage.dev.script = Silent()
        stage.dev.blk.data[800 * 512:808 * 512] = b"\xa5" * 4096
    status, out = stage.g.status(
        f"dd if=/dev/{disk} of=/tmp/x bs=4k skip=100 count=1 iflag=direct "
        "2>/dev/null || exit 1; tr -d '\\245' </tmp/x | wc -c; rm /tmp/x",
        timeout=60)
    assert stage.dev.script.done
    stage.expect("SPLIT-USED-01 SPLIT-USED-02", status or out.strip() == "0",
                 "a read that was never answered was a success, with "
                 "something else in it")


class BadId(Script):
    """Gives back something that it never got instead of what it got, once."""

    def __init__(self, ident):
        self.ident, self.told = ident, False

    def used(self, dev, queue, chain, length):
        if self.told:
            return super().used(dev, queue, chain, length)
        self.told = True
        return [(self.ident, length, chain.slots)]


@pytest.mark.parametrize("ident", [0x7fff, 50], ids=["range", "unused"])
@pytest.mark.parametrize("ring", ["split", "packed"])
@play()
def test_bad_id(stage, ring, ident):
    """An unknown id destroys no data."""
    stage.about("SPLIT-USED-I01" if ring == "split" else "PACK-RECV-I01")
    disk = stage.start("modern", RINGS[ring], queues=1)
    with stage.dev.lock:
        stage.dev.script = BadId(ident)
    job = stage.g.start(read(disk))
    job.wait(20, check=False)
    assert stage.dev.script.told
    scene.copy(stage.g, disk)


class WrongLength(Script):
    """Reports lengths that are not so."""

    def __init__(self, length):
        self.length = length

    def used(self, dev, queue, chain, length):
        return [(chain.ident, self.length, chain.slots)]


@pytest.mark.parametrize("length", [0, 1, 1 << 30])
@play("LEG-USED-I01 LEG-BLK-04")
def test_legacy_length(stage, length):
    """Legacy devices report any length."""
    disk = stage.start("legacy", LEGACY, script=WrongLength(length))
    scene.copy(stage.g, disk)


class OddUsed(Script):
    """NEXT in used descriptors means nothing."""

    used_desc_flags = 1


@play("PACK-ELEM-I01")
def test_odd_used(stage):
    """Only id and flags of a used descriptor count."""
    disk = stage.start("modern", PACKED, script=OddUsed())
    exercise(stage, disk)


class Status(Script):
    """Answers the block's number as status."""

    def request(self, dev, req):
        if req.kind in (IN, OUT) and req.sector >= 8 * 1024:
            return req.sector // 8 & 0xff
        return None


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("BLK-ST-I01")
def test_status(stage, ring):
    """Of all statuses, only 0 is a success."""
    disk = stage.start("modern", RINGS[ring], script=Status())
    out = stage.g.sh("n=1024; while [ $n -lt 1280 ]; do if dd "
                     f"if=/dev/{disk} of=/dev/null bs=4k count=1 skip=$n "
                     "iflag=direct 2>/dev/null; then echo $n; fi; "
                     "n=$((n + 1)); done", timeout=120)
    good = [int(n) - 1024 for n in out.split()]
    stage.expect("BLK-ST-I01", good == [0], f"successes: {good}")
    writes = stage.g.status(f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 "
                            "seek=1026 oflag=direct 2>&1")
    stage.expect("BLK-ST-I01", writes[0], "a write with status 2 succeeded")


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("GEN-CLEAN-01")
def test_unbind_busy(stage, ring):
    """The driver leaves while the device holds a write."""
    disk = stage.start("modern", RINGS[ring])
    dev, g = stage.dev, stage.g
    with dev.lock:
        dev.script = HoldRequests(OUT)
    job = g.start(f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 "
                  "oflag=direct 2>&1")
    dev.wait(lambda d: d.held, 30, "a write")
    away = g.start(f"echo {dev.bdf} >/sys/bus/pci/devices/{dev.bdf}/"
                   "driver/unbind")
    g.sh(f"wait_for 5 true; sleep 1; cat /sys/block/{disk}/inflight",
         check=False)
    dev.release()
    away.wait(60)
    job.wait(30, check=False)
    stage.expect("GEN-CLEAN-01", True)


@pytest.mark.parametrize("ring", ["split", "packed"])
@play("GEN-CLEAN-02")
def test_timeout(stage, ring):
    """A lost write: the device is reset before its memory is used again."""
    if stage.driver != "lite":
        pytest.skip("upstream waits for ever")
    disk = stage.start("modern", RINGS[ring])
    dev, g = stage.dev, stage.g
    g.sh("echo reset >/sys/module/virtio_lite/parameters/timeout_action; "
         f"echo 1000 >/sys/block/{disk}/queue/io_timeout")
    with dev.lock:
        dev.script = HoldRequests(OUT)
    job = g.start(f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 "
                  "oflag=direct 2>&1")
    dev.wait(lambda d: d.held, 30, "a write")
    held = list(dev.held)
    dev.wait(lambda d: held[0] not in d.held, 60, "a reset")
    with dev.lock:
        dev.script = Script()
        dev.release()
    job.wait(60)
    g.sh("echo auto >/sys/module/virtio_lite/parameters/timeout_action")
    assert dev.check.seen["GEN-CLEAN-02"], "no reset with requests out"


# -- legacy ------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["legacy", "legacy intx"])
@pytest.mark.parametrize("layout", [True, False], ids=["any", "fixed"])
@play("LEG-DETECT-02 LEG-CONF-01 LEG-TERM-01 LEG-PCI-03 LEG-FEAT-02")
def test_legacy(stage, kind, layout):
    """The old registers, ring layout and framing."""
    disk = stage.start(kind, [f for f in LEGACY
                              if layout or f != "ANY_LAYOUT"])
    exercise(stage, disk)


@play("LEG-FEAT-02")
def test_legacy_every_bit(stage):
    """All 32 bits; only those that mean something are taken."""
    exercise(stage, stage.start("legacy", (1 << 32) - 1 & ~(1 << 5)))


# -- zoned, where it is not known --------------------------------------------

@play("BLK-INIT-07 BLK-INIT-10")
def test_host_aware(stage):
    """A host-aware disk is a disk."""
    disk = stage.start("modern", ALL + ("BLK_ZONED",), zones={
        "conventional": 99}, config={"model": 2})
    scene.copy(stage.g, disk)


@play("BLK-INIT-06")
def test_host_managed(stage):
    """A host-managed disk is driven as one."""
    stage.needs_zones()
    disk = stage.start("modern", ALL + ("BLK_ZONED",), zones={})
    zoned = stage.g.sh(f"cat /sys/block/{disk}/queue/zoned").strip()
    assert zoned == "host-managed", zoned


@play()
def test_host_managed_refused(stage):
    """Or refused, where the kernel does not order writes to zones."""
    if stage.driver != "lite":
        pytest.skip("upstream's driver of 6.1 does not read the model")
    if "6.1" not in [k.series for k in kernel.series()]:
        pytest.skip("no kernel 6.1; scripts/setup on Debian 12 installs it")
    stage.reboot(["modern"], kernel="6.1")
    dev = stage.on("modern", ALL + ("BLK_ZONED",), zones={})
    dev.forget()
    assert not stage.bind()
    written = list(dev.status_reg.history)
    stage.expect("BLK-INIT-08", not any(s & 8 for s in written),
                 f"status written: {written}")
    stage.expect("BLK-INIT-09", any(s & 128 for s in written),
                 f"status written: {written}")
