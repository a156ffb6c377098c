# SPDX-License-Identifier: GPL-2.0
"""Whose is a completion, and when may a function write to memory."""

import contextlib

import pytest
from device import Device, Script, scene
from device.pci import usual_caps
from faults.load import Busy
from scripted import MODERN, BadId
from vbl.disk import Disk

full = pytest.mark.full
CPU1 = "/sys/devices/system/cpu/cpu1/online"
# Bus mastering is bit 2 of the command register of a PCI function.
MASTER = 4
INTX_OFF = 0x400


def command_register(g, bdf):
    """The command register of a function."""
    return int(g.sh(f"setpci -s {bdf} COMMAND"), 16)


def test_cpu_offline_at_bind(boot):
    """A queue whose CPU is offline has a vector that was never started."""
    if not scene.qemu_has("queue_reset"):
        pytest.skip("this QEMU has no queue_reset")
    g = boot(kernel="6.12", qemu=scene.command(), driver=None,
             params="queue_depth=64", disks=[Disk(
                 transport="modern", queue_reset=True, queue_size=256,
                 seg_max_adjust=False, num_queues=2)])
    g.sh(f"echo 0 >{CPU1}")
    scene.load(g, "lite", "queue_depth=64")
    bdf = g.bdf(0)
    g.sh(f"cd /sys/bus/pci/devices/{bdf}; "
         f"[ ! -e driver ] || echo {bdf} >driver/unbind; "
         "echo virtio-pci-lite >driver_override; "
         f"echo {bdf} >/sys/bus/pci/drivers_probe")
    name = g.sh(f"disk_of {bdf}").strip()
    file = f"/sys/block/{name}/ring_size"
    with Busy(g, name) as busy:
        for n, size in enumerate(("128", "256", "128")):
            g.sh(f"echo {size} >{file} && grep -qx {size} {file}", timeout=60)
            busy.progresses()
            g.sh(f"echo {(n + 1) % 2} >{CPU1}", timeout=60)
            busy.progresses()
    # The kernel's warnings of irq_startup and enable_irq fail any test.
    assert "Unbalanced" not in g.sh("dmesg")


@pytest.fixture
def place(boot):
    """place(dev, ...): a guest with such scripted devices, and the module."""
    why_not = scene.qemu()[1]
    if why_not:
        pytest.skip(why_not)
    with contextlib.ExitStack() as stack:
        def start(*devs, params="", **options):
            for dev in devs:
                stack.enter_context(dev)
            g = boot(devices=[d.qemu for d in devs], share_mem=True,
                     driver=None, qemu=scene.command(), **options)
            for dev in devs:
                scene.keep_off(g, dev)
            scene.load(g, "lite", params)
            return g

        yield start


@pytest.fixture
def stubborn(place):
    """A guest with a scripted device, and that device."""
    dev = Device(MODERN)
    yield place(dev), dev


def test_no_dma_before_a_reset(stubborn):
    """A device that was cut off, and does not reset, stays cut off."""
    g, dev = stubborn
    dev.become(MODERN)
    scene.bind(g, dev, "lite")
    bdf = dev.bdf
    assert command_register(g, bdf) & MASTER
    scene.unbind(g, dev)
    assert not command_register(g, bdf) & MASTER

    dev.script.reset_seconds = 8
    job = g.start(f"echo virtio-pci-lite >/sys/bus/pci/devices/{bdf}/"
                  f"driver_override; echo {bdf} >/sys/bus/pci/drivers_probe")
    dev.wait(lambda d: d.status_reg.history and d.status_reg.history[-1] == 0,
             30, "a reset")
    assert not command_register(g, bdf) & MASTER
    dev.script.reset_seconds = 0.0
    job.wait(60)
    # Well again, it has its memory, and its disk is there.
    g.sh(f"wait_for 30 disk_of {bdf}")
    assert command_register(g, bdf) & MASTER
    scene.unbind(g, dev)


class Deaf(Script):
    """Its status reads as if nobody were there, once it is gone."""

    gone = False

    def read(self, dev, name, value):
        return 0xff if self.gone and name == "status" else value


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_no_dma_of_a_dead_device(place, kernel, ring):
    """What comes back from sleep, or from a reset from outside, stays cut off."""
    dev = Device(MODERN, pm=True)
    g = place(dev, kernel=kernel)
    dev.become(MODERN + ("RING_PACKED",) * (ring == "packed"), script=Deaf())
    name = scene.bind(g, dev, "lite")
    assert command_register(g, dev.bdf) & MASTER
    with dev.lock:
        dev.script.gone = True
        dev.needs_reset()
    g.sh(f"wait_for 30 sh -c 'dmesg | grep -q \"{name}: the disk is dead\"'",
         timeout=60)
    assert not command_register(g, dev.bdf) & MASTER
    g.sh("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; "
         "echo none >/sys/power/pm_test", timeout=90)
    assert not command_register(g, dev.bdf) & MASTER
    g.sh(f"echo 1 >/sys/bus/pci/devices/{dev.bdf}/reset", timeout=90)
    assert not command_register(g, dev.bdf) & MASTER
    scene.unbind(g, dev)


