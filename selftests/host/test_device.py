# SPDX-License-Identifier: GPL-2.0
"""The scripted device: that it is a disk, and that it sees what is wrong."""

import shlex
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from device import USUAL, Device, Script, scene     # noqa: E402

LEGACY = tuple(f for f in USUAL if f != "VERSION_1")
MORE = ("BLK_MQ", "BLK_DISCARD", "BLK_WRITE_ZEROES")


@pytest.fixture
def run(boot):
    """run(device): a guest with it and the module, no driver bound."""
    qemu, why_not = scene.qemu()
    if why_not:
        pytest.skip(why_not)
    running = []

    def start(dev, **options):
        dev.__enter__()
        running.append(dev)
        g = boot(devices=[dev.qemu], share_mem=True, driver=None,
                 append="no_timer_check", qemu=qemu, **options)
        scene.load(g, "lite")
        return g

    yield start
    for dev in running:
        dev.__exit__(None, None, None)


@pytest.mark.parametrize("transport, features", [
    ("modern", USUAL + MORE), ("modern", USUAL + MORE + ("RING_PACKED",)),
    ("legacy", LEGACY + MORE + ("ANY_LAYOUT",))],
    ids=["split", "packed", "legacy"])
def test_data(run, transport, features):
    """Data goes through, and no requirement is broken on the way."""
    dev = Device(features, queues=2, transport=transport)
    g = run(dev)
    name = scene.bind(g, dev, "lite")
    scene.copy(g, name)
    g.sh(f"/bin/blkdiscard -f -o 1M -l 64K /dev/{name} && "
         f"/bin/blkdiscard -f -z -o 2M -l 64K /dev/{name}")
    scene.unbind(g, dev)
    assert not dev.check.breaches, dev.check.report()
    assert {"BLK-OP-06", "BLK-OP-14", "BLK-OP-11"} <= set(dev.check.seen)


class Liar(Script):
    """Gives back an id that was never made available, once."""

    told = False

    def used(self, dev, queue, chain, length):
        honest = super().used(dev, queue, chain, length)
        if self.told or chain.elems[0][1] != 16 or length < 4096:
            return honest
        self.told = True
        return [(queue.size + 7, length, 0), *honest]


def test_bad_id(run):
    """An id out of range costs a reset, and no data."""
    dev = Device(USUAL)
    g = run(dev)
    name = scene.bind(g, dev, "lite")
    with dev.lock:
        dev.script = Liar()
    scene.copy(g, name)
    assert dev.script.told
    assert 0 in dev.status_reg.history[1:], "the driver did not reset"
    assert not dev.check.breaches, dev.check.report()


def test_skips(tmp_path):
    """A QEMU without vfio-user is named, with what would be needed."""
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.1'\n")
    fake.chmod(0o755)
    why = scene.why_not(shlex.split(str(fake)))
    assert why and "7.2.1" in why and "10.1" in why
