# SPDX-License-Identifier: GPL-2.0
"""Features that QEMU's own disks do not offer, on scripted devices.

Each case has one guest, whose device becomes another one as often as needed.
The device judges every access; a rule that the driver broke fails the case.
"""

import pytest
from append import append, appended
from device import HoldRequests, Script
from device.spec import GET_LIFETIME, IOERR, OUT, ZONE_APPEND
from faults.load import Busy, verify
from late import SLEEP
from scripted import MODERN, BadId, arm, command, qemu_has, scene
from vbl import Disk

# -- notifications -----------------------------------------------------------

NOTIFY = {
    (): "PCI-NOTIF-03",
    ("NOTIFICATION_DATA",): "PCI-NOTIF-04",
    ("NOTIF_CONFIG_DATA",): "PCI-NOTIF-05",
    ("NOTIFICATION_DATA", "NOTIF_CONFIG_DATA"): "PCI-NOTIF-06",
}


def test_notification(scripted):
    """A kick says what was negotiated, in either format of the ring."""
    s = scripted()
    for ring in ((), ("RING_PACKED",)):
        for more, rule in NOTIFY.items():
            s.be(MODERN + ring + more, queues=2, queue_size=32)
            assert all(s.dev.has(f) for f in more)
            s.copy(block="4k")
            s.good(rule)
            if "NOTIFICATION_DATA" in more:
                s.good("GEN-NOTIF-I01", "PCI-NOTIF-02")
            s.end()


# -- one queue alone ---------------------------------------------------------

def errors(s, what):
    """One of the error counters of the disk."""
    return int(s.sh(f"cat /sys/block/$D/errors/{what}"))


def write_from(s, cpu, place):
    """4 KiB of noise that one CPU, so one queue, writes; kept in a file."""
    return s.g.start(f"head -c 4096 /dev/urandom >/tmp/w{place}; taskset "
                     f"{1 << cpu:x} dd if=/tmp/w{place} of=/dev/{s.name} "
                     f"bs=4k count=1 seek={place} oflag=direct")


def written(s, place):
    """Whether what write_from() wrote is on the disk."""
    return s.sh(f"dd if=/dev/$D bs=4k skip={place} count=1 iflag=direct "
                f"2>/dev/null | cmp - /tmp/w{place}", check=False) == ""


@pytest.mark.parametrize("ring", [(), ("RING_PACKED",)],
                         ids=["split", "packed"])
def test_queue_reset(scripted, ring):
    """One queue is reset while the others are used, and no data is lost."""
    s = scripted()
    s.be(MODERN + ring + ("RING_RESET",), queues=2, script=BadId())
    for n in range(1, 4):
        s.dev.script.queue_reset_seconds = 0.3 * (n == 3)
        arm(s)
        write_from(s, 0, n).wait()
        s.sh(f"wait_for 20 grep -qx {n} /sys/block/$D/errors/queue_resets")
        assert written(s, n)
    assert len(s.dev.log.find("queue reset", 0)) == 3
    assert not s.dev.status_reg.history, "the device was reset"
    assert errors(s, "protocol") == errors(s, "resets") == 3
    s.good("PCI-COMMON-07", "GEN-QRST-01", "GEN-QRST-03")
    s.copy()
    s.end()


def one_held(s, features):
    """The device breaks the rules while it holds a write; both are done."""
    s.be(features, queues=2, script=BadId())
    s.dev.script.hold = True
    held = write_from(s, 0, 2)
    s.dev.wait(lambda d: d.held)
    arm(s, hold=False)
    write_from(s, 0, 3).wait()
    held.wait()
    assert written(s, 2) and written(s, 3)


@pytest.mark.full
def test_queue_reset_does_not_help(scripted):
    """The device is reset when the queue cannot be, or holds a request."""
    s = scripted()
    features = MODERN + ("RING_RESET",)

    # One that never ends.
    s.be(features, queues=2, script=BadId())
    s.dev.script.queue_reset_seconds = 1000
    arm(s)
    write_from(s, 0, 1).wait()
    assert written(s, 1)
    assert errors(s, "queue_resets") == 0 and errors(s, "resets") == 1
    assert "queue 0 cannot be reset alone" in s.g.sh("dmesg")
    s.end()

    # A request that the device still works on may not be sent again.
    one_held(s, features)
    assert not s.dev.log.find("queue reset")
    assert errors(s, "queue_resets") == 0 and errors(s, "resets") == 1
    s.end()

    # Unless the user says that this device keeps to the rules.
    s.sh("echo 1 >/sys/module/virtio_lite/parameters/trust_queue_reset")
    one_held(s, features)
    assert errors(s, "queue_resets") == errors(s, "resets") == 1
    s.end()


