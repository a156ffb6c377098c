# SPDX-License-Identifier: GPL-2.0
"""The host under a running disk changes: another QEMU, a file, a new backend.

The load writes blocks, reads older ones back, and acknowledges which of them
are safe; it sees no error.
"""

import os

import pytest
from faults.load import Busy
from faults.moving import Backend, Moving, boot_beside

GONE = "vbl_unload && [ ! -e /sys/bus/virtio-lite ]"
RINGS = {"split": {"transport": "modern"},
         "packed": {"transport": "modern", "packed": True},
         "legacy": {"transport": "legacy"},
         "intx": {"transport": "modern", "vectors": 0}}
# Of one test, so that every other one can be left to --full.
SOME = [pytest.param(RINGS[r], id=r, marks=[] if r in ("split", "legacy")
                     else [pytest.mark.full]) for r in RINGS]


@pytest.mark.parametrize("options", SOME)
def test_live_migration(boot, kernel, tmp_path, options):
    """Two live migrations while the guest writes."""
    m = Moving(boot, kernel, tmp_path, options)
    m.go(3)
    m.end()
    m.g.sh(GONE)


@pytest.mark.parametrize("options", SOME)
def test_save_and_restore(boot, kernel, tmp_path, options):
    """Saved to a file, and restored in another QEMU."""
    m = Moving(boot, kernel, tmp_path, options)
    for _ in range(2):
        m.save_and_restore()
    m.end()
    m.g.sh(GONE)


@pytest.fixture
def backend(tmp_path, image):
    if not any(os.access(f"{p}/qemu-storage-daemon", os.X_OK)
               for p in os.environ["PATH"].split(":")):
        pytest.skip("no qemu-storage-daemon on this host")
    with Backend(tmp_path, image("64M")) as one:
        yield one


def test_backend_comes_back(boot, kernel, backend):
    """The process that serves the disk is killed under load, and restarted."""
    g = boot_beside(boot, kernel, backend)
    dev = g.sh("disk_of 0000:00:08.0").strip()
    with Busy(g, dev, "--iodepth=32") as busy:
        for _ in range(3):
            backend.kill()
            backend.start()
            busy.progresses()
    g.sh(GONE)
