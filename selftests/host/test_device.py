# SPDX-License-Identifier: GPL-2.0
"""The scripted device: that it is a disk, and that it sees what is wrong."""

import contextlib

import pytest
from device import USUAL, Device, HoldRequests, Script, VhostDevice, scene
from device.spec import OUT
from faults.load import Busy

LEGACY = tuple(f for f in USUAL if f != "VERSION_1")
MORE = ("BLK_MQ", "BLK_DISCARD", "BLK_WRITE_ZEROES")
PACKED = ("RING_PACKED",)


@pytest.fixture
def run(boot):
    """run(devices): a guest with them and the module, no driver bound."""
    with contextlib.ExitStack() as running:
        def start(*devs, **options):
            args = [d.qemu for d in map(running.enter_context, devs)]
            if isinstance(devs[0], VhostDevice):
                args = sum(args, [])
            g = boot(devices=args, share_mem=True, driver=None,
                     **options)
            for d in devs:
                scene.keep_off(g, d)
            scene.load(g, "lite")
            return g

        yield start


class BadId(Script):
    """Gives a request back under an id that does not exist, once."""

    told = False

    def used(self, dev, queue, chain, length):
        if self.told:
            return super().used(dev, queue, chain, length)
        self.told = True
        return [(queue.size + 7, length, chain.slots)]


def use(g, dev):
    """Every kind of request goes through, and breaks no requirement."""
    name = scene.bind(g, dev, "lite")
    scene.copy(g, name)
    g.sh(f"/bin/blkdiscard -f -o 1M -l 64K /dev/{name} && "
         f"/bin/blkdiscard -f -z -o 2M -l 64K /dev/{name}")
    scene.unbind(g, dev)
    assert not dev.check.breaches, dev.check.report()
    assert {"BLK-OP-06", "BLK-OP-14", "BLK-OP-11"} <= set(dev.check.seen)


def test_registers(run):
    """A complete PCI device: modern, packed, legacy; and one that lies."""
    qemu, why_not = scene.qemu()
    if why_not:
        pytest.skip(why_not)
    modern = Device(USUAL + MORE, queues=2)
    legacy = Device(LEGACY + MORE + ("ANY_LAYOUT",), queues=2,
                    transport="legacy")
    g = run(modern, legacy, qemu=qemu)
    use(g, modern)
    use(g, legacy)
    modern.become(USUAL + MORE + PACKED, queues=2)
    use(g, modern)
    # An id out of range costs a reset, and no data.
    name = scene.bind(g, modern, "lite")
    with modern.lock:
        modern.script = BadId()
        modern.status_reg.history.clear()
    scene.copy(g, name)
    assert modern.script.told
    assert 0 in modern.status_reg.history, "the driver did not reset"
    assert not modern.check.breaches, modern.check.report()


@pytest.mark.parametrize("keeps", [1, 1000])
def test_silent_and_gone(run, keeps):
    """A lost write does not keep the driver from being unbound: it is sent
    again after a reset, and fails if that does not help either."""
    qemu, why_not = scene.qemu()
    if why_not:
        pytest.skip(why_not)
    dev = Device()
    g = run(dev, qemu=qemu)
    g.sh("echo 1 >/sys/module/virtio_lite/parameters/request_timeout")
    name = scene.bind(g, dev, "lite")
    with dev.lock:
        dev.script = HoldRequests(OUT, limit=keeps)
    mark = g.dmesg_mark("silent")
    job = g.start("yes | head -c 4096 >/tmp/x; dd if=/tmp/x "
                  f"of=/dev/{name} bs=4k seek=1 oflag=direct 2>&1")
    dev.wait(lambda d: d.held, why="a write to keep")
    scene.unbind(g, dev)
    log = job.wait(check=False) + g.dmesg_since(mark)
    if keeps == 1:
        assert job.status == 0 and "back after a reset" in log, log
        assert dev.blk.data[4096:8192] == b"y\n" * 2048
    else:
        assert job.status and "Input/output error" in log, log
        assert "1 resets did not help" in log
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


def test_queues(run):
    """The queues alone, behind the registers of any QEMU."""
    split = VhostDevice(USUAL + MORE, queues=2)
    packed = VhostDevice(USUAL + MORE + PACKED, queues=2, props=",packed=on")
    g = run(split, packed)
    for dev in (split, packed):
        use(g, dev)
    assert split.check.seen["SPLIT-AVAIL-01"] > 30
    assert packed.check.seen["PACK-SG-03"] > 30


def test_old_qemu(tmp_path):
    """A QEMU without vfio-user is named, with what would be needed."""
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.1'\n")
    fake.chmod(0o755)
    why = scene.why_not([str(fake)])
    assert why and "7.2.1" in why and "10.1" in why


@pytest.mark.full
def test_load_was_stopped(run):
    """A load that is stopped while it waits for what is in flight goes on."""
    dev = Device(script=HoldRequests(OUT, limit=1, hold=False))
    g = run(dev)
    name = scene.bind(g, dev, "lite")
    with Busy(g, name) as busy:
        with dev.lock:
            dev.script.hold = True
        # Before fio verifies, it waits for all of its writes, so this lasts.
        g.sh("wait_for 60 sh -c 'for n in 1 2 3 4 5; do grep -q \"^ *0 *1$\" "
             f"/sys/block/{name}/inflight || exit 1; usleep 100000; done'",
             timeout=90)
        for signal in "STOP", "CONT":
            busy.job.kill(signal)
        with dev.lock:
            dev.release()
        busy.progresses()
    scene.unbind(g, dev)
