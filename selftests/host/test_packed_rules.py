# SPDX-License-Identifier: GPL-2.0
"""The packed ring of the scripted device judges only what a device has."""

import os

import pytest
from device import USUAL, Device
from device.spec import AVAIL, USED

BASE, SIZE = 0x10000, 4


@pytest.fixture
def ring():
    """A device whose queue has a ring of four descriptors, and no guest."""
    dev = Device(USUAL + ("RING_PACKED",))
    dev.accepted = dev.offered & ~(1 << 29)     # no EVENT_IDX
    fd = os.memfd_create("guest")
    os.truncate(fd, 0x10000)
    dev.memory.map(BASE, 0x10000, 0, fd)
    q = dev.queues[0]
    q.size, q.desc, q.driver, q.device = SIZE, BASE, BASE + 256, BASE + 512
    q.enable()
    yield dev, q
    dev.close()


def offer(dev, slot, ident, more):
    """The driver writes a descriptor, in the first lap."""
    where = BASE + 16 * slot
    dev.memory.put(where, BASE + 0x1000, 8)
    dev.memory.put(where + 8, 512, 4)
    dev.memory.put(where + 12, ident)
    dev.memory.put(where + 14, AVAIL | (1 if more else 0))


def two_chains(dev, q):
    """Buffer 1 in slots 0 and 1, buffer 2 in slots 2 and 3; both taken."""
    for slot in range(SIZE):
        offer(dev, slot, 1 + slot // 2, not slot % 2)
    chains = {c.ident: c for c in q.take()}
    assert sorted(chains) == [1, 2]
    assert not dev.check.breaches, dev.check.report()
    return chains


def give(q, chain):
    """The device uses a buffer; nobody listens for interrupts."""
    q.dev.memory.put(q.driver + 2, 1)
    q.finish(chain, 0)
    q.flush()


def test_out_of_order(ring):
    """A used descriptor lies in a slot of a buffer that is still out."""
    dev, q = ring
    chains = two_chains(dev, q)
    give(q, chains[2])
    flags = dev.memory.get(BASE + 14)
    assert flags & (AVAIL | USED) == AVAIL | USED, "not where buffer 1 began"
    # Both slots are the driver's now, though buffer 1 is still out.
    dev.memory.put(BASE + 16, 0x1234, 8)
    dev._check_exposed(q)
    give(q, chains[1])
    assert not dev.check.breaches, dev.check.report()


def test_changed_while_out(ring):
    """A slot that was not given back may not be written by the driver."""
    dev, q = ring
    chains = two_chains(dev, q)
    give(q, chains[1])
    dev.memory.put(BASE + 48, 0x1234, 8)
    dev._check_exposed(q)
    assert {b.ident for b in dev.check.breaches} >= \
        {"GEN-CLEAN-01", "GEN-CLEAN-02"}
