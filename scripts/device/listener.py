# SPDX-License-Identifier: GPL-2.0
"""A thread that serves a device to one client on a socket."""

import os
import selectors
import socket
import threading


class Listener(threading.Thread):
    """What vfio_user and vhost_user share: a socket, a client, events.

    header_size     bytes that each message begins with
    message()       handles one message: its header and its descriptors, of
                    which it takes those that it keeps from the list
    drop()          forgets all that came from the client
    """

    def __init__(self, dev, path):
        super().__init__(name=type(self).__name__, daemon=True)
        self.dev, self.path = dev, path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.wake, self._woken = socket.socketpair()
        self.client = None
        self.select = selectors.DefaultSelector()

    def run(self):
        self.select.register(self._woken, selectors.EVENT_READ, None)
        self.select.register(self.listener, selectors.EVENT_READ,
                             self._accept)
        while True:
            for key, _ in self.select.select(0 if self.dev.behind else None):
                if key.data is None:
                    self._leave()
                    self.select.close()
                    return
                key.data()
            if self.dev.behind:
                self.handle(self.dev.catch_up)

    def stop(self):
        """End the thread."""
        if self.is_alive():
            self.wake.send(b"x")
            self.join(10)
        for s in (self.listener, self.wake, self._woken):
            s.close()

    def watch(self, fd, call):
        """Call a function whenever a descriptor can be read."""
        self.select.register(fd, selectors.EVENT_READ, call)

    def _accept(self):
        sock, _ = self.listener.accept()
        if self.client:
            sock.close()
            return
        self.client = sock
        self.watch(sock, self._client)

    def _client(self):
        if not self.serve():
            self._leave()

    def _leave(self):
        if self.client:
            self.select.unregister(self.client)
            self.client.close()
        self.client = None
        with self.dev.changed:
            self.drop()
            self.dev.memory.clear()
            self.dev.changed.notify_all()

    def serve(self):
        """One message; False when the client is gone."""
        fds = []
        try:
            head, fds, _, _ = socket.recv_fds(self.client, self.header_size,
                                              64)
            if head:
                head += self.more(self.header_size - len(head))
            if len(head) < self.header_size:
                return False
            self.message(head, fds)
        except OSError:
            return False
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def more(self, size):
        """The next bytes of the client; fewer when it is gone."""
        data = b""
        while len(data) < size:
            part = self.client.recv(size - len(data))
            if not part:
                break
            data += part
        return data

    def handle(self, handler, *args):
        """Run a handler under the device's lock; (answer, whether it failed).

        An exception in it is kept in dev.errors, which the test sees.
        """
        with self.dev.changed:
            try:
                return handler(*args), False
            except Exception as e:      # the test must see it
                self.dev.errors.append(e)
                self.dev.log.add("error", repr(e))
                return b"", True
            finally:
                self.dev.changed.notify_all()


def signal(fd):
    """Raise an event descriptor, if there is one."""
    if fd is not None:
        os.write(fd, (1).to_bytes(8, "little"))
    return fd is not None
