# SPDX-License-Identifier: GPL-2.0
"""Host-managed zones, section 5.2.6: their states, and rules for requests."""

import struct

from .spec import (IN, OK, OUT, ZONE_ACTIVE_LIMIT, ZONE_APPEND,
                   ZONE_CLOSE, ZONE_FINISH, ZONE_INVALID, ZONE_OPEN,
                   ZONE_OPEN_LIMIT, ZONE_REPORT, ZONE_RESET, ZONE_RESET_ALL,
                   ZONE_UNALIGNED)

CONVENTIONAL, SEQUENTIAL = 1, 2
NOT_WP, EMPTY, IMPLICIT, EXPLICIT, CLOSED = 0, 1, 2, 3, 4
READ_ONLY, FULL, OFFLINE = 13, 14, 15
GARBAGE = 0xdeadbeefdeadbeef
MANAGE = (ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET)


class Zone:
    """One zone, in sectors."""

    def __init__(self, start, cap, kind=SEQUENTIAL):
        self.start, self.cap, self.kind, self.wp = start, cap, kind, start
        self.state = NOT_WP if kind == CONVENTIONAL else EMPTY
        self.lies = {}          # {field: value} that its descriptor has

    def row(self):
        """Its descriptor in a report; nonsense where wp means nothing."""
        wp = GARBAGE if self.state in (NOT_WP, READ_ONLY, FULL, OFFLINE) \
            else self.wp
        said = {"cap": self.cap, "start": self.start, "wp": wp,
                "kind": self.kind, "state": self.state, **self.lies}
        return struct.pack("<QQQBB38x", *said.values())


