# SPDX-License-Identifier: GPL-2.0
"""vhost-user-blk: the queues alone, for QEMU 7.2 or later.

The registers are QEMU's own: what is seen here is what goes through the
rings, and which features were taken. The protocol is QEMU's
docs/interop/vhost-user.rst.
"""

import os
import struct

from .device import USUAL, Device
from .listener import Listener, signal
from .memory import Memory
from .spec import DRIVER, DRIVER_OK, FEATURES_OK

HEADER = struct.Struct("<III")
VERSION, REPLY, NEED_REPLY = 1, 4, 8
(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE) = \
    range(1, 6)
(SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE,
 SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL_FEATURES,
 SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE) = range(8, 19)
GET_CONFIG, SET_CONFIG = 24, 25
PROTOCOL_FEATURES = 1 << 30
# MQ, REPLY_ACK, CONFIG
PROTOCOL = 1 << 0 | 1 << 3 | 1 << 9
NO_FD = 0x100
READY = DRIVER | FEATURES_OK | DRIVER_OK | 1


class BackEnd(Listener):
    """Serves the queues of a device."""

    header_size = HEADER.size

    def __init__(self, dev, path):
        super().__init__(dev, path)
        self.user = Memory()            # by QEMU's own addresses
        self.guest = []                 # (user address, size, guest address)
        self.kicks, self.calls = {}, {}
        self.handlers = {
            GET_FEATURES: self._get_features, SET_FEATURES: self._features,
            SET_MEM_TABLE: self._memory, SET_VRING_NUM: self._num,
            SET_VRING_ADDR: self._addr, SET_VRING_BASE: self._base,
            GET_VRING_BASE: self._stop_ring, SET_VRING_KICK: self._kick,
            SET_VRING_CALL: self._call, SET_VRING_ENABLE: self._enable,
            GET_CONFIG: self._get_config, SET_CONFIG: self._set_config,
            GET_PROTOCOL_FEATURES: lambda *_: struct.pack("<Q", PROTOCOL),
            GET_QUEUE_NUM: lambda *_: struct.pack("<Q", len(dev.queues)),
        }

    def message(self, head, fds):
        request, flags, size = HEADER.unpack(head)
        body = self.more(size)
        self.dev.log.add("vhost", request, len(body))
        handler = self.handlers.get(request, lambda *_: None)
        answer, bad = self.handle(handler, body, fds)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", int(bad))
        if answer:
            self.client.sendall(HEADER.pack(request, VERSION | REPLY,
                                            len(answer)) + answer)

    def drop(self):
        """The client is gone: so are its descriptors."""
        for fd in self.kicks.values():
            self.select.unregister(fd)
        for fd in [*self.kicks.values(), *self.calls.values()]:
            os.close(fd)
        self.kicks, self.calls = {}, {}
        self.user.clear()

    # -- messages -----------------------------------------------------------

    def _get_features(self, _body, _fds):
        return struct.pack("<Q", self.dev.offered | PROTOCOL_FEATURES)

    def _features(self, body, _fds):
        taken = struct.unpack("<Q", body)[0] & ~PROTOCOL_FEATURES
        if taken != self.dev.accepted:
            self.dev.log.add("features", taken)
        self.dev.accepted = taken

    def _memory(self, body, fds):
        count = struct.unpack_from("<I", body)[0]
        self.dev.memory.clear()
        self.user.clear()
        self.guest = []
        for n in range(count):
            guest, size, user, offset = struct.unpack_from("<4Q", body,
                                                           8 + 32 * n)
            self.dev.memory.map(guest, size, offset, os.dup(fds[n]))
            self.guest.append((user, size, guest))

    def _queue(self, body):
        index, value = struct.unpack_from("<II", body)
        return self.dev.queues[index], value

    def _num(self, body, _fds):
        q, q.size = self._queue(body)

    def _base(self, body, _fds):
        self._queue(body)

    def _addr(self, body, _fds):
        q, _ = self._queue(body)
        desc, used, avail = struct.unpack_from("<3Q", body, 8)
        q.desc, q.driver, q.device = map(self._physical, (desc, avail, used))

    def _physical(self, user):
        for start, size, guest in self.guest:
            if start <= user < start + size:
                return user - start + guest
        return user

    def _stop_ring(self, body, _fds):
        q, _ = self._queue(body)
        last = getattr(q.ring, "last", 0) if q.ring else 0
        self._forget(self.kicks, q.index)
        self.dev.stop_queue(q)
        return struct.pack("<II", q.index, last)

    def _forget(self, where, index):
        old = where.pop(index, None)
        if old is not None:
            if where is self.kicks:
                self.select.unregister(old)
            os.close(old)

    def _take_fd(self, where, body, fds):
        value = struct.unpack("<Q", body)[0]
        index = value & 0xff
        self._forget(where, index)
        if not value & NO_FD and fds:
            where[index] = fds.pop(0)
        return index

    def _kick(self, body, fds):
        index = self._take_fd(self.kicks, body, fds)
        q = self.dev.queues[index]
        if index in self.kicks:
            fd = self.kicks[index]
            self.watch(fd, lambda: self._kicked(q, fd))
        if not q.enabled:
            self.dev.status_reg.value = READY
            self.dev.enable_queue(q)

    def _kicked(self, q, fd):
        os.read(fd, 8)
        self.handle(self.dev.kicked, q)

    def _call(self, body, fds):
        self._take_fd(self.calls, body, fds)

    def _enable(self, body, _fds):
        q, on = self._queue(body)
        if on and q.enabled:
            self.dev.run(q)

    def _get_config(self, body, _fds):
        offset, size, flags = struct.unpack_from("<III", body)
        data = bytes(self.dev.config.raw[offset:offset + size])
        return struct.pack("<III", offset, size, flags) + \
            data.ljust(size, b"\0")

    def _set_config(self, body, _fds):
        offset, size, _ = struct.unpack_from("<III", body)
        self.dev.log.add("config write", offset, body[12:12 + size].hex())
        self.dev.config.raw[offset:offset + size] = body[12:12 + size]


