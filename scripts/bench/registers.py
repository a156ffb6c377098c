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
from .measure import DISK_SIZE, ONE_CPU, Job

COUNT, WARM = 2000, 100
JOBS = {"depth 1": Job(depth=1, count=COUNT),
        "batches of 32": Job(depth=32, batch=32, count=COUNT)}
NOT_THE_DISK = re.compile(r"apic|serial|hpet|rtc|pit|pic|acpi|pm-|kvm|port92|"
                          r"i8042|dma|elcr|pcspk|fwcfg|pci-conf")
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


def _count(guest, log, command):
    """Accesses by region while @command runs."""
    start = log.stat().st_size if log.exists() else 0
    for event in EVENTS:
        guest.qmp("trace-event-set-state", name=event, enable=True)
    try:
        guest.sh(command, timeout=300)
    finally:
        for event in EVENTS:
            guest.qmp("trace-event-set-state", name=event, enable=False)
    out = {}
    with open(log, errors="replace") as f:
        f.seek(start)
        for line in f:
            got = re.search(r"memory_region_ops_\w+ .* name '(.*)'", line)
            if got and not NOT_THE_DISK.search(got[1]):
                out[got[1]] = out.get(got[1], 0) + 1
    return out


def measure(kernel, ko, say):
    """A line for each kind of disk: accesses per request."""
    say("  register accesses of five kinds of disks: booting")
    quiet = {"ioeventfd": False}    # else QEMU does not tell of notifications
    disks = {"ours": Disk("null", size=DISK_SIZE, **quiet),
             "upstream": Disk("null", size=DISK_SIZE, **quiet),
             "NVMe": Disk("null", size=DISK_SIZE, kind="nvme")}
    out = {"id": "registers", "label": "register accesses per request",
           "unit": "reads of 4 KiB", "x": list(JOBS), "y": {}, "bars": True}
    with tempfile.TemporaryDirectory(prefix="vbl-trace-") as folder:
        log = Path(folder) / "log"
        with Guest(kernel, disks=disks.values(), driver=None, ko=ko,
                   **ONE_CPU,
                   machine="pc", tools=False, timeout=0,
                   modules=("ata_piix", "ahci", "sd_mod"),
                   files={"bin/iob": build.iob()},
                   devices=[*_devices(), ["-D", str(log)]]) as g:
            g.sh("vbl_load_upstream; vbl_load; modprobe ata_piix; "
                 "modprobe ahci; modprobe sd_mod; take_over "
                 + g.bdf(disks["ours"]), timeout=120)
            names = {"IDE": g.sh(f"wait_for 10 eval '{_find('ide')}'"),
                     "AHCI": g.sh(f"wait_for 10 eval '{_find('ahci')}'")}
            names |= {n: g.dev(disks[n]) for n in ("NVMe", "upstream", "ours")}
            for name, dev in names.items():
                dev = dev.strip()
                g.sh(f"echo none >/sys/block/{dev}/queue/scheduler")
                out["y"][name] = []
                for job in JOBS.values():
                    got = _count(g, log, job.command(f"/dev/{dev}", WARM))
                    total = job.total + job.but(count=WARM).total
                    out["y"][name].append(sum(got.values()) / total)
    return out
