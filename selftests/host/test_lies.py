# SPDX-License-Identifier: GPL-2.0
"""Devices with inconsistent limits, and devices that answer too early."""

import time

import pytest
from conform import LEGACY, requests
from device import HoldRequests, Script
from device.spec import DISCARD, FLUSH, OUT, WRITE_ZEROES
from scripted import MODERN, scene

WCE = "config+0x20"


class TooEarly(Script):
    """Returns a buffer as soon as a ring is enabled."""

    told = 0

    def ring_enabled(self, dev, queue):
        if self.told:
            return
        self.told += 1
        if dev.has("RING_PACKED"):
            # A used descriptor of the first lap.
            dev.memory.put(queue.desc + 12, 1, 2)
            dev.memory.put(queue.desc + 14, 0x8080, 2)
        else:
            dev.memory.put(queue.device + 2, 1)
        dev.interrupt(queue)


@pytest.mark.parametrize("ring", [(), ("RING_PACKED",)],
                         ids=["split", "packed"])
def test_used_before_there_is_a_disk(scripted, kernel, ring):
    """An answer before any request costs a reset, or is not read."""
    s = scripted(kernel=kernel)
    assert s.be(MODERN + ring, queues=2, script=TooEarly())
    assert s.dev.script.told
    s.sh("wait_for 20 grep -qx 1 /sys/block/$D/errors/resets")
    s.copy()
    s.end()
    # The same where the probe fails later: no disk can be reset then.
    assert s.be(MODERN + ring + ("BLK_SIZE_MAX",), queue_size=8,
                script=TooEarly(), config={"size_max": 512}) is None
    assert s.dev.script.told
    assert s.be(MODERN + ring, queues=2)
    s.copy()
    s.end()


class Ranges(Script):
    """Records the lengths of discards and of write zeroes."""

    def __init__(self):
        self.lengths = []

    def request(self, dev, req):
        if req.kind in (DISCARD, WRITE_ZEROES):
            self.lengths += [n for _, n, _ in req.ranges()]


def test_limits_that_split_a_block(scripted, kernel):
    """Zeroes are cut at blocks, also where the limit lies within one: QEMU's
    own default is 7 sectors short of that."""
    s = scripted(kernel=kernel)
    s.be(MODERN + ("BLK_WRITE_ZEROES",), script=Ranges(),
         config={"blk_size": 4096, "max_write_zeroes_sectors": 15})
    s.sh("/bin/fallocate -z -o 1M -l 64K /dev/$D")
    assert s.dev.script.lengths == [8] * 16
    s.end()
    # Less than a block is nothing; the kernel writes zeroes instead.
    s.be(MODERN + ("BLK_WRITE_ZEROES",), script=Ranges(),
         config={"blk_size": 4096, "max_write_zeroes_sectors": 7})
    s.sh("/bin/blkdiscard -f -z -o 1M -l 64K /dev/$D")
    assert not s.dev.script.lengths
    assert "less than a block" in s.g.sh("dmesg")
    s.end()


def test_discard_below_its_unit(scripted, kernel):
    """What may not be cut where it would have to be is not sent at all."""
    s = scripted(kernel=kernel)
    s.be(MODERN + ("BLK_DISCARD",), script=Ranges(),
         config={"max_discard_sectors": 8, "discard_sector_alignment": 128})
    assert s.sh("cat /sys/block/$D/queue/discard_max_bytes").strip() == "0"
    assert s.g.status(f"/bin/blkdiscard -f /dev/{s.name}")[0]
    assert not s.dev.script.lengths
    assert "at most 8 sectors in units of 128" in s.g.sh("dmesg")
    s.copy()
    s.end()


def test_zones_without_end(scripted):
    """The kernel keeps no memory for billions of open zones."""
    s = scripted(kernel="6.12")
    s.be(MODERN + ("BLK_ZONED",), zones={}, config={
        "max_open_zones": 0xffffffff, "max_active_zones": 0xffffffff})
    got = s.sh("cd /sys/block/$D/queue; cat max_open_zones max_active_zones")
    # It needs none where there are not that many zones.
    assert all(int(n) <= 1 << 14 for n in got.split())
    s.end()


