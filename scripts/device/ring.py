# SPDX-License-Identifier: GPL-2.0
"""What both ring formats share: queues, chains, and who is told when."""

from .memory import BadAddress

MODULUS = 1 << 16


def need_event(event, new, old):
    """Whether going from @old to @new passes @event (section 2.7.10)."""
    return (new - event - 1) % MODULUS < (new - old) % MODULUS


class Chain:
    """A buffer that the driver made available.

    ident   what goes into the used ring
    slots   ring entries that it takes
    elems   [(address, length, writable)], indirect ones resolved
    seen    [(address, bytes)]: descriptors, as they were when taken
    """

    def __init__(self, ident):
        self.ident, self.slots, self.elems, self.seen = ident, 0, [], []
        self.table = None


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
        from .packed import Packed
        from .split import Split
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


class Layout:
    """What Split and Packed share."""

    def __init__(self, queue):
        self.q, self.dev = queue, queue.dev
        self.memory, self.check = queue.dev.memory, queue.dev.check
        self.size = queue.size
        self.event_idx = queue.dev.has("EVENT_IDX")
        self.indirect = queue.dev.has("INDIRECT_DESC")
        self.parked = False     # the next kick was asked for a later time

    def rule(self, idents, good, text="", *values):
        """Judge a rule about this queue."""
        return self.check.rule(idents, good, f"queue {self.q.index}: " + text,
                               *values)

    def check_elems(self, chain):
        """Rules for the elements of a chain, however they were described."""
        elems, packed = chain.elems, self.dev.has("RING_PACKED")
        writable = [w for _, _, w in elems]
        self.rule("GEN-FRAME-01" + (" PACK-SG-03" if packed else ""),
                  writable == sorted(writable),
                  "chain {}: readable after writable", chain.ident)
        total = sum(n for _, n, _ in elems)
        self.rule("GEN-FRAME-02", len(elems) <= 3 + (total + 4095) // 4096,
                  "chain {}: {} descriptors for {} bytes", chain.ident,
                  len(elems), total)
        if not packed:
            self.rule("SPLIT-DESC-01", total <= 1 << 32,
                      "chain {} has {} bytes", chain.ident, total)
        for addr, n, _ in elems:
            self.address(addr, n)

    def address(self, addr, size):
        """Whether an address leads to memory; a rule, and a way out."""
        ident = "GEN-RSVD-04" if self.dev.has("ACCESS_PLATFORM") \
            else "GEN-RSVD-05"
        try:
            self.memory.read(addr, min(size, 1))
            if size > 1:
                self.memory.read(addr + size - 1, 1)
        except BadAddress as e:
            self.rule(ident, False, "{}", e)
            raise
        self.rule(ident, True)

    def read_table(self, addr, length):
        """An indirect table as (address, length, flags or id, next) rows."""
        self.address(addr, length)
        data = self.memory.read(addr, length)
        return data, [(int.from_bytes(data[at:at + 8], "little"),
                       int.from_bytes(data[at + 8:at + 12], "little"),
                       int.from_bytes(data[at + 12:at + 14], "little"),
                       int.from_bytes(data[at + 14:at + 16], "little"))
                      for at in range(0, length, 16)]
