# SPDX-License-Identifier: GPL-2.0
"""Register accesses of a virtio PCI function, with the specification's names.

From QEMU's own trace events, or from the log of a scripted device.
"""

import dataclasses
import re

from device import spec

# device/spec.py has short names; these are those of sections 4.1.4.3 and 4.1.5.
LONG = {"status": "device_status", "generation": "config_generation",
        "config_vector": "config_msix_vector",
        "queue_vector": "queue_msix_vector", "notify": "queue_notify",
        "isr": "ISR status", "queue_pfn": "queue_address"}
STATUS = ((spec.ACKNOWLEDGE, "ACKNOWLEDGE"), (spec.DRIVER, "DRIVER"),
          (spec.DRIVER_OK, "DRIVER_OK"), (spec.FEATURES_OK, "FEATURES_OK"),
          (spec.SUSPENDED, "SUSPEND"), (spec.NEEDS_RESET, "NEEDS_RESET"),
          (spec.FAILED, "FAILED"))
# PCI, section 7.5.1 of PCI Express: the header, and what virtio's functions have.
HEADER = {0x00: "vendor, device id", 0x02: "device id", 0x04: "command",
          0x06: "status", 0x08: "revision, class", 0x0c: "cache line",
          0x0e: "header type", 0x10: "BAR0", 0x14: "BAR1", 0x18: "BAR2",
          0x1c: "BAR3", 0x20: "BAR4", 0x24: "BAR5", 0x2c: "subsystem vendor",
          0x2e: "subsystem id", 0x30: "ROM", 0x34: "capabilities",
          0x3c: "interrupt line", 0x3d: "interrupt pin"}


@dataclasses.dataclass
class Access:
    """One access: when, where, which register, and its value."""

    at: float
    where: str
    name: str
    write: bool
    value: int

    def __str__(self):
        arrow = "<-" if self.write else "->"
        return f"{self.where:<8}{self.name:<30} {arrow} {self.says}"

    @property
    def says(self):
        """The value, with the names of bits."""
        if self.name == "device_status":
            names = [n for b, n in STATUS if self.value & b]
            return f"{self.value:#x} {'|'.join(names) or 'reset'}".strip()
        return f"{self.value:#x}"


def long_name(name):
    """The specification's name of a register of device/spec.py."""
    if name.endswith("_hi"):
        return long_name(name[:-3]) + " (high)"
    return LONG.get(name, name)


def _field(off):
    """The field of the device's configuration at an offset."""
    for name, (at, width, _) in spec.CONFIG.items():
        if at <= off < at + width:
            return name + (f" (+{off - at})" if off > at else "")
    return f"config+{off:#x}"


def _legacy(off, vectors):
    table = {**spec.LEGACY, **(spec.LEGACY_VECTORS if vectors else {})}
    if off in table:
        return "legacy", long_name(table[off][1])
    return "config", _field(off - (24 if vectors else 20))


# QEMU's regions, by the start of their names.
REGIONS = {"virtio-pci-common": "common", "virtio-pci-isr": "ISR",
           "virtio-pci-device": "config", "virtio-pci-notify": "notify"}
OPS = re.compile(r"addr (0x[0-9a-f]+) value (0x[0-9a-f]+) size (\d) "
                 r"name '([^']*)'")
EVENTS = ("memory_region_ops_read", "memory_region_ops_write",
          "pci_cfg_read", "pci_cfg_write")


def _region(name, addr, vectors):
    for start, where in REGIONS.items():
        if not name.startswith(start):
            continue
        off = addr & 0xfff
        if where == "common":
            width_name = spec.COMMON.get(off)
            return where, long_name(width_name[1]) if width_name \
                else f"common+{off:#x}"
        if where == "config":
            return where, _field(off)
        return where, "queue_notify" if where == "notify" else "ISR status"
    if name == "virtio-pci":
        return _legacy(addr & 0x7f, vectors)
    return None


