# SPDX-License-Identifier: GPL-2.0
"""The disk: requests, section 5.2.6, checked and carried out."""

import mmap
import struct

from . import spec
from .memory import BadAddress
from .spec import (DISCARD, FLUSH, GET_ID, GET_LIFETIME, IN, IOERR, OK, OUT,
                   RANGES, SECURE_ERASE, UNSUPP, WRITE_ZEROES, ZONE_APPEND,
                   ZONE_REPORT)

HOLD = object()         # what a script answers to keep a request
SILENT = object()       # and to give it back with nothing written


class Request:
    """One request as the driver wrote it.

    kind, reserved, sector      the header
    out, room                   [(address, length)]: data to read, to write
    tail                        where status, and an append's sector, go
    """

    def __init__(self, dev, queue, chain):
        self.dev, self.queue, self.chain = dev, queue, chain
        readable = [(a, n) for a, n, w in chain.elems if not w]
        writable = [(a, n) for a, n, w in chain.elems if w]
        self.sizes = [n for _, n in readable], [n for _, n in writable]
        header, self.out = cut(readable, 16)
        raw = b"".join(dev.memory.read(a, n) for a, n in header)
        self.short = len(raw) < 16
        self.kind, self.reserved, self.sector = struct.unpack(
            "<IIQ", raw.ljust(16, b"\0"))
        total = sum(n for _, n in writable)
        # An append brings nothing but its sector, and status at the end.
        self.room, self.tail = cut(writable, 0 if self.kind == ZONE_APPEND
                                   else max(0, total - 1))
        self.out_len = sum(n for _, n in self.out)
        self.room_len = sum(n for _, n in self.room)
        self.append_sector = 0
        self.header_at = header[0][0] if header else 0
        if header and header[0][1] == 16:
            chain.seen.append((self.header_at, raw))

    @property
    def data_len(self):
        """Bytes of data, in whatever direction they go."""
        return self.out_len + self.room_len

    def data(self):
        """What the driver sends."""
        return b"".join(self.dev.memory.read(a, n) for a, n in self.out)

    def fill(self, data):
        """Give data to the driver; how much of it fitted."""
        at = 0
        for a, n in self.room:
            piece = data[at:at + n]
            self.dev.memory.write(a, piece)
            at += len(piece)
        return at

    def finish(self, status):
        """Write the status; bytes written in all, for the used element."""
        sector = struct.pack("<Q", self.append_sector)
        size = sum(n for _, n in self.tail)
        tail = sector[:size - 1].ljust(size - 1, b"\0") + bytes([status & 255])
        at = 0
        for a, n in self.tail:
            self.dev.memory.write(a, tail[at:at + n])
            at += n
        return self.room_len + at

    def ranges(self):
        """(sector, sectors, flags) of a discard and its kin."""
        data = self.data()
        return [struct.unpack_from("<QII", data, at)
                for at in range(0, len(data) - len(data) % 16, 16)]

    def __repr__(self):
        return (f"request type {self.kind} sector {self.sector} "
                f"+{self.data_len} of queue {self.queue.index}")


def cut(parts, size):
    """Split [(address, length)] after @size bytes: both sides."""
    first, rest = [], []
    for a, n in parts:
        k = min(n, size)
        if k:
            first.append((a, k))
        if n - k:
            rest.append((a + k, n - k))
        size -= k
    return first, rest


