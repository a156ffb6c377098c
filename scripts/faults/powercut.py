# SPDX-License-Identifier: GPL-2.0
"""Power cuts: QEMU is killed while a guest writes; acknowledged data must stay.

A program in the guest (ack.c) writes blocks, flushes, and says on a serial port
of its own which blocks are safe. At a random moment QEMU is killed. What a
cache may forget is forgotten too: the disk logs every write and flush, and of
the log only what was flushed (or written through) counts, and of the rest
nothing or a random half. Every block that was said to be safe must be there.

The same with PostgreSQL (vbl/postgres.py), whose clients say which rows are
committed: what is left of its database must recover, with all of these rows.
"""

import itertools
import random
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from vbl import Disk, Guest, VblError, ktap, postgres

BLOCK, BLOCKS, SECTOR = 4096, 1024, 512
MASK = (1 << 64) - 1
LOG_MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
PORT = "/dev/ttyS2"

MODES = {
    "write back": {"transport": "modern"},
    "write through": {"transport": "modern", "write_cache": "off",
                      "config_wce": False},
    "switched": {"transport": "modern", "config_wce": True},
    "packed": {"transport": "modern", "packed": True},
    "legacy": {"transport": "legacy"},
}
SWITCH = ("while :; do for c in 'write through' 'write back'; do "
          "echo \"$c\" >/sys/block/{dev}/cache_type || exit; "
          "usleep 30000; done; done")


def mix(x):
    """The same function as in ack.c."""
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK
    return x ^ x >> 31


def writer(folder):
    """Compile ack.c into a static program; its path."""
    path = folder / "ack"
    subprocess.run(["gcc", "-O2", "-static", "-o", path,
                    Path(__file__).with_name("ack.c")], check=True)
    return path


def log_entries(path):
    """(first sector, flags, data) of each entry in a log of blklogwrites."""
    data = path.read_bytes()
    size = SECTOR
    # The log has no superblock before the first flush.
    if any(data[:size]):
        magic, _, _, size = struct.unpack_from("<QQQI", data)
        if magic != LOG_MAGIC:
            raise VblError("this is no log of writes")
    at = size
    # The superblock may count too few entries: read on while they are valid.
    while at + size <= len(data):
        sector, sectors, flags = struct.unpack_from("<3Q", data, at)
        at += size
        length = 0 if flags & DISCARD else sectors * size
        if not (sectors or flags) or flags > 15 or at + length > len(data):
            return
        yield sector, flags, data[at:at + length]
        at += length


def logged(image, log, fmt="raw"):
    """The backend of a Disk whose writes and flushes are logged."""
    log.touch()
    return [{"driver": "file", "filename": str(image), "node-name": "below"},
            {"driver": fmt, "file": "below", "node-name": "image"},
            {"driver": "blklogwrites", "file": "image",
             "log": {"driver": "file", "filename": str(log)}}]


def pull(g):
    """Cut the power of a guest: kill its QEMU."""
    g.process.popen.kill()
    g.process.popen.wait()
    ktap.must_be_quiet(g.console)


def left_of(disk, log, rng):
    """What is on a disk after a power cut: a cache may lose all that was not
    flushed, or keep what it likes."""
    kept = rng.choice((0, 0.5))
    surviving(log, disk, lambda: rng.random() < kept)
    return disk


def surviving(path, disk, kept):
    """What the writes of a log leave on @disk.

    What was not flushed is forgotten, unless @kept() says that it is not.
    """
    pending = []
    for sector, flags, data in log_entries(path):
        if flags & FLUSH:
            for _, at, new in pending:
                disk[at:at + len(new)] = new
            pending = []
        if data:
            pending.append((flags & FUA, sector * SECTOR, data))
    for through, at, new in pending:
        if through or kept():
            disk[at:at + len(new)] = new


