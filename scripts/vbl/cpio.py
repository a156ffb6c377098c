# SPDX-License-Identifier: GPL-2.0
"""A newc cpio archive, written without root and always the same."""

import os
import stat


class Cpio:
    """Collects entries and writes them in the format the kernel unpacks."""

    def __init__(self, out):
        self.out, self.ino, self.dirs = out, 0, {""}

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0,
                  len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self.out.write(head + b"\0" * (-len(head) % 4))
        self.out.write(data + b"\0" * (-len(data) % 4))

    def folder(self, name, mode=0o755):
        """A folder and those above it, once."""
        name = name.strip("/")
        if name in self.dirs:
            return
        self.folder(os.path.dirname(name))
        self.dirs.add(name)
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        """A regular file with @data (bytes or text)."""
        name = name.strip("/")
        self.folder(os.path.dirname(name))
        if isinstance(data, str):
            data = data.encode()
        self._entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path, mode=None):
        """A regular file with the content of a host file."""
        with open(path, "rb") as f:
            data = f.read()
        if mode is None:
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
        self.file(name, data, mode)

    def symlink(self, name, target):
        """A symbolic link."""
        name = name.strip("/")
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def chardev(self, name, major, minor):
        """A character device node."""
        name = name.strip("/")
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def close(self):
        """End the archive, padded so that another can follow."""
        self.ino = -1
        self._entry("TRAILER!!!", 0)
        self.out.write(b"\0" * (-self.out.tell() % 512))
