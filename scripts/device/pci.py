# SPDX-License-Identifier: GPL-2.0
"""The PCI function: config space, capabilities, BARs, interrupts."""

import struct

from . import spec
from .registers import Legacy, Modern

VENDOR = 0x1af4
IO_BAR, MSIX_BAR, MEM_BAR = 0, 1, 4
# Offset and size of the structures in the memory BAR.
PLACES = {spec.CAP_COMMON: (0x0000, 0x1000), spec.CAP_ISR: (0x1000, 0x1000),
          spec.CAP_DEVICE: (0x2000, 0x1000), spec.CAP_NOTIFY: (0x3000, 0x1000)}
COMMAND_MASTER = 4


def virtio_cap(kind, bar=MEM_BAR, offset=0, length=0, cap_len=16, more=b""):
    """A vendor capability, section 4.1.4, without its link."""
    return bytes([9, 0, cap_len, kind, bar, 0, 0, 0]) + \
        struct.pack("<II", offset, length) + more


def usual_caps(multiplier=4, common=64, config=spec.CONFIG_SIZE,
               notify=0x1000, huge=False):
    """The capabilities that a device needs, then the PCI_CFG window."""
    lengths = {spec.CAP_COMMON: common, spec.CAP_ISR: 1,
               spec.CAP_DEVICE: config, spec.CAP_NOTIFY: notify}
    caps = []
    for kind, (offset, _) in PLACES.items():
        more = struct.pack("<I", 0 if huge else multiplier) \
            if kind == spec.CAP_NOTIFY else b""
        length = 1 << 30 if huge else lengths[kind]
        if huge:
            more = more.ljust(8, b"\0")
        caps.append(virtio_cap(kind, MEM_BAR, offset, length, 16 + len(more),
                               more))
    caps.append(virtio_cap(spec.CAP_PCI, 0, 0, 0, 20, bytes(4)))
    return caps


