# SPDX-License-Identifier: GPL-2.0
"""One disk of a guest: where its data is, and how QEMU presents it.

    Disk()                             fresh sparse 64 MB raw file
    Disk("a.qcow2", serial="abc")      an image; the format is recognised
    Disk("null", size="512M")          null-co: no data, no host I/O
    Disk(backend=[{...}, {...}])       any -blockdev chain, lowest node first
    Disk(transport="legacy", vectors=0, num_queues=1)
    Disk(kind="nvme")                  the same data as an NVMe disk
"""

import json
import re
from pathlib import Path

from .errors import SetupError

TRANSPORTS = {
    "legacy": {"disable-legacy": "off", "disable-modern": True},
    "transitional": {"disable-legacy": "off", "disable-modern": False},
    "modern": {"disable-legacy": "on", "disable-modern": False},
}

# Disk(...) name -> property of -device virtio-blk-pci.
PROPS = {
    "num_queues": "num-queues", "vectors": "vectors",
    "indirect": "indirect_desc", "event_idx": "event_idx", "packed": "packed",
    "queue_size": "queue-size", "seg_max_adjust": "seg-max-adjust",
    "serial": "serial", "write_cache": "write-cache",
    "config_wce": "config-wce", "discard": "discard",
    "write_zeroes": "write-zeroes",
    "logical_block_size": "logical_block_size",
    "physical_block_size": "physical_block_size",
    "min_io_size": "min_io_size", "opt_io_size": "opt_io_size",
    "discard_granularity": "discard_granularity",
    "max_discard_sectors": "max-discard-sectors",
    "max_write_zeroes_sectors": "max-write-zeroes-sectors",
    "ioeventfd": "ioeventfd", "iommu_platform": "iommu_platform",
    "ats": "ats", "in_order": "in_order", "queue_reset": "queue_reset",
    "rerror": "rerror", "werror": "werror",
    "share_rw": "share-rw", "bootindex": "bootindex",
    "request_merging": "request-merging", "any_layout": "any_layout",
    "notify_on_empty": "notify_on_empty",
}
NVME_PROPS = {"serial", "logical_block_size", "physical_block_size",
              "discard_granularity", "write_cache", "bootindex", "share_rw",
              "min_io_size", "opt_io_size"}

_WORD_PROPS = ("serial", "addr", "write-cache", "disable-legacy", "rerror",
               "werror")
_WORDS = {"on": True, "off": False, "true": True, "false": False,
          "yes": True, "no": False, "none": None}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def to_bytes(size):
    """Bytes in a size such as 64M or 4096."""
    got = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", str(size), re.I)
    if not got:
        raise SetupError(f"size {size!r}: expected a number, with K, M, G or T")
    return int(got[1]) * _UNITS[got[2].upper()]


def parse_options(words):
    """{name: value} from ["size=1G", "packed=on"], for Disk(**options)."""
    options = {}
    for word in words:
        name, eq, value = word.partition("=")
        if not eq:
            raise SetupError(f"disk option {word!r}: expected name=value")
        options[name.replace("-", "_")] = _WORDS.get(
            value, int(value) if value.isdigit() else value)
    return options


def image_format(path):
    """qcow2 or raw, from the first bytes of the file."""
    try:
        with open(path, "rb") as f:
            return "qcow2" if f.read(4) == b"QFI\xfb" else "raw"
    except OSError as e:
        raise SetupError(f"disk image {path}: {e.strerror}") from None


