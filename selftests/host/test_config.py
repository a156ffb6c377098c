# SPDX-License-Identifier: GPL-2.0
"""Disks and hosts of every kind: sizes, caches, queues, IOMMU, back-ends.

size_max is not among them: QEMU's virtio-blk has no property for it.  Nor is a
device that refuses FEATURES_OK: QEMU refuses only drivers that leave
ACCESS_PLATFORM aside, and this one takes it wherever it is offered.
"""

import shutil
import subprocess
import time

import pytest
from faults.load import SCATTER, dd, host_caches, verify
from vbl import Disk

MEGA = 1 << 20


def queue(g, dev, *names):
    """Values below /sys/block/X/queue, as numbers."""
    return [int(g.sh(f"cat /sys/block/{dev}/queue/{n}")) for n in names]


def features(g, n=0):
    """The negotiated bits of a disk."""
    return g.sh(f"cat $(virtio_of {g.bdf(n)})/features").strip()


def scatter(g, dev, options="--size=16M"):
    """Requests of many segments, checked; how many descriptors the longest had."""
    trace = "/sys/kernel/tracing/instances/scatter"
    g.sh(f"mkdir {trace}; "
         f"echo 1 >{trace}/events/virtio_lite/virtblk_queue_rq/enable")
    try:
        verify(g, dev, f"{SCATTER} {options}", "--bs=4k")
        return int(g.sh(f"sed -n 's/.*virtblk_queue_rq:.*descs=//p' "
                        f"{trace}/trace | sort -n | tail -n 1"))
    finally:
        g.sh(f"echo 0 >{trace}/events/virtio_lite/enable; rmdir {trace}")


# -- sizes -------------------------------------------------------------------

LIMITS = [
    ({"logical_block_size": 4096, "physical_block_size": 4096},
     {"logical_block_size": 4096, "physical_block_size": 4096,
      "minimum_io_size": 4096}),
    ({"physical_block_size": 4096},
     {"logical_block_size": 512, "physical_block_size": 4096,
      "minimum_io_size": 4096}),
    ({"logical_block_size": 1024, "physical_block_size": 8192,
      "min_io_size": 16384, "opt_io_size": 65536},
     {"logical_block_size": 1024, "physical_block_size": 8192,
      "minimum_io_size": 16384, "optimal_io_size": 65536}),
    ({"discard_granularity": 65536}, {"discard_granularity": 65536}),
    ({"max_discard_sectors": 2048, "max_write_zeroes_sectors": 4096},
     {"discard_max_bytes": MEGA, "write_zeroes_max_bytes": 2 * MEGA}),
    ({"discard": False, "write_zeroes": False},
     {"discard_max_bytes": 0, "write_zeroes_max_bytes": 0}),
]


def test_limits(boot, kernel):
    """What the host says of a disk is what sysfs shows."""
    g = boot(kernel=kernel, disks=[Disk(**options) for options, _ in LIMITS])
    for n, (_, shown) in enumerate(LIMITS):
        dev = g.dev(n)
        got = dict(zip(shown, queue(g, dev, *shown)))
        assert got == shown
        block = got.get("logical_block_size", 512)
        verify(g, dev, f"--blockalign={block} --size=8M",
               f"--bsrange={block}-256k")
        if shown.get("discard_max_bytes", 1):
            g.sh(f"/bin/blkdiscard -f /dev/{dev}")
            g.sh(f"/bin/blkdiscard -f -z -o {MEGA} -l {5 * MEGA} /dev/{dev}")


def test_capacity(boot):
    """Down to the sector, and beyond what 32 bits can count."""
    sizes = [64 * MEGA + 512, 512, 4 << 40]
    g = boot(disks=[Disk("null", size=size) for size in sizes])
    for n, size in enumerate(sizes):
        dev = g.dev(n)
        sectors = int(g.sh(f"cat /sys/block/{dev}/size"))
        assert sectors == size // 512
        last = "dd %s bs=512 count=1 {}={} " .format
        assert g.status(last("skip", sectors - 1) %
                        f"if=/dev/{dev} of=/dev/null" + "iflag=direct")[0] == 0
        assert g.status(last("seek", sectors) %
                        f"if=/dev/zero of=/dev/{dev}" + "oflag=direct")[0]


def test_empty_disk_grows(boot):
    """A disk of no size is a disk, and one of some size later on."""
    g = boot(disks=[Disk(size=0)])
    dev = g.dev()
    assert g.sh(f"cat /sys/block/{dev}/size") == "0\n"
    g.qmp("block_resize", node_name=g.disks[0].node, size=32 * MEGA)
    g.sh(f"wait_for 20 grep -qx {32 * 2048} /sys/block/{dev}/size")
    verify(g, dev, "--size=8M")