class _Capabilities:
    """Names of bytes of config space behind the header, as they are read.

    Whoever looks for a capability reads its id first.
    """

    def __init__(self):
        self.at = {}

    def name(self, off, value):
        """The name of the register at @off, from which @value was read."""
        for start, (what, fields) in self.at.items():
            if off - start in fields:
                return f"{what} {start:#x}: {fields[off - start]}"
        if off < 0x40:
            return HEADER.get(off, f"header+{off:#x}")
        if value & 0xff in CAPS:
            self.at[off] = CAPS[value & 0xff]
            return f"{CAPS[value & 0xff][0]} {off:#x}: id, next"
        return f"config space+{off:#x}"


# PCI: id of a capability -> its name, and its fields.
CAPS = {
    0x09: ("virtio capability", {
        0: "id, next", 1: "next", 2: "cap_len", 3: "cfg_type", 4: "bar",
        5: "id", 8: "offset", 12: "length", 16: "notify_off_multiplier"}),
    0x11: ("MSI-X", {0: "id, next", 1: "next", 2: "message control",
                     4: "table", 8: "pending bits"}),
    0x01: ("power management", {0: "id, next", 1: "next", 2: "capabilities",
                                4: "control"}),
    0x10: ("PCI Express", {0: "id, next", 1: "next", 2: "capabilities",
                           4: "device capabilities", 8: "device control",
                           10: "device status"}),
}
# Of the function: "virtio-blk 00:04.0 @0x4 -> 0x7"; before QEMU 8.0 "4:0".
PLACE = re.compile(r"(?:\w\w:)?(\w+)[.:](\w) @(0x[0-9a-f]+) \S+ "
                   r"(0x[0-9a-f]+)")


def from_qemu(found, slot):
    """Accesses of the function in a slot of the root bus, from QEMU's events.

    found   events of QEMU, see events.py
    """
    out, vectors, caps = [], False, _Capabilities()
    for e in found:
        write = e.name.endswith("write")
        if e.name.startswith("memory_region_ops_"):
            got = OPS.search(e.text)
            named = got and _region(got[4], int(got[1], 16), vectors)
            if named:
                out.append(Access(e.at, *named, write, int(got[2], 16)))
        elif e.name.startswith("pci_cfg_"):
            got = PLACE.search(e.text)
            if not got or int(got[1], 16) != slot or got[2] != "0":
                continue
            off, value = int(got[3], 16), int(got[4], 16)
            name = caps.name(off, value)
            # Registers of a legacy device move when MSI-X is on.
            if write and name.endswith("message control"):
                vectors = bool(value & 0x8000)
            out.append(Access(e.at, "PCI", name, write, value))
    return out


def from_device(entries):
    """Accesses from the log of a scripted device."""
    out = []
    for _, at, what, *detail in entries:
        if what not in ("read", "write") or not isinstance(detail[1], int):
            continue
        name, value = detail
        where = "common"
        if name.startswith("legacy."):
            where, name = "legacy", name[7:]
        if name.startswith("config+"):
            where, name = "config", _field(int(name[7:], 16))
        elif name == "isr":
            where, name = "ISR", "isr"
        out.append(Access(at, where, long_name(name), what == "write", value))
    return out


def features(accesses):
    """(offered, accepted) masks, as they went through the registers; accepted is
    None when the driver wrote none."""
    offered, accepted, select, driver = 0, None, 0, 0
    for a in accesses:
        if a.name == "device_feature_select" and a.write:
            select = a.value
        elif a.name == "driver_feature_select" and a.write:
            driver = a.value
        elif a.name == "device_feature" and not a.write:
            offered |= a.value << (32 * select if a.where == "common" else 0)
        elif a.name == "driver_feature" and a.write:
            accepted = (accepted or 0) | a.value << (
                32 * driver if a.where == "common" else 0)
    return offered, accepted
