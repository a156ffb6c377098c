# SPDX-License-Identifier: GPL-2.0
"""A checked load: each kind of disk is read, written, and discarded on, and
what is then in its image is compared on the host."""

import dataclasses
import hashlib
import os
import random

from vbl import Disk, VblError

from .guest import Foreign

MB = 1 << 20
SIZE = 16 * MB
# Bits of the features that a disk must have got: 1, or must not have: 0.
VERSION_1, ACCESS_PLATFORM, RING_PACKED = 32, 33, 34


@dataclasses.dataclass(frozen=True)
class Kind:
    """A disk: QEMU's options, and which features are negotiated with it."""

    options: dict
    bits: dict
    iommu: bool = False
    intx: bool = False
    io: bool = False


KINDS = {
    "split": Kind({"num_queues": 2}, {VERSION_1: "1", RING_PACKED: "0"}),
    "packed": Kind({"num_queues": 2, "packed": True},
                   {VERSION_1: "1", RING_PACKED: "1"}),
    "legacy": Kind({"transport": "legacy", "num_queues": 2},
                   {VERSION_1: "0", RING_PACKED: "0"}, io=True),
    "iommu": Kind({"transport": "modern", "iommu_platform": True},
                  {ACCESS_PLATFORM: "1", RING_PACKED: "0"}, iommu=True),
    "iommu+packed": Kind({"transport": "modern", "iommu_platform": True,
                          "packed": True},
                         {ACCESS_PLATFORM: "1", RING_PACKED: "1"}, iommu=True),
    "intx": Kind({"vectors": 0}, {VERSION_1: "1"}, intx=True),
}

PARTS = ("boot", *KINDS, "unload")

# The driver's words about a disk whose registers are out of reach.
REFUSED = "neither modern capabilities with VERSION_1 nor legacy registers"

TAKE = "[ \"$(pci_driver {bdf})\" = virtio-pci-lite ] || take_over {bdf}"
# What is in MB 0 to 4 and 4 to 8 is copied to 8 and 12, by two at once.
USE = """
    d=/dev/{name}
    echo before $(sha256sum <$d)
    dd if=$d of=$d bs=4k count=1024 seek=2048 iflag=direct oflag=direct \\
        2>/dev/null & first=$!
    dd if=$d of=$d bs=1M count=4 skip=4 seek=12 conv=fsync 2>/dev/null &&
    wait $first && blkdiscard -o 1048576 -l 2097152 $d && sync || exit 1
    echo 3 >/proc/sys/vm/drop_caches
    blockdev --flushbufs $d
    echo after $(sha256sum <$d)
"""
# What the driver says of a disk: features, errors, interrupts.
ABOUT = """
    f=/sys/bus/pci/devices/{bdf}
    echo features $(cat $f/virtio*/features)
    echo errors $(cat /sys/block/{name}/errors/* | sort -u | tr '\n' ,)
    echo vectors $(ls $f/msi_irqs 2>/dev/null | wc -l)
    [ ! -e $f/iommu_group ] || echo group 1
"""


def pattern():
    """What is in an image before, and what has to be there after."""
    before = random.Random(1).randbytes(SIZE)
    eight = before[:8 * MB]
    return before, eight[:MB] + bytes(2 * MB) + eight[3 * MB:] + eight


class Wrong(VblError):
    """What was seen is not what has to be."""


def expect(what, got, wanted):
    """Raise when something is not as it has to be."""
    if got != wanted:
        raise Wrong(f"{what}: {got} instead of {wanted}")


