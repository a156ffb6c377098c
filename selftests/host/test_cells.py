# SPDX-License-Identifier: GPL-2.0
"""Every combination of what decides how a disk is driven.

A cell is a register layout, an interrupt layout, a number of queues, whether
descriptors are indirect and notifications are by index, and, where the layout
is modern, the kind of ring.  In each, data is written and checked, discarded
and resized, and read and written by the kernel's own driver in turn. DRIVER=upstream does all of
it with that driver, and ours is the other one.

make check runs cells that hold every pair of values; make check-all the rest,
and rings that are used in order, which newer QEMUs have.  Up to four cells of
a kernel share a guest, where each is a disk.
"""

import dataclasses
import hashlib
import itertools
import json
import re

import pytest
from vbl import Disk, Guest, VblError, expected, ktap
from vbl.guest import chosen_driver

from conftest import matrix
from scripted import command, qemu_has

CELLS_PER_GUEST = 4
DRIVER = chosen_driver()
OTHER = {"lite": "upstream", "upstream": "lite"}[DRIVER]
BLK_DRIVER = {"lite": "virtio_blk_lite", "upstream": "virtio_blk"}
SIZE, GROWN = 72 << 20, 80 << 20
WRITTEN = 16 << 20
RING = 256                      # QEMU's default