class Zones:
    """All zones of a disk.

    conventional    how many of the first ones have no write pointer
    capacity        sectors of a zone that can be written; None for all
    """

    def __init__(self, dev, conventional=1, capacity=None):
        self.dev, cfg = dev, dev.config
        self.size = size = cfg["zone_sectors"]
        total = cfg["capacity"]
        self.zones = [
            Zone(at, min(capacity or size, total - at),
                 CONVENTIONAL if n < conventional else SEQUENTIAL)
            for n, at in enumerate(range(0, total, size))]
        for z in self.zones[:conventional]:
            z.cap = min(size, total - z.start)

    def at(self, sector):
        """The zone of a sector, or None."""
        n = sector // self.size
        return self.zones[n] if n < len(self.zones) else None

    def count(self, *states):
        """How many zones are in one of these states."""
        return sum(z.state in states for z in self.zones)

    # -- rules --------------------------------------------------------------

    def check(self, req):
        """Judge what the driver asks for."""
        rule, kind = self.dev.check.rule, req.kind
        if kind == ZONE_REPORT:
            rule("BLK-ZONE-01 BLK-ZONE-02", self.at(req.sector) is not None,
                 "{} beyond the last zone", req)
        if kind in MANAGE:
            rule("BLK-ZONE-01 BLK-ZONE-04", req.sector % self.size == 0,
                 "{} is not at a zone's start", req)
        if kind == ZONE_RESET_ALL:
            rule("BLK-ZONE-05", req.sector == 0, "{}", req)
        if kind == ZONE_APPEND:
            rule("BLK-ZONE-06", req.sector % self.size == 0,
                 "{} is not at a zone's start", req)
            rule("BLK-ZONE-08", req.data_len // 512
                 <= self.dev.config["max_append_sectors"], "{}", req)
            rule("BLK-ZONE-I01", sum(n for _, n in req.tail) == 9,
                 "{}: tail {}", req, req.tail)
        zone = self.at(req.sector)
        if kind in (OUT, ZONE_APPEND) and zone and zone.kind != CONVENTIONAL:
            grain = self.dev.config["write_granularity"] or 512
            rule("BLK-ZONE-10" + (" BLK-ZONE-07" if kind == ZONE_APPEND
                                  else ""),
                 req.data_len % grain == 0, "{}", req)
            rule("BLK-ZONE-11", req.sector * 512 % grain == 0, "{}", req)
            where = zone.wp if kind == ZONE_APPEND else req.sector
            rule("BLK-ZONE-12", where + req.data_len // 512
                 <= zone.start + zone.cap, "{} leaves its zone", req)

    # -- work ---------------------------------------------------------------

    def run(self, req):
        """A request's status; None when it is like on any disk."""
        kind, zone = req.kind, self.at(req.sector)
        if kind in (IN, OUT) and (zone is None or zone.kind == CONVENTIONAL):
            return None
        if kind == IN:
            return None
        if kind in (OUT, ZONE_APPEND):
            return self._write(req, zone)
        if kind == ZONE_REPORT:
            return self._report(req)
        if kind == ZONE_RESET_ALL:
            for z in self.zones:
                if z.kind != CONVENTIONAL and z.state not in (READ_ONLY,
                                                              OFFLINE):
                    self._reset(z)
            return OK
        if kind in MANAGE:
            if zone is None or zone.kind == CONVENTIONAL or \
                    req.sector != zone.start or \
                    zone.state in (READ_ONLY, OFFLINE):
                return ZONE_INVALID
            return self._manage(kind, zone)
        return None

    def _room(self, zone, explicit):
        cfg = self.dev.config
        if zone.state in (IMPLICIT, EXPLICIT):
            return OK
        if zone.state == EMPTY and cfg["max_active_zones"] and \
                self.count(IMPLICIT, EXPLICIT, CLOSED) >= \
                cfg["max_active_zones"]:
            return ZONE_ACTIVE_LIMIT
        if cfg["max_open_zones"] and \
                self.count(IMPLICIT, EXPLICIT) >= cfg["max_open_zones"]:
            other = next((z for z in self.zones if z.state == IMPLICIT), None)
            if other is None:
                return ZONE_OPEN_LIMIT
            other.state = CLOSED
        zone.state = EXPLICIT if explicit else IMPLICIT
        return OK

    def _write(self, req, zone):
        sectors = req.data_len // 512
        if zone is None or zone.kind == CONVENTIONAL or \
                zone.state in (READ_ONLY, OFFLINE, FULL):
            return ZONE_INVALID
        if req.kind == ZONE_APPEND:
            if req.sector != zone.start or not sectors or \
                    sectors > self.dev.config["max_append_sectors"]:
                return ZONE_INVALID
        elif req.sector != zone.wp:
            return ZONE_UNALIGNED
        if zone.wp + sectors > zone.start + zone.cap:
            return ZONE_INVALID
        status = self._room(zone, False)
        if status:
            return status
        at = zone.wp * 512
        self.dev.blk.data[at:at + req.data_len] = req.data()
        req.append_sector = zone.wp
        zone.wp += sectors
        if zone.wp == zone.start + zone.cap:
            zone.state = FULL
        return OK

    def _report(self, req):
        first = self.at(req.sector)
        if first is None:
            return ZONE_INVALID
        rows = max(0, (req.room_len - 64) // 64)
        n = self.zones.index(first)
        some = self.zones[n:n + rows]
        req.fill(struct.pack("<Q56x", len(some))
                 + b"".join(z.row() for z in some))
        return OK

    def _reset(self, zone):
        zone.state, zone.wp = EMPTY, zone.start
        at = zone.start * 512
        self.dev.blk.data[at:at + zone.cap * 512] = bytes(zone.cap * 512)

    def _manage(self, kind, zone):
        if kind == ZONE_RESET:
            self._reset(zone)
            return OK
        if kind == ZONE_FINISH:
            if zone.state == EMPTY:
                status = self._room(zone, False)
                if status:
                    return status
            zone.state, zone.wp = FULL, zone.start + zone.cap
            return OK
        if zone.state == FULL:
            return ZONE_INVALID
        if kind == ZONE_OPEN:
            status = self._room(zone, True)
            if not status:
                zone.state = EXPLICIT
            return status
        if zone.state in (IMPLICIT, EXPLICIT):
            zone.state = EMPTY if zone.wp == zone.start else CLOSED
        return OK
