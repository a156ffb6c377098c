# SPDX-License-Identifier: GPL-2.0
"""vfio-user: a whole PCI device behind a socket, for QEMU from 10.1 on.

The protocol is QEMU's docs/interop/vfio-user.rst. Everything goes by message:
no region can be mapped, so every access of the guest is seen, in order.
"""

import json
import os
import selectors
import socket
import struct
import threading

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


class Server(threading.Thread):
    """Serves one device on a socket; one client at a time."""

    def __init__(self, dev, path):
        super().__init__(name="vfio-user", daemon=True)
        self.dev, self.path = dev, path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.wake, self._woken = socket.socketpair()
        self.client = None
        self.vectors = {}               # (index, vector) -> eventfd
        self.intx_masked = self.line_up = False
        self.handlers = {
            VERSION: self._version, DMA_MAP: self._dma_map,
            DMA_UNMAP: self._dma_unmap, GET_INFO: self._info,
            GET_REGION_INFO: self._region_info, GET_IRQ_INFO: self._irq_info,
            SET_IRQS: self._set_irqs, REGION_READ: self._region_read,
            REGION_WRITE: self._region_write, RESET: self._reset,
        }

    # -- life ---------------------------------------------------------------

    def run(self):
        select = selectors.DefaultSelector()
        select.register(self._woken, selectors.EVENT_READ, None)
        select.register(self.listener, selectors.EVENT_READ, self._accept)
        while True:
            for key, _ in select.select():
                if key.data is None:
                    select.close()
                    self._drop()
                    return
                if key.fileobj is self.listener:
                    self._accept(select)
                elif not self._serve():
                    select.unregister(self.client)
                    self._drop()

    def stop(self):
        """End the thread."""
        if self.is_alive():
            self.wake.send(b"x")
            self.join(10)
        for s in (self.listener, self.wake, self._woken):
            s.close()

    def _accept(self, select):
        sock, _ = self.listener.accept()
        if self.client:
            sock.close()
            return
        self.client = sock
        select.register(sock, selectors.EVENT_READ, "client")

    def _drop(self):
        if self.client:
            self.client.close()
        self.client = None
        with self.dev.changed:
            for fd in self.vectors.values():
                os.close(fd)
            self.vectors.clear()
            self.dev.memory.clear()
            self.dev.changed.notify_all()

    # -- messages -----------------------------------------------------------

    def _receive(self, size):
        data = b""
        while len(data) < size:
            more = self.client.recv(size - len(data))
            if not more:
                return None
            data += more
        return data

    def _serve(self):
        """One message; False when the client is gone."""
        fds = []
        try:
            head, fds, _, _ = socket.recv_fds(self.client, HEADER.size, 64)
            if not head:
                return False
            head += self._receive(HEADER.size - len(head)) or b""
            ident, command, size, flags, _ = HEADER.unpack(head)
            body = self._receive(size - HEADER.size) if size > HEADER.size \
                else b""
            if body is None:
                return False
        except OSError:
            return False
        answer, error = b"", 0
        with self.dev.changed:
            try:
                handler = self.handlers.get(command)
                if handler is None:
                    error = 95              # EOPNOTSUPP
                else:
                    answer = handler(body, fds)
            except Exception as e:          # told to the test by the device
                self.dev.trouble.append(e)
                self.dev.log.add("trouble", repr(e))
                error = 22
            finally:
                for fd in fds:
                    os.close(fd)
            self.dev.changed.notify_all()
        if flags & NO_REPLY:
            return True
        out = HEADER.pack(ident, command, HEADER.size + len(answer),
                          REPLY | (ERROR if error else 0), error) + answer
        try:
            self.client.sendall(out)
        except OSError:
            return False
        return True

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

    def _signal(self, index, vector):
        fd = self.vectors.get((index, vector))
        if fd is not None:
            os.write(fd, (1).to_bytes(8, "little"))
        return fd is not None

    def irq(self, vector):
        """Send an MSI-X message."""
        self._signal(MSIX, vector)

    def line(self, up):
        """Set the level of INTx; the client masks it with each signal."""
        self.line_up = up
        self._intx()

    def _intx(self):
        if self.line_up and not self.intx_masked and \
                self._signal(INTX, 0):
            self.intx_masked = True
