# SPDX-License-Identifier: GPL-2.0
"""Requests that the host fails, holds or delays."""

import time

import pytest
from faults.inflight import one_queue
from faults.load import Busy, command, dd, result, verify
from vbl import Disk

# Sector 2048 to 2055 of a disk: block 256.
BAD = 256


def failing(kind, props=None, **more):
    """A disk on which one kind of request fails at the block BAD."""
    where = {} if kind == "flush" else {"sector": BAD * 8}
    return Disk(props=props or {}, blkdebug={"inject-error": [
        {"event": "none", "iotype": kind, "errno": 5, "once": False,
         **where, **more}]})


@pytest.mark.parametrize("kind", ["read", "write"])
def test_error_is_reported(boot, kernel, kind):
    """The request fails, others do not, and the disk continues to work."""
    g = boot(kernel=kernel, disks=[failing(kind)])
    mark, dev, writes = g.dmesg_mark(kind), g.dev(), kind == "write"
    for place in (BAD - 1, BAD + 1):
        assert dd(g, dev, place, writes)[0] == 0
    for _ in range(3):
        status, out = dd(g, dev, BAD, writes)
        assert status and "Input/output error" in out
    assert dd(g, dev, BAD, not writes)[0] == 0
    assert f"I/O error, dev {dev}, sector {BAD * 8}" in g.dmesg_since(mark)
    verify(g, dev, "--offset=4M")
    assert dd(g, dev, BAD, writes)[0]


@pytest.mark.full
def test_error_in_a_crowd(boot):
    """One request of many fails; all others succeed."""
    # Merged ones would fail together, and QEMU merges, too.
    g = boot(disks=[failing("write", props={"request-merging": False})])
    dev = g.dev()
    g.sh(f"echo 2 >/sys/block/{dev}/queue/nomerges")
    out = g.status(
        command(dev, "--rw=write --size=8M --iodepth=64 --do_verify=0 "
                "--continue_on_error=write", "--bs=4k"), timeout=120)[1]
    assert result(out)["total_err"] == 1
    data = g.disks[0].path.read_bytes()
    assert [n for n in range(2048)
            if not any(data[n * 4096:(n + 1) * 4096])] == [BAD]


def test_flush_error(boot):
    """fsync reports a flush that fails."""
    g = boot(disks=[failing("flush")])
    write = f"dd if=/dev/zero of=/dev/{g.dev()} bs=4k count=1 "
    status, out = g.status(write + "conv=fsync")
    assert status and "Input/output error" in out
    g.sh(write + "oflag=direct")


@pytest.mark.full
def test_discard_error(boot):
    kinds = {"discard": "", "write-zeroes": "-z"}
    g = boot(disks=[failing(kind) for kind in kinds])
    for n, (kind, option) in enumerate(kinds.items()):
        dev = g.dev(n)
        status, out = g.status(f"/bin/blkdiscard -f {option} "
                               f"-o {BAD * 4096} -l 65536 /dev/{dev}")
        if kind == "discard":
            assert status and "error" in out
        # The block layer may write zeroes by hand where the disk cannot.
        elif status == 0:
            assert g.sh(f"dd if=/dev/{dev} bs=4k skip={BAD} count=16 "
                        "iflag=direct 2>/dev/null | tr -d '\\0' | "
                        "wc -c").strip() == "0"
        verify(g, dev, "--offset=4M --size=8M")


@pytest.mark.full
def test_one_request_stuck(boot):
    """A write that the host holds waits, while all others complete."""
    g = boot(disks=[
        Disk(blkdebug={}, num_queues=queues, indirect=indirect)
        for queues, indirect in ((1, True), (2, True), (1, False))])
    for n in range(3):
        one_request_stuck(g, n)