class Blk:
    """The medium, and what a request does to it."""

    def __init__(self, dev, size, serial):
        self.dev, self.serial = dev, serial
        self.data = mmap.mmap(-1, max(size, 4096))
        self.lifetime = (1, 2, 3)       # pre_eol_info, typ_a, typ_b
        self.flushes, self.dirty = 0, 0
        self.zones = None

    # -- rules --------------------------------------------------------------

    def check(self, req):
        """Judge what the driver asks for."""
        rule, cfg = self.dev.check.rule, self.dev.config
        kind, legacy = req.kind, self.dev.legacy_used
        rule("BLK-REQ-I01", not req.short and req.tail,
             "{}: header {} bytes, status {}", req, 16 - 16 * req.short,
             req.tail)
        rule("LEG-BLK-I02", not kind & 1 << 31, "type {:#x}", kind)
        if kind not in spec.WITH_SECTOR:
            rule("BLK-REQ-I02", req.sector == 0, "{}", req)
        if not legacy:
            rule("BLK-REQ-I03", req.reserved == 0,
                 "{}: reserved word is {:#x}", req, req.reserved)
        if kind == GET_LIFETIME:
            rule("BLK-LIFE-I01", self.dev.has("BLK_LIFETIME") and
                 req.room_len == 6, "{} without LIFETIME", req)
        self._check_limits(req)
        if legacy and not self.dev.has("ANY_LAYOUT"):
            rule("LEG-BLK-10 LEG-FRAME-I01", req.sizes[0][:1] == [16] and
                 req.sizes[1][-1:] == [1],
                 "{}: descriptors of {}", req, req.sizes)
        if self.dev.has("BLK_RO") or cfg.readonly:
            rule("BLK-RO-I01", kind in (IN, FLUSH, GET_ID, GET_LIFETIME,
                                        ZONE_REPORT),
                 "{} to a read-only disk", req)
        if kind in (IN, OUT):
            rule("BLK-OP-06", req.data_len % 512 == 0, "{}", req)
            rule("BLK-OP-02", req.sector + req.data_len // 512
                 <= cfg.known_capacity, "{} with a capacity of {}", req,
                 cfg.known_capacity)
        elif kind == FLUSH:
            rule("BLK-OP-04", req.sector == 0, "{}", req)
            rule("BLK-OP-05", req.data_len == 0, "{}", req)
            rule("BLK-INIT-01", self.dev.has("BLK_FLUSH"), "{}", req)
        elif kind == GET_ID:
            rule("BLK-OP-08", req.room_len == 20 and not req.out_len,
                 "{}: {} bytes", req, req.room_len)
        elif kind in RANGES:
            self._check_ranges(req)
        if self.zones:
            self.zones.check(req)

    def _check_limits(self, req):
        rule, cfg = self.dev.check.rule, self.dev.config
        sizes = [n for _, n in req.out + req.room]
        if self.dev.has("BLK_SIZE_MAX"):
            rule("BLK-LIM-I01", max(sizes, default=0) <= cfg["size_max"],
                 "{}: descriptors of {}", req, sizes)
        if self.dev.has("BLK_SEG_MAX") and req.kind in (IN, OUT, ZONE_APPEND):
            packed = " PACK-SG-01" if self.dev.has("RING_PACKED") else ""
            if packed and req.chain.table:
                packed += " PACK-INDIR-03"
            rule("BLK-LIM-I02" + packed, len(sizes) <= cfg["seg_max"],
                 "{}: {} segments", req, len(sizes))

    def _check_ranges(self, req):
        rule, cfg = self.dev.check.rule, self.dev.config
        name, ident = {DISCARD: ("discard", "BLK-OP-09"),
                       WRITE_ZEROES: ("write_zeroes", "BLK-OP-11"),
                       SECURE_ERASE: ("secure_erase", "BLK-OP-10"),
                       }[req.kind]
        rule("BLK-OP-07", req.out_len % 16 == 0 and req.out_len > 0,
             "{}: {} bytes", req, req.out_len)
        ranges = req.ranges()
        rule(ident, len(ranges) <= max(1, cfg[f"max_{name}_seg"]),
             "{}: {} segments", req, len(ranges))
        for sector, count, flags in ranges:
            rule("BLK-REQ-I03", not flags & ~1, "{}: flags {:#x}", req, flags)
            if req.kind == DISCARD:
                rule("BLK-OP-14", flags == 0, "{}: flags {:#x}", req, flags)
            align = {SECURE_ERASE: cfg["secure_erase_sector_alignment"]
                     }.get(req.kind, 0)
            rule("BLK-LIM-I03", count <= cfg[f"max_{name}_sectors"] and
                 not (align and (sector % align or count % align)),
                 "{}: {} sectors from {}", req, count, sector)
            if req.kind == SECURE_ERASE and self.dev.has("BLK_ZONED"):
                rule("BLK-ZONE-13", count % cfg["zone_sectors"] == 0,
                     "{}: {} sectors", req, count)

    # -- work ---------------------------------------------------------------

    def run(self, req):
        """Carry a request out; its status."""
        if req.short or not req.tail:
            return IOERR
        try:
            if self.zones:
                status = self.zones.run(req)
                if status is not None:
                    return status
            return self._run(req)
        except BadAddress:
            self.dev.needs_reset()
            return IOERR

    def _run(self, req):
        kind, at = req.kind, req.sector * 512
        if kind in (IN, OUT):
            end = at + req.data_len
            if end > self.dev.config["capacity"] * 512 or \
                    req.data_len % 512:
                return IOERR
            if kind == IN:
                req.fill(self.data[at:end].ljust(req.data_len, b"\0"))
            elif self.dev.config.readonly:
                return IOERR
            else:
                room = max(0, len(self.data) - at)
                self.data[at:end] = req.data()[:room]
                self.dirty += 1
            return OK
        if kind == FLUSH:
            self.flushes, self.dirty = self.flushes + 1, 0
            return OK
        if kind == GET_ID:
            req.fill(self.serial.encode()[:20].ljust(20, b"\0"))
            return OK
        if kind == GET_LIFETIME and self.dev.has("BLK_LIFETIME"):
            req.fill(struct.pack("<3H", *self.lifetime))
            return OK
        if kind in RANGES:
            return self._ranges(req)
        return UNSUPP

    def _ranges(self, req):
        needs = {DISCARD: "BLK_DISCARD", WRITE_ZEROES: "BLK_WRITE_ZEROES",
                 SECURE_ERASE: "BLK_SECURE_ERASE"}[req.kind]
        if not self.dev.has(needs) or \
                any(f & ~(req.kind == WRITE_ZEROES)
                    for _, _, f in req.ranges()):
            return UNSUPP
        for sector, count, _ in req.ranges():
            if sector + count > self.dev.config["capacity"]:
                return IOERR
            fill = b"\xd1" if req.kind == DISCARD else b"\0"
            self.data[sector * 512:(sector + count) * 512] = \
                fill * (count * 512)
            self.dirty += 1
        return OK
