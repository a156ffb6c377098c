# SPDX-License-Identifier: GPL-2.0
"""A device that lies: QEMU's qtest socket, next to a running guest.

It reads and writes guest memory and registers from outside. So a ring can be
made to say what no honest device would write.

    line = Line(); boot(disks=[...], devices=line.devices)
    ring = Ring(guest, line.connect(), 0)
    ring.give(7); ring.interrupt()
"""

import shutil
import socket
import struct
import tempfile
from pathlib import Path


class Line:
    """The socket."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="vbl-qtest-"))
        self.path = self.folder / "s"
        self.devices = [f"-qtest unix:{self.path},server=on,wait=off",
                        "-qtest-log none"]
        self.sock = None

    def connect(self):
        """Connect: QEMU has listened since before the guest booted."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))
        return self

    def close(self):
        if self.sock:
            self.sock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, line):
        self.sock.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            got = self.sock.recv(65536)
            assert got, f"qtest: {line}: QEMU is gone"
            answer += got
        words = answer.split()
        assert words[0] == b"OK", f"qtest: {line}: {answer}"
        return words[1:]

    def read(self, where, size):
        """Bytes of guest memory."""
        return bytes.fromhex(self._ask(f"read {where:#x} {size}")[0]
                             .decode()[2:])

    def get(self, where, size=2):
        """A little-endian number in guest memory."""
        return int.from_bytes(self.read(where, size), "little")

    def put(self, where, value, size=2):
        """One access of 2 or 4 bytes, to memory or to a register."""
        self._ask(f"write{'w' if size == 2 else 'l'} {where:#x} {value:#x}")


class Ring:
    """A queue of a modern device with MSI-X, as the device sees it: of a disk,
    or of @other, the id that QEMU has for it and its PCI address."""

    def __init__(self, g, line, disk=0, queue=0, packed=False, other=None):
        self.g, self.line, self.queue = g, line, queue
        ident, bdf = other or (g.disks[disk].id, g.bdf(disk))
        self.path = f"/machine/peripheral/{ident}/virtio-backend"
        bars = [int(row.split()[0], 16) for row in g.sh(
            f"cat /sys/bus/pci/devices/{bdf}/resource").splitlines()]
        # Where QEMU has the table of vectors and the kicks.
        self.vector = bars[1] + 16 * (1 + queue)
        self.kick = bars[4] + 0x3000 + 4 * queue
        self.status = bars[4] + 0x14
        self.packed = packed
        self.find()

    def find(self):
        """Where the ring is now; returns False while the queue has none."""
        now = self.state()
        self.num = now["vring-num"]
        self.desc, self.avail = now["vring-desc"], now["vring-avail"]
        self.used = now["vring-used"]
        return bool(self.desc)

    def state(self):
        return self.g.qmp("x-query-virtio-queue-status", path=self.path,
                          queue=self.queue)

    @property
    def broken(self):
        """Whether the device has set DEVICE_NEEDS_RESET."""
        # The QMP query of the status crashes QEMU 11 when the bit is set.
        return bool(self.line.read(self.status, 1)[0] & 0x40)

    # Split.

    @property
    def used_idx(self):
        return self.line.get(self.used + 2)

    @used_idx.setter
    def used_idx(self, value):
        self.line.put(self.used + 2, value & 0xffff)

    @property
    def avail_idx(self):
        return self.line.get(self.avail + 2)

    def newest(self):
        """The head made available last, when nothing else is in flight."""
        if self.packed:
            return self.line.get(self.desc + 12
                                 + 16 * self.state()["used-idx"])
        return self.line.get(self.avail + 4
                             + 2 * ((self.avail_idx - 1) % self.num))

    def used_id(self, at, value=None):
        """Read or write the id in a used element."""
        where = self.used + 4 + 8 * (at % self.num)
        if value is None:
            return self.line.get(where, 4)
        return self.line.put(where, value, 4)

    def give(self, ident):
        """Put a head into the used ring, as if its request were complete."""
        if self.packed:
            return self.give_packed(ident)
        at = self.used_idx
        self.used_id(at, ident)
        self.used_idx = at + 1
        return None

    # Packed.

    def give_packed(self, ident):
        """Mark the descriptor that the driver reads next as used."""
        slot = self.state()["used-idx"]
        # QEMU does not show its wrap counter; the descriptor before has it.
        before = self.line.get(self.desc + 16 * ((slot - 1) % self.num) + 14)
        lap = bool(before & 0x80) != (slot == 0)
        flags = 0x8080 if lap else 0
        self.line.put(self.desc + 16 * slot + 12, ident | flags << 16, 4)

    def offend(self):
        """Make a head available that does not exist: QEMU asks for a reset.

        The guest must be idle. A wrong index alone would do too, but QEMU then
        repeats old requests of the ring before it complains, and writes to
        memory that the guest has reused.
        """
        now = self.avail_idx
        self.line.put(self.avail + 4 + 2 * (now % self.num), 0xffff)
        self.line.put(self.avail + 2, (now + 1) & 0xffff)
        self.line.put(self.kick, self.queue)
        assert self.broken, "the device did not ask for a reset"

    def interrupt(self):
        """Send the message that the queue's vector stands for."""
        low, high, data, _ = struct.unpack("<4I",
                                           self.line.read(self.vector, 16))
        self.line.put(high << 32 | low, data, 4)

    def mask(self, yes):
        """Mask the queue's vector behind the driver's back."""
        self.line.put(self.vector + 12, int(yes), 4)
