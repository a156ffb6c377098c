# SPDX-License-Identifier: GPL-2.0
"""A device that changes its mind again and again does not fill the kernel log."""

import time

import pytest
from device import Script
from scripted import MODERN

SECONDS = 2
# A device may say so much in so many seconds: errors, and all else.
BURST, INTERVAL, KINDS = 10, 10, 2
READS = ("while [ ! -e /tmp/enough ]; do dd if=/dev/{0} of=/dev/null bs=4k "
         "count=20 iflag=direct; done >/dev/null 2>&1")


class Crowded(Script):
    """Returns an id that was never in flight, once for each time it is told."""

    lie = False

    def used(self, dev, queue, chain, length):
        honest = super().used(dev, queue, chain, length)
        if self.lie:
            self.lie = False
            return [(queue.size + 7, 0, chain.slots), *honest]
        return honest


def capacity(dev, turn):
    """Another size."""
    dev.change(capacity=(64 << 11) - 8 * (turn % 2))


def huge(dev, turn):
    """A size that nothing can address."""
    dev.change(capacity=(1 << 63) + turn)


def cache(dev, turn):
    """A cache, or none."""
    dev.change(writeback=turn % 2)


def readonly(dev, turn):
    """Read-only, or not, which takes a reset."""
    dev.offered ^= 1 << 5
    dev.config.readonly = not dev.config.readonly
    dev.config_interrupt()


def reset(dev, turn):
    """It needs a reset."""
    dev.needs_reset()


def lie(dev, turn):
    """It breaks the protocol."""
    dev.script.lie = True


MINDS = {
    "capacity": (capacity, "new size"),
    "huge": (huge, "cut to what can be addressed"),
    "cache": (cache, "the device made its cache"),
    "read-only": (readonly, "the device made it"),
    "reset": (reset, "device needs a reset: resetting the device"),
    "protocol": (lie, "the device broke the protocol"),
}
FEATURES = MODERN + ("BLK_CONFIG_WCE",)
# A feature without the one that it needs is told of at each negotiation.
ODD = tuple(f for f in FEATURES if f != "BLK_FLUSH")


def changes(dev, mind, seconds):
    """Change the device's mind until the time is over; how often it was."""
    turn, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with dev.lock:
            turn += 1
            mind(dev, turn)
        time.sleep(0.01)
    return turn


@pytest.mark.parametrize("minds, ring", [
    (("capacity", "cache"), ()),
    *(pytest.param(tuple(MINDS), ring, marks=pytest.mark.full)
      for ring in ((), ("RING_PACKED",), ("RING_RESET",)))],
    ids=["short", "split", "packed", "queue reset"])
def test_messages_are_limited(scripted, kernel, minds, ring):
    """Each kind is told, and none is told hundreds of times."""
    s = scripted(kernel=kernel, smp=2)
    wrong = []
    for name in minds:
        mind, words = MINDS[name]
        features = ODD if name == "reset" else FEATURES
        assert s.be(features + ring, script=Crowded(), queues=2), name
        mark = s.g.dmesg_mark(name)
        s.g.sh("rm -f /tmp/enough")
        job = s.g.start(READS.format(s.name))
        before = time.monotonic()
        turns = changes(s.dev, mind, SECONDS)
        s.g.sh("touch /tmp/enough")
        job.wait(60, check=False)
        took = time.monotonic() - before
        lines = [line for line in s.g.dmesg_since(mark).splitlines()
                 if "virtio" in line or "suppressed" in line]
        # One of the intervals may have begun before, and each ends in a line.
        most = KINDS * (BURST + 1) * (2 + took // INTERVAL)
        if len(lines) > most or not any(words in line for line in lines):
            wrong.append(f"{name}: {len(lines)} lines for {turns} changes, "
                         f"{most} are enough: {lines[:2]}")
    assert not wrong, "\n".join(wrong)
    s.end()
