# SPDX-License-Identifier: GPL-2.0
"""Storage of the host that stalls: an NBD server beside QEMU.

It holds one request and answers all others, which QEMU's own throttling cannot
do for flushes and discards.

    with Storage(folder) as storage:
        g = boot(disks=[Disk(backend=storage.backend)])
        stall = storage.stall("flush", seconds=9)
        ...
        stall.ended.wait(30)
"""

import mmap
import socket
import struct
import threading
from pathlib import Path

MAGIC, OPTION = b"NBDMAGIC", b"IHAVEOPT"
REPLY, REQUEST, ANSWER = 0x3e889045565a9, 0x25609513, 0x67446698
OPT_ABORT, OPT_INFO, OPT_GO = 2, 6, 7
REP_ACK, REP_INFO, ERR_UNSUP = 1, 3, 1 << 31 | 1
# There are flags; flush, FUA, trim and write zeroes are understood.
FLAGS = 1 | 4 | 8 | 32 | 64
KINDS = {"read": 0, "write": 1, "close": 2, "flush": 3, "discard": 4,
         "zeroes": 6}
NAMES = {number: name for name, number in KINDS.items()}


class Stall:
    """One request that is held.

    seconds     for how long; None: until release()
    at          only a request at this place, in bytes; None: any
    started     set when the request has come
    ended       set when it was answered
    """

    def __init__(self, storage, kind, seconds=None, at=None):
        self.storage, self.kind = storage, kind
        self.seconds, self.at = seconds, at
        self.started, self.ended = threading.Event(), threading.Event()
        self._go = threading.Event()

    def takes(self, kind, at):
        """Whether this request is to be held."""
        return not self.started.is_set() and kind == self.kind and \
            self.at in (None, at)

    def hold(self, answer):
        """Answer the request later."""
        self.started.set()

        def later():
            self._go.wait(self.seconds)
            answer()
            self.ended.set()

        threading.Thread(target=later, daemon=True).start()

    def release(self):
        """Answer it now."""
        self._go.set()


class Storage:
    """A disk of zeroes, served at a socket to one QEMU after another."""

    def __init__(self, folder, size=64 << 20, name="storage"):
        self.size, self.data = size, mmap.mmap(-1, size)
        self.path = Path(folder) / name
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.stalls, self.counts = [], dict.fromkeys(KINDS, 0)
        self._sending, self._client = threading.Lock(), None

    @property
    def backend(self):
        """For Disk(backend=...)."""
        return {"driver": "nbd", "discard": "unmap", "server": {
            "type": "unix", "path": str(self.path)}}

    def stall(self, kind, seconds=None, at=None):
        """Hold the next request of a kind; a Stall."""
        one = Stall(self, kind, seconds, at)
        self.stalls.append(one)
        return one

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        for one in self.stalls:
            one.release()
        # Ends the thread, which waits in accept() or recv().
        for sock in (self.listener, self._client):
            try:
                sock and sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    # -- a connection --------------------------------------------------------

    def _serve(self):
        while True:
            try:
                self._client, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self._negotiate():
                    while self._request():
                        pass
            except (ConnectionError, EOFError):
                pass
            self._client.close()

    def _get(self, size):
        data = b""
        while len(data) < size:
            more = self._client.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _unpack(self, form):
        return struct.unpack(form, self._get(struct.calcsize(form)))

    def _negotiate(self):
        """Until the client has chosen the export; False if it leaves."""
        send = self._client.sendall
        # Fixed newstyle, and no zeroes behind the export.
        send(MAGIC + OPTION + struct.pack(">H", 3))
        self._get(4)
        while True:
            _, option, length = self._unpack(">8sII")
            self._get(length)

            def reply(kind, data=b"", option=option):
                send(struct.pack(">QIII", REPLY, option, kind, len(data))
                     + data)

            if option in (OPT_GO, OPT_INFO):
                reply(REP_INFO, struct.pack(">HQH", 0, self.size, FLAGS))
                reply(REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                reply(REP_ACK)
                return False
            else:
                reply(ERR_UNSUP)

    def _request(self):
        magic, _, number, cookie, at, length = self._unpack(">IHHQQI")
        kind = NAMES.get(number)
        if magic != REQUEST or kind == "close":
            return False
        data = self._get(length) if kind == "write" else None

        def answer():
            back = self._do(kind, at, length, data)
            error = 22 if back is None else 0
            with self._sending:
                try:
                    self._client.sendall(struct.pack(
                        ">IIQ", ANSWER, error, cookie) + (back or b""))
                except OSError:
                    pass        # QEMU is gone

        one = next((s for s in self.stalls if s.takes(kind, at)), None)
        if one:
            one.hold(answer)
        else:
            answer()
        return True

    def _do(self, kind, at, length, data):
        """Carry it out; what is read, or None if it makes no sense."""
        if kind is None or at + length > self.size:
            return None
        self.counts[kind] += 1
        if kind == "read":
            return self.data[at:at + length]
        if kind in ("write", "zeroes", "discard"):
            self.data[at:at + length] = data or bytes(length)
        return b""
