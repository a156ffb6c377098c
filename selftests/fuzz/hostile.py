# SPDX-License-Identifier: GPL-2.0
"""A scripted device that wants to do harm: what it does is a seed's choice."""

import random

from device import HOLD, USUAL, Script

RINGS = ("RING_PACKED", "INDIRECT_DESC", "EVENT_IDX", "NOTIFICATION_DATA",
         "RING_RESET", "IN_ORDER")
DISKS = ("BLK_MQ", "BLK_DISCARD", "BLK_WRITE_ZEROES", "BLK_CONFIG_WCE",
         "BLK_TOPOLOGY", "BLK_GEOMETRY", "BLK_SIZE_MAX", "BLK_SECURE_ERASE",
         "BLK_LIFETIME", "ORDER_PLATFORM", "BLK_RO")
# What a number is turned into.
EDGES = (0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xfffe, 0xffff,
         0x7fffffff, 0x80000000, 0xffffffff)


class Hostile(Script):
    """Lies, each with a chance of its own.

    mutations   how many lies were told so far
    story       the last of them
    """

    # In a million.
    REGISTER, WRITE, REFUSE = 4000, 2000, 20000
    STATUS, HOLD, SILENT, USED, INTERRUPT = 40000, 300, 300, 40000, 2000
    MEMORY, TROUBLE, CONFIG = 300000, 1500, 10000
    PROBE, LATER = 12, 0.05     # times that at first, and after DRIVER_OK:
                                # one that is lied to in a reset is given up

    def __init__(self, seed):
        self.mutations, self.story, self._up = 0, [], False
        # Each kind has numbers of its own: what one does moves no other.
        self._dice = {kind: random.Random(f"{seed} {kind}") for kind in (
            "device", "read", "write", "features", "vector", "request",
            "used", "interrupt", "memory")}
        dice = self._dice["device"]
        self.features = USUAL + tuple(
            f for f in RINGS + DISKS if dice.random() < 0.5)
        if "BLK_RO" in self.features and dice.random() < 0.8:
            self.features = tuple(f for f in self.features if f != "BLK_RO")
        self.features = tuple(f for f in self.features
                              if f not in USUAL or dice.random() < 0.8 or
                              f == "VERSION_1")
        self.queues = dice.choice((1, 1, 2, 4))
        self.queue_size = dice.choice((4, 8, 16, 64, 128, 256))
        self.config = {}
        while dice.random() < 0.5:
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
            self._told(f"config {name} = {self.config[name]:#x}")

    # -- dice ---------------------------------------------------------------

    def _chance(self, kind, millionths):
        return self._dice[kind].randrange(1000000) < millionths

    def _number(self, kind, bits):
        dice = self._dice[kind]
        value = dice.choice(EDGES) if dice.random() < 0.7 else \
            dice.getrandbits(bits)
        return value & (1 << bits) - 1

    def _told(self, what):
        self.mutations += 1
        self.story = self.story[-199:] + [what]

    # -- registers ----------------------------------------------------------

    def read(self, dev, name, value):
        self._up |= bool(dev.status & 4)
        chance = self.REGISTER * (self.LATER if self._up else self.PROBE)
        if not self._chance("read", chance):
            return value
        lie = self._number("read", 32)
        if name in ("status", "generation", "isr") or \
                name.startswith("config+") and self._dice["read"].random() < .3:
            lie &= 0xff
        elif "feature" not in name and "config" not in name:
            lie &= 0xffff
        self._told(f"{name} reads {lie:#x}, not {value:#x}")
        return lie

    def write(self, dev, name, value):
        # A kick that is dropped is a lost request, which costs a time-out.
        if name == "notify" or not self._chance("write", self.WRITE * (
                self.LATER if self._up else 1)):
            return value
        self._told(f"{name} = {value:#x} is not taken")
        return None

    def features_ok(self, dev):
        if self._chance("features", self.REFUSE * (
                self.LATER if self._up else 1)):
            self._told("FEATURES_OK refused")
            return False
        return True

    def vector(self, dev, name, vector):
        if self._chance("vector", self.REFUSE):
            lie = self._dice["vector"].choice((0xffff, 0, 1, 0x7ff))
            self._told(f"{name} is {lie:#x}, not {vector:#x}")
            return lie
        return vector

    # -- requests -----------------------------------------------------------

    def request(self, dev, req):
        if self._chance("request", self.MEMORY):
            self._scribble(dev, req)
        if self._chance("request", self.CONFIG):
            name = self._dice["request"].choice(("capacity", "writeback"))
            with dev.lock:
                dev.config[name] = self._number(
                    "request", 24 if name == "capacity" else 8)
                dev.config.generation += 1
                dev.config_interrupt()
            self._told(f"{name} changes")
        if self._chance("request", self.TROUBLE):
            self._told("needs reset")
            dev.needs_reset()
        if self._chance("request", self.HOLD):
            self._told("a request is kept")
            return HOLD
        if self._chance("request", self.STATUS):
            status = self._dice["request"].choice((1, 2, 3, 5, 0x7f, 0xff))
            self._told(f"status {status:#x}")
            return status
        return None

    def _scribble(self, dev, req):
        """Write where a device can, but never has a reason to."""
        dice, q = self._dice["memory"], req.queue
        size = 16 * q.size
        places = [(q.desc, size), (q.driver, 2 * q.size + 6),
                  (q.device, 8 * q.size + 6)]
        if dev.has("RING_PACKED"):
            places = [(q.desc, size), (q.driver, 4), (q.device, 4)]
        # The header and what lies beside it, tables among that.
        places.append((req.header_at, 64))
        for _ in range(dice.randrange(1, 9)):
            start, length = dice.choice(places)
            width = dice.choice((1, 2, 2, 4, 8))
            at = start + dice.randrange(max(1, length - width))
            try:
                dev.memory.put(at, self._number("memory", 8 * width), width)
            except Exception:   # what a lie made of an address
                continue
            self._told(f"memory of queue {q.index} at {at:#x}")

    # -- answers ------------------------------------------------------------

    def used(self, dev, queue, chain, length):
        honest = [(chain.ident, length, chain.slots)]
        if self._chance("used", self.SILENT):
            self._told("an answer is swallowed")
            return []
        if not self._chance("used", self.USED):
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
            # A jump of the index: elements that nobody wrote.
            lie = honest + [(ident, 0, 1)] * dice.randrange(1, queue.size + 2)
        self._told(f"used {lie[:3]} for {honest}")
        return lie

    def interrupt(self, dev, queue):
        if self._chance("interrupt", self.INTERRUPT):
            self._told("no interrupt")
            return False
        return True