def one_request_stuck(g, n):
    dev = g.dev(n)
    g.qemu_io(g.disks[n], "break pwritev A")
    held = g.start("head -c 4096 /dev/urandom >/tmp/held; dd if=/tmp/held "
                   f"of=/dev/{dev} bs=4k count=1 seek=2 oflag=direct")
    g.sh(f"wait_for 10 grep -q ' 1$' /sys/block/{dev}/inflight")
    # Small ones, so that they go around the ring more than once.
    verify(g, dev, "--offset=4M --size=4M --iodepth=32", "--bs=4k")
    assert not held.done
    assert g.sh(f"cat /sys/block/{dev}/inflight").split()[1] == "1"
    g.qemu_io(g.disks[n], "resume A")
    held.wait()
    assert g.sh(f"dd if=/dev/{dev} bs=4k skip=2 count=1 iflag=direct "
                "2>/dev/null | cmp - /tmp/held") == ""


@pytest.mark.full
def test_everything_stuck(boot):
    """The host answers nothing for a while: no request fails or is lost."""
    g = boot(disks=[Disk(throttle={"iops-total": 20000})])
    with Busy(g, g.dev(), "--iodepth=64") as busy:
        for _ in range(3):
            g.qmp("stop")
            g.wait_event("STOP")
            g.qmp("cont")
            g.wait_event("RESUME")
            busy.progresses()


@pytest.mark.full
def test_slow_disk(boot):
    """A throttled disk is slow, and nothing else."""
    g = boot(disks=[Disk(throttle={"iops-total": 100})])
    began = time.monotonic()
    g.sh(command(g.dev(), "--size=1M --iodepth=64", "--bs=4k"),
         timeout=120)
    # 256 writes and as many reads; the first tenth of a second is free.
    assert time.monotonic() - began > 4


@pytest.mark.full
def test_full_ring(boot):
    """Long requests wait for what many short ones give back, one by one."""
    g = boot(smp=4, disks=[one_queue(indirect=False, queue_size=128,
                                     throttle={"iops-total": 1000})])
    short = "--size=1M --numjobs=2 --offset_increment=1M --iodepth=64"
    long = "--size=12M --offset=8M --iodepth=8"
    for _ in range(3):
        jobs = [g.start(command(g.dev(), short, "--bs=4k")),
                g.start(command(g.dev(), long, "--bssplit=4k/50:256k/50"))]
        for job in jobs:
            job.wait(timeout=30)


def test_host_stops_at_error(boot):
    """werror=stop: the host repairs the error, and the guest sees none."""
    g = boot(disks=[Disk(werror="stop", rerror="stop", blkdebug={
        "inject-error": [{"event": "none", "iotype": "write", "errno": 28,
                          "sector": BAD * 8, "once": True}]})])
    job = g.start(f"head -c 4096 /dev/urandom >/tmp/x; dd if=/tmp/x "
                  f"of=/dev/{g.dev()} bs=4k count=1 seek={BAD} oflag=direct")
    g.wait_event("BLOCK_IO_ERROR")
    g.wait_event("STOP")
    assert not job.done
    g.qmp("cont")
    job.wait()
    g.sh(f"dd if=/dev/{g.dev()} bs=4k skip={BAD} count=1 iflag=direct "
         "2>/dev/null | cmp - /tmp/x")


def test_read_only(boot, kernel):
    """The block layer refuses writes before the device has to."""
    g = boot(kernel=kernel, disks=[Disk(readonly=True)])
    dev = g.dev()
    assert g.sh(f"cat /sys/block/{dev}/ro") == "1\n"
    assert g.sh(f"blockdev --getro /dev/{dev}") == "1\n"
    assert g.sh(f"cut -c 6 $(virtio_of {g.bdf(0)})/features") == "1\n"
    mark = g.dmesg_mark("write")
    assert dd(g, dev, 0, write=True)[0]
    g.status(f"blockdev --setrw /dev/{dev}")
    assert dd(g, dev, 0, write=True)[0]
    assert "I/O error" not in g.dmesg_since(mark)
    assert g.status(f"/bin/blkdiscard -f /dev/{dev}")[0]
    assert dd(g, dev, 0)[0] == 0
