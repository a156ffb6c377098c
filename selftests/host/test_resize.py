# SPDX-License-Identifier: GPL-2.0
"""Rings of another size, while the disk is in use (RING_RESET)."""

import pytest
from device import HoldRequests, Script
from device.spec import OUT
from faults.load import Busy, verify
from scripted import MODERN, command, qemu_has, scene
from vbl import Disk

RESET = MODERN + ("RING_RESET",)
PLAIN = tuple(f for f in RESET if f != "INDIRECT_DESC")
# Requests of 32 descriptors, 16 of them at a time; the device has room for 128.
PARAMS = "queue_depth=16"
DEVICE = {"queues": 2, "queue_size": 128, "config": {"seg_max": 30}}
RINGS = {
    "split": (RESET, (32, 64, 128)),
    "split, chains": (PLAIN, (32, 128)),
    "packed": (RESET + ("RING_PACKED",), (32, 100, 33, 128)),
    "packed, chains": (PLAIN + ("RING_PACKED",), (33, 128)),
    "in order": (RESET + ("IN_ORDER",), (32, 128)),
    "mapped": (RESET + ("ACCESS_PLATFORM",), (32, 128)),
}
RARE = ("packed, chains", "in order", "mapped")
FILE = "/sys/block/$D/ring_size"


def resize(s, size):
    """Write a size; whether it was taken, and what the kernel said of it."""
    mark = s.g.dmesg_mark(f"ring_size {size}")
    status, out = s.g.status(f"echo '{size}' >/sys/block/{s.name}/ring_size",
                             timeout=60)
    return not status, out + s.g.dmesg_since(mark)


def sizes(s):
    """What sysfs says, and what the device was told."""
    return int(s.sh(f"cat {FILE}")), {q.size for q in s.dev.queues}


def errors(s, what):
    return int(s.sh(f"cat /sys/block/$D/errors/{what}"))


@pytest.mark.parametrize("ring", [
    pytest.param(r, marks=[pytest.mark.full] * (r in RARE)) for r in RINGS])
def test_resize(scripted, kernel, ring):
    """Down and up under a load that checks all it wrote."""
    features, steps = RINGS[ring]
    s = scripted(kernel=kernel, params=PARAMS)
    s.be(features, **DEVICE)
    assert sizes(s) == (128, {128})
    with Busy(s.g, s.name, "--iodepth=64") as busy:
        for size in steps:
            taken, said = resize(s, size)
            assert taken, said
            assert f"{s.dev.bdf}: {s.name}: rings of {size} desc" in said
            assert sizes(s) == (size, {size})
            busy.progresses()
    verify(s.g, s.name, "--size=2M --iodepth=64")
    for q in s.dev.queues:
        assert len(s.dev.log.find("queue reset", q.index)) == len(steps)
    assert not s.dev.status_reg.history, "the device was reset"
    assert errors(s, "resets") == 0
    assert s.sh("cat /sys/block/$D/queue/nr_requests") == "15\n"
    s.good("PCI-COMMON-07", "PCI-COMMON-08", "PCI-COMMON-09", "GEN-QRST-01",
           "GEN-QRST-03")
    s.end()


def test_refused(scripted):
    """What cannot be is an error with a reason, and changes nothing."""
    s = scripted(params=PARAMS)
    numbers = {"16": "too small: 16 requests of up to 30 segments need 32",
               "0": "too small", "31": "too small", "256": "too large",
               "4294967295": "too large: the device offers 128",
               "4294967296": "has to be a number", "-64": "to be a number",
               "": "has to be a number", "many": "has to be a number"}
    for features, more in ((RESET, {"96": "not a power of 2"}),
                           (RESET + ("RING_PACKED",), {})):
        s.be(features, **DEVICE)
        assert s.sh(f"stat -c %a {FILE}") == "644\n"
        seen = len(s.dev.log.find("write"))
        for size, why in {**numbers, **more}.items():
            taken, said = resize(s, size)
            assert not taken and "Invalid argument" in said, size
            assert f"{s.dev.bdf}: {s.name}: ring_size" in said and why in said
        assert len(s.dev.log.find("write")) == seen, "registers were written"
        assert sizes(s) == (128, {128})
        s.copy()
        s.end()

    # Each tag is a place in the ring, also where requests are short.
    s.be(RESET, queues=2, queue_size=128, config={"seg_max": 4})
    assert not resize(s, 8)[0] and resize(s, 16)[0]
    s.copy()
    s.end()

    s.be(MODERN, **DEVICE)
    taken, said = resize(s, 64)
    assert not taken and "not supported" in said
    assert f"{s.dev.bdf}: {s.name}: ring_size is fixed: the device cannot " \
        "reset a queue alone" in said
    assert sizes(s) == (128, {128})
    s.end()


