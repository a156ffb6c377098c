# SPDX-License-Identifier: GPL-2.0
"""A virtqueue's memory, decoded: sections 2.7 and 2.8 of virtio 1.4.

Nothing here knows how the bytes were read; a reader is a function
(address, size) -> bytes. Which side owns a buffer is computed from both rings
alone: a Tracker starts at a moment at which nothing is in flight.
"""

import dataclasses
import struct

from device import spec
from device.spec import AVAIL, INDIRECT, NEXT, USED, WRITE

FLAGS = {NEXT: "NEXT", WRITE: "WRITE", INDIRECT: "INDIRECT"}
EVENT_FLAGS = {0: "ENABLE", 1: "DISABLE", 2: "DESC", 3: "reserved"}
TYPES = {getattr(spec, name): name for name in (
    "IN", "OUT", "FLUSH", "GET_ID", "GET_LIFETIME", "DISCARD", "WRITE_ZEROES",
    "SECURE_ERASE", "ZONE_APPEND", "ZONE_REPORT", "ZONE_OPEN", "ZONE_CLOSE",
    "ZONE_FINISH", "ZONE_RESET", "ZONE_RESET_ALL")}
STATUS = {spec.OK: "OK", spec.IOERR: "IOERR", spec.UNSUPP: "UNSUPP",
          0xff: "not written yet"}
DESC, HEADER = 16, 16
# Bits of the features that change what the ring looks like.
EVENT_IDX, VERSION_1, RING_PACKED, IN_ORDER = (
    spec.FEATURES[name]
    for name in ("EVENT_IDX", "VERSION_1", "RING_PACKED", "IN_ORDER"))


class Forgotten(Exception):
    """More happened since the last look than the ring remembers."""


@dataclasses.dataclass
class Place:
    """Where a queue is: addresses in the guest's memory."""

    num: int
    desc: int
    driver: int         # available ring, or the driver's event structure
    device: int         # used ring, or the device's event structure
    packed: bool = False
    in_order: bool = False
    event_idx: bool = False