# -- few interrupts, or none -------------------------------------------------

def interrupt_line(g, dev):
    """The interrupt that a function without MSI-X has."""
    return g.sh(f"cat /sys/bus/pci/devices/{dev.bdf}/irq").strip()


def test_shared_line(place, kernel):
    """While a queue is reset for seconds, others on its INTx line go on."""
    # Every fourth slot has the same line.
    devs = [Device(MODERN, vectors=0, addr=slot) for slot in (8, 12)]
    slow, other = devs
    g = place(*devs, kernel=kernel)
    for dev in devs:
        dev.become(MODERN + ("RING_RESET",), script=BadId())
    names = [scene.bind(g, dev, "lite") for dev in devs]
    assert interrupt_line(g, slow) == interrupt_line(g, other)
    with slow.lock:
        slow.script.queue_reset_seconds = 9
        slow.script.armed = True
    read = "dd if=/dev/{} of=/dev/null bs=4k count={} iflag=direct 2>&1"
    job = g.start(read.format(names[0], 4))
    slow.wait(lambda d: d.queues[0].resetting, why="a reset of its queue")
    g.sh(read.format(names[1], 16))
    with slow.lock:
        assert slow.now() < slow.queues[0].reset_until, \
            "the other disk was read only after that"
    job.wait(60)
    assert int(g.sh(f"cat /sys/block/{names[0]}/errors/queue_resets")) == 1
    for dev in devs:
        scene.unbind(g, dev)
        assert not dev.check.breaches, dev.check.report()


class NoConfigVector(Script):
    """Has no vector for changes of its configuration."""

    def vector(self, dev, name, vector):
        return 0xffff if name == "config_vector" else vector


@pytest.mark.full
def test_said_of_each_device(scripted):
    """What one device lacks is said again of the next one."""
    s = scripted(device={"vectors": 1, "intx": False, "config_length": 36,
                         "caps": usual_caps(config=36)})
    s.be()
    for _ in range(2):
        mark = s.g.dmesg_mark("the next device")
        s.be(MODERN + ("BLK_DISCARD",), script=NoConfigVector())
        said = s.g.dmesg_since(mark)
        assert "a vector for config changes: they go unseen" in said
        assert "config space ends at 36, before the field at" in said
        s.end()


FEW = {"one vector": (1, Script), "refused": (1, NoConfigVector),
       "none": (0, Script)}


@pytest.mark.parametrize("ring", ["split", pytest.param(
    "packed", marks=pytest.mark.full)])
@pytest.mark.parametrize("few", [
    pytest.param(f, marks=[full] * (f == "refused")) for f in FEW])
def test_few_interrupts(place, kernel, few, ring):
    """One vector, or no interrupt at all, on a function without INTx."""
    vectors, script = FEW[few]
    features = MODERN + ("RING_RESET",) + ("RING_PACKED",) * (ring == "packed")
    dev = Device(MODERN, vectors=vectors, intx=False, queues=2)
    g = place(dev, kernel=kernel, params="queue_depth=32")
    dev.become(features, script=script(), queues=2, config={"seg_max": 30})
    name = scene.bind(g, dev, "lite")
    assert name, g.sh("dmesg | tail -n 20")
    scene.copy(g, name)
    # What takes the rings away from interrupts, and gives them back.
    with Busy(g, name, "--size=4M") as busy:
        g.sh(f"echo 64 >/sys/block/{name}/ring_size")
        busy.progresses()
        with dev.lock:
            dev.needs_reset()
        if few == "refused":
            g.sh("dmesg | grep -q 'they go unseen'")
        else:
            g.sh(f"wait_for 30 grep -qx 1 /sys/block/{name}/errors/resets",
                 timeout=60)
        busy.progresses()
        g.sh("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state;"
             " echo none >/sys/power/pm_test", timeout=90)
        busy.progresses()
    if few != "refused":
        with dev.lock:
            dev.resize(72 << 20)
        g.sh(f"wait_for 20 grep -qx {72 << 11} /sys/block/{name}/size")
    scene.unbind(g, dev)
    assert not dev.check.breaches, dev.check.report()


class Asserted(Device):
    """Asserts its INTx line for ever once @asserted is set, for its queue."""

    asserted = False

    def read_isr(self):
        value = super().read_isr()
        if self.asserted:
            self.interrupt(self.queues[0])
        return value