def test_device_offers_other_rings(scripted):
    """After a reset the device has room for fewer slots than before, or for more:
    what it says then is what counts."""
    s = scripted(params=PARAMS)
    s.be(RESET, **DEVICE)
    assert resize(s, 64)[0]
    for n, (most, refused) in enumerate(((64, 128), (256, 512)), 1):
        with s.dev.lock:
            for q in s.dev.queues:
                q.max_size = most
            s.dev.needs_reset()
        s.sh(f"wait_for 30 grep -qx {n} /sys/block/$D/errors/resets")
        assert sizes(s) == (64, {64})
        taken, said = resize(s, refused)
        assert not taken
        assert f"too large: the device offers {most}" in said
        assert errors(s, "resets") == n
    taken, said = resize(s, 256)
    assert taken, said
    assert sizes(s) == (256, {256})
    s.copy()
    s.end()


class Refuse(Script):
    """Does not do what is asked of its second queue."""

    how = None

    def write(self, dev, name, value):
        if dev.status and dev.pci.modern.select == 1:
            if self.how == "reset" and name == "queue_reset":
                return None
            if self.how == "size" and name == "queue_size" and \
                    dev.queues[1].was_reset:
                return 16
        return value


@pytest.mark.parametrize("ring", [
    "split", pytest.param("packed", marks=pytest.mark.full)])
def test_device_refuses(scripted, kernel, ring):
    """The device is reset, and the disk keeps the rings it had."""
    s = scripted(kernel=kernel, params=PARAMS)
    s.be(RINGS[ring][0], **DEVICE, script=Refuse())
    with Busy(s.g, s.name, "--iodepth=64") as busy:
        for n, how in enumerate(("reset", "size"), 1):
            with s.dev.lock:
                s.dev.script.how = how
            taken, said = resize(s, 32)
            assert not taken and "rror" in said
            assert "rings stay as they are, ring_size 32 failed" in said
            assert sizes(s) == (128, {128})
            assert errors(s, "resets") == n
            busy.progresses()
        with s.dev.lock:
            s.dev.script.how = None
        taken, said = resize(s, 32)
        assert taken, said
        busy.progresses()
    s.copy()
    assert sizes(s) == (32, {32})
    assert errors(s, "protocol") == 0
    s.end()


@pytest.mark.full
def test_requests_do_not_come_back(scripted):
    """Held requests are waited for, and the rings do not change."""
    s = scripted(params=PARAMS)
    s.be(RESET, **DEVICE, script=HoldRequests(OUT, hold=False))
    with s.dev.lock:
        s.dev.script.hold = True
    job = s.g.start(f"head -c 4096 /dev/urandom >/tmp/w; dd if=/tmp/w "
                    f"of=/dev/{s.name} bs=4k count=1 oflag=direct")
    s.dev.wait(lambda d: d.held, 30, "a write")
    taken, said = resize(s, 32)
    assert not taken and "busy" in said
    assert not s.dev.log.find("queue reset") and sizes(s) == (128, {128})
    with s.dev.lock:
        s.dev.script.hold = False
    s.dev.release()
    job.wait(30)
    assert s.sh("dd if=/dev/$D bs=4k count=1 iflag=direct 2>/dev/null | "
                "cmp - /tmp/w") == ""
    assert resize(s, 32)[0]
    s.copy()
    s.end()