# -- rings -------------------------------------------------------------------

# Transport, indirect, adjusted: first those where each two values meet.
RINGS = [("legacy", True, True), ("legacy", False, False),
         ("modern", True, False), ("modern", False, True),
         ("legacy", True, False), ("legacy", False, True),
         ("modern", True, True), ("modern", False, False)]


@pytest.mark.parametrize("rings", [
    RINGS[:4], pytest.param(RINGS[4:], marks=pytest.mark.full)],
    ids=["pairs", "others"])
@pytest.mark.parametrize("size", [
    4, *(pytest.param(n, marks=pytest.mark.full) for n in (8, 16, 1024))])
def test_ring_size(boot, size, rings):
    """Rings that hardly hold a request, and the largest; long tables in both."""
    g = boot(disks=[
        Disk(transport=transport, queue_size=size, indirect=indirect,
             seg_max_adjust=adjust, num_queues=1)
        for transport, indirect, adjust in rings])
    for n, (_, indirect, adjust) in enumerate(rings):
        dev = g.dev(n)
        # Header and status need a descriptor each.  Unless adjusted, QEMU
        # says 126, whatever the size of the ring.
        want = min(size, 1024) - 2 if adjust else min(size - 2, 126)
        segments, requests = queue(g, dev, "max_segments", "nr_requests")
        assert segments == want
        slots = size if indirect else size // 3
        # One is for the check of a late request.
        assert requests == slots - (slots > 2)
        verify(g, dev, "--size=8M --iodepth=64")
        longest = scatter(g, dev, "--size=8M")
        assert min(want, 64) <= longest - 2 <= want


@pytest.mark.full
@pytest.mark.parametrize("rounds", [
    1, pytest.param(20, marks=pytest.mark.full)])
def test_waiting_for_room(boot, kernel, rounds):
    """Large requests, many at once, and never enough slots in the ring."""
    g = boot(kernel=kernel, smp=2, timeout=1800, disks=[
        Disk(indirect=False, num_queues=2, queue_size=128),
        Disk(indirect=False, num_queues=1, queue_size=16, vectors=0)])
    for n in range(2):
        # Two long jobs, and pages of the page cache from a third.
        for _ in range(rounds):
            verify(g, g.dev(n), "--size=8M --numjobs=2 --iodepth=64 "
                   "--offset_increment=16M", "--bssplit=4k/40:256k/30:1M/30")
            assert scatter(g, g.dev(n)) > 14


@pytest.mark.full
@pytest.mark.parametrize("rounds", [
    1, pytest.param(20, marks=pytest.mark.full)])
def test_waiting_for_tables(boot, rounds):
    """More requests of many segments than there are long tables."""
    g = boot(smp=2, timeout=1800, disks=[Disk(num_queues=1)])
    for _ in range(rounds):
        # Vectors of single pages: 128 of them, each its own segment.
        g.sh("echo never >/sys/kernel/mm/transparent_hugepage/enabled")
        verify(g, g.dev(), "--iodepth=128 --size=64M --mem=mmap "
               "--iomem_align=4k", "--bs=512k")
        assert scatter(g, g.dev(), "--numjobs=4 --size=8M "
                       "--offset_increment=8M") > 14


@pytest.mark.full
def test_packed_offered(boot, kernel):
    """A device with a packed ring works, whichever ring is taken."""
    g = boot(kernel=kernel, disks=[
        Disk(transport="modern", packed=True, indirect=indirect)
        for indirect in (True, False)])
    for n in range(2):
        assert features(g, n)[32] == features(g, n)[34] == "1"
        verify(g, g.dev(n))
        scatter(g, g.dev(n))


@pytest.mark.parametrize("cpus, queues", [
    (2, (8,)), pytest.param(4, (2, 3), marks=pytest.mark.full)])
def test_queues_and_cpus(boot, cpus, queues):
    """Never more queues than CPUs; each CPU reaches the disk."""
    g = boot(smp=cpus, disks=[Disk(num_queues=q) for q in queues])
    for n, offered in enumerate(queues):
        dev = g.dev(n)
        mq = g.sh(f"cat /sys/block/{dev}/mq/*/cpu_list").splitlines()
        assert len(mq) == min(offered, cpus)
        assert sorted(int(c) for line in mq for c in line.split(",")) == \
            list(range(cpus))
        for cpu in range(cpus):
            g.sh(f"taskset -c {cpu} dd if=/dev/{dev} of=/dev/null bs=64k "
                 "count=8 iflag=direct")
        verify(g, dev, f"--numjobs={cpus} --size=4M --offset_increment=8M")


