# SPDX-License-Identifier: GPL-2.0
"""Things that are slow to make and depend only on their inputs.

An entry is a folder named by a hash of its inputs.  It appears by one rename
when it is complete, so a reader never sees half of it, and a lock beside it
keeps two runs from making the same thing twice.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

FORMAT = 1          # raise when an entry's layout changes
KEEP, KEEP_SECONDS = 12, 3 * 24 * 3600


def root():
    """The cache folder: $VBL_CACHE, or virtio-blk-lite in the user's cache."""
    given = os.environ.get("VBL_CACHE")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "virtio-blk-lite"


def digest(inputs):
    """A short hash of anything JSON can write."""
    text = json.dumps([FORMAT, inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def file_hash(path):
    """sha256 of a file's content."""
    done = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            done.update(block)
    return done.hexdigest()


def file_stamp(path):
    """Identity of a big installed file without reading it."""
    st = os.stat(path)
    return [os.path.realpath(path), st.st_size, st.st_mtime_ns]


@contextlib.contextmanager
def lock(name):
    """Hold the lock called @name against other processes."""
    folder = root() / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def entry(kind, inputs, make, label=""):
    """The folder made by make(folder) for @inputs, made now when missing."""
    name = (f"{label}-" if label else "") + digest(inputs)
    folder = root() / kind
    final = folder / name
    if not final.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with lock(f"{kind}-{name}"):
            if not final.is_dir():
                tmp = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
                try:
                    make(tmp)
                    tmp.chmod(0o755)
                    tmp.rename(final)
                finally:
                    shutil.rmtree(tmp, ignore_errors=True)
        _forget(folder)
    os.utime(final)
    return final


def _forget(folder):
    """Drop entries of one kind nobody used for days, the newest ones never."""
    old = sorted((e for e in folder.iterdir() if e.is_dir()),
                 key=lambda e: e.stat().st_mtime, reverse=True)
    for e in old[KEEP:]:
        if time.time() - e.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(e, ignore_errors=True)
            (root() / "lock" / f"{folder.name}-{e.name}").unlink(
                missing_ok=True)
