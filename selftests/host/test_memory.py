# SPDX-License-Identifier: GPL-2.0
"""Memory that driver and device share: what a device spoils, and what there is."""

import pytest
from bench import build
from device import HoldRequests
from scripted import MODERN, BadId, arm

RESET = MODERN + ("RING_RESET",)
RINGS = {
    "split": MODERN,
    "packed": MODERN + ("RING_PACKED",),
    "chains": [f for f in MODERN if f != "INDIRECT_DESC"],
    "packed chains": [f for f in MODERN + ("RING_PACKED",)
                      if f != "INDIRECT_DESC"],
    "in order": MODERN + ("IN_ORDER",),
    "mapped": MODERN + ("ACCESS_PLATFORM",),
}
RARE = ("packed chains", "in order", "mapped")
# Within a slot: the reserved word of the header, its descriptor's address.
RESERVED, DESC = 4, 32
NOWHERE = 0x00de_adbe_ef00_0000


class Stray(BadId):
    """Notes where headers are, to write beside them later."""

    def __init__(self):
        super().__init__()
        self.slots = set()

    def request(self, dev, req):
        self.slots.add(req.header_at)
        return super().request(dev, req)


def spoil(s, offset, value, size):
    """One write to each slot that was in use, and is not now."""
    with s.dev.lock:
        slots = s.dev.script.slots - {r.header_at for r in s.dev.held}
        assert slots
        for at in slots:
            s.dev.memory.put(at + offset, value, size)


def forgive(s):
    """What the device saw so far was its own doing."""
    with s.dev.lock:
        s.dev.check.forget()


def errors(s, what):
    return int(s.sh(f"cat /sys/block/$D/errors/{what}"))


def read(s):
    """Reads, one after the other: each tag has its turn."""
    s.sh("dd if=/dev/$D of=/dev/null bs=4k count=64 iflag=direct 2>&1",
         timeout=90)


@pytest.mark.parametrize("ring", [
    pytest.param(r, marks=[pytest.mark.full] * (r in RARE)) for r in RINGS])
def test_stray_writes(scripted, kernel, ring):
    """Writes beside what a device was given cost one reset, and no disk."""
    s = scripted(kernel=kernel)
    s.be(RINGS[ring], queue_size=16, script=Stray(), config={"seg_max": 4})
    s.copy()
    spoil(s, DESC, NOWHERE, 8)
    read(s)
    assert errors(s, "resets") == 1
    s.copy()
    forgive(s)
    # Nobody could notice this one: the word means nothing yet.
    spoil(s, RESERVED, 0xffffffff, 4)
    read(s)
    assert errors(s, "resets") == 1
    s.good("BLK-REQ-I03")
    s.end()


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_stray_writes_and_one_queue(scripted, kernel, ring):
    """A reset of one queue, and a resize, write its memory anew as well."""
    s = scripted(kernel=kernel, params="queue_depth=16")
    s.be(RESET + ("RING_PACKED",) * (ring == "packed"), queue_size=64,
         script=Stray(), config={"seg_max": 4})
    s.copy()
    spoil(s, DESC, NOWHERE, 8)
    s.sh("echo 32 >/sys/block/$D/ring_size")
    read(s)
    assert errors(s, "resets") == 0
    # An answer that is none, while all of the queue's memory is spoilt.
    with s.dev.lock:
        s.dev.script.hold = True
    job = s.g.start(f"dd if=/dev/{s.name} of=/dev/null bs=4k count=1 "
                    "iflag=direct 2>&1")
    s.dev.wait(lambda d: d.held, why="a request to hold")
    spoil(s, DESC, NOWHERE, 8)
    arm(s, hold=False)
    s.dev.release()
    job.wait()
    read(s)
    assert errors(s, "resets") == errors(s, "queue_resets") == 1
    forgive(s)
    s.copy()
    s.end()


@pytest.mark.parametrize("ring", [
    pytest.param(r, marks=[pytest.mark.full] * (r != "split"))
    for r in ("split", "packed", "in order", "mapped")])
def test_more_tables(scripted, kernel, ring):
    """Requests of many segments: few have tables at first, then all of these."""
    s = scripted(kernel=kernel, files={"bin/iob": build.iob()})
    s.be(RINGS[ring], queue_size=256, config={"seg_max": 254},
         script=HoldRequests(hold=False))
    arm(s, hold=True)
    job = s.g.start(f"iob /dev/{s.name} rs 262144 12 12 12")
    s.dev.wait(lambda d: len(d.held) == 12, why="all requests to be in flight")
    with s.dev.lock:
        # Without huge pages some of the 64 lie side by side.
        assert all(len(r.room) > 36 for r in s.dev.held)
    arm(s, hold=False)
    s.dev.release()
    job.wait()
    s.copy()
    s.end()