def _prop(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")


class Disk:
    """A disk description; Guest turns it into arguments with args()."""

    def __init__(self, source=None, *, size="64M", format=None, backend=None,
                 kind="virtio", transport="transitional", readonly=False,
                 blkdebug=None, throttle=None, cache=None, aio=None,
                 unmap=True, iothread=False, root_port=False, addr=None,
                 bus=None, props=None, hotplug=False, **options):
        self.source, self.size, self.format = source, size, format
        self.backend, self.kind, self.transport = backend, kind, transport
        self.readonly, self.blkdebug = readonly, blkdebug
        self.throttle, self.cache, self.aio = throttle, cache or {}, aio
        self.unmap, self.iothread, self.root_port = unmap, iothread, root_port
        self.addr, self.bus, self.hotplug = addr, bus, hotplug
        self.props, self.options = dict(props or {}), options
        # Filled in by place(), when the disk becomes part of a guest.
        self.index = self.id = self.node = self.path = self.bdf = None
        self._check()

    @classmethod
    def parse(cls, words):
        """A Disk from ["null", "size=1G", "packed=on"]; source is optional."""
        has_source = bool(words) and "=" not in words[0]
        return cls(words[0] or None if has_source else None,
                   **parse_options(words[has_source:]))

    def _check(self):
        if self.kind not in ("virtio", "nvme"):
            raise SetupError(f"Disk kind={self.kind!r}: virtio or nvme")
        if self.transport not in TRANSPORTS:
            raise SetupError(f"Disk transport={self.transport!r}: one of "
                             + ", ".join(TRANSPORTS))
        for name, value in self.options.items():
            if name not in PROPS:
                raise SetupError(f"Disk has no option {name!r}; known: "
                                 + ", ".join(sorted(PROPS))
                                 + "; anything else goes into props={...}")
            if self.kind == "nvme" and name not in NVME_PROPS and \
                    value is not None:
                raise SetupError(f"Disk option {name} means nothing with "
                                 "kind='nvme'")
        on = {k for k, v in self.options.items() if v not in (None, False)}
        if self.transport == "legacy":
            for name in on & {"packed", "iommu_platform", "in_order", "ats",
                              "queue_reset"}:
                raise SetupError(f"Disk option {name} needs a modern device; "
                                 "transport='legacy' cannot negotiate it")
        if "iommu_platform" in on and self.transport != "modern":
            raise SetupError("Disk option iommu_platform needs "
                             "transport='modern'")
        if self.kind == "nvme" and self.transport != "transitional":
            raise SetupError("Disk transport means nothing with kind='nvme'")
        if self.source and self.backend:
            raise SetupError("Disk takes a source or a backend, not both")
        if self.hotplug and not (self.root_port or self.bus):
            self.root_port = True
        if self.root_port and self.bus:
            raise SetupError("Disk takes root_port=True or a bus, not both")
        queue = self.options.get("queue_size")
        if queue and (queue & (queue - 1) or not 4 <= queue <= 1024):
            raise SetupError(f"Disk queue_size={queue}: a power of two "
                             "from 4 to 1024")

    # -- the data side ----------------------------------------------------

    def _lowest(self, folder):
        """The -blockdev nodes that hold the data, the last one on top."""
        if self.backend is not None:
            chain = self.backend
            chain = [dict(n) for n in
                     ([chain] if isinstance(chain, dict) else chain)]
            chain[-1].setdefault("node-name", f"{self.id}-data")
            return chain
        if self.source == "null":
            return [{"driver": "null-co", "size": to_bytes(self.size),
                     "read-zeroes": True, "node-name": f"{self.id}-data"}]
        if self.source is None:
            self.path = Path(folder) / f"{self.id}.raw"
            if not self.path.exists():
                with open(self.path, "wb") as f:
                    f.truncate(to_bytes(self.size))
        else:
            self.path = Path(self.source).absolute()
        fmt = self.format or image_format(self.path)
        low = {"driver": "file", "filename": str(self.path)}
        if self.aio:
            low["aio"] = self.aio
        if self.unmap:
            low["discard"] = "unmap"
        if self.cache:
            low["cache"] = self.cache
        top = {"driver": fmt, "node-name": f"{self.id}-data", "file": low}
        if self.unmap:
            top["discard"] = "unmap"
        if self.cache:
            top["cache"] = self.cache
        return [top]

    def blockdevs(self, folder):
        """(-object arguments, -blockdev nodes); the last node is self.node."""
        objects, nodes = [], self._lowest(folder)
        if self.blkdebug is not None:
            nodes.append({"driver": "blkdebug", "image": nodes[-1]["node-name"],
                          "node-name": f"{self.id}-debug", **self.blkdebug})
        if self.throttle is not None:
            group = f"{self.id}-group"
            limits = ",".join(f"x-{k}={v}" for k, v in self.throttle.items())
            objects.append(f"throttle-group,id={group}"
                           + ("," + limits if limits else ""))
            nodes.append({"driver": "throttle", "throttle-group": group,
                          "file": nodes[-1]["node-name"],
                          "node-name": f"{self.id}-throttle"})
        for n in nodes:
            if self.readonly:
                n["read-only"] = True
            if self.unmap and n.get("driver") in ("blkdebug", "throttle"):
                n.setdefault("discard", "unmap")
        self.node = nodes[-1]["node-name"]
        return objects, nodes

    # -- the device side --------------------------------------------------

    def place(self, index, machine):
        """Take a number, an id and a slot in a guest of this machine type."""
        self.index, self.id = index, f"d{index}"
        main = "pci.0" if machine.startswith("pc") else "pcie.0"
        if self.root_port:
            if main != "pcie.0":
                raise SetupError("Disk root_port needs machine='q35'")
            self.bus, self.port_slot = f"port-{self.id}", 0x10 + index
            self.addr = "0"
        else:
            self.bus = self.bus or main
            self.addr = self.addr or f"{4 + index:#x}"
            if self.bus == main:
                slot, _, func = str(self.addr).partition(".")
                self.bdf = f"0000:00:{int(slot, 16):02x}.{func or 0}"

    def device(self):
        """Driver and properties of the device, for -device or device_add."""
        props = {"id": self.id, "drive": self.node, "bus": self.bus,
                 "addr": self.addr}
        if self.kind == "nvme":
            driver = "nvme"
            props["serial"] = f"vbl-{self.id}"
        else:
            driver = "virtio-blk-pci"
            props.update(TRANSPORTS[self.transport])
            if self.iothread:
                props["iothread"] = f"{self.id}-io"
        for name, value in self.options.items():
            if value is not None:
                props[PROPS[name]] = value
        props.update(self.props)
        return driver, props

    def device_json(self):
        """The same as arguments of the QMP command device_add."""
        driver, props = self.device()
        # Switches with a third state "auto" are words there, not booleans.
        return {"driver": driver, **{
            k: v if isinstance(v, (bool, int)) and k not in _WORD_PROPS
            else _prop(v).replace(",,", ",") for k, v in props.items()}}

    def args(self, folder):
        """All QEMU arguments of this disk."""
        out = []
        objects, nodes = self.blockdevs(folder)
        if self.iothread:
            objects.append(f"iothread,id={self.id}-io")
        for o in objects:
            out += ["-object", o]
        for n in nodes:
            out += ["-blockdev", json.dumps(n)]
        if self.root_port:
            # Room for an I/O BAR, or legacy disks could not be plugged in.
            out += ["-device", f"pcie-root-port,id={self.bus},bus=pcie.0,"
                    f"addr={self.port_slot:#x},chassis={self.index + 1},"
                    "io-reserve=4096"]
        if not self.hotplug:
            driver, props = self.device()
            out += ["-device", driver + "".join(
                f",{k}={_prop(v)}" for k, v in props.items())]
        return out