def test_polled(scripted):
    """Polling does not read a ring that was freed."""
    s = scripted(kernel="6.12", params=f"poll_queues=1 {PARAMS}")
    s.be(RESET, **DEVICE)
    job = s.g.start(
        f"fio --name=p --filename=/dev/{s.name} --ioengine=io_uring --hipri=1 "
        "--rw=randwrite --bs=4k --direct=1 --iodepth=8 --size=4M --loops=4 "
        "--verify=crc32c --verify_fatal=1 --thread")
    for size in (32, 64, 128, 32, 128):
        seen = s.dev.log.count
        s.dev.wait(lambda d: d.log.count > seen + 200 or job.done, 60)
        assert resize(s, size)[0] and not job.done
    job.wait(120)
    s.good("PCI-COMMON-09")
    s.end()


def again_and_again(g, name, *some):
    """Resizes until the disk is gone; says how many of them went well."""
    return g.start(f"cd /sys/block/{name}; n=0; while [ -e ring_size ]; do "
                   f"for size in {' '.join(some)}; do echo $size >ring_size "
                   "&& n=$((n + 1)); done; done 2>/dev/null; echo $n")


def test_device_breaks_down(scripted, kernel):
    """Resizes while the device asks for resets, and when it is unbound."""
    s = scripted(kernel=kernel, params=PARAMS)
    s.be(RESET, **DEVICE)
    job = again_and_again(s.g, s.name, "32", "64", "128")
    with Busy(s.g, s.name, "--iodepth=64") as busy:
        for _ in range(5):
            before = errors(s, "resets")
            with s.dev.lock:
                s.dev.needs_reset()
            s.sh(f"wait_for 60 sh -c '[ $(cat /sys/block/{s.name}/errors/"
                 f"resets) -gt {before} ]'", timeout=90)
            busy.progresses()
    s.copy()
    s.end()
    assert int(job.wait(60, check=False).split()[-1]) > 5


# -- disks that go meanwhile -------------------------------------------------

def goes(s, gone):
    """The disk is taken away; where it is @gone, it answers nothing before."""
    with s.dev.lock:
        s.dev.pci.gone = gone
    scene.unbind(s.g, s.dev)


def begin(s):
    """Begin a resize that cannot go well."""
    s.mark = s.g.dmesg_mark("resize")
    return s.g.start(f"echo 32 >/sys/block/{s.name}/ring_size")


def end(s, busy, job, why):
    """Every user of the disk gets an error, and nothing of it is left."""
    out = job.wait(60, check=False)
    assert job.status and why in out
    busy.ends()
    assert s.sh("ls /sys/block /dev | grep -cx $D", check=False) == "0\n"
    assert "rings stay as they are, ring_size 32" in s.g.dmesg_since(s.mark)
    s.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


@pytest.mark.parametrize("gone", [False, True], ids=["unbound", "gone"])
def test_gone_amid_reset(scripted, kernel, gone):
    """A disk goes while its first queue is reset, which never ends."""
    s = scripted(kernel=kernel, params=PARAMS)
    s.be(RESET, **DEVICE)
    s.dev.script.queue_reset_seconds = 3600
    busy = Busy(s.g, s.name, "--iodepth=64")
    job = begin(s)
    s.dev.wait(lambda d: d.log.find("queue reset"), 60, "the reset of a queue")
    goes(s, gone)
    end(s, busy, job, "No such device" if gone else "timed out")
    assert len(s.dev.log.find("queue reset")) == 1


@pytest.mark.parametrize("gone", [
    False, pytest.param(True, marks=pytest.mark.full)],
    ids=["unbound", "gone"])
