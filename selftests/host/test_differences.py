# SPDX-License-Identifier: GPL-2.0
"""What a disk looks like in sysfs with this driver, and with upstream's.

The same images, in the same guest, with one driver after the other. What differs
stands in Documentation/differences.md, with its reason; else it is a fault.
"""

import dataclasses
import re

import pytest
from vbl import TREE, Disk

PAGE = "Documentation/differences.md"
# Numbers that go on while a disk is used.
COUNTERS = {"stat", "inflight", "diskseq"}
# Rows of the page, at most.
MOST = 10

DISKS = {
    "one queue": {"num_queues": 1},
    "4 queues": {"num_queues": 4},
    "no discard": {"discard": False, "write_zeroes": False},
    "4 KiB blocks": {"logical_block_size": 4096, "physical_block_size": 4096},
    "read-only": {"readonly": True},
    "serial": {"serial": "a serial number 20b!"},
}
MORE = {
    "topology": {"physical_block_size": 4096, "min_io_size": 16384,
                 "opt_io_size": 65536, "discard_granularity": 65536},
    "limits": {"max_discard_sectors": 2048, "max_write_zeroes_sectors": 4096,
               "queue_size": 64},
    "no cache": {"write_cache": False, "config_wce": False},
    "fixed cache": {"config_wce": False},
    "legacy": {"transport": "legacy", "num_queues": 1},
    "modern": {"transport": "modern"},
    "packed": {"transport": "modern", "packed": True},
    "direct": {"indirect": False},
    "iommu": {"transport": "modern", "iommu_platform": True},
    "intx": {"vectors": 0},
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A difference that is intended: a file, its two texts, and where."""

    file: str
    ours: str
    theirs: str
    where: str

    def is_of(self, series):
        """Whether it is one of this kernel's."""
        kernels = re.findall(r"\d+\.\d+", self.where)
        return not kernels or series in kernels

    def fits(self, file, ours, theirs):
        """Whether it explains what was found."""
        return all(re.fullmatch(re.escape(mask).replace(r"\*", ".*"), text)
                   for text, mask in ((file, self.file), (ours, self.ours),
                                      (theirs, self.theirs)))


def rows():
    """What the page says."""
    found = []
    for line in (TREE / PAGE).read_text().splitlines():
        if line.startswith("| `"):
            cells = [c.strip() for c in line.strip("| ").split("|")]
            assert len(cells) == 5 and cells[4], f"{PAGE}: {line}"
            texts = [cell.strip("`") for cell in cells[1:4]]
            # What lsblk shows is compared on whole systems.
            found += [Row(file, *texts)
                      for file in re.findall(r"`(.*?)`", cells[0])
                      if not file.startswith("lsblk ")]
    return found


def snapshot(g, dev):
    """{file: its mode and text} of a disk."""
    out = g.sh(f"cd /sys/block/{dev} && for f in $(find . -type f); do "
               "echo \"$(stat -c %a $f) $f\"; cat $f 2>&1; echo; echo .END.; "
               "done", timeout=60)
    found = {}
    for part in out.split(".END.\n")[:-1]:
        head, _, text = part.partition("\n")
        mode, name = head.split(" ./")
        if name.rpartition("/")[2] not in COUNTERS:
            text = re.sub(r"DISKSEQ=\d+\n", "", text)
            found[name] = " ".join(f"{mode} {text}".split())
    return found


def differences(g, owner):
    """[(disk, file, ours, theirs)]; "-" for a file that is not there."""
    seen = {}
    for driver in ("upstream", "lite"):
        owner(driver)
        seen[driver] = [snapshot(g, g.dev(n)) for n in range(len(g.disks))]
    found = []
    for n, (ours, theirs) in enumerate(zip(seen["lite"], seen["upstream"])):
        for file in sorted(ours | theirs):
            a, b = ours.get(file, "-"), theirs.get(file, "-")
            if a != b:
                # The mode only where it is what differs.
                if "-" not in (a, b) and a.split()[0] == b.split()[0]:
                    a, b = (x.partition(" ")[2] for x in (a, b))
                found.append((n, file, a, b))
    return found


def check(boot, kernel, disks):
    """All that differs is on the page, and all of the page is true."""
    g = boot(kernel=kernel, driver=None, smp=4, mem=768,
             iommu=any("iommu_platform" in d for d in disks.values()),
             disks=[Disk(**options) for options in disks.values()])
    bdfs = [g.bdf(n) for n in range(len(disks))]

    def owner(driver):
        if driver == "upstream":
            g.sh("vbl_load_upstream; for b in $(vbl_disks); do "
                 "[ -n \"$(pci_driver $b)\" ] || "
                 "echo $b >/sys/bus/pci/drivers_probe; done")
        else:
            g.sh("vbl_load; vbl_take_all", timeout=120)
        name = {"upstream": "virtio-pci", "lite": "virtio-pci-lite"}[driver]
        assert [g.sh(f"pci_driver {b}").strip() for b in bdfs] == \
            [name] * len(bdfs)

    expected = [r for r in rows() if r.is_of(kernel.series)]
    used, wrong = set(), []
    for n, file, ours, theirs in differences(g, owner):
        fit = [r for r in expected if r.fits(file, ours, theirs)]
        used |= set(fit)
        if not fit:
            wrong.append(f"{list(disks)[n]}: {file}: {ours} and {theirs}")
    assert not wrong, f"not in {PAGE}:\n" + "\n".join(wrong)
    stale = set(expected) - used
    assert not stale, f"{PAGE}: not so on {kernel.series}: {stale}"


def test_few_differences():
    """A list that nobody reads says nothing."""
    lines = (TREE / PAGE).read_text().splitlines()
    assert 0 < len([n for n in lines if n.startswith("| `")]) <= MOST


def test_differences(boot, kernel):
    """One disk of each kind."""
    check(boot, kernel, DISKS)


@pytest.mark.full
def test_more_differences(boot, kernel):
    """More kinds of disks."""
    check(boot, kernel, DISKS | MORE)