@pytest.mark.full
@pytest.mark.parametrize("gone", [False, True], ids=["unbound", "gone"])
def test_queue_reset_and_gone(scripted, gone):
    """The disk goes while one of its queues is reset, which never ends."""
    s = scripted()
    s.be(MODERN + ("RING_RESET",), queues=2, script=BadId())
    s.dev.script.queue_reset_seconds = 1000
    arm(s)
    write = write_from(s, 0, 1)
    s.dev.wait(lambda d: d.log.find("queue reset"), 30, "the reset of a queue")
    with s.dev.lock:
        s.dev.pci.gone = gone
    scene.unbind(s.g, s.dev)
    write.wait(60, check=False)
    assert gone or not write.status, write.output
    # Also when it is gone: what it was done with before, it said.
    assert write.status or any(s.dev.blk.data[4096:8192])
    s.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


def test_queue_reset_not_there(scripted):
    """Without the feature, or its register, the device is reset."""
    s = scripted()
    s.be(MODERN, queues=2, script=BadId())
    arm(s)
    write_from(s, 0, 1).wait()
    assert written(s, 1)
    assert errors(s, "resets") == 1
    assert not s.dev.log.find("queue reset")
    s.end()


# -- in order ----------------------------------------------------------------

@pytest.mark.parametrize("ring", [
    pytest.param((), id="split", marks=pytest.mark.full),
    pytest.param(("RING_PACKED",), id="packed")])
def test_in_order(scripted, ring):
    """The device ends many requests with one entry, or each with its own."""
    s = scripted()
    for batch in (True, False):
        s.be(MODERN + ring + ("IN_ORDER",), queues=2, queue_size=16,
             script=HoldRequests(OUT, limit=1, hold=False))
        assert s.dev.has("IN_ORDER")
        s.dev.script.batch = batch
        s.copy(block="4k")
        # Younger ones are done, and wait for the oldest.
        s.dev.script.hold = True
        held = [write_from(s, 0, 1)]
        s.dev.wait(lambda d: d.held)
        held += [write_from(s, 0, place) for place in range(2, 7)]
        s.dev.wait(lambda d: len(d.queues[0].out) == 6)
        assert not any(job.done for job in held)
        s.dev.release()
        for job in held:
            job.wait()
        assert all(written(s, place) for place in range(1, 7))
        if batch:
            assert s.dev.log.find("used batch", 0)[-1][5] >= 1
            assert max(e[5] for e in s.dev.log.find("used batch", 0)) >= 6
        with Busy(s.g, s.name, "--iodepth=32 --size=4M"):
            pass
        s.good("GEN-CLEAN-01")
        assert errors(s, "protocol") == 0
        s.end()


def test_in_order_needs_indirect(scripted):
    """Without INDIRECT_DESC it is left alone, and that is said."""
    s = scripted()
    s.be(tuple(f for f in MODERN if f != "INDIRECT_DESC") + ("IN_ORDER",))
    assert not s.dev.has("IN_ORDER")
    assert "IN_ORDER not taken" in s.g.sh("dmesg")
    s.copy()
    s.end()


@pytest.mark.full
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_in_order_qemu(boot, kernel, packed):
    """The same with a device that somebody else made."""
    if not qemu_has("in_order"):
        pytest.skip("this QEMU has no in_order: 10.0 or newer is needed "
                    "($VBL_QEMU chooses one)")
    g = boot(kernel=kernel, qemu=command(), disks=[
        Disk(transport="modern", in_order=True, packed=packed)])
    assert g.sh(f"cat $(virtio_of {g.bdf(0)})/features")[35] == "1"
    verify(g, g.dev(), "--iodepth=64 --size=16M")
    g.sh(f"/bin/blkdiscard -f /dev/{g.dev()} && sync && vbl_unload")


