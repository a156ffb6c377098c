# SPDX-License-Identifier: GPL-2.0
"""Device: the parts put together, and what a test does with them."""

import itertools
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

from . import spec
from .blk import HOLD, SILENT, Blk, Request
from .config import Config
from .log import Log, Rules
from .memory import BadAddress, Memory
from .pci import Pci
from .ring import Queue
from .script import Script
from .spec import DRIVER_OK, NEEDS_RESET, NO_VECTOR, SUSPENDED
from .status import Status
from .vfio_user import Server
from .zoned import Zones

# What a plain modern disk offers.
USUAL = ("VERSION_1", "INDIRECT_DESC", "EVENT_IDX", "BLK_SEG_MAX",
         "BLK_BLK_SIZE", "BLK_FLUSH")
# QEMU gives a device up that does not answer for 5 seconds.
RUN_SECONDS = 0.2
CONFIG = {"seg_max": 126, "size_max": 65536, "blk_size": 512,
          "cylinders": 16, "heads": 4, "sectors": 32, "min_io_size": 8,
          "opt_io_size": 64, "physical_block_exp": 3, "writeback": 1,
          "max_discard_sectors": 8192, "max_discard_seg": 16,
          "discard_sector_alignment": 8, "max_write_zeroes_sectors": 8192,
          "max_write_zeroes_seg": 1, "write_zeroes_may_unmap": 1,
          "max_secure_erase_sectors": 8192, "max_secure_erase_seg": 4,
          "secure_erase_sector_alignment": 8}
ZONED = {"zone_sectors": 8192, "max_open_zones": 4, "max_active_zones": 6,
         "max_append_sectors": 256, "write_granularity": 4096, "model": 1}
_slots = itertools.cycle(range(8, 0x1e))


