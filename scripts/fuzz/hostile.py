# SPDX-License-Identifier: GPL-2.0
"""A scripted device that lies: a seed decides what it does."""

import collections
import random
import time

from device import HOLD, SILENT, USUAL, Script, spec
from device.memory import BadAddress
from device.spec import ZONE_REPORT

RINGS = ("RING_PACKED", "INDIRECT_DESC", "EVENT_IDX", "NOTIFICATION_DATA",
         "RING_RESET", "IN_ORDER", "NOTIF_CONFIG_DATA", "ACCESS_PLATFORM",
         "SUSPEND")
DISKS = ("BLK_MQ", "BLK_DISCARD", "BLK_WRITE_ZEROES", "BLK_CONFIG_WCE",
         "BLK_TOPOLOGY", "BLK_GEOMETRY", "BLK_SIZE_MAX", "BLK_SECURE_ERASE",
         "BLK_LIFETIME", "ORDER_PLATFORM", "BLK_RO")
# Options of Device() for each kind of PCI function.
STANDS = {"modern": {"vectors": 5}, "few vectors": {"vectors": 2},
          "intx": {"vectors": 0}, "legacy": {"vectors": 5,
                                             "transport": "legacy"}}
# Kinds of lies, for the counters.
KINDS = ("capabilities", "registers", "rings", "events", "status", "zones",
         "config")
# Values that replace a true number.
EDGES = (0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xfffe, 0xffff,
         0x7fffffff, 0x80000000, 0xffffffff)


