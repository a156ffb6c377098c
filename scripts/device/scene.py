# SPDX-License-Identifier: GPL-2.0
"""Binding a scripted device to a driver in a guest."""

import functools
import re
import subprocess

from vbl import SetupError, lab
from vbl.qemu import asked_for, binary

DRIVERS = {"lite": "virtio-pci-lite", "upstream": "virtio-pci"}
PCI = "/sys/bus/pci"


def why_not(command):
    """Why this QEMU cannot have such a device; None if it can."""
    got = subprocess.run([*command, "-device", "vfio-user-pci,help"],
                         capture_output=True, text=True, check=False)
    if got.returncode == 0 and "socket=" in got.stdout:
        return None
    version = subprocess.run([*command, "--version"], capture_output=True,
                             text=True, check=False).stdout
    version = re.search(r"version (\S+)", version)
    return (f"QEMU {version[1] if version else '?'} has no vfio-user-pci: "
            "QEMU 10.1 or newer is needed (Q= or VBL_QEMU= chooses one)")


@functools.cache
def qemu():
    """(a QEMU command that can have such a device, None), or (None, why)."""
    given = binary()
    why = why_not(given)
    if why is None:
        return " ".join(given), None
    if asked_for():
        return None, why
    try:
        newer = lab.qemu()
    except SetupError as e:
        return None, f"{why}; {e}"
    again = why_not([newer])
    return (None, f"{why}; {again}") if again else (newer, None)


def command():
    """One QEMU for all: one that can have scripted devices, if any."""
    return qemu()[0] or " ".join(binary())


@functools.cache
def qemu_has(prop):
    """Whether this QEMU's virtio disks have a property."""
    return f"  {prop}=" in subprocess.run(
        [*command().split(), "-device", "virtio-blk-pci,help"],
        capture_output=True, text=True, check=True).stdout


def load(g, driver, params=""):
    """Load a driver without giving it anything."""
    g.sh(f"vbl_load {params}" if driver == "lite" else "vbl_load_upstream")


def unbind(g, dev):
    """Take the device from whatever driver has it."""
    d = f"{PCI}/devices/{dev.bdf}/driver"
    g.sh(f"[ ! -e {d} ] || echo {dev.bdf} >{d}/unbind", timeout=90)


def keep_off(g, dev):
    """Take the device from its driver, and let no other have it."""
    unbind(g, dev)
    g.sh(f"echo none >{PCI}/devices/{dev.bdf}/driver_override")


def bind(g, dev, driver):
    """Give the device to a driver and nobody else; its disk, or None.

    What happened before, by the firmware or another driver, is forgotten.
    """
    unbind(g, dev)
    dev.forget()
    at = f"{PCI}/devices/{dev.bdf}"
    g.sh(f"echo {DRIVERS[driver]} >{at}/driver_override; "
         f"echo {dev.bdf} >{PCI}/drivers_probe", timeout=120)
    status, out = g.status(f"disk_of {dev.bdf}")
    return out.strip() if status == 0 else None


def disk(g, dev):
    """The name of its disk, such as vda."""
    return g.sh(f"disk_of {dev.bdf}").strip()


def copy(g, name, mega=1, block="64k"):
    """Write random data to a disk, read it back, compare."""
    count = mega * 1024 // int(block[:-1])
    g.sh(f"dd if=/dev/urandom of=/tmp/x bs={block} count={count} 2>&1 && "
         f"dd if=/tmp/x of=/dev/{name} bs={block} oflag=direct conv=fsync "
         f"2>&1 && dd if=/dev/{name} of=/tmp/y bs={block} count={count} "
         "iflag=direct 2>&1 && cmp /tmp/x /tmp/y; rm -f /tmp/x /tmp/y",
         timeout=120)


__all__ = ["DRIVERS", "bind", "copy", "disk", "keep_off", "load", "qemu", "unbind",
           "why_not"]