class Device:
    """A virtio block device that does what a script says.

        dev = Device(features=USUAL + ("RING_PACKED",), queues=2)
        with dev, Guest(devices=[dev.qemu], share_mem=True) as g:
            g.sh(f"dd if=/dev/$(disk_of {dev.bdf}) of=/dev/null bs=4k")
        assert not dev.check.breaches, dev.check.report()

    features    names or numbers of what is offered, or a mask
    size        bytes of the disk
    queues      how many there are (offer BLK_MQ to have them used)
    vectors     MSI-X vectors; 0 for none; default: one more than queues
    transport   "modern", "transitional" or "legacy"
    config      {field: value} of device config (spec.CONFIG)
    zones       {} or {"conventional": 1, "capacity": sectors}: zoned
    script      a Script: the answers that are not the honest ones
    addr        the slot on the root bus; they are counted from 8 on

    While it runs, fields may be changed under dev.lock; become() changes what
    is offered while no driver is bound. A failure inside of the device's
    thread is kept in dev.errors, and raised at the end of the context.
    """

    listener = Server

    def __init__(self, features=USUAL, *, size=64 << 20, queues=1,
                 queue_size=128, vectors=None, transport="modern",
                 config=None, zones=None, script=None, serial="scripted",
                 addr=None, bus="pcie.0", caps=None, **pci):
        self.log = Log()
        self.check = Rules(self.log)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.memory = Memory()
        self.script = script or Script()
        self.vectors = queues + 1 if vectors is None else vectors
        self.slot = next(_slots) if addr is None else addr
        self.bus, self.errors = bus, []
        self.bar_size, self.config_at = pci.pop("bar_size", 0x4000), 0x2000
        self.status_reg = Status(self)
        self.serial = serial
        self.config_length = pci.pop("config_length", spec.CONFIG_SIZE)
        self._offer(features, size, queues, queue_size, config, zones)
        self.pci = Pci(self, transport, caps, **pci)
        self.folder = Path(tempfile.mkdtemp(prefix="vbl-dev-"))
        self.server = self.listener(self, self.folder / "s")
        self.now = time.monotonic

    def _offer(self, features, size, queues, queue_size, config, zones):
        self.offered = spec.mask(features)
        self.config = Config(self, **{
            **CONFIG, "capacity": size // 512, "num_queues": queues,
            **(ZONED if zones is not None else {}), **(config or {})})
        self.config.length = self.config_length
        self.config.readonly = bool(self.offered >> 5 & 1)
        self.blk = Blk(self, size, self.serial)
        if zones is not None:
            self.blk.zones = Zones(self, **zones)
        self.queues = [Queue(self, n, queue_size) for n in range(queues)]
        for q in self.queues:
            q.was_reset, q.reset_until = False, 0
        self.accepted, self.config_vector, self.isr = 0, NO_VECTOR, 0
        self.held, self.legacy_used, self.refused = [], False, False
        self.behind = []
        self.suspended = False
        self.interrupts = 0

    # -- life ---------------------------------------------------------------

    @property
    def bdf(self):
        """Its address in the guest."""
        return f"0000:00:{self.slot:02x}.0"

    @property
    def qemu(self):
        """The argument for Guest(devices=[...]); goes with share_mem=True."""
        return ["-device", json.dumps(self.properties)]

    @property
    def properties(self):
        """The same for the QMP command device_add."""
        return {"driver": "vfio-user-pci", "id": f"dev{self.slot}",
                "bus": self.bus, "addr": f"{self.slot:#x}",
                "socket": {"type": "unix", "path": str(self.server.path)}}

    def __enter__(self):
        self.server.start()
        return self

    def close(self):
        """End the thread, remove the socket."""
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, kind, value, trace):
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def become(self, features=USUAL, *, script=None, size=64 << 20, queues=1,
               queue_size=128, config=None, zones=None):
        """Become another device in the same slot; no driver may be bound."""
        with self.lock:
            self.script = script or Script()
            self._offer(features, size, queues, queue_size, config, zones)
            self.status_reg = Status(self)
            self.pci.modern.clear()
            self.pci.legacy.clear()
            self.forget()

    def forget(self):
        """Forget what the firmware or another driver did."""
        with self.lock:
            self.log.clear()
            self.check.forget()
            self.status_reg.history.clear()

    def wait(self, what, seconds=30, why="the device to see it"):
        """Wait until what(dev) is true; it is judged after each message."""
        with self.changed:
            if not self.changed.wait_for(lambda: what(self), seconds):
                raise TimeoutError(f"waited {seconds} s for {why}; the last "
                                   f"that happened:\n{self.log.tail(30)}")

    # -- what registers ask -------------------------------------------------

    def has(self, name):
        """Whether a feature was negotiated."""
        return bool(self.accepted >> spec.bit(name) & 1)

    @property
    def status(self):
        """The device status, without the side effects of a read."""
        return self.status_reg.value

    @property
    def msix_enabled(self):
        """Whether MSI-X is on."""
        return self.pci.msix_enabled

    def use(self, legacy, name):
        """The driver uses one of the two interfaces."""
        if name == "status":
            self.legacy_used = legacy

    def reset(self):
        """The driver has written 0 to status, or the function was reset."""
        self.log.add("reset")
        for q in self.queues:
            if q.enabled and q.out:
                self._check_exposed(q)
            q.clear()
            q.was_reset = False
        self.accepted, self.isr, self.config_vector = 0, 0, NO_VECTOR
        self.held, self.refused, self.suspended = [], False, False
        self.pci.modern.clear()
        self.pci.legacy.clear()
        self._line()

    def _check_exposed(self, q):
        """Judge whether exposed buffers are unchanged until the reset."""
        for chain in q.out.values():
            self.check.rule("GEN-CLEAN-01 GEN-CLEAN-02", all(
                self.memory.read(at, len(data)) == data
                for at, data in chain.seen),
                "queue {}: buffer {} was changed before the reset", q.index,
                chain.ident)

    def driver_ok(self):
        """The driver is ready."""
        self.log.add("driver_ok", self.accepted)
        self.run_all()

    def enable_queue(self, q):
        """A queue was enabled."""
        self.check.rule("BLK-VQ-I01", q.index == 0 or self.has("BLK_MQ") and
                        q.index < self.config["num_queues"],
                        "queue {} is none of the {}", q.index,
                        self.config["num_queues"] if self.has("BLK_MQ")
                        else 1)
        self.check.rule("PCI-COMMON-I01", q.max_size > 0,
                        "queue {} does not exist", q.index)
        try:
            q.enable()
        except BadAddress:
            q.enabled = False
            self.needs_reset()

    def reset_queue(self, q):
        """Section 2.6.1: one queue alone."""
        self.log.add("queue reset", q.index)
        self.held = [r for r in self.held if r.queue is not q]
        q.size_before = q.size
        q.clear()
        q.resetting, q.was_reset = True, True
        q.reset_until = self.now() + self.script.queue_reset_seconds

    def needs_reset(self):
        """Set DEVICE_NEEDS_RESET."""
        self.log.add("needs_reset")
        self.status_reg.value |= NEEDS_RESET
        if self.status & DRIVER_OK:
            self.config_interrupt()

    def suspend(self):
        """From now on nothing may be made available (section 3.5)."""
        self.suspended = True
        self._pending = [q.enabled and q.ring.pending() for q in self.queues]

    def wake(self):
        """The driver has ended the suspension."""
        for q, before in zip(self.queues, self._pending):
            if q.enabled:
                self.check.rule("GEN-SUSP-04", q.ring.pending() <= before,
                                "queue {}: new buffers while suspended",
                                q.index)
        self.suspended = False
        self.run_all()

    # -- kicks and requests -------------------------------------------------

    def kick(self, value, size, offset):
        """A notification: its value, width, and place (None on legacy)."""
        rule = self.check.rule
        q = self._kicked(value, offset)
        if not rule("GEN-INIT-08", self.status & DRIVER_OK or
                    self.status & SUSPENDED, "kick with status {:#x}",
                    self.status):
            return
        if self.has("SUSPEND"):
            rule(self.status_reg.unsettled() or "GEN-SUSP-05",
                 not self.suspended, "kick while suspended")
        if not rule("PCI-NADDR-I01", q is not None and q.enabled,
                    "kick of {:#x} at {} is no queue's", value, offset):
            return
        data = self.has("NOTIFICATION_DATA")
        other = self.has("NOTIF_CONFIG_DATA")
        rule("PCI-NOTIF-02" if data else "PCI-NOTIF-01",
             size == (4 if data else 2), "a kick of {} bytes", size)
        want = q.notif_data if other else q.index
        rule(("PCI-NOTIF-06" if other else "PCI-NOTIF-04") if data else
             ("PCI-NOTIF-05" if other else "PCI-NOTIF-03"),
             value & 0xffff == want, "queue {} kicked with {:#x}", q.index,
             value)
        if data:
            self._check_place(q, value >> 16)
        q.kicks += 1
        self._check_wanted(q)
        self.run(q)

    def _check_wanted(self, q):
        """Judge whether the kick was wanted, where that is certain."""
        park, packed = self.script.park, self.has("RING_PACKED")
        if self.script.used_flags and (packed or not self.has("EVENT_IDX")):
            self.check.rule("PACK-KICK-I01" if packed else "SPLIT-ANOTIF-03",
                            self.script.late_kicks > 0, "queue {}: a kick, "
                            "though none is wanted", q.index)
            self.script.late_kicks -= 1
        elif park is not None and q.ring.parked:
            good = q.ring.pending() > park
            self.check.rule("PACK-KICK-I01" if packed else
                            "SPLIT-ANOTIF-06 SPLIT-ANOTIF-07",
                            good or self.script.late_kicks > 0, "queue {}: a "
                            "kick for {} new buffers, it is wanted after {}",
                            q.index, q.ring.pending(), park)
            self.script.late_kicks -= not good

    def _kicked(self, value, offset):
        if offset is None or not self.pci.multiplier:
            if self.has("NOTIF_CONFIG_DATA"):
                return next((q for q in self.queues
                             if q.notif_data == value & 0xffff), None)
            n = value & 0xffff
            return self.queues[n] if n < len(self.queues) else None
        return next((q for q in self.queues if offset
                     == q.notify_off * self.pci.multiplier), None)

    def _check_place(self, q, place):
        """Judge the place in a kick: it may be late, but never ahead."""
        ring, now = q.ring, q.ring.next_value()
        if self.has("RING_PACKED"):
            # Places count modulo two laps; being ahead is a large lag then.
            laps = 2 * ring.size
            at = [(p & 0x7fff) + (0 if p >> 15 else ring.size)
                  for p in (place, now)]
            good = place & 0x7fff < ring.size and \
                (at[1] - at[0]) % laps <= laps - min(16, ring.size // 2)
            self.check.rule("GEN-NOTIF-I01 PACK-DESC-03", good,
                            "kick says {:#x}, the ring is at {:#x}", place,
                            now)
        else:
            self.check.rule("GEN-NOTIF-I01", (now - place) % 65536 < 32768,
                            "kick says {:#x}, the ring is at {:#x}", place,
                            now)

    def run_all(self):
        """Run every queue without a kick."""
        for q in self.queues:
            self.run(q)

    def can_run(self, q):
        """Whether a queue may be worked on."""
        return q.enabled and self.status & DRIVER_OK and not \
            self.status & NEEDS_RESET and self.pci.master and \
            not self.suspended

    def run(self, q):
        """Take what is available and carry it out.

        A busy driver adds requests as fast as they complete. So this ends after
        RUN_SECONDS; register accesses are answered, then catch_up() continues.
        """
        if not self.can_run(q):
            return
        until = time.monotonic() + RUN_SECONDS
        try:
            while True:
                if time.monotonic() > until:
                    if q not in self.behind:
                        self.behind.append(q)
                    break
                chains = q.take()
                for c in chains:
                    self._start(q, c)
                q.flush()
                if not chains or self.status & NEEDS_RESET or \
                        self.script.park is not None:
                    break
        except BadAddress:
            self.needs_reset()

    def catch_up(self):
        """Continue with the queues that took too long."""
        behind, self.behind = self.behind, []
        for q in behind:
            self.run(q)

    def _start(self, q, chain):
        req = Request(self, q, chain)
        self.log.add("request", q.index, req.kind, req.sector, req.data_len)
        self.blk.check(req)
        answer = self.script.request(self, req)
        if answer is HOLD:
            self.held.append(req)
        else:
            self._complete(req, answer)

    def _complete(self, req, answer=None):
        if answer is SILENT:
            req.queue.finish(req.chain, 0)
            return
        status = self.blk.run(req) if answer is None else answer
        req.queue.finish(req.chain, req.finish(status))

    def release(self, *reqs, status=None):
        """Carry out held requests, all of them by default."""
        with self.lock:
            for req in reqs or list(self.held):
                if req in self.held:
                    self.held.remove(req)
                    self._complete(req, status)
            for q in self.queues:
                if q.enabled:
                    q.flush()

    # -- interrupts ---------------------------------------------------------

    def _send(self, vector):
        self.interrupts += 1
        if not self.msix_enabled:
            return
        self.check.saw("PCI-ISR-01")
        if vector != NO_VECTOR:
            self.server.irq(vector)

    def interrupt(self, q):
        """A used buffer notification."""
        self.log.add("interrupt", q.index)
        self.isr |= 1
        self._send(q.vector)
        self._line()

    def config_interrupt(self):
        """A configuration change notification."""
        with self.lock:
            self.log.add("config interrupt")
            self.isr |= 2
            self._send(self.config_vector)
            self._line()

    def _line(self):
        self.server.line(bool(self.isr) and not self.msix_enabled)

    def read_isr(self):
        """The ISR register is read, which clears it."""
        value, self.isr = self.isr, 0
        if self.msix_enabled:
            self.check.rule("PCI-ISR-01", not self.status & DRIVER_OK,
                            "ISR read with MSI-X")
        elif value:
            self.check.saw("PCI-ISR-I01")
        self._line()
        return value

    def change(self, **fields):
        """Change fields of device config, and send the config interrupt."""
        with self.lock:
            for name, value in fields.items():
                self.config[name] = value
            self.config.generation += 1
            if self.status & DRIVER_OK:
                self.config_interrupt()

    def resize(self, size):
        """Change the capacity; the data that still fits is kept."""
        with self.lock:
            self.blk.data.resize(max(size, 4096))
            self.change(capacity=size // 512)