# Small and large, so that every length of table is used; what is written to
# one place is written once, as fio sees to.
FIO = ("fio --name=cell --ioengine=libaio --direct=1 --rw=randwrite "
       "--bssplit=512/20:4k/20:8k/15:64k/20:192k/10:512k/10:1M/5 "
       "--iodepth=16 --verify=crc32c --verify_fatal=1 --end_fsync=1 --thread "
       "--output-format=json ")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One combination."""

    transport: str
    irq: str
    queues: int
    indirect: bool
    event_idx: bool
    ring: str
    kernel: object

    def __str__(self):
        return "-".join((
            self.transport, self.irq, f"{self.queues}q",
            "indirect" if self.indirect else "direct",
            "event" if self.event_idx else "flags", self.ring,
            self.kernel.series))

    def disk(self):
        """The disk of this cell."""
        vectors = {"intx": 0, "shared": 2, "own": self.queues + 1}[self.irq]
        return Disk(size=SIZE, transport=self.transport, vectors=vectors,
                    num_queues=self.queues, indirect=self.indirect,
                    event_idx=self.event_idx,
                    packed=self.packed or None, in_order=self.in_order or None)

    @property
    def packed(self):
        """Whether the ring is packed."""
        return self.ring.startswith("packed")

    @property
    def in_order(self):
        """Whether the device gives buffers back in order."""
        return self.ring.endswith("ordered")


def cells():
    """All 96; kernels alternate so that each meets every other value."""
    axes = [("legacy", "transitional", "modern"), ("intx", "shared", "own"),
            (1, 4), (True, False), (True, False),
            ("split", "packed")]
    kernels = matrix()
    for at in itertools.product(*(range(len(a)) for a in axes)):
        values = [a[n] for a, n in zip(axes, at)]
        cell = Cell(*values, kernels[sum(at) % len(kernels)])
        if cell.transport == "modern" or cell.ring == "split":
            yield cell


def ordered_cells():
    """All 24 in order, which the driver takes with indirect descriptors only."""
    kernels = matrix()
    for n, (irq, queues, event, ring) in enumerate(itertools.product(
            ("intx", "shared", "own"), (1, 4), (True, False),
            ("ordered", "packed_ordered"))):
        yield Cell("modern", irq, queues, True, event, ring,
                   kernels[n // 2 % len(kernels)])


def pairs(cell):
    """Every two values that meet in this cell."""
    return set(itertools.combinations(
        [(k, str(v)) for k, v in vars(cell).items()], 2))


def covering(every):
    """Few cells that have every pair of values that @every has."""
    missing, chosen = set().union(*map(pairs, every)), []
    while missing:
        best = max(every, key=lambda c: len(pairs(c) & missing))
        missing -= pairs(best)
        chosen.append(best)
    return chosen


def pytest_generate_tests(metafunc):
    if "cell" in metafunc.fixturenames:
        every = list(cells())
        quick = covering(every)
        metafunc.parametrize("cell", [
            pytest.param(c, id=str(c),
                         marks=[] if c in quick else [pytest.mark.full])
            for c in sorted((*every, *ordered_cells()),
                            key=lambda c: (c.kernel.release, c.in_order))])


# -- what every cell does ----------------------------------------------------

def fio(g, options):
    """Run fio in the guest; what its job says of itself."""
    out = g.sh(FIO + options, timeout=240)
    job = json.loads(out[out.index("{"):])["jobs"][0]
    assert job["error"] == 0
    return job


def interrupts(g, virtio):
    """{name: count} of a device."""
    found = {}
    for line in g.sh("cat /proc/interrupts").splitlines():
        for name in re.findall(rf"\b({virtio}(?:-\S+?)?)(?=,|\s|$)", line):
            found[name] = sum(int(w) for w in itertools.takewhile(
                str.isdigit, line.split()[1:]))
    return found


def check_layout(g, cell, n):
    """The cell is what its name says, as far as anyone can see."""
    virtio = g.sh(f"virtio_of {g.bdf(n)}").strip()
    name = virtio.rpartition("/")[2]
    bits = g.sh(f"cat {virtio}/features").strip()
    assert {b: bits[b] for b in (9, 12, 13, 14, 28, 29, 32, 34, 35)} == {
        b: str(int(on)) for b, on in {
            9: True, 12: cell.queues > 1, 13: True, 14: True,
            28: cell.indirect, 29: cell.event_idx,
            32: cell.transport != "legacy",
            34: cell.packed, 35: cell.in_order}.items()}
    assert g.sh(f"cat {virtio}/../device").strip() == \
        ("0x1042" if cell.transport == "modern" else "0x1001")
    assert g.sh(f"ls /sys/block/{g.dev(n)}/mq").split() == \
        [str(q) for q in range(cell.queues)]
    # Without indirect descriptors the smallest request takes three slots. One
    # more request is the check of a late one.
    # Upstream counts two, and has the number of its first disk for all.
    depths = {"lite": {(RING if cell.indirect else RING // 3) - 1},
              "upstream": {RING, RING // 2}}[DRIVER]
    assert int(g.sh(f"cat /sys/block/{g.dev(n)}/queue/nr_requests")) in depths

    if cell.irq == "intx":
        names = {name}
    elif cell.irq == "shared" and cell.queues > 1:
        shared = {"lite": f"req.0-{cell.queues - 1}",
                  "upstream": "virtqueues"}[DRIVER]
        names = {f"{name}-config", f"{name}-{shared}"}
    else:
        names = {f"{name}-config"} | {f"{name}-req.{q}"
                                      for q in range(cell.queues)}
    before = interrupts(g, name)
    assert set(before) == names
    for cpu in range(g.smp):
        g.sh(f"taskset -c {cpu} dd if=/dev/{g.dev(n)} of=/dev/null bs=4k "
             "count=8 iflag=direct")
    after = interrupts(g, name)
    for one in names:
        if one.endswith("-config"):
            assert after[one] == before[one]
        else:
            assert after[one] > before[one], f"{one} did not come"


def check_data(g, n):
    """16 MB at random places in random sizes come back as written."""
    dev = g.dev(n)
    flushes = f"awk '{{ print $16 }}' /sys/block/{dev}/stat"
    before = int(g.sh(flushes))
    job = fio(g, f"--filename=/dev/{dev} --size={SIZE} --io_size={WRITTEN}")
    assert job["write"]["io_bytes"] >= WRITTEN
    assert job["read"]["io_bytes"] == job["write"]["io_bytes"], \
        "what was written was not all read back"
    assert int(g.sh(flushes)) > before


def check_discard(g, n):
    """Discard is accepted; zeroes are zeroes, up to their ends."""
    dev, mega = g.dev(n), 1 << 20
    g.sh(f"/bin/blkdiscard -f -o {56 * mega} -l {8 * mega} /dev/{dev}")
    edges = f"dd if=/dev/{dev} bs=512 count=1 iflag=direct skip=%d " \
        "2>/dev/null | sha256sum; "
    outside = edges % (64 * 2048 - 1) + edges % (68 * 2048)
    g.sh(f"head -c 1024 /dev/urandom >/tmp/edge; for s in {64 * 2048 - 1} "
         f"{68 * 2048}; do dd if=/tmp/edge of=/dev/{dev} bs=512 count=1 "
         "seek=$s oflag=direct; done")
    before = g.sh(outside)
    g.sh(f"/bin/blkdiscard -f -z -o {64 * mega} -l {4 * mega} /dev/{dev}")
    assert g.sh(outside) == before
    assert g.sh(f"dd if=/dev/{dev} bs=1M skip=64 count=4 iflag=direct "
                "2>/dev/null | tr -d '\\0' | wc -c").strip() == "0"


def check_resize(g, n):
    """The guest hears of a new size, and can use it."""
    dev, sectors = g.dev(n), GROWN // 512
    mark = g.dmesg_mark("resize")
    g.qmp("block_resize", node_name=g.disks[n].node, size=GROWN)
    g.sh(f"wait_for 20 grep -q 'ACTION=change.*DEVNAME={dev} .*RESIZE=1' "
         "/tmp/uevents")
    assert g.sh(f"cat /sys/block/{dev}/size").strip() == str(sectors)
    said = {"lite": f"{dev}: new size {sectors} sectors",
            "upstream": f"[{dev}] new size: {sectors} 512-byte"}[DRIVER]
    assert said in g.dmesg_since(mark)
    g.sh(f"dd if=/dev/urandom of=/dev/{dev} bs=1M seek={SIZE >> 20} "
         f"count={GROWN - SIZE >> 20} oflag=direct")


def digest(g, n):
    """The checksum of the disk as the guest reads it."""
    # A pipe of so much takes an emulated guest longer than the disk.
    return g.sh(f"dd if=/dev/{g.dev(n)} of=/tmp/all bs=1M iflag=direct "
                "2>/dev/null && md5sum /tmp/all; rm -f /tmp/all",
                timeout=120).split()[0]


def on_host(g, n):
    """The checksum of the disk's data on the host."""
    return hashlib.md5(g.disks[n].path.read_bytes()).hexdigest()


