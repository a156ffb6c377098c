# SPDX-License-Identifier: GPL-2.0
"""What both ring formats are made of: chains, and rules for their layout."""

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
