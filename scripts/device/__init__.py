# SPDX-License-Identifier: GPL-2.0
"""A virtio-blk device in Python whose every answer is a script.

    from device import Device, Script, HOLD, USUAL

    with Device(USUAL + ("BLK_DISCARD",)) as dev, \\
            Guest(devices=[dev.qemu], share_mem=True) as g:
        dev.forget()                    # what the firmware did
        ...

It speaks to QEMU in one of two ways:
    vfio_user.py    a complete PCI device: every register, capability, vector
    vhost_user.py   only the queues, behind QEMU's own virtio-blk registers

and is made of: spec (numbers), listener, memory, config, status, registers, pci
(what the driver sees), chain, split, packed, ring (queues), blk, zoned (the
disk), script (the answers), log (what happened, and which requirement was broken).
"""

from .blk import HOLD, SILENT, Request
from .device import CONFIG, USUAL, ZONED, Device
from .script import HoldRequests, Script
from .vhost_user import VhostDevice

__all__ = ["CONFIG", "Device", "HOLD", "HoldRequests", "Request", "SILENT",
           "Script", "USUAL", "VhostDevice", "ZONED"]