def check_digest(g, n):
    """What we read is what is there."""
    assert digest(g, n) == on_host(g, n)


OTHER_WRITES = f"--size={SIZE} --io_size=8M --randseed=7 --do_verify=0"


def check_with_other(g, n):
    """The other driver has the disk: the same data; it leaves some of its own."""
    assert g.sh(f"virtio_driver {g.bdf(n)}").strip() == BLK_DRIVER[OTHER]
    check_digest(g, n)
    fio(g, f"--filename=/dev/{g.dev(n)} {OTHER_WRITES}")


def check_again(g, n):
    """And back: what the other driver wrote is what is read."""
    assert g.sh(f"virtio_driver {g.bdf(n)}").strip() == BLK_DRIVER[DRIVER]
    fio(g, f"--filename=/dev/{g.dev(n)} {OTHER_WRITES} --verify_only=1")


def give(g, driver):
    """Give all disks to a driver, and remove ours when it is not that."""
    if driver == "lite":
        g.sh("vbl_load && vbl_take_all", timeout=60)
        return
    g.sh("vbl_load_upstream && for b in $(vbl_disks); do give_back $b || "
         "exit 1; done; vbl_unload", timeout=60)
    assert "virtio_lite" not in g.sh("lsmod")


class Group:
    """Cells that share a guest, and the result of each."""

    def __init__(self, chosen):
        self.cells, self.failed = chosen, {}

    def each(self, g, step, *more):
        """Do a step in each cell that has not failed."""
        for n, cell in enumerate(self.cells):
            if cell in self.failed:
                continue
            mark = g.dmesg_mark(f"{step.__name__} {cell}")
            try:
                step(g, *(m[n] for m in more), n)
                g.dmesg_check(mark)
            except (VblError, AssertionError) as e:
                self.failed[cell] = e
                if not g.alive:
                    raise

    def run(self):
        """All steps; an exception that is no cell's own counts for each."""
        try:
            # The module is carried in any case; it is loaded later.
            with Guest(self.cells[0].kernel, smp=4, timeout=1200,
                       driver="lite" if DRIVER == "lite" else None,
                       qemu=command() if self.cells[0].in_order else None,
                       disks=[c.disk() for c in self.cells]) as g:
                self.steps(g)
        except (VblError, AssertionError) as e:
            for cell in self.cells:
                self.failed.setdefault(cell, e)

    def steps(self, g):
        if DRIVER == "upstream":
            g.sh("vbl_load_upstream", timeout=60)
        g.sh("uevent sh -c 'env | sort | tr \"\\n\" \" \"; echo' "
             ">/tmp/uevents 2>&1 </dev/null &")
        self.each(g, check_layout, self.cells)
        self.each(g, check_data)
        self.each(g, check_discard)
        self.each(g, check_resize)
        self.each(g, check_digest)
        for driver, step in ((OTHER, check_with_other), (DRIVER, check_again)):
            give(g, driver)
            self.each(g, step)
        if DRIVER == "lite":
            g.sh("vbl_unload")
        bad = ktap.scan_log(g.sh("dmesg"))
        assert not bad, "the kernel complained:\n" + "\n".join(bad)


@pytest.fixture(scope="module")
def groups():
    """{cell: its group}, of those that have run."""
    return {}


def test_cell(cell, groups, request):
    why_not = expected.find(DRIVER, "cells", str(cell), kind="n/a")
    if why_not:
        pytest.skip(f"not for upstream: {why_not}")
    if cell.in_order and not qemu_has("in_order"):
        pytest.skip("this QEMU has no in_order")
    if cell not in groups:
        # The next few that were chosen and fit into the same guest.
        todo = [i.callspec.params["cell"] for i in request.session.items
                if "cell" in getattr(i, "fixturenames", ())]
        todo = [c for c in todo if c not in groups
                and (c.kernel, c.in_order) == (cell.kernel, cell.in_order)
                ][:CELLS_PER_GUEST]
        group = Group(todo)
        groups.update(dict.fromkeys(todo, group))
        group.run()
    failed = groups[cell].failed.get(cell)
    if failed:
        raise failed


# -- the test tested ---------------------------------------------------------

def test_covering_subset():
    """What make check runs leaves no pair of values out."""
    every = list(cells())
    chosen = covering(every)
    assert len(every) == len(set(every)) == 96
    assert sum(c.ring == "split" for c in every) == 72
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, every))
    assert len(chosen) < 16


def test_verification_notices(boot):
    """A single wrong byte, written behind fio's back, is found."""
    g = boot(disks=[Disk(size="32M")])
    job = f"--filename=/dev/{g.dev()} --size=4M --randseed=3 "
    fio(g, job)
    fio(g, job + "--verify_only=1")
    g.sh(f"dd if=/dev/zero of=/dev/{g.dev()} bs=1 count=2 seek=2099000 "
         "conv=notrunc,fsync")
    status, out = g.status(FIO + job + "--verify_only=1", timeout=60)
    assert status and "verify" in out
