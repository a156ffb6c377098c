# SPDX-License-Identifier: GPL-2.0
"""What a request costs in register accesses, on five kinds of disks.

Each access leaves the guest on a machine with virtualisation.
"""

import re
from collections import Counter

from bench import registers
from bench.measure import Job
from vbl import SetupError

# Many make what happens once in a while small.
COUNT, WARM = 400, 20
WHAT = {"read": "r", "write": "w"}
JOBS = {"one at a time": {"depth": 1}, "batches of 32": {"depth": 32,
                                                         "batch": 32}}

IDE = {0: "data", 1: "features", 2: "sector count", 3: "LBA low",
       4: "LBA mid", 5: "LBA high", 6: "device", 7: "command"}
IDE_READ = {**IDE, 1: "error", 7: "status"}
BMDMA = {0: "bus master command", 2: "bus master status",
         4: "bus master table"}
AHCI = {0x00: "CAP", 0x04: "GHC", 0x08: "IS"}
AHCI_PORT = {0x00: "PxCLB", 0x08: "PxFB", 0x10: "PxIS", 0x14: "PxIE",
             0x18: "PxCMD", 0x20: "PxTFD", 0x24: "PxSIG", 0x28: "PxSSTS",
             0x2c: "PxSCTL", 0x30: "PxSERR", 0x34: "PxSACT", 0x38: "PxCI"}
NVME = {0x14: "CC", 0x1c: "CSTS"}


def ide(op, offset, bar):
    """A register of the primary channel, or of the bus master."""
    if bar == 1:
        return "alternate status" if op == "read" else "device control"
    if bar == 4:
        return BMDMA.get(offset, f"bus master +{offset:#x}")
    return (IDE_READ if op == "read" else IDE).get(offset, f"+{offset:#x}")


def ahci(_op, offset, _bar):
    """A register of the controller, or of a port."""
    if offset < 0x100:
        return AHCI.get(offset, f"+{offset:#x}")
    return AHCI_PORT.get((offset - 0x100) % 0x80, f"port +{offset:#x}")


def nvme(_op, offset, _bar):
    """A doorbell, or a register of the controller."""
    if offset < 0x1000:
        return NVME.get(offset, f"+{offset:#x}")
    queue, end = divmod((offset - 0x1000) // 4, 2)
    return f"queue {queue} " + ("completion head" if end else
                                "submission tail")


def virtio(_op, offset, _bar):
    """The only register that a request needs is that of kicks."""
    return "queue notify" if offset >= 0x3000 else f"+{offset:#x}"


NAMES = {"IDE": ide, "AHCI": ahci, "NVMe": nvme, "upstream": virtio,
         "ours": virtio}


def bars(text):
    """[(first, last)] of each BAR, from sysfs' resource."""
    return [tuple(int(w, 16) for w in row.split()[:2])
            for row in text.splitlines()[:6]]


def name(kind, regions, op, address):
    """The name of a register."""
    for bar, (first, last) in enumerate(regions):
        if last and first <= address <= last:
            # Compatibility mode: BAR 0 and 1 are ports of the channel.
            return NAMES[kind](op, address - first, bar)
    raise SetupError(f"{kind}: an access to {address:#x}, which is not in its "
                     "BARs")


def measure(kernel=None, what="read", ko=None, qemu=None):
    """{kind: {job: {(op, register): accesses per request}}}, and
    (kernel, QEMU)."""
    if what not in WHAT:
        raise SetupError(f"WHAT={what}: one of {', '.join(WHAT)}")
    out = {}
    with registers.Disks(kernel, ko, qemu) as disks:
        about = disks.guest.kernel.release, disks.guest.process.argv[0]
        for kind, dev in disks.devices.items():
            regions = bars(disks.guest.sh(
                f"cat /sys/bus/pci/devices/{disks.functions[kind]}/resource"))
            out[kind] = {}
            for label, how in JOBS.items():
                job = Job(op=WHAT[what], count=COUNT, **how)
                seen = Counter((op, name(kind, regions, op, address))
                               for op, address, _, _ in disks.accesses(
                                   job.command(f"/dev/{dev}", WARM)))
                total = job.total + job.but(count=WARM).total
                out[kind][label] = {k: n / total for k, n in seen.items()}
    return out, about


def total(found, op=None):
    """Accesses per request, all or only reads or writes."""
    return sum(n for (o, _), n in found.items() if op in (None, o))


def number(n):
    """Two digits behind the point, or none when they are noughts."""
    text = f"{n:.2f}"
    return re.sub(r"\.00$", "", text)


def table(result, what):
    """The table: a row for each kind of disk."""
    head = f"register accesses per {what} of 4 KiB"
    out = [f"{head:<42}" + "".join(f"{label:>24}" for label in JOBS),
           f"{'':<42}" + f"{'all  reads writes':>24}" * len(JOBS)]
    for kind, jobs in result.items():
        cells = [f"{number(total(j)):>10}{number(total(j, 'read')):>7}"
                 f"{number(total(j, 'write')):>7}" for j in jobs.values()]
        out.append(f"{kind:<42}" + "".join(cells))
    out.append("")
    for kind, jobs in result.items():
        out.append(f"{kind}: " + "; ".join(
            f"{number(n)} {op} {reg}" for (op, reg), n in
            sorted(next(iter(jobs.values())).items(), key=lambda i: -i[1])))
    return "\n".join(out)
