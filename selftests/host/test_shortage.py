# SPDX-License-Identifier: GPL-2.0
"""What a machine has too little of: interrupt vectors, bounce buffers, memory."""

import errno
from pathlib import Path

import pytest
from device import Device, HoldRequests, scene
from device.spec import IN, IOERR
from faults.load import Busy, verify
from late import LOST, PARAMS, SECONDS, SLACK, program
from scripted import MODERN
from vbl import build_module
from vbl.disk import Disk

MAPPED = {"transport": "modern", "iommu_platform": True}
SELFTESTS = Path(__file__).resolve().parents[1]


def said(g):
    """What the driver said last."""
    return g.sh("dmesg | grep virtio-pci-lite | tail -n 20", check=False)


# -- interrupt vectors: a CPU has some 200 -------------------------------------

def all_work(g, n):
    """Each of so many disks is there, and has what is written to it."""
    assert int(g.sh("ls -d /sys/block/vd* | wc -l")) == n, said(g)
    g.sh("for d in /sys/block/vd*; do d=${d##*/}; "
         "echo $d | dd of=/dev/$d bs=4k conv=sync oflag=direct 2>/dev/null && "
         "[ $(dd if=/dev/$d bs=4k count=1 iflag=direct 2>/dev/null | "
         "head -n 1) = $d ] || exit 1; done", timeout=20 + 3 * n)


def test_vectors_run_out(boot):
    """The first disks take all vectors of the only CPU; the others come up."""
    # With fewer vectors than queues, none is bound to a CPU that is not there.
    g = boot(smp=16, append="maxcpus=1", mem=768, disks=[
        Disk(size="4M", num_queues=16, vectors=16, queue_size=16)
        for _ in range(16)])
    all_work(g, 16)
    # Not with fio: it is on a disk that needs vectors as well.
    for n in 0, 15:
        scene.copy(g, g.dev(n))


@pytest.mark.full
@pytest.mark.parametrize("vectors", [None, 2])
def test_many_disks(boot, kernel, vectors):
    """More disks of several queues than there is room for vectors."""
    g = boot(kernel=kernel, smp=2, append="maxcpus=1", mem=1024, timeout=1800,
             disks=[Disk(size="4M", num_queues=2, queue_size=64,
                         vectors=vectors, addr=f"{4 + n // 8:#x}.{n % 8}",
                         props={"multifunction": True}) for n in range(110)])
    all_work(g, 110)
    g.sh("vbl_unload && vbl_load && vbl_take_all", timeout=600)
    all_work(g, 110)
    for n in 0, 109:
        scene.copy(g, g.dev(n))


# -- bounce buffers: ACCESS_PLATFORM, and a device that is not trusted ---------

def read_largest(g, seconds=30):
    """One read of 4 MiB, in requests as large as they may become."""
    name = g.dev()
    g.sh(f"cd /sys/block/{name}/queue; cat max_hw_sectors_kb "
         ">max_sectors_kb 2>/dev/null; true")
    return g.status(f"dd if=/dev/{name} of=/dev/null bs=4M count=1 "
                    "iflag=direct 2>&1", timeout=seconds)


@pytest.mark.parametrize("options", [
    {}, pytest.param({"packed": True}, marks=pytest.mark.full),
    pytest.param({"indirect": False}, marks=pytest.mark.full)],
    ids=lambda o: "".join(o) or "split")
def test_small_bounce_buffer(boot, kernel, options):
    """Requests that are larger than all bounce buffers would never end."""
    # 512 slots of 2 KiB.
    g = boot(kernel=kernel, append="swiotlb=512,force",
             disks=[Disk(**MAPPED, **options)])
    assert read_largest(g)[0] == 0, said(g)
    verify(g, g.dev(), "--size=8M --iodepth=32", "--bssplit=4k/40:256k/30:1M/30")


PLATFORM = MODERN + ("ACCESS_PLATFORM",)


class FailReads(HoldRequests):
    """Holds reads back while told to, or fails them with nothing written."""

    failing = False

    def __init__(self):
        super().__init__(IN, hold=False)

    def request(self, dev, req):
        if self.failing and req.kind == IN:
            return IOERR
        return super().request(dev, req)


@pytest.mark.parametrize("ring", ["split", pytest.param(
    "packed", marks=pytest.mark.full)])
