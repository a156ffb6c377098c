# SPDX-License-Identifier: GPL-2.0
"""The packed ring from the device's side, section 2.8."""

from .chain import Chain, Layout, need_event
from .spec import AVAIL, INDIRECT, NEXT, USED, WRITE


class Packed(Layout):
    """One descriptor ring, and an event structure for each side."""

    def __init__(self, queue):
        super().__init__(queue)
        self.desc = queue.desc
        self.slot, self.wrap = 0, 1             # next one from the driver
        self.used_slot, self.used_wrap = 0, 1   # next one to the driver
        self.first_flags, self.fresh = None, 0
        self.holders = {}       # address of a descriptor: chain it was of

    def check_memory(self):
        """Rules for where the parts lie, and what is in them."""
        q = self.q
        self.rule("PACK-ALIGN-01", self.desc % 16 == 0 and
                  q.driver % 4 == 0 and q.device % 4 == 0,
                  "misaligned: {:#x} {:#x} {:#x}", self.desc, q.driver,
                  q.device)
        self.rule("PACK-ALIGN-I01", 0 < self.size <= 32768, "size {}",
                  self.size)
        self.address(self.desc, 16 * self.size)
        self.rule("PACK-WRAP-I02",
                  not any(self.memory.read(self.desc, 16 * self.size)),
                  "the descriptor ring is not zero at first")
        if self.dev.script.ring_enabled:
            self.dev.script.ring_enabled(self.dev, self.q)

    def _row(self, slot):
        raw = self.memory.read(self.desc + 16 * slot, 16)
        return (raw, int.from_bytes(raw[:8], "little"),
                int.from_bytes(raw[8:12], "little"),
                int.from_bytes(raw[12:14], "little"),
                int.from_bytes(raw[14:], "little"))

    def _available(self, flags):
        return bool(flags & AVAIL) == bool(self.wrap) and \
            bool(flags & USED) != bool(self.wrap)

    # -- from the driver ----------------------------------------------------

    def next_value(self):
        """What the upper half of a kick with NOTIFICATION_DATA has to be."""
        slot, wrap, seen = self.slot, self.wrap, 0
        while seen < self.size:
            flags = self.memory.get(self.desc + 16 * slot + 14)
            if bool(flags & AVAIL) != bool(wrap) or \
                    bool(flags & USED) == bool(wrap):
                break
            slot, seen = slot + 1, seen + 1
            if slot == self.size:
                slot, wrap = 0, wrap ^ 1
        return slot | wrap << 15

    def pending(self):
        """How many descriptors are available and not taken yet."""
        place = self.next_value()
        return (place & 0x7fff) - self.slot + \
            self.size * (place >> 15 != self.wrap)

    def take(self):
        """Chains made available since the last time."""
        got = []
        self._check_driver_event()
        while True:
            while self.pending():
                chain = self._walk()
                if chain is None:
                    return got
                got.append(chain)
            if not self.ask_kick():
                return got

    def _check_driver_event(self):
        where = self.memory.get(self.q.driver)
        flags = self.memory.get(self.q.driver + 2)
        self.rule("PACK-EVT-I01",
                  flags <= (2 if self.event_idx else 1) and
                  where & 0x7fff < self.size,
                  "driver event is {:#x} {:#x}", where, flags)

    def ask_kick(self):
        """Ask for the next kick; True when there is more to take already."""
        script = self.dev.script
        flags = script.used_flags
        where = 0
        self.parked = script.park is not None
        if self.event_idx and not flags:
            flags = 2
            at = self.slot + (script.park or 0)
            where = at % self.size | (self.wrap ^ at // self.size & 1) << 15
        self.memory.put(self.q.device, script.event(
            self.dev, self.q, where | flags << 16), 4)
        return self.pending() and script.park is None

    def _step(self):
        self.slot += 1
        if self.slot == self.size:
            self.slot, self.wrap = 0, self.wrap ^ 1

    def _walk(self):
        chain, first = Chain(None), self.slot
        while True:
            raw, addr, length, ident, flags = self._row(self.slot)
            if not self.rule("PACK-SG-06 PACK-SG-04 PACK-WRAP-I01 "
                             "PACK-CHAIN-I01", self._available(flags),
                             "slot {} of a list that starts at {} is not "
                             "available: {:#x}", self.slot, first, flags) or \
                    not self.rule("PACK-SG-02 PACK-SG-05",
                                  chain.slots < self.size,
                                  "a list is longer than the queue"):
                self.dev.needs_reset()
                return None
            chain.seen.append((self.desc + 16 * self.slot, raw))
            self.holders[self.desc + 16 * self.slot] = chain
            chain.slots += 1
            self.rule("PACK-INDIR-04 PACK-MIX-I01", not flags & INDIRECT or
                      (chain.slots == 1 and not flags & NEXT),
                      "INDIRECT in a list")
            self.rule("PACK-INDIR-01", self.indirect or not flags & INDIRECT,
                      "INDIRECT was not negotiated")
            if flags & INDIRECT:
                self._table(chain, addr, length)
            else:
                chain.elems.append((addr, length, bool(flags & WRITE)))
            self._step()
            if not flags & NEXT:
                break
        chain.ident = ident
        if not self.rule("PACK-CHAIN-I01", ident not in self.q.out,
                         "buffer id {} is in use", ident):
            self.dev.needs_reset()
            return None
        self.check_elems(chain)
        self.check.saw("PACK-SUPPLY-01")
        return chain

    def _table(self, chain, addr, length):
        data, rows = self.read_table(addr, length - length % 16)
        chain.seen.append((addr, data))
        chain.table = len(rows)
        for a, n, _ident, flags in rows:
            self.rule("PACK-INDIR-02", not flags & ~WRITE,
                      "flags {:#x} in an indirect table", flags)
            chain.elems.append((a, n, bool(flags & WRITE)))

    # -- to the driver ------------------------------------------------------

    def give(self, ident, length, slots):
        """One more used descriptor; the first one is kept for publish()."""
        where = self.desc + 16 * self.used_slot
        flags = AVAIL | USED if self.used_wrap else 0
        flags |= self.dev.script.used_desc_flags
        if length:
            flags |= WRITE
        self.memory.put(where + 8, length, 4)
        self.memory.put(where + 12, ident & 0xffff)
        if self.first_flags is None:
            self.first_flags = (where + 14, flags)
        else:
            self.memory.put(where + 14, flags)
        self._advance(slots)

    def give_batch(self, ident, length, slots):
        """One descriptor for several buffers, section 2.8.9 (IN_ORDER)."""
        self.give(ident, length, sum(slots))
        self.dev.log.add("used batch", self.q.index, ident, len(slots))
        self.publish()

    def _give_up(self, slots):
        """These slots are the driver's, whatever chain they were of.

        Buffers that are used out of order give back the slots of others,
        section 2.8.1: those that are still out are judged without them.
        """
        for n in range(slots):
            where = self.desc + 16 * ((self.used_slot + n) % self.size)
            chain = self.holders.pop(where, None)
            if chain:
                chain.seen = [s for s in chain.seen if s[0] != where]

    def _advance(self, slots):
        self._give_up(slots)
        self.fresh += slots
        self.used_slot += slots
        if self.used_slot >= self.size:
            self.used_slot -= self.size
            self.used_wrap ^= 1

    def publish(self):
        """What was given becomes visible, the first one last."""
        if self.first_flags:
            self.memory.put(*self.first_flags)
        self.first_flags = None

    def wants_interrupt(self):
        """Whether the driver wants an interrupt for what was published last."""
        fresh, self.fresh = self.fresh, 0
        self._check_driver_event()
        where = self.memory.get(self.q.driver)
        flags = self.memory.get(self.q.driver + 2)
        if flags == 1:
            self.check.saw("PACK-RECV-01")
        if flags != 2:
            return flags == 0
        event = where & 0x7fff
        if where >> 15 != self.used_wrap:
            event -= self.size
        return need_event(event, self.used_slot, self.used_slot - fresh)
