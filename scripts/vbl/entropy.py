# SPDX-License-Identifier: GPL-2.0
"""An entropy device whose bytes are known, for the sample driver."""

import hashlib

from .errors import VblError

BDF = "0000:00:09.0"
BLOCK = 64          # bytes that the driver asks for at a time
# Some kernels have a driver for it from boot.
FREE = (f"modprobe rng_core; d=/sys/bus/pci/devices/{BDF}/driver; "
        f"[ ! -e $d ] || echo {BDF} >$d/unbind")


def write_source(path):
    """What the device gives out: a file without two equal blocks."""
    path.write_bytes(b"".join(hashlib.sha512(b"%d" % n).digest()
                              for n in range(1 << 15)))
    return path


def read(blocks=16):
    """A command for the guest that reads so many blocks."""
    return (f"dd if=/dev/hwrng of=/tmp/rng bs={BLOCK} count={blocks} "
            "iflag=fullblock 2>&1")


def check(g, source, blocks=16):
    """What was read: bytes of the source, no block twice; the set of blocks."""
    got, given = g.get("/tmp/rng"), source.read_bytes()
    mine = {got[i:i + BLOCK] for i in range(0, len(got), BLOCK)}
    if len(got) != blocks * BLOCK or len(mine) != blocks:
        raise VblError(f"{len(got)} bytes, {len(mine)} different blocks of "
                       f"{BLOCK} bytes, not {blocks}")
    if not mine <= {given[i:i + BLOCK] for i in range(0, len(given), BLOCK)}:
        raise VblError("some of the bytes did not come from the device")
    return mine