class VhostDevice(Device):
    """The same device as Device, but only its queues.

        with VhostDevice(queues=2) as dev, \\
                Guest(devices=dev.qemu, share_mem=True) as g: ...

    props       more properties of QEMU's vhost-user-blk-pci
    """

    listener = BackEnd

    def __init__(self, features=USUAL, *, props="", **more):
        super().__init__(features, **more)
        self.props = props

    @property
    def qemu(self):
        """Arguments for Guest(devices=...); goes with share_mem=True."""
        name = f"vhost{self.slot}"
        return [["-chardev", f"socket,id={name},path={self.server.path}"],
                ["-device", f"vhost-user-blk-pci,chardev={name},"
                 f"num-queues={len(self.queues)},"
                 f"queue-size={self.queues[0].max_size},"
                 f"addr={self.slot:#x},bus={self.bus}{self.props}"]]

    def kicked(self, q):
        """A notification came."""
        self.log.add("kick", q.index)
        q.kicks += 1
        self.run(q)

    def stop_queue(self, q):
        """QEMU takes a queue back: after this nothing of it is touched."""
        self.log.add("stop", q.index)
        if q.out:
            self._check_exposed(q)
        self.held = [r for r in self.held if r.queue is not q]
        q.enabled, q.done, q.out, q.ring = False, [], {}, None

    def can_run(self, q):
        """Whether a queue may be worked on."""
        return q.enabled

    def interrupt(self, q):
        """A used buffer notification."""
        self.log.add("interrupt", q.index)
        self.interrupts += 1
        signal(self.server.calls.get(q.index))

    def needs_reset(self):
        """There is no way to say so: the queues stop."""
        self.log.add("needs_reset")
        for q in self.queues:
            q.enabled = False

    def config_interrupt(self):
        """QEMU would have to be asked, on a channel of its own."""
        raise NotImplementedError("use Device for config changes")