# -- requests without data ---------------------------------------------------

ERASE = {"max_secure_erase_sectors": 2048, "max_secure_erase_seg": 1,
         "secure_erase_sector_alignment": 16}


@pytest.mark.full
def test_secure_erase(scripted):
    """Whatever it is next to, it keeps to its own limits."""
    s = scripted()
    for more in ((), ("BLK_DISCARD",), ("BLK_DISCARD", "RING_PACKED")):
        s.be(MODERN + more + ("BLK_SECURE_ERASE",), config=ERASE)
        s.sh("dd if=/dev/urandom of=/dev/$D bs=1M count=4 oflag=direct 2>&1")
        before = s.dev.blk.data[:4 << 20]
        s.sh("/bin/blkdiscard -f -s -o 8K -l 3M /dev/$D")
        s.sh("sync; echo 3 >/proc/sys/vm/drop_caches")
        after = s.dev.blk.data[:4 << 20]
        assert after[8 << 10:(3 << 20) + (8 << 10)] == bytes(3 << 20)
        assert after[:8 << 10] == before[:8 << 10]
        assert after[(3 << 20) + (8 << 10):] == before[(3 << 20) + (8 << 10):]
        sent = [e[5] for e in s.dev.log.find("request", 0, 14)]
        assert sent and s.dev.check.seen["BLK-OP-10"] == len(sent)
        # Not in units that the device can erase.
        status, out = s.g.status(f"/bin/blkdiscard -f -s -o 512 -l 8K /dev/{s.name}")
        assert status and "not supported" in out
        s.good("BLK-OP-07", "BLK-LIM-I03", "BLK-REQ-I02")
        s.end()
    # A device that contradicts itself has no secure erase.
    s.be(MODERN + ("BLK_SECURE_ERASE",),
         config={**ERASE, "max_secure_erase_sectors": 8})
    assert s.g.status(f"/bin/blkdiscard -f -s -l 8K /dev/{s.name}")[0]
    assert "secure erase of at most 8 sectors" in s.g.sh("dmesg")
    assert not s.dev.log.find("request", 0, 14)
    s.end()


WEAR = {
    (0, 0, 0): ("unknown", "unknown", "unknown"),
    (1, 1, 10): ("normal", "0% to 10% used", "90% to 100% used"),
    (2, 11, 5): ("warning: 80% of the reserved blocks are used",
                 "past its estimated life", "40% to 50% used"),
    (3, 12, 0xffff): ("urgent: 90% of the reserved blocks are used",
                      "reserved value 12", "reserved value 65535"),
    (4, 1, 1): ("reserved value 4", "0% to 10% used", "0% to 10% used"),
}


class Fails(Script):
    """Says of requests of one kind that they failed."""

    fails = None

    def request(self, dev, req):
        return IOERR if req.kind == self.fails else None


def test_lifetime(scripted):
    """How worn the medium is, in words; and no question without the feature."""
    s = scripted()
    # Each queue ends what it has on the CPU that sent it.
    s.be(MODERN + ("BLK_LIFETIME",), queues=2, script=Fails())
    for numbers, words in WEAR.items():
        s.dev.blk.lifetime = numbers
        assert s.sh("cd /sys/block/$D/lifetime; cat pre_eol_info type_a type_b"
                    ).splitlines() == list(words)
    s.good("BLK-LIFE-I01")
    s.dev.script.fails = GET_LIFETIME
    for name in ("pre_eol_info", "type_a"):
        assert s.g.status(f"cat /sys/block/{s.name}/lifetime/{name}")[0], \
            "an error was taken for an answer"
    s.end()
    s.be(MODERN)
    assert s.g.status(f"ls /sys/block/{s.name}/lifetime")[0]
    s.end()


class Zeroes(Script):
    """Keeps the flags of write zeroes."""

    def __init__(self):
        self.flags = []

    def request(self, dev, req):
        if req.kind == 13:
            self.flags += [flags for _, _, flags in req.ranges()]


