# SPDX-License-Identifier: GPL-2.0
"""Which functions are taken, under which name, and with which interrupts."""

import pytest
from device import USUAL, Device
from scripted import command, scene
from vbl import Disk

PCI = "/sys/bus/pci"
LITE = f"{PCI}/drivers/virtio-pci-lite"


# -- functions that are no disks ---------------------------------------------

def give(g, bdf):
    """Have the driver probe a function; what it said."""
    mark = g.dmesg_mark(f"give {bdf}")
    g.sh(f"d={PCI}/devices/{bdf}; echo virtio-pci-lite >$d/driver_override; "
         f"[ ! -e $d/driver ] || echo {bdf} >$d/driver/unbind; "
         f"echo {bdf} >{PCI}/drivers_probe", timeout=60)
    return g.dmesg_since(mark)


@pytest.mark.parametrize("net", [
    "virtio-net-pci,disable-legacy=on", "virtio-net-pci,disable-legacy=off",
    pytest.param("virtio-rng-pci,disable-legacy=on", marks=pytest.mark.full),
    pytest.param("e1000", marks=pytest.mark.full)],
    ids=["modern", "transitional", "rng", "e1000"])
def test_not_a_disk(boot, kernel, net):
    """What a user gives to the driver by hand is refused, with its address."""
    g = boot(kernel=kernel, disks=[Disk()], driver=None,
             devices=[f"-device {net},addr=0x9"])
    g.sh("vbl_load && vbl_take_all")
    bdf = "0000:00:09.0"
    said = give(g, bdf)
    assert f"{bdf}: not a virtio device that has a driver here" in said
    assert g.sh(f"pci_driver {bdf}") == ""
    # The same by its ids; the write itself is no error.
    g.sh(f"echo >{PCI}/devices/{bdf}/driver_override")
    ids = g.sh(f"cut -c 3- {PCI}/devices/{bdf}/vendor; "
               f"cut -c 3- {PCI}/devices/{bdf}/device").split()
    g.sh(f"echo {' '.join(ids)} >{LITE}/new_id", timeout=60)
    assert g.sh(f"pci_driver {bdf}") == ""
    # And the disk is a disk still, the module can go.
    g.sh(f"dd if=/dev/{g.dev()} of=/dev/null bs=64k count=4 iflag=direct 2>&1")
    g.sh("vbl_unload")


@pytest.mark.parametrize("transport", ["transitional", "legacy"])
@pytest.mark.usefixtures("scripted")     # which needs a QEMU that has them
def test_transitional_device_of_another_kind(boot, kernel, transport):
    """The subsystem of a transitional device tells what it is."""
    for subsystem, taken in (((0x1af4, 1), False), ((0x1234, 2), True)):
        dev = Device(USUAL if transport == "transitional" else USUAL[1:],
                     transport=transport, subsystem=subsystem)
        with dev:
            g = boot(kernel=kernel, devices=[dev.qemu], share_mem=True,
                     driver=None, qemu=command())
            g.sh("vbl_load")
            scene.unbind(g, dev)
            dev.forget()        # the firmware, and whoever had it before
            said = give(g, dev.bdf)
            assert (g.status(f"disk_of {dev.bdf}")[0] == 0) == taken, said
            assert ("subsystem 1af4:0001" in said) != taken
            if not taken:
                assert not dev.log.find("write"), "its registers were written"
            g.kill()