def told(s):
    """What was written into the field that says how the device caches."""
    return [e[4] for e in s.dev.log.find("write", WCE)]


def test_cache_switched_under_a_write(scripted, kernel):
    """A write in flight is flushed, in whichever mode it was sent."""
    s = scripted(kernel=kernel)
    s.be(MODERN + ("BLK_CONFIG_WCE",), script=HoldRequests(OUT, hold=False))
    write = ("dd if=/dev/zero of=/dev/{0} bs=4k count=1 oflag=direct "
             "2>/dev/null")

    def held():
        s.dev.script.hold = True
        job = s.g.start(write.format(s.name))
        s.dev.wait(lambda d: d.held, why="a write to keep")
        s.dev.script.hold = False
        return job

    job = held()
    switch = s.g.start(f"echo write through >/sys/block/{s.name}/cache_type")
    s.dev.wait(lambda d: told(s) == [0], why="the new mode")
    s.sh("cat /sys/block/$D/queue/write_cache")
    assert not requests(s.dev, FLUSH), "flushed before the write was there"
    s.dev.release()
    job.wait()
    switch.wait()
    assert requests(s.dev, FLUSH), "the write was not flushed"

    # And back: who flushes knows of the cache before there is one.
    job = held()
    switch = s.g.start(f"echo write back >/sys/block/{s.name}/cache_type")
    s.sh("cat /sys/block/$D/queue/write_cache")
    assert told(s) == [0], "it caches, and nobody flushes yet"
    s.dev.release()
    job.wait()
    switch.wait()
    assert told(s) == [0, 1]
    assert s.sh("cat /sys/block/$D/queue/write_cache") == "write back\n"
    s.end()


def test_legacy_ring_too_large(scripted, kernel):
    """Nobody can choose the size of a legacy ring, so one that is too large is
    not driven as if it were smaller: the device would write behind it."""
    s = scripted(kernel=kernel, device={"transport": "legacy"})
    assert s.be(LEGACY, queue_size=40000) is None
    assert "queue 0: size 40000 is not a power of 2" in s.g.sh("dmesg")
    assert s.be(LEGACY, queue_size=256)
    s.copy()
    s.end()


def return_when_cut_off(dev, req):
    """Have a device return a request that it does not have any more, and
    interrupt, while its driver takes the bus from it."""
    used, size, ident = req.queue.device, req.queue.size, req.chain.ident
    write, told = dev.pci._config_write, []

    def hook(off, data):
        master = dev.pci.master
        write(off, data)
        if not master or dev.pci.master:
            return
        told.append(ident)
        idx = dev.memory.get(used + 2)
        dev.memory.put(used + 4 + 8 * (idx % size), ident, 4)
        dev.memory.put(used + 2, (idx + 1) % 65536)
        dev.isr = 1
        dev.server.line(True)
        # Until the interrupt is there.
        time.sleep(0.2)

    dev.pci._config_write = hook
    return told


def test_check_returned_after_removal(scripted, kernel):
    """A check that the device keeps until the disk is removed is nobody's."""
    s = scripted(kernel=kernel, params="request_timeout=1",
                 device={"vectors": 0})
    s.be(MODERN, script=HoldRequests(hold=False))
    with s.dev.lock:
        s.dev.script.hold = True
    job = s.g.start(f"dd if=/dev/zero of=/dev/{s.name} bs=4k count=1 "
                    "oflag=direct 2>&1")
    s.dev.wait(lambda d: len(d.held) == 2, 60, "a check of a late write")
    with s.dev.lock:
        write, check = s.dev.held
        told = return_when_cut_off(s.dev, check)
        s.dev.script.hold = False
    s.dev.release(write)
    job.wait(30)
    scene.unbind(s.g, s.dev)
    assert told
    s.be(MODERN)
    s.copy()