def test_zeroes_unmap(scripted):
    """Space is given back where device and user both want that."""
    s = scripted()
    punch = "/bin/fallocate -p -o 1M -l 64K /dev/$D; "
    keep = "/bin/fallocate -z -o 1M -l 64K /dev/$D"
    s.be(MODERN + ("BLK_WRITE_ZEROES",), script=Zeroes(),
         config={"write_zeroes_may_unmap": 1})
    s.sh(punch + keep)
    assert s.dev.script.flags == [1, 0]
    # It may change its mind, and says so.
    before = len(s.dev.log.find("config interrupt"))
    s.dev.resize(48 << 20)
    s.dev.change(write_zeroes_may_unmap=0)
    assert len(s.dev.log.find("config interrupt")) == before + 2
    s.sh(f"wait_for 20 grep -qx {96 << 10} /sys/block/$D/size")
    s.dev.resize(64 << 20)
    s.sh(f"wait_for 20 grep -qx {128 << 10} /sys/block/$D/size")
    s.sh(punch + keep)
    assert s.dev.script.flags == [1, 0, 0, 0]
    s.good("BLK-REQ-I03", "BLK-OP-11")
    s.end()


# -- zones -------------------------------------------------------------------

HM = MODERN + ("BLK_ZONED", "BLK_DISCARD")
ZONE = 4 << 20          # bytes; what the device says if it is not asked to differ


def zones(s):
    """What blkzone says: [(start, cap, wptr, cond)], in sectors."""
    rows = []
    for line in s.sh("blkzone report /dev/$D").splitlines():
        words = line.replace(",", " ").split()
        at = {words[n].rstrip(":"): words[n + 1] for n in range(len(words) - 1)}
        rows.append((int(at["start"], 16), int(at["cap"], 16),
                     int(at["wptr"], 16), line.partition("zcond:")[2].partition("(")[2][:2]))
    return rows


def zone_write(s, at, count=1):
    """Blocks of 64 KiB, written at a byte; the status of dd."""
    return s.g.status(f"dd if=/dev/urandom of=/dev/{s.name} bs=64k "
                      f"count={count} seek={at // 65536} oflag=direct "
                      "conv=notrunc 2>&1")[0]


def test_zones(scripted):
    """Report, write in order, open, close, finish, reset; limits are kept."""
    s = scripted(kernel="6.12")
    s.be(HM, queues=2, size=(64 << 20) + (1 << 20),
         zones={"conventional": 1, "capacity": 6144})
    assert s.dev.has("BLK_ZONED") and not s.dev.has("BLK_DISCARD")
    assert s.sh("cat /sys/block/$D/queue/zoned") == "host-managed\n"
    assert s.sh("cd /sys/block/$D/queue; cat nr_zones chunk_sectors "
                "max_open_zones max_active_zones zone_write_granularity "
                "zone_append_max_bytes").split() == [
                    "17", "8192", "4", "6", "4096", str(256 * 512)]
    got = zones(s)
    assert [z[0] for z in got] == [n * 8192 for n in range(17)]
    assert [z[1] for z in got] == [8192] + [6144] * 15 + [2048]
    assert [z[3] for z in got] == ["nw"] + ["em"] * 16

    # In order, or not at all.
    assert zone_write(s, 3 * ZONE, 4) == 0
    assert zone_write(s, 3 * ZONE + (1 << 20))
    assert zones(s)[3][2:] == (512, "oi")
    s.sh("blkzone finish -o $((4 * 8192)) -l 8192 /dev/$D && "
         "blkzone open -o $((5 * 8192)) -l 8192 /dev/$D")
    assert [z[3] for z in zones(s)[3:6]] == ["oi", "fu", "oe"]
    s.sh("blkzone close -o $((5 * 8192)) -l 8192 /dev/$D && "
         "blkzone reset -o $((3 * 8192)) -l 8192 /dev/$D")
    assert [z[3] for z in zones(s)[3:6]] == ["em", "fu", "em"]
    s.sh("blkzone reset /dev/$D")
    assert all(z[3] == "em" for z in zones(s)[1:])
    # Too many at once: said by an error of its own.
    for n in range(1, 5):
        s.sh(f"blkzone open -o $(({n} * 8192)) -l 8192 /dev/$D")
    assert s.g.status(f"blkzone open -o $((5 * 8192)) -l 8192 /dev/{s.name}")[0]
    s.good("BLK-INIT-06", "BLK-ZONE-02", "BLK-ZONE-04", "BLK-ZONE-10",
           "BLK-ZONE-11", "BLK-ZONE-12")
    s.end()