class Pci:
    """What QEMU's vfio-user-pci shows to the guest.

    transport   "modern", "transitional" or "legacy"
    caps        virtio capabilities instead of the usual ones, as bytes
    """

    def __init__(self, dev, transport="modern", caps=None, revision=None,
                 multiplier=4, intx=True, pm=False, subsystem=None):
        self.dev, self.transport = dev, transport
        self.multiplier = multiplier
        self.modern, self.legacy = Modern(dev), Legacy(dev)
        self.config = bytearray(256)
        self.writable = bytearray(256)
        self.virtio_caps = []       # (offset, length, type)
        self.bars = {}
        self.gone = False
        self._header(revision, intx, subsystem)
        self._capabilities(caps, pm)

    # -- config space -------------------------------------------------------

    def _header(self, revision, intx, subsystem):
        modern = self.transport == "modern"
        device = 0x1042 if modern else 0x1001
        if revision is None:
            revision = 1 if modern else 0
        struct.pack_into("<HHHHBBBB", self.config, 0, VENDOR, device, 0, 0x10,
                         revision, 0, 0x80, 1)
        struct.pack_into("<HH", self.config, 0x2c, *(
            subsystem or (VENDOR, 0x1100 if modern else 2)))
        self.config[0x3d] = int(intx)
        self._allow(4, b"\xff\x07")         # command
        self._allow(0x3c, b"\xff")
        if not modern:
            self._bar(IO_BAR, 128, 1)
        if self.dev.vectors:
            self._bar(MSIX_BAR, 0x10000, 0)
        if self.transport != "legacy":
            self._bar(MEM_BAR, self.dev.bar_size, 4)

    def _bar(self, n, size, low):
        self.bars[n] = size
        struct.pack_into("<I", self.config, 0x10 + 4 * n, low)
        mask = ~(size - 1) & 0xffffffffffffffff
        self._allow(0x10 + 4 * n, struct.pack("<I", mask & 0xffffffff))
        if low & 4:
            self._allow(0x14 + 4 * n, b"\xff" * 4)

    def _allow(self, off, mask):
        self.writable[off:off + len(mask)] = mask

    def _capabilities(self, caps, pm):
        blobs = []
        if self.transport != "legacy":
            blobs += usual_caps(self.multiplier) if caps is None else caps
        at, link = 0x40, 0x34
        self.config[6] |= 0x10
        if self.dev.vectors:
            n = self.dev.vectors - 1
            blobs.append(struct.pack("<BBHII", 0x11, 0, n, MSIX_BAR,
                                     0x8000 | MSIX_BAR))
        if pm:
            blobs.append(struct.pack("<BBHHBB", 1, 0, 0x0003, 0, 0, 0))
        for blob in blobs:
            at = at + 3 & ~3
            if at + len(blob) > 256:
                raise ValueError("too many capabilities")
            self.config[link] = at
            self.config[at:at + len(blob)] = blob
            if blob[0] == 9:
                self.virtio_caps.append((at, blob[2], blob[3]))
                if blob[3] == spec.CAP_PCI:
                    self._allow(at + 4, b"\xff")
                    self._allow(at + 8, b"\xff" * 12)
            elif blob[0] == 0x11:
                self.msix = at
                self._allow(at + 2, b"\x00\xc0")
            elif blob[0] == 1:
                self._allow(at + 4, b"\x03\x00")
            link, at = at + 1, at + len(blob)
        if not blobs:
            self.config[6] &= ~0x10

    msix = None

    @property
    def msix_enabled(self):
        """Whether the driver has switched MSI-X on."""
        return self.msix is not None and self.config[self.msix + 3] & 0x80 > 0

    @property
    def master(self):
        """Whether the device may touch memory."""
        return bool(self.config[4] & COMMAND_MASTER)

    @property
    def intx_off(self):
        """Whether the command register disables INTx."""
        return bool(self.config[5] & 4)

    def _config_write(self, off, data):
        self.dev.log.add("pci write", off, int.from_bytes(data, "little"))
        for at, length, kind in self.virtio_caps:
            hit = off < at + length and at < off + len(data)
            if kind == spec.CAP_PCI:
                continue
            self.dev.check.rule("PCI-CAP-08", not hit,
                                "write into the capability at {:#x}", at)
        master = self.master
        for n, byte in enumerate(data):
            m = self.writable[off + n]
            self.config[off + n] = self.config[off + n] & ~m | byte & m
        if self.master and not master:
            self.dev.run_all()

    # -- regions ------------------------------------------------------------

    def read(self, region, off, size):
        """The client reads a region; bytes."""
        if self.gone:
            return b"\xff" * size
        if region == 7:
            return self.dev.script.config_space(
                self.dev, off, bytes(self.config[off:off + size]))
        value = 0
        if region == MEM_BAR and self.transport != "legacy":
            value = self._mem_read(off, size)
        elif region == IO_BAR and self.transport != "modern":
            value = self.legacy.read(off, size)
        mask = (1 << 8 * size) - 1
        return (value & mask).to_bytes(size, "little")

    def write(self, region, off, data):
        """The client writes a region."""
        value = int.from_bytes(data, "little")
        if self.gone:
            return
        if region == 7:
            self._config_write(off, data)
        elif region == MEM_BAR and self.transport != "legacy":
            self._mem_write(off, len(data), value)
        elif region == IO_BAR and self.transport != "modern":
            self.legacy.write(off, len(data), value)

    def _mem_read(self, off, size):
        dev, page = self.dev, off >> 12
        if page == 0:
            return self.modern.read(off, size)
        if page == 1:
            dev.check.rule("PCI-ACC-01", size == 1, "ISR of {} bytes", size)
            value = dev.read_isr()
            dev.log.add("read", "isr", value)
            return value
        if dev.config_at <= off < dev.config_at + dev.config.length:
            at = off - dev.config_at
            name = f"config+{at:#x}"
            self.modern.note(name, False)
            value = dev.config.read(at, size)
            value = dev.script.read(dev, name, value)
            dev.log.add("read", name, value)
            return value
        dev.log.add("read", f"bar+{off:#x}", 0)
        return 0

    def _mem_write(self, off, size, value):
        dev, page = self.dev, off >> 12
        if page == 0:
            self.modern.write(off, size, value)
        elif dev.config_at <= off < dev.config_at + dev.config.length:
            at = off - dev.config_at
            name = f"config+{at:#x}"
            dev.log.add("write", name, value)
            self.modern.note(name, True)
            value = dev.script.write(dev, name, value)
            if value is not None:
                dev.config.write(at, size, value)
        elif page >= 3:
            dev.log.add("kick", off - 0x3000, size, value)
            self.modern.note("notify", True)
            dev.kick(value, size, off - 0x3000)
        else:
            dev.log.add("write", f"bar+{off:#x}", value)