class Hostile(Script):
    """Lies, each kind with its own probability.

    counts      {kind: how many lies the driver has read so far}. A lie in
                memory counts as read when the driver has done what it cannot do
                before it reads: use the id again that was returned with the
                lie, or make the next buffer available, for which it reads the
                event. Before a reset only one lie of each queue counts: after
                the first that it finds, the driver reads no other.
    mutations   the sum of counts
    told        how many lies there were, read or not
    requests    how many requests came
    story       what the device did, in words
    action      the driver's timeout_action: with "auto" the driver has to find
                by itself what is lost
    finite      the load is many short ones: no younger request follows one that
                is lost at the end of such a load
    frozen      settings of the disk are changed all the time, for which its
                queues are frozen
    """

    # Probabilities, in a million.
    REGISTER, WRITE, REFUSE = 4000, 2000, 20000
    KEEP, SWALLOW, INTERRUPT, NEEDS_RESET, CONFIG = 30, 30, 2000, 100, 2000
    EARLY, ZONE, SPURIOUS = 50000, 300000, 5000
    # The smallest capacity, in sectors: it still covers what the load uses.
    CAPACITY = 4096
    STALL, STALL_SECONDS = 100, (0.5, 1.5, 2.5, 3.5, 6, 12)
    PROBE, LATER = (0, 0, 1, 2, 12), 0.03     # factors before and after
                                # DRIVER_OK: lies in a reset cost the disk
    # A lie that costs a reset is rare in most devices: it keeps others from
    # being read.
    BREACHES, MILD = (30, 300, 300, 10000), (200000, 500000, 800000)
    EVENTS = (500, 5000, 50000)

    def __init__(self, seed):
        self.counts, self.told, self.story = collections.Counter(), 0, []
        self._up = self._needs_reset = self._config_changed = False
        self._events, self._owed = set(), set()
        self._answers = {}          # queue -> {id: [kinds of its lies]}
        self._beats = self.requests = 0
        # A generator for each purpose: more use of one does not change another.
        self._dice = {kind: random.Random(f"{seed} {kind}") for kind in (
            "device", "life", "read", "write", "features", "vector", "request",
            "used", "event", "interrupt", "memory", "pci", "early", "zone",
            "spurious", "stall", "patience")}
        self._stalled = []          # (until when, request)
        dice = self._dice["device"]
        self.used_chance, self.memory_chance = (
            dice.choice(self.BREACHES) for _ in range(2))
        self.status_chance = dice.choice(self.MILD)
        self.event_chance = dice.choice(self.EVENTS)
        self.probe = dice.choice(self.PROBE)
        self.batch = dice.random() < 0.3
        self.stand = dice.choice(tuple(STANDS))
        self._live(self._dice["life"])
        self._try_patience(self._dice["patience"])
        self.features = USUAL + tuple(
            f for f in RINGS + DISKS if dice.random() < 0.5)
        if "BLK_RO" in self.features and dice.random() < 0.8:
            self.features = tuple(f for f in self.features if f != "BLK_RO")
        self.features = tuple(f for f in self.features
                              if f not in USUAL or dice.random() < 0.8 or
                              f == "VERSION_1")
        self.queues = dice.choice((1, 1, 2, 4))
        self.queue_size = dice.choice((4, 8, 16, 64, 128, 256))
        # A lost kick costs a timeout of all requests in the ring.
        self.event_chance = min(self.event_chance, 10000 * self.queue_size)
        if dice.random() < 0.2:
            self.features += (dice.randrange(44, 64),)  # unknown bits
        # A zoned device has consistent sizes: not all of them are lies.
        self.zones = {} if dice.random() < 0.1 else None
        if self.stand == "legacy":
            self.zones = None
            self.features = tuple(f for f in self.features
                                  if spec.bit(f) < 32)
        if self.zones is not None:
            self.features += ("BLK_ZONED",)
        self.config = {}
        while self.zones is None and dice.random() < 0.5:
            name = dice.choice(("capacity", "size_max", "seg_max", "blk_size",
                                "physical_block_exp", "alignment_offset",
                                "min_io_size", "opt_io_size", "num_queues",
                                "max_discard_sectors", "max_discard_seg",
                                "max_write_zeroes_sectors",
                                "max_write_zeroes_seg",
                                "discard_sector_alignment"))
            width = {"physical_block_exp": 8, "alignment_offset": 8,
                     "min_io_size": 16, "num_queues": 16,
                     "capacity": 64}.get(name, 32)
            self.config[name] = self._number("device", width)
            self._tell(f"config {name} = {self.config[name]:#x}")

    def _live(self, dice):
        """Draw what holds for the device as long as it is this one."""
        self.reset_seconds = dice.choice((0,) * 8 + (.05, .2))
        self.queue_reset_seconds = dice.choice((0,) * 5 + (.05, 1000))
        self.restless = dice.random() < 0.05    # generation always changes
        # A lost kick or interrupt is not repeated before a request is late.
        self.rests = dice.choice((1,) * 19 + (600,))
        if self.rests > 1:
            self.event_chance //= 100
        self.attempts = dice.choice((1000000,) * 9 + (5,))
        self.unloaded = dice.random() < 0.15    # module unloaded at the end
        # Unbound while in use; the module cannot be unloaded then.
        self.goes = not self.unloaded and dice.random() < 0.5

    def _try_patience(self, dice):
        """What decides that a request is lost, and what makes that hard."""
        self.action = dice.choice(("reset", "auto"))
        self.finite = dice.random() < 0.5
        self.frozen = dice.random() < 0.5

    def in_words(self):
        """The device and how it is used, for a line of output."""
        return " ".join([self.stand, self.action] + ["finite"] * self.finite
                        + ["frozen"] * self.frozen)

    @property
    def mutations(self):
        """Lies that were read."""
        return sum(self.counts.values())

    # -- random choices -----------------------------------------------------

    def _chance(self, kind, millionths):
        return self._dice[kind].randrange(1000000) < millionths

    def _number(self, kind, bits):
        dice = self._dice[kind]
        value = dice.choice(EDGES) if dice.random() < 0.7 else \
            dice.getrandbits(bits)
        return value & (1 << bits) - 1

    def _lie(self, kind, bits, truth):
        """A value other than the true one."""
        lie = self._number(kind, bits)
        return lie if lie != truth else lie ^ 1

    def _tell(self, what):
        self.told += 1
        self.story = self.story[-199:] + [what]

    def _told(self, kind, what):
        """Count a lie that is the answer to a read."""
        self._tell(what)
        self.counts[kind] += 1

    # -- what was read ------------------------------------------------------

    def _answer(self, queue, ident, kind, what):
        """Note a lie that is returned with a buffer."""
        self._tell(what)
        lies = self._answers.setdefault(queue.index, {})
        lies.setdefault(ident, []).append(kind)

    def _went_on(self, queue, ident):
        """The driver has made a buffer available."""
        if queue.index in self._events:
            self._events.discard(queue.index)
            self.counts["events"] += 1
        self.counts.update(self._answers.get(queue.index, {}).pop(ident, ()))

    def _reset(self):
        self.counts.update(next(iter(lies.values()))[0]
                           for lies in self._answers.values() if lies)
        self._answers.clear()
        self._events.clear()
        self._owed.clear()

    # -- registers ----------------------------------------------------------

    def config_space(self, dev, off, data):
        """Lie in a virtio capability; QEMU reads the links between them."""
        inside = any(at + 3 <= off and off + len(data) <= at + length
                     for at, length, _ in dev.pci.virtio_caps)
        if not inside or not self._chance("pci", self.REGISTER * self.probe):
            return data
        lie = self._lie("pci", 8 * len(data), int.from_bytes(data, "little"))
        self._told("capabilities", f"config space at {off:#x} reads {lie:#x}")
        return lie.to_bytes(len(data), "little")

    def read(self, dev, name, value):
        self._up |= bool(dev.status & 4)
        if name == "status":
            self.counts["config"] += self._needs_reset
            self._needs_reset = False
        elif name.startswith("config+"):
            self.counts["config"] += self._config_changed
            self._config_changed = False
        elif name == "generation" and self.restless:
            # However often it is read, it is one lie.
            if self.restless is True:
                self._told("registers", "the generation moves on")
            self.restless += 1
            return (value + self.restless) & 0xff
        chance = self.REGISTER * (self.LATER if self._up else self.probe)
        if not self._chance("read", chance):
            return value
        lie = self._lie("read", 32, value)
        if name in ("status", "generation", "isr") or \
                name.startswith("config+") and self._dice["read"].random() < .3:
            lie &= 0xff
        elif "feature" not in name and "config" not in name:
            lie &= 0xffff
        if lie == value:
            lie ^= 1
        self._told("registers", f"{name} reads {lie:#x}, not {value:#x}")
        return lie

    def write(self, dev, name, value):
        if name == "queue_reset" or name == "status" and not value:
            self._reset()
        # A dropped kick is a lost request, which costs a timeout.
        if name == "notify" or not self._chance("write", self.WRITE * (
                self.LATER if self._up else 1)):
            return value
        self._tell(f"{name} = {value:#x} is not taken")
        return None

    def features_ok(self, dev):
        if self._chance("features", self.REFUSE * (
                self.LATER if self._up else 1)):
            self._told("registers", "FEATURES_OK refused")
            return False
        return True

    def vector(self, dev, name, vector):
        if self._chance("vector", self.REFUSE):
            lie = self._dice["vector"].choice([n for n in (
                0xffff, 0, 1, 0x7ff) if n != vector])
            self._told("registers", f"{name} is {lie:#x}, not {vector:#x}")
            return lie
        return vector

    def ring_enabled(self, dev, queue):
        """Write into a ring before the driver has made anything available."""
        if self._chance("early", self.EARLY * (1 if self._up else
                                               self.probe)):
            self._scribble(dev, queue)
            self._answer(queue, None, "rings", f"queue {queue.index} speaks first")
            dev.interrupt(queue)

    # -- requests -----------------------------------------------------------

    def request(self, dev, req):
        queue, ident = req.queue, req.chain.ident
        self.requests += 1
        self._went_on(queue, ident)
        if self._chance("request", self.memory_chance):
            self._scribble(dev, queue)
        if self._chance("request", self.memory_chance):
            self._spoil(dev, req)
        if req.kind == ZONE_REPORT and self._chance("zone", self.ZONE):
            self._misreport(dev, queue, ident)
        if self._chance("request", self.CONFIG):
            name = self._dice["request"].choice(("capacity", "writeback"))
            dev.change(**{name: self._number("request", 8)
                          if name == "writeback" else
                          self._number("request", 24) | self.CAPACITY})
            self._config_changed = True
            self._tell(f"{name} changes")
        if self._chance("request", self.NEEDS_RESET):
            self._needs_reset = True
            self._tell("needs reset")
            dev.needs_reset()
        if self._chance("request", self.KEEP):
            self._tell("a request is kept")
            return HOLD
        if self._chance("stall", self.STALL):
            seconds = self._dice["stall"].choice(self.STALL_SECONDS)
            self._stalled.append((time.monotonic() + seconds, req))
            self._tell(f"a request is kept for {seconds} s")
            return HOLD
        if self._chance("request", self.status_chance):
            # 1 and 2 are honest: a device may fail any request.
            status = self._dice["request"].choice((3, 4, 5, 6, 0x7f, 0xfe))
            self._answer(queue, ident, "status", f"status {status:#x}")
            return status
        if self._chance("request", self.used_chance):
            self._answer(queue, ident, "rings", "no status")
            return SILENT
        return None

    def _scribble(self, dev, queue):
        """Write random values into the used ring."""
        dice, ring = self._dice["memory"], queue.ring
        for _ in range(dice.randrange(1, 9)):
            width = dice.choice((1, 2, 2, 4, 8))
            if dev.has("RING_PACKED"):
                # Of others the device itself would take what is not there.
                owned = (ring.slot - ring.used_slot) % queue.size or 1
                slot = (ring.used_slot + dice.randrange(owned)) % queue.size
                at = queue.desc + 16 * slot + dice.randrange(17 - width)
            else:
                at = queue.device + dice.randrange(4 + 8 * queue.size - width)
            try:
                dev.memory.put(at, self._number("memory", 8 * width), width)
            except BadAddress:  # what a lie made of an address
                continue
            self._tell(f"memory of queue {queue.index} at {at:#x}")

    def _spoil(self, dev, req):
        """Write into descriptors and tables of the driver."""
        dice = self._dice["memory"]
        at, data = dice.choice(req.chain.seen)
        at += dice.randrange(0, len(data), 2)
        dev.memory.put(at, self._number("memory", 16), 2)
        self._tell(f"descriptors of queue {req.queue.index} at {at:#x}")

    def _misreport(self, dev, queue, ident):
        """Report a zone with fields that contradict each other."""
        dice, zones = self._dice["zone"], dev.blk.zones.zones
        zone = dice.choice(zones[:64])
        field = dice.choice(("start", "cap", "wp", "kind", "state"))
        lie = self._number("zone", 8 if field in ("kind", "state") else 64)
        zone.lies = {field: lie}
        self._answer(queue, ident, "zones", f"{field} of a zone is {lie:#x}")

    # -- answers ------------------------------------------------------------

    def event(self, dev, queue, honest):
        """Lie about when a kick is wanted."""
        self._events.discard(queue.index)
        if not self._chance("event", self.event_chance):
            return honest
        lie = self._lie("event", 32 if dev.has("RING_PACKED") else 16, honest)
        self._events.add(queue.index)
        self._tell(f"event of queue {queue.index} is {lie:#x}")
        return lie

    def used(self, dev, queue, chain, length):
        honest = [(chain.ident, length, chain.slots)]
        if self.batch and dev.has("IN_ORDER"):
            return honest       # one answer for many, which is not ours
        if self._chance("used", self.SWALLOW):
            self._tell("an answer is swallowed")
            return []
        if not self._chance("used", self.used_chance):
            return honest
        dice, kind = self._dice["used"], self._dice["used"].randrange(5)
        ident = self._number("used", 32 if dice.random() < .5 else 16)
        if kind == 0:
            lie = [(ident, length, chain.slots)]
        elif kind == 1:
            lie = [(chain.ident, self._number("used", 32), chain.slots)]
        elif kind == 2:
            lie = honest * 2
        elif kind == 3:
            lie = [(dice.randrange(queue.size), length, chain.slots)] + honest
        else:
            # The used index jumps over elements that were never written.
            lie = honest + [(ident, 0, 1)] * dice.randrange(1, queue.size + 2)
        what = f"used {lie[:3]} for {honest}"
        if kind == 1:
            self._tell(what)    # no driver has to read the length
        else:
            self._answer(queue, chain.ident, "rings", what)
        return lie

    def interrupt(self, dev, queue):
        if self._chance("interrupt", self.INTERRUPT):
            self._owed.add(queue.index)
            self._tell("no interrupt")
            return False
        return True

    def pulse(self, dev):
        """Carry out what was kept back: late, but not never."""
        self._beats += 1
        with dev.lock:
            now = time.monotonic()
            for row in [r for r in self._stalled if r[0] <= now]:
                self._stalled.remove(row)
                # A reset made the device forget it.
                dev.release(row[1])
            if self._beats % self.rests:
                return
            for q in dev.queues:
                if q.enabled and (q.index in self._owed or self._chance(
                        "spurious", self.SPURIOUS)):
                    dev.interrupt(q)
                dev.run(q)
            self._owed.clear()
            if self._chance("spurious", self.SPURIOUS):
                dev.config_interrupt()