def test_zones_resized(scripted):
    """More zones are there when the disk has grown; fewer when it shrank."""
    s = scripted(kernel="6.12")
    s.be(HM, zones={})
    for mega in (96, 32):
        s.dev.blk.zones.size = 8192
        with s.dev.lock:
            s.dev.resize(mega << 20)
            s.dev.blk.zones.__init__(s.dev)
        s.sh(f"wait_for 20 grep -qx {mega // 4} /sys/block/$D/queue/nr_zones")
        assert len(zones(s)) == mega // 4
    s.end()


REFUSED = {
    "zones of 6000 sectors": {"zone_sectors": 6000},
    "zones of 0 sectors": {"zone_sectors": 0},
    "written in units of 5000 bytes": {"zone_sectors": 8192,
                                       "write_granularity": 5000},
    "are too many zones of 8": {"zone_sectors": 8, "capacity": 1 << 40},
}


def test_zones_refused(scripted):
    """What no kernel can drive is refused, and why is said."""
    s = scripted(kernel="6.12")
    for words, config in REFUSED.items():
        assert s.be(HM, config={"model": 1, "write_granularity": 4096,
                                **config}) is None
        assert words in s.g.sh("dmesg")
        assert not s.dev.check.breaches, s.dev.check.report()


class Forgetful(Script):
    """Offers zones when it is asked for the first time."""

    asked = 0

    def read(self, dev, name, value):
        if name != "device_feature" or dev.pci.modern.feature_select:
            return value
        self.asked += 1
        return value | 1 << 17 if self.asked < 3 else value


def test_zones_offered_for_a_moment(scripted):
    """A zoned disk is one by the features that are accepted."""
    s = scripted(kernel="6.12")
    script = Forgetful()
    s.be(MODERN, script=script, config={"zone_sectors": 4096, "model": 0})
    assert script.asked >= 2 and not s.dev.accepted >> 17 & 1
    s.copy()


def test_zones_on_older_kernels(scripted):
    """Host-managed is refused before FEATURES_OK; others are plain disks."""
    s = scripted(kernel="6.1")
    assert s.be(HM, zones={}) is None
    assert "host-managed zoned disk" in s.g.sh("dmesg")
    assert not any(value & 8 for value in s.tried)
    for model in (0, 2):
        s.be(HM, config={"model": model})
        assert not s.dev.has("BLK_ZONED") and s.dev.has("BLK_DISCARD")
        s.copy()
        s.good()
        s.end()


# -- polling -----------------------------------------------------------------

def poll(g, dev, options=""):
    """fio with IOPOLL, every byte checked."""
    verify(g, dev, "--ioengine=io_uring --hipri=1 --fixedbufs=0 --size=8M "
           f"--end_fsync=0 {options}", "--bssplit=4k/60:64k/40")


def interrupts(g, virtio):
    """Names and counts of a device's interrupts."""
    rows = [line.split() for line in g.sh("cat /proc/interrupts").splitlines()]
    return {r[-1]: sum(int(n) for n in r[1:] if n.isdigit())
            for r in rows if r[-1].startswith(f"{virtio}-")}


@pytest.mark.parametrize("options", [
    {}, *(pytest.param(o, marks=pytest.mark.full) for o in (
        {"packed": True}, {"in_order": True}, {"vectors": 0},
        {"indirect": False}))], ids=lambda o: "-".join(o) or "plain")
def test_poll(boot, options):
    """Polled queues have no vector, and bring all of their requests."""
    if "in_order" in options and not qemu_has("in_order"):
        pytest.skip("this QEMU has no in_order")
    g = boot(kernel="6.12", params="poll_queues=1", qemu=command(),
             disks=[Disk(transport="modern", num_queues=3, **options)])
    dev = g.dev()
    assert "3 queues" in g.sh("dmesg | grep 'modern disk'")
    assert g.sh(f"cat /sys/block/{dev}/queue/io_poll") == "1\n"
    virtio = g.sh(f"basename $(virtio_of {g.bdf(0)})").strip()
    poll(g, dev, "--iodepth=16")
    before = interrupts(g, virtio)
    if options.get("vectors") is None:
        assert set(before) == {f"{virtio}-config", f"{virtio}-req.0",
                               f"{virtio}-req.1"}
    g.sh(f"fio --name=p --filename=/dev/{dev} --ioengine=io_uring --hipri=1 "
         "--rw=randread --bs=4k --direct=1 --number_ios=500 --iodepth=4 "
         "--size=8M --thread", timeout=120)
    assert interrupts(g, virtio) == before
    # Others are not disturbed.
    verify(g, dev, "--size=8M")
    g.sh("vbl_unload")