def lost(disk, seed, acked):
    """Blocks up to number @acked that are not there, nor anything younger."""
    last = {}
    for n in range(1, acked + 1):
        last[mix(seed ^ n) % BLOCKS] = n
    gone = []
    for place, n in last.items():
        words = struct.unpack_from("<512Q", disk, place * BLOCK)
        found = words[0]
        complete = all(words[i] == mix(seed ^ found << 16 & MASK ^ i)
                    for i in range(1, 512))
        if found < n or not complete or mix(seed ^ found) % BLOCKS != place:
            gone.append(n)
    return gone


class Fsync:
    """Blocks that are flushed, by a program without a file system."""

    unit, acks, tools = "blocks", 300, False

    def __init__(self, folder):
        self.files = {"bin/ack": writer(folder)}
        self.image = folder / "empty"
        with open(self.image, "wb") as f:
            f.truncate(BLOCK * BLOCKS)

    def start(self, g, dev, port, seed, lie):
        """Start the program: its job."""
        every = random.Random(seed).randint(1, 8)
        return [g.start(f"exec /bin/ack /dev/{dev} {port} {seed} "
                        f"{'-' if lie else ''}{every}")]

    def check(self, disk, seed, lines):
        """(blocks acknowledged, those that are lost) of what is on @disk."""
        acked = int(lines[-1]) if lines else 0
        return acked, lost(disk, seed, acked)


WORKLOADS = {"fsync": Fsync, "postgres": postgres.Postgres}


def cut(kernel, mode, seed, load, lie=False, driver="lite"):
    """One guest, one power cut: what is acknowledged, and lost of that."""
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="vbl-cut-"))
    acks, log = folder / "acks", folder / "log"
    shutil.copy(load.image, folder / "disk")
    disk = Disk(backend=logged(folder / "disk", log), **MODES[mode])
    devices = [f"-chardev file,id=acks,path={acks}",
               "-device isa-serial,chardev=acks,index=2"]
    try:
        with Guest(kernel, disks=[disk], driver=driver, devices=devices,
                   tools=load.tools, files=load.files) as g:
            dev = g.dev()
            jobs = load.start(g, dev, PORT, seed, lie)
            if mode == "switched":
                jobs.append(g.start(SWITCH.format(dev=dev)))
            want = rng.randint(1, load.acks)
            wait_acks(g, jobs, lambda: said(acks) >= want)
            time.sleep(rng.random() / 50)
            pull(g)
        left = left_of(bytearray(load.image.read_bytes()), log, rng)
        # An incomplete line acknowledges nothing.
        return load.check(left, seed, acks.read_text().split("\n")[:-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def said(path):
    """How many lines a load has written."""
    return path.read_text().count("\n") if path.exists() else 0


def wait_acks(g, jobs, enough):
    """Wait until enough() is true of what the load has acknowledged."""
    until = time.monotonic() + 60 * g.scale
    while not enough():
        ended = [job.output for job in jobs if job.done]
        if ended or time.monotonic() > until:
            raise VblError("the guest stopped writing:\n"
                           + "\n".join(ended) + g.console[-2000:])
        time.sleep(0.01)


def campaign(n, seed, kernel=None, modes=(), lie=False, say=print,
             what="fsync", driver="lite"):
    """@n cuts: (blocks or rows acknowledged, those that are lost)."""
    folder = Path(tempfile.mkdtemp(prefix="vbl-ack-"))
    total = gone = 0
    try:
        load = WORKLOADS[what](folder)
        for i, mode in zip(range(n), itertools.cycle(modes or MODES)):
            acked, missing = cut(kernel, mode, seed + i, load, lie,
                                 driver)
            total, gone = total + acked, gone + len(missing)
            say(f"cut {i + 1} of {n}, seed {seed + i}, {mode}: "
                f"{acked} {load.unit} acknowledged, {len(missing)} lost"
                + (f": {missing[:10]}" if missing else ""))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{n} power cuts: {total} {load.unit} acknowledged, {gone} lost")
    return total, gone
