# SPDX-License-Identifier: GPL-2.0
"""Whose is a completion, and when may a function write to memory."""

import pytest
from device import Device, scene
from faults.load import Busy
from scripted import MODERN
from vbl.disk import Disk

CPU1 = "/sys/devices/system/cpu/cpu1/online"
# Bus mastering is bit 2 of the command register of a PCI function.
MASTER = 4


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
def stubborn(boot):
    """A guest with a scripted device, and that device."""
    why_not = scene.qemu()[1]
    if why_not:
        pytest.skip(why_not)
    with Device(MODERN) as dev:
        g = boot(devices=[dev.qemu], share_mem=True, driver=None,
                 qemu=scene.command())
        scene.load(g, "lite")
        yield g, dev


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