def test_line_asserted_for_ever(place, kernel):
    """The driver says that it was not for it: so the kernel will disable it.

    After 100000, none of which came more than 0.1 s after the last: so many
    a scripted device on a busy host does not send.
    """
    dev = Asserted(MODERN, vectors=0)
    g = place(dev, kernel=kernel, smp=1)
    dev.become(MODERN)
    name = scene.bind(g, dev, "lite")
    spurious = f"/proc/irq/{interrupt_line(g, dev)}/spurious"
    with dev.lock:
        dev.asserted = True
        dev.interrupt(dev.queues[0])
    g.sh("wait_for 120 sh -c '[ $(grep unhandled " + spurious +
         " | tr -dc 0-9) -gt 500 ]'", timeout=180)
    g.sh(f"dd if=/dev/{name} of=/dev/null bs=4k count=8 iflag=direct",
         timeout=60)
    with dev.lock:
        dev.asserted = False
    scene.unbind(g, dev)
    assert not dev.check.breaches, dev.check.report()


@full
@pytest.mark.parametrize("vectors", [2, 0])
def test_line_is_off_without_driver(boot, kernel, vectors):
    """Nobody would answer the line of a function that was given back, and other
    devices may share it. Another driver gets it on."""
    g = boot(kernel=kernel, driver=None,
             disks=[Disk(transport="modern", vectors=vectors)])
    bdf = g.bdf(0)
    at = f"/sys/bus/pci/devices/{bdf}"
    scene.load(g, "lite")
    scene.load(g, "upstream")
    g.sh(f"echo {bdf} >{at}/driver/unbind")
    for driver in ("lite", "upstream", "lite"):
        g.sh(f"echo {scene.DRIVERS[driver]} >{at}/driver_override; "
             f"echo {bdf} >/sys/bus/pci/drivers_probe")
        g.sh(f"dd if=/dev/$(disk_of {bdf}) of=/dev/null bs=4k count=8 "
             "iflag=direct")
        assert vectors or not command_register(g, bdf) & INTX_OFF
        g.sh(f"echo {bdf} >{at}/driver/unbind")
        assert driver == "upstream" or command_register(g, bdf) & INTX_OFF


# -- CPUs that come and go ---------------------------------------------------

@pytest.mark.parametrize("queues", [4, pytest.param(2, marks=full)])
def test_cpus_that_never_came(scripted, queues):
    """Vectors of CPUs that are possible and not there were never started:
    a recovery leaves them so, which the kernel would warn of else."""
    # Newer kernels do not call such CPUs of this machine possible.
    s = scripted(kernel="6.1", smp="2,maxcpus=4")
    s.be(MODERN, queues=queues)
    possible = s.g.sh("cat /sys/devices/system/cpu/possible").strip()
    assert possible == "0-3", f"possible CPUs {possible}: nothing is shown"
    with Busy(s.g, s.name, "--size=4M") as busy:
        with s.dev.lock:
            s.dev.needs_reset()
        s.sh("wait_for 30 grep -qx 1 /sys/block/$D/errors/resets")
        busy.progresses()
    assert "irq_startup" not in s.g.sh("dmesg")
    s.end()


@pytest.mark.parametrize("series, ring", [("6.12", ()), *(
    pytest.param(*row, marks=full)
    for row in (("6.1", ()), ("6.12", ("RING_PACKED",))))],
    ids=["6.12", "6.1", "packed"])
def test_cpu_during_queue_reset(scripted, series, ring):
    """A CPU goes and comes back while its queue is reset, which starts the
    vector: it is nobody's but the repair's until that has ended.

    Nothing is in flight while rings are resized; else the CPU would wait.
    """
    s = scripted(kernel=series, params="queue_depth=64", smp=2)
    s.be(MODERN + ("RING_RESET",) + ring, queues=2, queue_size=256)
    queues = s.dev.queues
    # Until it is ended below; the driver waits for 10 seconds.
    s.dev.script.queue_reset_seconds = 1000.0
    job = s.g.start(f"echo 128 >/sys/block/{s.name}/ring_size")
    for n in range(2):
        s.dev.wait(lambda d: queues[n].resetting, 30, f"a reset of queue {n}")
        if n == 1:
            s.g.sh(f"echo 0 >{CPU1} && echo 1 >{CPU1}", timeout=60)
        with s.dev.lock:
            assert queues[n].resetting, "the reset was given up meanwhile"
            queues[n].reset_until = 0
    job.wait(60)
    assert s.sh("cat /sys/block/$D/ring_size") == "128\n"
    assert s.sh("cat /sys/block/$D/errors/resets") == "0\n"
    s.dev.script.queue_reset_seconds = 0.0
    with Busy(s.g, s.name, "--size=4M") as busy:
        busy.progresses()
        s.g.sh(f"taskset 2 dd if=/dev/{s.name} of=/dev/null bs=4k count=9 "
               "iflag=direct")
    assert "Unbalanced" not in s.g.sh("dmesg")
    s.end()