def descriptors(data, packed):
    """Each descriptor of a table as a dict."""
    out = []
    for i in range(len(data) // DESC):
        addr, size, a, b = struct.unpack_from("<QIHH", data, i * DESC)
        flags, other = (b, a) if packed else (a, b)
        one = {"slot": i, "addr": addr, "len": size, "flags": flags,
               "names": [n for bit, n in FLAGS.items() if flags & bit]}
        one["id" if packed else "next"] = other
        if packed:
            one["avail"] = bool(flags & AVAIL)
            one["used"] = bool(flags & USED)
        out.append(one)
    return out


def event(data):
    """An event suppression structure of a packed ring."""
    off_wrap, flags = struct.unpack("<HH", data)
    return {"slot": off_wrap & 0x7fff, "wrap": off_wrap >> 15,
            "flags": EVENT_FLAGS[flags & 3]}


def read_areas(read, place):
    """The descriptors and what stands in the other two areas."""
    desc = descriptors(read(place.desc, place.num * DESC), place.packed)
    if place.packed:
        return {"desc": desc, "driver_event": event(read(place.driver, 4)),
                "device_event": event(read(place.device, 4))}
    n = place.num
    avail = struct.unpack(f"<{3 + n}H", read(place.driver, 6 + 2 * n))
    used = read(place.device, 6 + 8 * n)
    flags, idx = struct.unpack_from("<HH", used)
    return {"desc": desc,
            "avail": {"flags": avail[0], "idx": avail[1],
                      "ring": list(avail[2:-1]), "used_event": avail[-1]},
            "used": {"flags": flags, "idx": idx,
                     "ring": [list(struct.unpack_from("<II", used, 4 + 8 * i))
                              for i in range(n)],
                     "avail_event": struct.unpack_from("<H", used,
                                                       4 + 8 * n)[0]}}


# -- buffers -----------------------------------------------------------------

def chain(areas, place, slot):
    """The ring's descriptors of the buffer that starts at @slot."""
    out = []
    while len(out) < place.num:
        d = areas["desc"][slot]
        out.append(d)
        if not d["flags"] & NEXT:
            break
        slot = (slot + 1) % place.num if place.packed \
            else d["next"] % place.num
    return out


def read_buffer(read, areas, place, slot, head):
    """What a buffer holds: descriptors, request header and status byte."""
    slots = chain(areas, place, slot)
    table = slots
    indirect = bool(slots[0]["flags"] & INDIRECT)
    if indirect:
        table = descriptors(read(slots[0]["addr"],
                                 min(slots[0]["len"], DESC * place.num)),
                            place.packed)
    one = {"head": head, "slots": [d["slot"] for d in slots],
           "indirect": indirect, "table": table}
    one["header"] = read_header(read, table)
    last = table[-1] if table else None
    if last and last["flags"] & WRITE and last["len"]:
        where = last["addr"] + last["len"] - 1
        one["status_at"] = where
        one["status"] = read(where, 1)[0]
    return one


def read_header(read, table):
    """The request that the first descriptor has, or None."""
    if not table or table[0]["flags"] & WRITE or table[0]["len"] < HEADER:
        return None
    kind, _, sector = struct.unpack("<IIQ", read(table[0]["addr"], HEADER))
    data = sum(d["len"] for d in table[1:-1])
    return {"type": kind, "name": TYPES.get(kind, f"type {kind}"),
            "sector": sector, "bytes": data + table[0]["len"] - HEADER}


# -- who owns what -----------------------------------------------------------

class Split:
    """Owners in a split ring: what avail named, less what used named."""

    def __init__(self, areas, place):
        self.place = place
        self.avail, self.used = areas["avail"]["idx"], areas["used"]["idx"]
        if self.avail != self.used:
            raise Forgotten(f"{(self.avail - self.used) & 0xffff} buffers are "
                            "in flight at the first look")
        self.owned = []         # heads, in the order of the available ring

    def _new(self, ring, old, idx):
        n = (idx - old) & 0xffff
        if n > self.place.num:
            raise Forgotten(f"{n} entries since the last look, in a ring of "
                            f"{self.place.num}")
        return [ring[(old + i) % self.place.num] for i in range(n)]

    def update(self, areas, _next):
        """Take in another look at the ring."""
        avail, used = areas["avail"], areas["used"]
        self.owned += self._new(avail["ring"], self.avail, avail["idx"])
        done = self._new(used["ring"], self.used, used["idx"])
        if self.place.in_order:
            # One element may stand for a batch (section 2.7.4).
            del self.owned[:len(done)]
        else:
            for ident, _ in done:
                self.owned.remove(ident)
        self.avail, self.used = avail["idx"], used["idx"]

    def slot(self, head):
        """Where the buffer starts."""
        return head


class Packed:
    """Owners in a packed ring. A used descriptor takes the place of another
    buffer's, so buffers are remembered from look to look."""

    def __init__(self, areas, place, at):
        self.place = place
        # Nothing is in flight: the slot before was filled on this lap or, at
        # the start of the ring, on the one before.
        before = areas["desc"][(at - 1) % place.num]["avail"]
        lap = before if at else not before
        self.next, self.done = (at, lap), (at, lap)
        self.owned, self.starts, self.lengths = [], {}, {}

    def _step(self, position, n=1):
        slot, lap = position
        slot += n
        return (slot - self.place.num, not lap) if slot >= self.place.num \
            else (slot, lap)

    def _take_new(self, areas, last):
        while self.next[0] != last or self._is_avail(areas, self.next):
            slot, lap = self.next
            n = 1
            if self._is_avail(areas, self.next):
                slots = chain(areas, self.place, slot)
                ident, n = slots[-1]["id"], len(slots)
                self.owned.append(ident)
                self.starts[ident], self.lengths[ident] = slot, n
            self.next = self._step(self.next, n)
            if self.next == (slot, not lap):
                break

    @staticmethod
    def _is(d, avail, used):
        return d["avail"] == avail and d["used"] == used

    def _is_avail(self, areas, position):
        slot, lap = position
        return self._is(areas["desc"][slot], lap, not lap)

    def _take_used(self, areas):
        while self._is(areas["desc"][self.done[0]], self.done[1],
                       self.done[1]):
            ident = areas["desc"][self.done[0]]["id"]
            batch = [ident]
            if self.place.in_order and ident in self.owned:
                batch = self.owned[:self.owned.index(ident) + 1]
            for one in batch:
                if one in self.owned:
                    self.owned.remove(one)
                self.done = self._step(self.done, self.lengths.get(one, 1))

    def update(self, areas, last):
        """Take in another look; @last is the slot that is filled next."""
        self._take_new(areas, last)
        self._take_used(areas)
        held = sum(self.lengths[i] for i in self.owned)
        between = (self.next[0] - self.done[0]) % self.place.num
        if held % self.place.num != between:
            raise Forgotten(f"{between} slots are in flight, and the ring "
                            f"still names {held}")

    def slot(self, ident):
        """Where the buffer was made available."""
        return self.starts[ident]


def tracker(areas, place, at):
    """A Tracker for a queue in which nothing is in flight."""
    return Packed(areas, place, at) if place.packed else Split(areas, place)