def test_gone_before_reset(scripted, kernel, gone):
    """A disk goes while a resize waits for what does not come back."""
    s = scripted(kernel=kernel, params=f"request_timeout=1 {PARAMS}")
    s.be(RESET, **DEVICE, script=HoldRequests(OUT, hold=False))
    busy = Busy(s.g, s.name, "--iodepth=64")
    with s.dev.lock:
        s.dev.script.hold = True
    s.dev.wait(lambda d: d.held, 30, "a write")
    job = begin(s)
    s.sh(f"wait_for 30 grep -q freeze_queue_wait /proc/$(cat /run/vbl/"
         f"{job.ident}.pid)/stack", timeout=60)
    goes(s, gone)
    # The reset did not help, and the device is given up.
    end(s, busy, job, "No such device")
    assert not s.dev.log.find("queue reset")


STOCK = {"queue_size": 256, "seg_max_adjust": False, "num_queues": 2}


@pytest.fixture
def stock(boot, kernel):
    """A guest with a disk of QEMU's own, that can reset a queue, and another."""
    if not qemu_has("queue_reset"):
        pytest.skip("this QEMU has no queue_reset")
    return lambda **options: boot(
        kernel=kernel, qemu=command(), params="queue_depth=128", disks=[
            Disk(transport="modern", queue_reset=True, root_port=True,
                 **STOCK, **options), Disk(transport="legacy", **STOCK)])


SLEEP = ("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; "
         "echo none >/sys/power/pm_test")


@pytest.mark.full
def test_resets_and_sleep(stock):
    """Resizes while the function is reset from outside, and sleeps."""
    g = stock()
    node = f"/sys/bus/pci/devices/{g.bdf(0)}"
    g.sh(f"echo flr >{node}/reset_method")
    job = again_and_again(g, g.dev(), "128", "256")
    with Busy(g, g.dev(), "--iodepth=64") as busy:
        for _ in range(3):
            g.sh(f"echo 1 >{node}/reset", timeout=60)
            busy.progresses()
        g.sh(SLEEP, timeout=90)
        busy.progresses()
    assert g.sh(f"cat /sys/block/{g.dev()}/errors/resets") == "3\n"
    verify(g, g.dev(), "--size=4M")
    g.sh(f"echo {g.bdf(0)} >{node}/driver/unbind", timeout=60)
    assert int(job.wait(60, check=False).split()[-1]) > 5


@pytest.mark.full
@pytest.mark.parametrize("rounds", [
    1, pytest.param(5, marks=pytest.mark.full)])
def test_unplugged(stock, rounds):
    """Unplug under load, during resizes: nothing hangs."""
    g = stock(hotplug=True)
    for _ in range(rounds):
        g.plug(g.disks[0])
        g.sh(f"take_over {g.bdf(0)}")
        dev = g.dev()
        busy = Busy(g, dev, "--iodepth=64")
        job = again_and_again(g, dev, "128", "256")
        busy.progresses(200)
        g.unplug(g.disks[0], timeout=60)
        busy.ends()
        assert int(job.wait(60, check=False).split()[-1]) > 0
        assert g.sh(f"ls /sys/block /dev | grep -cx {dev}", check=False) == "0\n"
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


@pytest.mark.parametrize("packed", [
    False, pytest.param(True, marks=pytest.mark.full)])
def test_stock(stock, packed):
    """QEMU's own disk, whose rings get smaller and larger again."""
    g = stock(packed=packed)
    file = f"/sys/block/{g.dev()}/ring_size"
    with Busy(g, g.dev()) as busy:
        for size in ("128", "200", "256") if packed else ("128", "256"):
            g.sh(f"echo {size} >{file} && grep -qx {size} {file}", timeout=60)
            busy.progresses()
    verify(g, g.dev(), "--size=8M")
    assert g.sh(f"cat /sys/block/{g.dev()}/errors/resets") == "0\n"
    mark = g.dmesg_mark("legacy")
    status, out = g.status(f"echo 128 >/sys/block/{g.dev(1)}/ring_size")
    assert status and "not supported" in out
    assert f"{g.bdf(1)}: {g.dev(1)}: ring_size is fixed" in g.dmesg_since(mark)
