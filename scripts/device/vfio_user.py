# SPDX-License-Identifier: GPL-2.0
"""vfio-user: a complete PCI device behind a socket, for QEMU 10.1 or later.

The protocol is QEMU's docs/interop/vfio-user.rst. Everything goes by message:
no region can be mapped, so every access of the guest is seen, in order.
"""

import json
import os
import struct

from .listener import Listener, signal

HEADER = struct.Struct("<HHIII")
REPLY, ERROR, NO_REPLY = 1, 0x20, 0x10
(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS,
 GET_IRQ_INFO, SET_IRQS, REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE,
 RESET) = range(1, 14)
CONFIG_REGION, REGIONS = 7, 9
INTX, MSI, MSIX = 0, 1, 2
IRQS = 5
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
MASK, UNMASK, TRIGGER = 8, 16, 32


class Server(Listener):
    """A PCI device for one client."""

    header_size = HEADER.size

    def __init__(self, dev, path):
        super().__init__(dev, path)
        self.vectors = {}               # (index, vector) -> eventfd
        self.intx_masked = self.line_up = False
        self.handlers = {
            VERSION: self._version, DMA_MAP: self._dma_map,
            DMA_UNMAP: self._dma_unmap, GET_INFO: self._info,
            GET_REGION_INFO: self._region_info, GET_IRQ_INFO: self._irq_info,
            SET_IRQS: self._set_irqs, REGION_READ: self._region_read,
            REGION_WRITE: self._region_write, RESET: self._reset,
        }

    def drop(self):
        """The client is gone: so are its vectors."""
        for fd in self.vectors.values():
            os.close(fd)
        self.vectors.clear()

    # -- messages -----------------------------------------------------------

    def message(self, head, fds):
        ident, command, size, flags, _ = HEADER.unpack(head)
        body = self.more(size - HEADER.size)
        handler = self.handlers.get(command)
        answer, bad = self.handle(handler, body, fds) if handler \
            else (b"", True)
        if flags & NO_REPLY:
            return
        self.client.sendall(HEADER.pack(
            ident, command, HEADER.size + len(answer),
            REPLY | (ERROR if bad else 0), 22 if bad else 0) + answer)

    def _version(self, body, _fds):
        caps = {"capabilities": {"max_msg_fds": 8,
                                 "max_data_xfer_size": 1 << 20,
                                 "pgsizes": 4096}}
        return struct.pack("<HH", *struct.unpack_from("<HH", body)) + \
            json.dumps(caps).encode() + b"\0"

    def _dma_map(self, body, fds):
        _, _, offset, addr, size = struct.unpack("<IIQQQ", body[:32])
        if fds:
            self.dev.memory.map(addr, size, offset, fds.pop(0))
        return b""

    def _dma_unmap(self, body, _fds):
        _, flags, addr, size = struct.unpack("<IIQQ", body[:24])
        if flags & 2:
            self.dev.memory.clear()
        else:
            self.dev.memory.unmap(addr, size)
        return body[:24]

    def _info(self, _body, _fds):
        return struct.pack("<IIII", 16, 3, REGIONS, IRQS)

    def _region_info(self, body, _fds):
        index = struct.unpack_from("<III", body)[2]
        pci = self.dev.pci
        size = 256 if index == CONFIG_REGION else pci.bars.get(index, 0)
        return struct.pack("<IIIIQQ", 32, 3 if size else 0, index, 0, size, 0)

    def _irq_info(self, body, _fds):
        index = struct.unpack_from("<III", body)[2]
        if index == INTX:
            return struct.pack("<IIII", 16, 7, index,
                               self.dev.pci.config[0x3d])
        count = self.dev.vectors if index == MSIX else 0
        return struct.pack("<IIII", 16, 1 | 8, index, count)

    def _region_read(self, body, _fds):
        offset, region, count = struct.unpack_from("<QII", body)
        return body[:16] + self.dev.pci.read(region, offset, count)

    def _region_write(self, body, _fds):
        offset, region, count = struct.unpack_from("<QII", body)
        self.dev.pci.write(region, offset, body[16:16 + count])
        return body[:16]

    def _reset(self, _body, _fds):
        self.dev.log.add("function reset")
        self.dev.reset()
        self.dev.status_reg.value = 0
        self.dev.status_reg.pending = None
        return b""

    # -- interrupts ---------------------------------------------------------

    def _set_irqs(self, body, fds):
        _, flags, index, start, count = struct.unpack_from("<IIIII", body)
        if flags & DATA_EVENTFD or flags & TRIGGER and not count:
            for n in range(start, start + count) if count else \
                    [v for i, v in self.vectors if i == index]:
                old = self.vectors.pop((index, n), None)
                if old is not None:
                    os.close(old)
            if flags & TRIGGER:
                for n, fd in enumerate(fds[:count]):
                    self.vectors[index, start + n] = fd
                del fds[:count]
        if index == INTX:
            if flags & MASK:
                self.intx_masked = True
            if flags & UNMASK:
                self.intx_masked = False
            self._intx()
        return b""

    def irq(self, vector):
        """Send an MSI-X message."""
        signal(self.vectors.get((MSIX, vector)))

    def line(self, up):
        """Set the level of INTx; the client masks it with each signal."""
        self.line_up = up
        self._intx()

    def _intx(self):
        if self.line_up and not self.intx_masked and \
                signal(self.vectors.get((INTX, 0))):
            self.intx_masked = True