# -- registers ---------------------------------------------------------------

@pytest.mark.full
def test_force_legacy(boot, kernel):
    """Legacy where there is a choice; where there is none, it is said."""
    g = boot(kernel=kernel, params="force_legacy=1", disks=[
        Disk(transport=t) for t in ("modern", "transitional", "legacy")])
    log = g.sh("dmesg")
    assert f"{g.bdf(0)}: no legacy registers to force" in log
    for n, version_1 in enumerate("100"):
        assert features(g, n)[32] == version_1
        word = "modern" if version_1 == "1" else "legacy"
        assert f"{g.bdf(n)}: {g.dev(n)}: {word} disk" in log
        verify(g, g.dev(n), "--size=8M")


# -- IOMMU -------------------------------------------------------------------

def test_iommu(boot, kernel):
    """Behind an IOMMU every address is a mapped one."""
    g = boot(kernel=kernel, iommu=True, disks=[
        Disk(transport="modern", iommu_platform=True, **options)
        for options in ({}, {"ats": True}, {"indirect": False})])
    for n in range(3):
        assert features(g, n)[33] == "1"
        verify(g, g.dev(n), "--iodepth=64 --size=16M")
        assert scatter(g, g.dev(n)) > 14
        g.sh(f"/bin/blkdiscard -f -o {MEGA} -l {MEGA} /dev/{g.dev(n)}")
    # Before it is reset, a device reads on where the firmware told it to.
    log = g.sh("dmesg")
    for n in range(3):
        _, bound, ours = log.partition(f"{g.bdf(n)}: {g.dev(n)}: modern disk")
        assert bound and not [line for line in ours.splitlines()
                              if "fault addr" in line and g.bdf(n)[5:] in line]
    g.sh("vbl_unload")


@pytest.mark.full
def test_beside_iommu(boot):
    """A device that knows nothing of the IOMMU is not stopped by it."""
    g = boot(iommu=True, disks=[Disk(transport="modern"),
                                Disk(transport="legacy")])
    for n in range(2):
        assert features(g, n)[33] == "0"
        verify(g, g.dev(n), "--size=8M")


@pytest.mark.full
def test_bounce_buffers(boot, kernel):
    """swiotlb=force: all data goes through copies, some larger than a copy."""
    g = boot(kernel=kernel, append="swiotlb=force", disks=[
        Disk(transport="modern", iommu_platform=True)])
    dev = g.dev()
    assert features(g)[33] == "1"
    # A bounce buffer has 256 KiB.
    assert queue(g, dev, "max_segment_size")[0] <= 256 << 10
    verify(g, dev, "--iodepth=32", "--bssplit=4k/50:1M/50")
    scatter(g, dev)
    # More at once than all bounce buffers hold: it waits, it does not fail.
    verify(g, dev, "--iodepth=128 --size=48M", "--bs=1M")


# -- the host's side ---------------------------------------------------------

BACK_ENDS = [
    {"ioeventfd": False}, {"iothread": True},
    {"iothread": True, "num_queues": 2},
    {"aio": "native", "cache": {"direct": True}},
    {"event_idx": False, "ioeventfd": False},
]


@pytest.mark.full
@pytest.mark.parametrize("first, second", [
    ("modern", "legacy"),
    pytest.param("legacy", "modern", marks=pytest.mark.full)])
def test_back_end(boot, first, second):
    """However the host listens and works."""
    g = boot(disks=[Disk(transport=second if n % 2 else first, **options)
                    for n, options in enumerate(BACK_ENDS)])
    for n in range(len(BACK_ENDS)):
        verify(g, g.dev(n), "--iodepth=64")


@pytest.mark.full
def test_qcow2(boot, image):
    """An image that grows: what was written is there in the next guest."""
    path = image("64M", "qcow2")
    for n, driver in enumerate(("lite", "upstream")):
        g = boot(disks=[Disk(path)], driver=driver)
        if n == 0:
            verify(g, g.dev(), "--size=16M")
            before = g.sh(f"sha256sum /dev/{g.dev()}").split()[0]
        else:
            assert g.sh(f"sha256sum /dev/{g.dev()}").split()[0] == before
        g.poweroff()
    assert "No errors" in subprocess.run(
        ["qemu-img", "check", path], capture_output=True, text=True).stdout