def test_copied_data(scripted, kernel, ring, tmp_path):
    """Short requests are copied: through resets, and with no other's data."""
    s = scripted(kernel=kernel, append="swiotlb=force",
                 files=program(tmp_path, "peek"))
    script = FailReads()
    s.be(PLATFORM + ("RING_PACKED",) * (ring == "packed"), script=script)
    s.copy()
    # A byte of the data may have the value that the buffer had, by chance.
    length, changed = s.sh("peek /dev/$D").split()
    assert length == "4096" and int(changed) > 2048
    # All buffers have data of the disk now. Its reads fail, and write nothing.
    s.sh("dd if=/dev/$D of=/dev/null bs=4k count=512 iflag=direct 2>&1")
    with s.dev.lock:
        script.failing = True
    assert s.sh("peek /dev/$D") == f"{-errno.EIO} 0\n"
    with s.dev.lock:
        script.failing = False
    with Busy(s.g, s.name, "--bssplit=512/30:4k/40:16k/30") as busy:
        for n in range(1, 4):
            with s.dev.lock:
                script.hold = True
            s.dev.wait(lambda d: d.held, why="a read that is held")
            with s.dev.lock:
                script.hold = False
                s.dev.needs_reset()
            s.g.sh(f"wait_for 30 grep -qx {n} /sys/block/{s.name}/errors/"
                   "resets", timeout=60)
            busy.progresses()
    s.end()


@pytest.mark.full
def test_bounce_buffers_held(boot, kernel):
    """Who can map nothing for as long as others hold it all gets an error."""
    why_not = scene.qemu()[1]
    if why_not:
        pytest.skip(why_not)
    with Device(MODERN) as dev:
        g = boot(kernel=kernel, devices=[dev.qemu], share_mem=True, driver=None,
                 qemu=scene.command(), append="swiotlb=512,force",
                 disks=[Disk(**MAPPED)])
        scene.keep_off(g, dev)
        scene.load(g, "lite", PARAMS)
        g.sh(f"take_over {g.bdf(0)}", timeout=60)
        name = g.dev()
        dev.become(MODERN + ("ACCESS_PLATFORM",),
                   script=HoldRequests(hold=False))
        holder = scene.bind(g, dev, "lite")
        g.sh(f"echo 600000 >/sys/block/{holder}/queue/io_timeout")
        with dev.lock:
            dev.script.hold = True
        # A piece of memory that is contiguous needs slots that are, too: small
        # requests take what is left between large ones, of 512 slots.
        read = ("dd if=/dev/{} of=/dev/null bs={} count=1 iflag=direct skip={} "
                "2>&1")
        jobs = [g.start(f"for n in $(seq {count}); do "
                        f"({read.format(holder, size, '$n')} || "
                        ">/tmp/failed) & done; wait")
                for count, size in ((3, "256k"), (100, "8k"))]
        g.sh("wait_for 60 sh -c '[ $(cat /sys/kernel/debug/swiotlb/"
             "io_tlb_used) -gt 480 ]'", timeout=90)
        status, out = g.status(read.format(name, "256k", 0),
                               timeout=SECONDS * LOST + SLACK)
        assert status and "nput/output error" in out, out
        assert "no room to map" in said(g)
        with dev.lock:
            dev.script.hold = False
            dev.release()
        for job in jobs:
            job.wait(60)
        g.sh("[ ! -e /tmp/failed ]")
        g.sh(read.format(name, "256k", 0))
        g.sh("vbl_unload", timeout=60)
    assert not dev.check.breaches, dev.check.report()


# -- memory that devices do not reach ------------------------------------------

def test_restricted_memory(boot, kernel):
    """A platform that restricts memory: ACCESS_PLATFORM, or no disk."""
    g = boot(kernel=kernel, driver=None, disks=[
        Disk(transport="modern"), Disk(transport="legacy"), Disk(**MAPPED)])
    module = build_module(g.kernel, source=SELFTESTS / "restricted")
    g.put("/restricted.ko", module.read_bytes())
    g.sh("insmod /restricted.ko; vbl_load")
    taken = [g.status(f"take_over {g.bdf(n)}", timeout=60)[0]
             for n in range(3)]
    assert [not t for t in taken] == [False, False, True], said(g)
    refused = [line for line in g.sh("dmesg").splitlines()
               if "needs ACCESS_PLATFORM" in line]
    assert [any(g.bdf(n) in line for line in refused) for n in range(3)] == \
        [True, True, False]
    verify(g, g.sh(f"disk_of {g.bdf(2)}").strip(), "--size=4M")
    # Not restricted any more.
    g.sh(f"rmmod restricted; take_over {g.bdf(0)}", timeout=60)
