# SPDX-License-Identifier: GPL-2.0
"""A virtqueue, whichever format its ring has."""

from .packed import Packed
from .split import Split


class Queue:
    """A virtqueue; Split and Packed know the layout.

    After the driver has set it up: size, vector, desc, driver, device.
    kicks       how many notifications came
    done        [(chain, length)] finished but not yet in the used ring
    out         {ident: chain} what the driver waits for
    """

    def __init__(self, dev, index, max_size):
        self.dev, self.index, self.max_size = dev, index, max_size
        self.notify_off, self.notif_data = index, 0xbee0 + index
        self.clear()

    def clear(self):
        """As after a reset of the device or of this queue."""
        self.size, self.vector = self.max_size, 0xffff
        self.desc = self.driver = self.device = 0
        self.enabled = self.resetting = False
        self.kicks, self.done, self.out = 0, [], {}
        self.ring = None

    def enable(self):
        """The driver has said that everything is in place."""
        self.enabled = True
        self.ring = (Packed if self.dev.has("RING_PACKED") else Split)(self)
        self.ring.check_memory()

    def take(self):
        """The chains made available since the last time."""
        chains = self.ring.take()
        for c in chains:
            self.out[c.ident] = c
            self.dev.log.add("avail", self.index, c.ident, len(c.elems),
                             sum(e[1] for e in c.elems))
        return chains

    def finish(self, chain, length):
        """A chain is done; flush() shows it to the driver."""
        self.done.append((chain, length))

    def flush(self):
        """Put into the used ring what is done, and tell the driver."""
        dev = self.dev
        entries, done = [], self._ready()
        for chain, length in done:
            self._unchanged(chain)
            self.out.pop(chain.ident, None)
            entries += dev.script.used(dev, self, chain, length)
        if not entries:
            return
        if dev.has("IN_ORDER") and dev.script.batch:
            last = done[-1][0]
            self.ring.give_batch(last.ident, done[-1][1],
                                 [c.slots for c, _ in done])
        else:
            for ident, length, slots in entries:
                dev.log.add("used", self.index, ident, length)
                self.ring.give(ident, length, slots)
            self.ring.publish()
        if self.ring.wants_interrupt() and \
                dev.script.interrupt(dev, self):
            dev.interrupt(self)

    def _ready(self):
        """What of the done ones may be shown: with IN_ORDER, a beginning."""
        done, self.done = self.done, []
        if not self.dev.has("IN_ORDER"):
            return done
        finished = {c.ident: (c, n) for c, n in done}
        ready = []
        for ident in self.out:
            if ident not in finished:
                break
            ready.append(finished.pop(ident))
        self.done = list(finished.values())
        return ready

    def _unchanged(self, chain):
        memory, packed = self.dev.memory, self.dev.has("RING_PACKED")
        same = all(memory.read(at, len(data)) == data
                   for at, data in chain.seen)
        self.dev.check.rule(
            "GEN-CLEAN-01" + (" PACK-DESC-01 PACK-DESC-02" if packed else ""),
            same, "queue {}: descriptors of {} changed while the device "
            "had them", self.index, chain.ident)
