# SPDX-License-Identifier: GPL-2.0
"""Accesses to registers for the same work, on every kind of emulated disk.

Each would leave the guest on a real machine with virtualisation. QEMU tells of
all of them; those of timers, serial ports and interrupt controllers are not
the disk's.
"""

import re
import tempfile
from pathlib import Path

from vbl import Disk, Guest

from . import build
from .measure import DISK_SIZE, ONE_CPU, Job, no_scheduler

COUNT, WARM = 2000, 100
JOBS = {"depth 1": Job(depth=1, count=COUNT),
        "batches of 32": Job(depth=32, batch=32, count=COUNT)}
NOT_THE_DISK = re.compile(r"apic|serial|hpet|rtc|pit|pic|acpi|pm-|kvm|port92|"
                          r"i8042|dma-|elcr|pcspk|fwcfg|pci-conf")
ACCESS = re.compile(r"memory_region_ops_(read|write) .*addr (0x[0-9a-f]+) .*"
                    r"size (\d+) name '(.*)'")
EVENTS = ("memory_region_ops_read", "memory_region_ops_write")


def _devices():
    """QEMU arguments of the disks that the harness does not know."""
    out = []
    for name, bus in (("ide", "ide.0"), ("ahci", "vblahci.0")):
        if name == "ahci":
            out.append(["-device", "ahci,id=vblahci,addr=0x10"])
        out.append(["-blockdev", "driver=null-co,size=536870912,"
                    f"read-zeroes=on,node-name=n-{name}"])
        out.append(["-device", f"ide-hd,drive=n-{name},bus={bus},"
                    f"serial=vbl-{name}"])
    return out


def _find(serial):
    return ("for d in /sys/block/sd*; do grep -qa vbl-" + serial +
            " $d/device/vpd_pg80 && echo ${d##*/}; done | grep .")


class Disks:
    """A guest with a disk of each kind.

    devices     {kind: its name in the guest}
    functions   {kind: address of its PCI function}
    """

    def __init__(self, kernel, ko=None, qemu=None):
        quiet = {"ioeventfd": False}    # else QEMU does not tell of kicks
        self.disks = {"ours": Disk("null", size=DISK_SIZE, **quiet),
                      "upstream": Disk("null", size=DISK_SIZE, **quiet),
                      "NVMe": Disk("null", size=DISK_SIZE, kind="nvme")}
        self._folder = tempfile.TemporaryDirectory(prefix="vbl-trace-")
        self.log = Path(self._folder.name) / "log"
        self.guest = Guest(
            kernel, disks=self.disks.values(), driver=None, ko=ko, **ONE_CPU,
            qemu=qemu, machine="pc", tools=False, timeout=0,
            modules=("ata_piix", "ahci", "sd_mod"),
            files={"bin/iob": build.iob()},
            devices=[*_devices(), ["-D", str(self.log)]])

    def __enter__(self):
        g = self.guest.__enter__()
        try:
            g.sh("vbl_load_upstream; vbl_load; modprobe ata_piix; "
                 "modprobe ahci; modprobe sd_mod; take_over "
                 + g.bdf(self.disks["ours"]), timeout=120)
            self.devices = {
                n: g.sh(f"wait_for 10 eval '{_find(n.lower())}'").strip()
                for n in ("IDE", "AHCI")}
            self.devices |= {n: g.dev(self.disks[n])
                             for n in ("NVMe", "upstream", "ours")}
            self.functions = {"IDE": "0000:00:01.1", "AHCI": "0000:00:10.0",
                              **{n: g.bdf(d) for n, d in self.disks.items()}}
            g.sh(no_scheduler(*self.devices.values()))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *why):
        self.guest.__exit__(*why)
        self._folder.cleanup()

    def accesses(self, command):
        """(read or write, address, bytes, region) of each access to a
        register of a disk while @command runs."""
        g, log = self.guest, self.log
        start = log.stat().st_size if log.exists() else 0
        for event in EVENTS:
            g.qmp("trace-event-set-state", name=event, enable=True)
        try:
            g.sh(command, timeout=300)
        finally:
            for event in EVENTS:
                g.qmp("trace-event-set-state", name=event, enable=False)
        with open(log, errors="replace") as f:
            f.seek(start)
            for line in f:
                got = ACCESS.search(line)
                if got and not NOT_THE_DISK.search(got[4]):
                    yield got[1], int(got[2], 16), int(got[3]), got[4]


def measure(kernel, ko, say):
    """A line for each kind of disk: accesses per request."""
    say("  register accesses of five kinds of disks: booting")
    out = {"id": "registers", "label": "register accesses per request",
           "unit": "reads of 4 KiB", "x": list(JOBS), "y": {}, "bars": True}
    with Disks(kernel, ko) as disks:
        for name, dev in disks.devices.items():
            out["y"][name] = []
            for job in JOBS.values():
                got = list(disks.accesses(job.command(f"/dev/{dev}", WARM)))
                total = job.total + job.but(count=WARM).total
                out["y"][name].append(len(got) / total)
    return out
