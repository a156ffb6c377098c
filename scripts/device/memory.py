# SPDX-License-Identifier: GPL-2.0
"""Guest memory as a device sees it: ranges of addresses, each in a file."""

import mmap
import os


class BadAddress(Exception):
    """The driver gave an address that leads nowhere."""

    def __init__(self, addr, size):
        super().__init__(f"{addr:#x}+{size:#x} is no memory of the guest")
        self.addr, self.size = addr, size


class Memory:
    """What was mapped for the device, by guest physical or bus address."""

    def __init__(self):
        self.ranges, self.files = [], {}

    def map(self, addr, size, offset, fd):
        """Map @size bytes of a file at @addr; @fd is ours to close."""
        try:
            stat = os.fstat(fd)
            key = (stat.st_dev, stat.st_ino)
            if key not in self.files:
                self.files[key] = mmap.mmap(fd, stat.st_size)
        finally:
            os.close(fd)
        self.ranges.insert(0, (addr, addr + size, offset - addr,
                               self.files[key]))

    def unmap(self, addr, size):
        """Forget what lies entirely in a range."""
        self.ranges = [r for r in self.ranges
                       if r[0] < addr or r[1] > addr + size]

    def clear(self):
        """Forget everything."""
        self.ranges, self.files = [], {}

    def _find(self, addr, size):
        for start, end, delta, memory in self.ranges:
            if start <= addr and addr + size <= end:
                return memory, addr + delta
        raise BadAddress(addr, size)

    def _parts(self, addr, size):
        """Pieces of a range that may cross from one mapping into the next."""
        while size:
            end = max((e for s, e, *_ in self.ranges if s <= addr < e),
                      default=None)
            if end is None:
                raise BadAddress(addr, size)
            n = min(size, end - addr)
            yield addr, n
            addr, size = addr + n, size - n

    def read(self, addr, size):
        """Bytes at an address."""
        try:
            memory, at = self._find(addr, size)
        except BadAddress:
            return b"".join(self.read(a, n) for a, n in
                            self._parts(addr, size))
        return memory[at:at + size]

    def write(self, addr, data):
        """Store bytes."""
        try:
            memory, at = self._find(addr, len(data))
        except BadAddress:
            done = 0
            for a, n in self._parts(addr, len(data)):
                self.write(a, data[done:done + n])
                done += n
            return
        memory[at:at + len(data)] = data

    def get(self, addr, size=2):
        """A little-endian number."""
        memory, at = self._find(addr, size)
        return int.from_bytes(memory[at:at + size], "little")

    def put(self, addr, value, size=2):
        """Store a little-endian number."""
        memory, at = self._find(addr, size)
        memory[at:at + size] = value.to_bytes(size, "little")