def flushes(g, n):
    """Flushes that reached the host."""
    return next(d["stats"]["flush_operations"]
                for d in g.qmp("query-blockstats")
                if d.get("node-name") == g.disks[n].node)


def test_cache(boot, kernel):
    """A flush reaches the host where there is a cache, and only there."""
    g = boot(kernel=kernel, disks=[
        Disk(write_cache=cache, config_wce=wce)
        for cache in (True, False) for wce in (True, False)])
    for n in range(4):
        flushed_where_cached(g, n, write_cache=n < 2, config_wce=not n % 2)


def flushed_where_cached(g, n, write_cache, config_wce):
    dev = g.dev(n)
    mode = "write back" if write_cache else "write through"
    assert g.sh(f"cat /sys/block/{dev}/cache_type").strip() == mode
    assert g.sh(f"cat /sys/block/{dev}/queue/write_cache").strip() == mode
    assert features(g, n)[11] == str(int(config_wce))
    write = f"dd if=/dev/zero of=/dev/{dev} bs=4k count=1 conv=fsync"
    sent = f"awk '{{ print $16 }}' /sys/block/{dev}/stat"

    before = int(g.sh(sent)), flushes(g, n)
    g.sh(write)
    after = int(g.sh(sent)), flushes(g, n)
    assert (after[0] > before[0]) == write_cache
    if write_cache:
        assert after[1] > before[1]

    other = "write through" if write_cache else "write back"
    status, _ = g.status(f"echo '{other}' >/sys/block/{dev}/cache_type")
    assert (status == 0) == config_wce
    if config_wce:
        assert host_caches(g, n) != write_cache
        before = int(g.sh(sent))
        g.sh(write)
        assert (int(g.sh(sent)) > before) != write_cache


@pytest.fixture
def storage_daemon(tmp_path, image):
    """A disk served by another process; the path of its socket."""
    if not shutil.which("qemu-storage-daemon"):
        pytest.skip("no qemu-storage-daemon on this host")
    path = tmp_path / "vu"
    daemon = subprocess.Popen([
        "qemu-storage-daemon",
        "--blockdev", f"file,node-name=f,filename={image('64M')}",
        "--blockdev", "raw,node-name=d0,file=f",
        "--export", "vhost-user-blk,id=e,node-name=d0,addr.type=unix,"
        f"addr.path={path},writable=on,num-queues=2"])
    until = time.monotonic() + 20
    while not path.is_socket():
        assert daemon.poll() is None and time.monotonic() < until, \
            "qemu-storage-daemon opened no socket"
        time.sleep(0.01)
    yield path
    daemon.terminate()
    daemon.wait(20)


def test_vhost_user(boot, kernel, storage_daemon):
    """Another device model: the disk is a process of its own."""
    bdf = "0000:00:08.0"
    g = boot(kernel=kernel, share_mem=True, disks=[], devices=[
        f"-chardev socket,id=vu,path={storage_daemon}",
        "-device vhost-user-blk-pci,chardev=vu,num-queues=2,addr=0x8"])
    dev = g.sh(f"disk_of {bdf}").strip()
    assert g.sh(f"virtio_driver {bdf}") == "virtio_blk_lite\n"
    verify(g, dev, "--iodepth=32")
    scatter(g, dev)
    g.sh("vbl_unload && vbl_load && vbl_take_all")
    verify(g, g.sh(f"disk_of {bdf}").strip(), "--size=8M")


@pytest.mark.full
def test_eight_disks(boot, kernel):
    """Names follow addresses; all at once; none disturbs another."""
    g = boot(kernel=kernel, smp=2, mem=768, disks=[
        Disk(size="32M", serial=f"disk-{n}", vectors=n % 4, num_queues=1 + n % 2,
             transport=("legacy", "transitional", "modern")[n % 3])
        for n in range(8)])
    names = [g.dev(n) for n in range(8)]
    assert names == [f"vd{c}" for c in "abcdefgh"]
    assert [g.sh(f"cat /sys/block/{d}/serial") for d in names] == \
        [f"disk-{n}" for n in range(8)]
    jobs = [g.start(f"fio --name={d} --filename=/dev/{d} --rw=randwrite "
                    "--bs=16k --size=8M --direct=1 --ioengine=libaio "
                    "--iodepth=16 --verify=crc32c --verify_fatal=1 --thread "
                    "--verify_pattern=0x%x" % (n + 1))
            for n, d in enumerate(names)]
    for job in jobs:
        job.wait(300)
    assert dd(g, "vda", 0)[0] == 0
