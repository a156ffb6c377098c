# SPDX-License-Identifier: GPL-2.0
"""The split ring from the device's side, section 2.7."""

from .chain import Chain, Layout, MODULUS, need_event
from .spec import INDIRECT, NEXT, WRITE


class Split(Layout):
    """Descriptor table, available ring, used ring."""

    def __init__(self, queue):
        super().__init__(queue)
        self.desc, self.avail = queue.desc, queue.driver
        self.used = queue.device
        self.last = self.idx = self.told = 0
        self.next_slot = 0

    def check_memory(self):
        """Rules for where the parts lie, and what is in them."""
        n = self.size
        self.rule("SPLIT-ALIGN-01", self.desc % 16 == 0 and
                  self.avail % 2 == 0 and self.used % 4 == 0,
                  "misaligned: {:#x} {:#x} {:#x}", self.desc, self.avail,
                  self.used)
        self.rule("SPLIT-ALIGN-I01", 0 < n <= 32768 and not n & (n - 1),
                  "size {} is not a power of 2", n)
        for addr, size in ((self.desc, 16 * n), (self.avail, 6 + 2 * n),
                           (self.used, 6 + 8 * n)):
            self.address(addr, size)
        self.rule("SPLIT-ANOTIF-01", self.memory.get(self.used) == 0,
                  "used.flags is not 0 at first")
        self.rule("SPLIT-AVAIL-I01", self.memory.get(self.avail + 2) == 0,
                  "avail.idx is not 0 at first")
        if self.dev.script.ring_enabled:
            self.dev.script.ring_enabled(self.dev, self.q)

    # -- from the driver ----------------------------------------------------

    def next_value(self):
        """What the upper half of a kick with NOTIFICATION_DATA has to be."""
        return self.memory.get(self.avail + 2)

    def pending(self):
        """Buffers available and not taken yet."""
        return (self.memory.get(self.avail + 2) - self.last) % MODULUS

    def take(self):
        """Chains made available since the last time."""
        got = []
        while True:
            flags = self.memory.get(self.avail)
            if self.event_idx:
                self.rule("SPLIT-UNOTIF-03", flags == 0,
                          "avail.flags is {} with EVENT_IDX", flags)
            else:
                self.rule("SPLIT-UNOTIF-01", flags in (0, 1),
                          "avail.flags is {}", flags)
                if flags == 1:
                    self.check.saw("SPLIT-UNOTIF-02", "SPLIT-RECV-01")
            new = self.memory.get(self.avail + 2)
            count = (new - self.last) % MODULUS
            if not self.rule("SPLIT-AVAIL-01 SPLIT-AVAIL-I01",
                             count <= self.size - len(self.q.out) - len(got),
                             "avail.idx went from {} to {}, {} are out",
                             self.last, new, len(self.q.out)):
                self.dev.needs_reset()
                return got
            if count:
                self.dev.log.add("avail.idx", self.q.index, new)
            if count > 1:
                self.check.saw("SPLIT-SUPPLY-01", "SPLIT-SUPPLY-03")
            for _ in range(count):
                head = self.memory.get(self.avail + 4
                                       + 2 * (self.last % self.size))
                self.last = (self.last + 1) % MODULUS
                if not self.rule("SPLIT-AVAIL-I01", head < self.size and
                                 head not in self.q.out,
                                 "head {} is out of range or in use", head):
                    self.dev.needs_reset()
                    return got
                got.append(self._walk(head))
            if not self.ask_kick():
                return got

    def ask_kick(self):
        """Ask for the next kick; True when there is more to take already."""
        script, park = self.dev.script, self.dev.script.park
        self.parked = park is not None
        if self.event_idx:
            event = self.last if park is None else (self.last + park) % MODULUS
            self.memory.put(self.used + 4 + 8 * self.size,
                            script.event(self.dev, self.q, event))
            self.memory.put(self.used, script.used_flags)
        else:
            self.memory.put(self.used, script.event(self.dev, self.q,
                                                    script.used_flags))
        return self.pending() > 0 and park is None

    def _walk(self, head):
        chain, at, seen = Chain(head), head, set()
        in_order = self.dev.has("IN_ORDER")
        if in_order:
            self.rule("SPLIT-DESC-I01", head == self.next_slot,
                      "chain starts at {}, not at {}", head, self.next_slot)
        while True:
            where = self.desc + 16 * at
            raw = self.memory.read(where, 16)
            chain.seen.append((where, raw))
            addr, length = int.from_bytes(raw[:8], "little"), \
                int.from_bytes(raw[8:12], "little")
            flags, following = int.from_bytes(raw[12:14], "little"), \
                int.from_bytes(raw[14:], "little")
            seen.add(at)
            chain.slots += 1
            self.rule("SPLIT-INDIR-04", flags & 5 != 5,
                      "descriptor {} has INDIRECT and NEXT", at)
            if flags & INDIRECT:
                self.rule("SPLIT-INDIR-01", self.indirect,
                          "INDIRECT was not negotiated")
                self._table(chain, addr, length)
            else:
                self.rule("SPLIT-INDIR-01", True)
                chain.elems.append((addr, length, bool(flags & WRITE)))
            if not flags & NEXT:
                break
            if in_order:
                self.rule("SPLIT-DESC-02", following == (at + 1) % self.size,
                          "descriptor {} is followed by {}", at, following)
            if not self.rule("SPLIT-DESC-01", following not in seen and
                             following < self.size,
                             "descriptor {} leads to {}", at, following):
                self.dev.needs_reset()
                break
            at = following
        self.next_slot = (head + chain.slots) % self.size
        self.check_elems(chain)
        return chain

    def _table(self, chain, addr, length):
        self.rule("SPLIT-INDIR-I01", length % 16 == 0 and length > 0,
                  "indirect table of {} bytes", length)
        data, rows = self.read_table(addr, length - length % 16)
        chain.seen.append((addr, data))
        chain.table = len(rows)
        at, count = 0, 0
        while True:
            a, n, flags, following = rows[at]
            count += 1
            self.rule("SPLIT-INDIR-02", not flags & INDIRECT,
                      "INDIRECT inside of an indirect table")
            chain.elems.append((a, n, bool(flags & WRITE)))
            if not flags & NEXT:
                break
            if self.dev.has("IN_ORDER"):
                self.rule("SPLIT-INDIR-05", following == at + 1,
                          "entry {} is followed by {}", at, following)
            if not self.rule("SPLIT-INDIR-I01 SPLIT-DESC-01",
                             following < len(rows) and count < len(rows),
                             "the walk through a table leaves it"):
                break
            at = following
        self.rule("SPLIT-INDIR-03", count + chain.slots - 1 <= self.size,
                  "{} descriptors in a queue of {}", count, self.size)

    # -- to the driver ------------------------------------------------------

    def give(self, ident, length, _slots):
        """One more used element; not visible before publish()."""
        where = self.used + 4 + 8 * (self.idx % self.size)
        self.memory.put(where, ident & 0xffffffff, 4)
        self.memory.put(where + 4, length & 0xffffffff, 4)
        self.idx = (self.idx + 1) % MODULUS

    def give_batch(self, ident, length, slots):
        """One element for several buffers, section 2.7.7 (IN_ORDER)."""
        where = self.used + 4 + 8 * (self.idx % self.size)
        self.memory.put(where, ident, 4)
        self.memory.put(where + 4, length, 4)
        self.idx = (self.idx + len(slots)) % MODULUS
        self.dev.log.add("used batch", self.q.index, ident, len(slots))
        self.publish()

    def publish(self):
        """What was given becomes visible."""
        self.memory.put(self.used + 2, self.idx)

    def wants_interrupt(self):
        """Whether the driver wants an interrupt for what was published last."""
        old, self.told = self.told, self.idx
        if self.event_idx:
            event = self.memory.get(self.avail + 4 + 2 * self.size)
            self.check.saw("SPLIT-UNOTIF-04")
            if not need_event(event, self.idx, old):
                self.check.saw("SPLIT-RECV-01")
            return need_event(event, self.idx, old)
        return not self.memory.get(self.avail) & 1
