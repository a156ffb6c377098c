# SPDX-License-Identifier: GPL-2.0
"""Zoned disks in every combination that test_cells.py has for others.

A cell is an interrupt layout, a number of queues, a kind of ring, and whether
descriptors are indirect and notifications are by index. In each, zones are
filled by several writers at once, checked, reset and filled again, and what is
read is compared with what the device holds. No QEMU has such disks without a
zoned one on the host, so the devices are scripted.
"""

import hashlib
import itertools

import pytest
from device import USUAL, Device, scene
from faults.load import command as fio, result
from vbl import Guest, ktap

pytestmark = pytest.mark.full
SIZE = 20 << 20
RINGS = {"split": (), "packed": ("RING_PACKED",), "ordered": ("IN_ORDER",),
         "packed_ordered": ("RING_PACKED", "IN_ORDER")}
VECTORS = {"intx": 0, "shared": 2, "own": 3}
# In order needs indirect descriptors; the driver leaves it else.
CELLS = [c for c in itertools.product(VECTORS, (1, 2), RINGS, (True, False),
                                      (True, False))
         if c[3] or "ordered" not in c[2]]
# Four zones at once, as may be open; the first one is conventional.
FILL = ("--zonemode=zbd --rw=write --numjobs=4 --offset=4M --size=4M "
        "--offset_increment=4M --iodepth=8")
SIZES = "--bssplit=4k/40:16k/30:64k/20:192k/10"


@pytest.fixture(scope="module")
def stand():
    """(guest, {interrupt layout: device}), for all cells of a kernel."""
    qemu, why_not = scene.qemu()
    if why_not:
        pytest.skip(why_not)
    devs = {name: Device(vectors=n, queues=2) for name, n in VECTORS.items()}
    for dev in devs.values():
        dev.__enter__()
    with Guest(kernel="6.12", devices=[d.qemu for d in devs.values()],
               share_mem=True, driver=None, qemu=qemu, timeout=2400) as g:
        for dev in devs.values():
            scene.keep_off(g, dev)
        scene.load(g, "lite")
        yield g, devs
    for dev in devs.values():
        dev.__exit__(None, None, None)


def check_digest(g, dev, disk):
    """What is read is what the device holds."""
    said = g.sh(f"dd if=/dev/{disk} bs=1M iflag=direct of=/tmp/all "
                "2>/dev/null && md5sum /tmp/all; rm -f /tmp/all", timeout=60)
    assert said.split()[0] == hashlib.md5(dev.blk.data[:SIZE]).hexdigest()


@pytest.mark.xdist_group("zoned-cells")
@pytest.mark.parametrize("irq,queues,ring,indirect,event", CELLS,
                         ids=lambda v: str(v))
def test_zoned_cell(stand, irq, queues, ring, indirect, event):
    g, dev = stand[0], stand[1][irq]
    features = [f for f in USUAL if (f != "INDIRECT_DESC" or indirect) and
                (f != "EVENT_IDX" or event)]
    mark = g.dmesg_mark("cell")
    dev.become((*features, *RINGS[ring], "BLK_MQ", "BLK_ZONED"), size=SIZE,
               queues=queues, zones={"conventional": 1})
    disk = scene.bind(g, dev, "lite")
    assert all(dev.has(f) for f in (*features, *RINGS[ring], "BLK_ZONED"))
    for _ in range(2):
        job = result(g.sh(fio(disk, FILL, SIZES), timeout=120))
        assert not job["error"] and job["write"]["io_bytes"] == 16 << 20
        assert job["read"]["io_bytes"] == job["write"]["io_bytes"]
        check_digest(g, dev, disk)
        g.sh(f"/bin/blkzone reset /dev/{disk}")
        check_digest(g, dev, disk)
    scene.unbind(g, dev)
    assert not dev.check.breaches, dev.check.report()
    assert not ktap.scan_log(g.dmesg_since(mark))