@pytest.mark.full
def test_poll_recover(scripted):
    """A device that is reset under those who poll."""
    s = scripted(kernel="6.12", params="poll_queues=1")
    s.be(MODERN, queues=2)
    s.g.sh(f"cat /sys/block/{s.name}/queue/io_poll | grep -qx 1")
    job = s.g.start(
        f"fio --name=p --filename=/dev/{s.name} --ioengine=io_uring --hipri=1 "
        "--rw=randwrite --bs=4k --direct=1 --iodepth=8 --size=4M --loops=3 "
        "--verify=crc32c --verify_fatal=1 --thread")
    for n in range(1, 4):
        seen = s.dev.log.count
        s.dev.wait(lambda d: d.log.count > seen + 200 or job.done, 60)
        with s.dev.lock:
            s.dev.needs_reset()
        s.sh(f"wait_for 30 grep -qx {n} /sys/block/$D/errors/resets")
    job.wait(120)
    s.good()
    s.end()


@pytest.mark.full
def test_poll_append(scripted):
    """Appends that are polled for, in a batch, say where they went too."""
    s = scripted(kernel="6.12", params="poll_queues=1")
    s.be(HM, queues=2, zones={})
    went = appended(append(s.g, s.name, ZONE // 512, count=16, poll=1), 60)
    assert sorted(went) == [ZONE // 512 + 8 * n for n in range(16)]
    for n, sector in enumerate(went, 1):
        assert s.dev.blk.data[sector * 512:sector * 512 + 4096] == \
            bytes([n]) * 4096
    assert {e[3] for e in s.dev.log.find("request") if e[4] == ZONE_APPEND} \
        == {1}, "these were not polled for"
    s.good("BLK-ZONE-06", "BLK-ZONE-I01")
    s.end()


# -- sleep -------------------------------------------------------------------

class Sleepy(Script):
    """Takes its time to suspend and to wake up."""

    suspend_seconds = 0.3


@pytest.mark.full
def test_suspend_feature(scripted):
    """A device that can sleeps with its state, and is not set up anew."""
    s = scripted(kernel="6.12")
    s.be(MODERN + ("SUSPEND",), queues=2, script=Sleepy())
    with Busy(s.g, s.name, "--size=4M") as busy:
        for _ in range(2):
            s.g.sh(SLEEP, timeout=90)
            busy.progresses()
    assert s.dev.status_reg.history and 0 not in s.dev.status_reg.history
    s.good("GEN-SUSP-01", "GEN-SUSP-04")
    # One that does not get there is reset.
    s.dev.script.suspend_seconds = 1000
    s.g.sh(SLEEP, timeout=90)
    assert "takes too long to suspend" in s.g.sh("dmesg")
    assert 0 in s.dev.status_reg.history
    s.copy()


@pytest.mark.full
def test_suspend_stuck(scripted):
    """What does not come back does not keep the system awake."""
    s = scripted(kernel="6.12")
    s.be(MODERN, queues=2, script=HoldRequests(OUT, hold=False))
    s.dev.script.hold = True
    # Who waits for it may not keep the system awake either, nor may the CPU that
    # uses its queue: it stays online.
    job = s.g.start(f"fio --name=s --filename=/dev/{s.name} --thread --bs=4k "
                    "--cpus_allowed=0 --ioengine=libaio --rw=write --size=4k "
                    "--direct=1 --buffer_pattern=0xab")
    s.dev.wait(lambda d: d.held, 60)
    s.dev.script.hold = False
    s.g.sh(SLEEP, timeout=120)
    job.wait(60)
    assert s.dev.blk.data[:4096] == b"\xab" * 4096
    assert "taking them back" in s.g.sh("dmesg")
    s.good()
    s.end()