class Load:
    """One guest with a disk of each kind, and what was seen of it.

    results     {part: (outcome, why)} for each of PARTS; one that passed with a
                reason is a disk that was refused, as it has to be
    """

    def __init__(self, machine, kernel, ko, folder):
        self.machine, self.kernel, self.ko = machine, kernel, ko
        self.folder, self.results, self.disks = folder, {}, {}
        self.before, self.after = pattern()
        self.page = 0

    def _refused(self, kind):
        """Whether a disk can only be refused here."""
        return kind.io and not self.machine.io

    def _lacks(self, kind):
        if kind.iommu and not self.machine.iommu:
            return "this machine has no IOMMU"
        if kind.intx and not self.machine.intx:
            return "this machine has no PCI function without MSI-X"
        return ""

    def run(self):
        """Do all of it; the results."""
        for name, kind in KINDS.items():
            why = self._lacks(kind)
            if why:
                self.results[name] = "skipped", why
                continue
            image = self.folder / f"{name}.raw"
            image.write_bytes(self.before)
            self.disks[name] = Disk(str(image), **kind.options)
        guest = Foreign(self.machine, self.kernel, list(self.disks.values()),
                        driver=None, ko=self.ko)
        try:
            # A guest that is gone leaves the rest undone.
            if self._part("boot", guest, lambda: self._load(guest)):
                for name in self.disks:
                    self._part(name, guest, lambda: self._use(guest, name))
                self._part("unload", guest, lambda: self._unload(guest))
        finally:
            guest.kill()
        failed = [n for n, (outcome, _) in self.results.items()
                  if outcome == "failed"]
        for name in PARTS:
            self.results.setdefault(
                name, ("skipped", f"not reached: {' '.join(failed)} failed"))
        return self.results

    def _part(self, name, guest, do):
        if guest.process and not guest.alive:
            return False
        try:
            note = do()
            self.results[name] = "passed", note or ""
        except VblError as e:
            self.results[name] = "failed", str(e)
        return self.results[name][0] == "passed"

    def _load(self, g):
        g.start_guest()
        self.mark = g.dmesg_mark("load")
        self.page = int(g.sh("sed -n '/KernelPageSize/{s/[^0-9]//g;p;q}' "
                             "/proc/self/smaps")) * 1024
        g.sh("vbl_load", timeout=60)

    def _use(self, g, name):
        kind, disk = KINDS[name], self.disks[name]
        if self._refused(kind):
            return self._is_refused(g, disk)
        g.sh(TAKE.format(bdf=disk.bdf), timeout=60)
        dev = g.dev(disk)
        seen = _words(g.sh(ABOUT.format(bdf=disk.bdf, name=dev)))
        for bit, digit in kind.bits.items():
            expect(f"feature {bit}", seen["features"][bit], digit)
        expect("interrupt vectors of MSI-X", int(seen["vectors"]) > 0,
               not kind.intx)
        if kind.iommu:
            expect("groups of an IOMMU", seen.get("group"), "1")
        seen = _words(g.sh(USE.format(name=dev), timeout=120))
        expect("sha256 of what was there", seen["before"],
               _sha256(self.before))
        expect("sha256 of what is there", seen["after"], _sha256(self.after))
        seen = _words(g.sh(ABOUT.format(bdf=disk.bdf, name=dev)))
        expect("counts of errors", seen["errors"], "0,")
        g.dmesg_check(self.mark)

    def _is_refused(self, g, disk):
        mark = g.dmesg_mark("refuse")
        status, _ = g.status(TAKE.format(bdf=disk.bdf), timeout=60)
        expect("status of bind-lite", status, 1)
        expect("lines in the log that say no",
               g.dmesg_since(mark).count(f"{disk.bdf}: {REFUSED}"), 1)
        expect("driver of it", g.sh(f"pci_driver {disk.bdf}"), "")
        return "this kernel maps no I/O space: refused in one line"

    def _unload(self, g):
        # What cannot be driven through legacy registers keeps the modern ones.
        g.sh("vbl_unload && ! grep -q ^virtio_lite /proc/modules &&"
             "vbl_load force_legacy=1", timeout=60)
        for name, disk in self.disks.items():
            if self._refused(KINDS[name]):
                continue
            g.sh(TAKE.format(bdf=disk.bdf), timeout=60)
            got = _words(g.sh(f"echo now $(sha256sum </dev/{g.dev(disk)})",
                              timeout=60))
            if self.results[name][0] == "passed":
                expect(f"{name}, force_legacy=1: sha256", got["now"],
                       _sha256(self.after))
        g.sh("vbl_unload", timeout=60)
        g.dmesg_check(self.mark)
        g.poweroff()
        for name in self.disks:
            if self.results[name][0] == "passed" and \
                    not self._refused(KINDS[name]):
                self._compare(name)

    def _compare(self, name):
        """What is in an image, when QEMU has left it."""
        path = self.folder / f"{name}.raw"
        expect(f"{name}: sha256 of the image", _sha256(path.read_bytes()),
               _sha256(self.after))
        # The file system takes a little for itself.
        expect(f"{name}: blocks of what was discarded are kept",
               os.stat(path).st_blocks * 512 > SIZE - MB, False)


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _words(text):
    """{first word: second word} of each line."""
    return {line.split()[0]: line.split()[1] for line in text.splitlines()
            if len(line.split()) > 1}
