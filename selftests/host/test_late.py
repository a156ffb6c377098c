# SPDX-License-Identifier: GPL-2.0
"""Requests that are late and not lost: the driver waits for them.

A stall of less than STALL times request_timeout resets nothing. In a reset QEMU
would wait for its storage, and the whole guest would stand still.
"""

import time

import pytest
from device import HoldRequests, scene
from device.spec import FLUSH, IN, OUT
from faults.inflight import one_queue
from late import (LOST, PARAMS, RING, SECONDS, SLACK, STALL, Lose, LoseAgain,
                  Slow, Tries, count, counts, no_gap, told, watcher)
from faults.load import dd, verify
from scripted import MODERN
from storage import Storage
from vbl import Disk
from vbl.qemu import time_scale

full = pytest.mark.full
# Longer than for scripted devices, so that a reset would show as a gap.
LONG = 3
SEEN = f"request_timeout={LONG}"
STALLED = 3 * LONG
PLACE = 2 << 20
COMMANDS = {
    "flush": "dd if=/dev/zero of=/dev/{0} bs=4k count=1 seek=512 conv=fsync",
    "write": "dd if=/dev/zero of=/dev/{0} bs=4k count=1 seek=512 oflag=direct",
    "discard": "/bin/blkdiscard -f -o 2M -l 64k /dev/{0}",
}
# Reads and writes of other places of the disk, meanwhile.
BESIDE = ("while [ ! -e /tmp/enough ]; do for s in 9 99 999; do "
          "dd if=/dev/{0} of=/dev/null bs=4k count=1 skip=$s iflag=direct && "
          "dd if=/dev/zero of=/dev/{0} bs=4k count=1 seek=$s oflag=direct || "
          "exit 1; usleep 20000; done; done 2>/dev/null")


def no_reset(g, dev):
    """The driver reset nothing, and took nothing for lost."""
    seen = counts(g, dev)
    assert not seen["resets"] and not seen["lost_completions"], told(g)


# -- the host's storage stalls -----------------------------------------------

class Stalled:
    """A disk whose storage holds a request, and a command that waits for it."""

    def __init__(self, g, disk, kind, storage, seconds=STALLED):
        self.g, self.dev, self.kind = g, g.dev(disk), kind
        at = None if kind == "flush" else PLACE
        self.stall = storage.stall(kind, seconds, at)
        self.job = g.start(COMMANDS[kind].format(self.dev))

    def wait(self):
        """Wait until the storage answers it, and the command ends well."""
        assert self.stall.ended.wait(STALLED + 60), f"no {self.kind} came"
        self.job.wait(30)


@pytest.mark.parametrize("options", [
    {}, *(pytest.param(o, marks=full) for o in (
        {"iothread": True}, {"num_queues": 1}, {"packed": True}))],
    ids=lambda o: "-".join(o) or "plain")
def test_storage_stalls(boot, kernel, tmp_path, options):
    """A flush, a write, a discard stalls, other requests do not: the command
    takes as long, as with upstream's driver on the first disk, no CPU stands
    still, and nothing is reset."""
    kinds = ("flush", "flush", "write", "discard")
    stores = [Storage(tmp_path, name=f"s{n}") for n, _ in enumerate(kinds)]
    for store in stores:
        store.__enter__()
    g = boot(kernel=kernel, driver=None, files=watcher(tmp_path), disks=[
        Disk(backend=store.backend, transport="modern", **options)
        for store in stores])
    g.sh(f"vbl_load_upstream; vbl_load {SEEN}; "
         + "".join(f"take_over {g.bdf(n)} && " for n in (1, 2, 3)) + "true",
         timeout=60)
    owners = [g.sh(f"pci_driver {g.bdf(n)}").strip() for n in range(4)]
    assert owners == ["virtio-pci", *["virtio-pci-lite"] * 3]

    beside = [g.start(BESIDE.format(g.dev(n))) for n in range(4)]
    before = [dict(store.counts) for store in stores]
    with no_gap(g):
        rows = [Stalled(g, n, kind, stores[n]) for n, kind in enumerate(kinds)]
        for row in rows:
            row.wait()
    g.sh("touch /tmp/enough")
    for n, job in enumerate(beside):
        job.wait(60)
        for kind in ("read", "write"):
            assert stores[n].counts[kind] > before[n][kind] + 20
    for row in rows[1:]:
        no_reset(g, row.dev)
        assert count(g, row.dev, "slow"), "was not late, nothing is shown"
    verify(g, rows[1].dev, "--size=4M")
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")
    for store in stores:
        store.__exit__()


@full
def test_unplug_while_storage_stalls(boot, kernel, tmp_path):
    """A disk is unplugged while its storage holds a write: it goes when the
    write has completed, and nothing is reset."""
    with Storage(tmp_path) as store:
        late = Disk(backend=store.backend, hotplug=True, transport="modern")
        g = boot(kernel=kernel, disks=[Disk(), late], params=SEEN,
                 files=watcher(tmp_path))
        late.blockdevs(g.folder)
        g.plug(late)
        g.sh(f"take_over {g.bdf(late)}")
        mark = g.dmesg_mark("unplug")
        row = Stalled(g, 1, "write", store)
        assert row.stall.started.wait(60), "no write came"
        with no_gap(g):
            g.qmp("device_del", id=late.id)
            assert row.stall.ended.wait(60)
            g.wait_event("DEVICE_DELETED", device=late.id)
        row.job.wait(30, check=False)
        assert "resetting" not in g.dmesg_since(mark)
        g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


@pytest.mark.full
@pytest.mark.parametrize("seconds", [24, pytest.param(150, marks=full)])
def test_throttled(boot, kernel, tmp_path, seconds):
    """One write a second, and 24 in flight: all are late and complete in order,
    while reads complete at once."""
    g = boot(kernel=kernel, params=PARAMS, files=watcher(tmp_path), disks=[
        one_queue(throttle={"iops-write": 1})])
    dev = g.dev()
    with no_gap(g):
        reads = g.start(f"while [ ! -e /tmp/enough ]; do dd if=/dev/{dev} "
                        "of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null "
                        "|| exit 1; usleep 100000; done")
        g.sh(f"fio --name=w --filename=/dev/{dev} --allow_file_create=0 "
             "--ioengine=libaio --direct=1 --rw=randwrite --bs=4k --size=4M "
             f"--iodepth=24 --time_based --runtime={seconds}",
             timeout=seconds + 60)
        g.sh("touch /tmp/enough")
        reads.wait()
    assert count(g, dev, "slow"), "nothing was late, nothing is shown"
    no_reset(g, dev)
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


# -- scripted devices --------------------------------------------------------

def flush(g, disk):
    """Start a write and a flush of it."""
    return g.start(f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 seek=9 "
                   "oflag=direct conv=fsync")


@full
def test_silent_for_long(several, kernel):
    """A device answers nothing at all for longer than it takes to find a lost
    request: the driver waits, and warns, but not all the time."""
    s = several({"silent": HoldRequests(hold=False)}, kernel=kernel,
                params="request_timeout=1")
    dev, script = s.devs["silent"], s.scripts["silent"]
    s.bind()
    script.hold = True
    mark = s.g.dmesg_mark("silent")
    job = s.g.start(f"dd if=/dev/zero of=/dev/{s.disks['silent']} bs=4k "
                    "count=4 oflag=direct conv=fsync")
    dev.wait(lambda d: d.held, why="a request to hold")
    time.sleep(1.5 * LOST)
    assert not job.done
    with dev.lock:
        script.hold = False
        dev.release()
    job.wait()
    log = s.g.dmesg_since(mark)
    assert "late" in log and len(log.splitlines()) < 30, log
    no_reset(s.g, s.disks["silent"])
    s.end()


def test_stall_of_a_frozen_queue(several, kernel):
    """A setting for which the queue is frozen is changed during a stall: other
    requests of the driver's own are answered, and yet nothing is reset."""
    kinds = {"read": IN, "write": OUT, "flush": FLUSH}
    s = several({name: HoldRequests(kind, limit=1, hold=False)
                 for name, kind in kinds.items()}, kernel=kernel)
    s.bind()
    jobs = []
    for name, dev in s.devs.items():
        disk, dev.script.hold = s.disks[name], True
        jobs.append(flush(s.g, disk) if name != "read" else s.g.start(
            f"dd if=/dev/{disk} of=/dev/null bs=4k count=1 skip=9 "
            "iflag=direct"))
        dev.wait(lambda d: d.held, why="a request to hold")
        jobs.append(s.g.start(f"cd /sys/block/{disk}/queue && n=$(tr -d '[]' "
                              "<scheduler) && for s in $n; do "
                              "echo $s >scheduler; done"))
    # A stall is a time, and nothing happens in it.
    time.sleep((STALL - 1) * SECONDS)
    for name, dev in s.devs.items():
        dev.release()
    for job in jobs:
        job.wait()
    for disk in s.disks.values():
        assert count(s.g, disk, "slow")
        no_reset(s.g, disk)
    s.end()


def start_reads(g, disk):
    """Start reads, which end when /tmp/enough is there."""
    return g.start(f"while [ ! -e /tmp/enough ]; do dd if=/dev/{disk} bs=4k "
                   "of=/dev/null count=1 iflag=direct 2>/dev/null || exit 1; "
                   "usleep 50000; done")


def ends_beside_reads(s, seconds):
    """A flush ends while reads complete all the time; (its job, resets)."""
    s.bind()
    s.arm()
    disk = s.disks["one"]
    reads, job = start_reads(s.g, disk), flush(s.g, disk)
    end = time.monotonic() + seconds + SLACK
    while not job.done and time.monotonic() < end:
        time.sleep(0.1)
    resets = count(s.g, disk, "resets")
    assert job.done, f"no end in {seconds} s, {resets} resets\n{told(s.g)}"
    assert not reads.done, "the reads ended"
    s.g.sh("touch /tmp/enough")
    reads.wait()
    s.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")
    return job, resets


def test_dropped_at_each_reset(several, kernel):
    """A device takes long for a flush, and forgets it at each reset: a replay
    has more time than the flush before, not less."""
    first, later = 7 * SECONDS, 5 * SECONDS
    s = several({"one": Slow(FLUSH, first, later)}, kernel=kernel)
    job, resets = ends_beside_reads(s, first + later + LOST * SECONDS)
    assert not job.status and resets <= 1, (job.output, resets)


@full
def test_lost_at_each_replay(several, kernel):
    """A flush is lost again each time that it is sent: it fails after
    reset_attempts, though other requests complete all the time."""
    attempts = 1
    s = several({"one": LoseAgain(FLUSH)}, kernel=kernel,
                params=f"request_timeout=1 reset_attempts={attempts}")
    # Each replay has as much time more as the first one had.
    job, resets = ends_beside_reads(s, LOST * sum(range(1, attempts + 3)))
    assert job.status and "Input/output error" in job.output, job.output
    assert resets <= attempts + 1
    assert s.scripts["one"].lost == attempts + 1


# -- a disk that is silent while it is probed --------------------------------

BOUND = LOST * SECONDS + SLACK
PCI = "/sys/bus/pci"


class Probing:
    """A device that does not answer the reads of the partition scan."""

    def __init__(self, several, kernel, **options):
        self.s = several({"silent": HoldRequests(IN), "good": None},
                         kernel=kernel, disks=[Disk(transport="modern")],
                         **options)
        self.dev = self.s.devs["silent"]
        self.at = f"{PCI}/devices/{self.dev.bdf}"

    def begin(self):
        """Bind it to the driver; the job that waits for that."""
        scene.unbind(self.s.g, self.dev)
        self.dev.forget()
        job = self.s.g.start(
            f"echo virtio-pci-lite >{self.at}/driver_override; "
            f"echo {self.dev.bdf} >{PCI}/drivers_probe")
        self.dev.wait(lambda d: d.held, 60, "the scan for partitions")
        return job

    def ends(self, what, job, seconds=BOUND):
        """Wait for a command, which has to end in time."""
        tries, began = Tries(self.s.g), time.monotonic()
        tries.add(what, job, lambda: began, seconds)
        tries.wait()


@full
def test_silent_at_probe(several, kernel):
    """Other disks are probed while the partitions of one cannot be read; that
    one can be unbound, and the module can be unloaded."""
    p = Probing(several, kernel)
    g = p.s.g
    began, probe = time.monotonic(), p.begin()
    # A disk of QEMU's own, and another scripted one.
    other = p.s.devs["good"].bdf
    p.s.devs["good"].forget()
    p.ends("another disk's probe", g.start(
        f"take_over {g.bdf(0)} && echo virtio-pci-lite "
        f">{PCI}/devices/{other}/driver_override && echo {other} "
        f">{PCI}/drivers_probe && disk_of {g.bdf(0)} && disk_of {other}"),
        2 * time_scale())
    assert dd(g, g.dev(0), 0, write=True)[0] == 0
    p.ends("unbinding", g.start(
        f"wait_for {int(BOUND)} [ -e {p.at}/driver ] && "
        f"echo {p.dev.bdf} >{p.at}/driver/unbind"))
    p.ends("the probe", probe, BOUND - (time.monotonic() - began))
    # A device that answers in the end: its disk comes, later.
    p.ends("the probe", p.begin())
    with p.dev.lock:
        p.dev.script.hold = False
        p.dev.release()
    disk = g.sh(f"wait_for 20 disk_of {p.dev.bdf}").strip()
    assert dd(g, disk, 9, write=True)[0] == 0
    p.dev.script.hold = True
    probe = p.begin()
    # While it reads partitions, the disk is open and the module in use.
    p.ends("unloading", g.start(f"wait_for {int(BOUND)} rmmod virtio_lite"))
    probe.wait(check=False)
    p.s.good()


@full
def test_reboot_while_silent_at_probe(several, kernel):
    """A guest reboots while the partitions of a disk cannot be read."""
    p = Probing(several, kernel)
    p.begin()
    p.s.g.start("reboot -f")
    p.s.g.wait_exit(BOUND / time_scale())


# -- zones -------------------------------------------------------------------

@pytest.mark.parametrize("ring, beside", [
    pytest.param("split", True, id="split-beside"),
    pytest.param("packed", False, id="packed-alone", marks=full),
    pytest.param("split", False, id="split-alone", marks=full),
    pytest.param("packed", True, id="packed-beside", marks=full)])
def test_zone_write_answered(several, ring, beside):
    """A write of a sequential zone is done, and only its used element is lost:
    it succeeds. A replay would fail, for the write pointer has moved."""
    s = several({"zoned": Lose(OUT, 1, done=True)},
                MODERN + RING[ring] + ("BLK_ZONED",), kernel="6.12",
                zones={"conventional": 1})
    s.bind()
    disk, zone = s.disks["zoned"], 8192 // 8
    # Writes of the first zone, which has no write pointer, do not count.
    s.scripts["zoned"].only = lambda req: req.sector >= 8192
    s.arm()
    others = s.g.start(BESIDE.format(disk)) if beside else None
    tries = Tries(s.g)
    tries.add("zone write", s.g.start(
        f"for n in 0 1 2 3; do head -c 4096 /dev/urandom >/tmp/z$n; "
        f"dd if=/tmp/z$n of=/dev/{disk} bs=4k count=1 seek=$(({zone} + n)) "
        "oflag=direct || exit 1; done; cat /tmp/z? >/tmp/z; "
        f"dd if=/dev/{disk} bs=4k count=4 skip={zone} iflag=direct "
        "2>/dev/null | cmp - /tmp/z"), lambda: s.scripts["zoned"].began,
        LOST * SECONDS + SLACK)
    tries.wait()
    assert s.scripts["zoned"].again == 0
    s.g.sh("touch /tmp/enough")
    if others:
        others.wait(60)
    s.end()


# -- timeout_action=fail -----------------------------------------------------

@pytest.mark.parametrize("ring, kind", [
    ("split", "write"), *(pytest.param(*row, marks=full) for row in (
        ("split", "read"), ("split", "flush"), ("packed", "write")))])
def test_fail_is_no_replay(scripted, ring, kind):
    """A device that never writes a status, and the user wants errors: each
    request ends with one after a reset, and is not sent again."""
    s = scripted(params="request_timeout=1 timeout_action=fail")
    held = HoldRequests({"read": IN, "write": OUT, "flush": FLUSH}[kind],
                        hold=False)
    s.be(MODERN + RING[ring], script=held)
    held.hold = True
    mark = s.g.dmesg_mark("fail")
    command = {
        "read": "dd if=/dev/{0} of=/dev/null bs=4k count=1 skip=512 "
                "iflag=direct",
        "write": "dd if=/dev/zero of=/dev/{0} bs=4k count=1 seek=512 "
                 "oflag=direct",
        "flush": "sync /dev/{0}"}[kind]
    if kind == "flush":
        s.g.sh(f"dd if=/dev/zero of=/dev/{s.name} bs=4k count=1 oflag=direct")
    began = s.dev.log.count
    for n in (1, 2):
        status, out = s.g.status(command.format(s.name) + " 2>&1", timeout=60)
        assert status and "error" in out, out
        assert count(s.g, s.name, "resets") == n, told(s.g)
    sent = [e for e in s.dev.log.find("request") if e[0] > began and
            e[4] == held.kinds[0]]
    assert len(sent) == 2, f"sent again: {sent}"
    assert s.g.dmesg_since(mark).count("request is late: resetting") == 2
    held.hold = False
    s.copy()
    s.end()


class LastMoment(HoldRequests):
    """Completes what it holds when the driver, for which it is late, looks
    whether the device needs a reset."""

    armed = False

    def read(self, dev, name, value):
        if name == "status" and self.armed and dev.held:
            self.armed = False
            dev.release()
        return value


def test_fail_is_of_one_request(scripted):
    """A late request, which would fail, completes just then. The next request
    with its tag is in flight when the device needs a reset: it is sent again,
    and does not fail."""
    s = scripted(params="request_timeout=1 timeout_action=fail queue_depth=1",
                 smp=1)
    s.be(MODERN, script=LastMoment(OUT, limit=1, hold=False))
    script = s.dev.script
    write = f"dd if=/dev/zero of=/dev/{s.name} bs=4k count=1 oflag=direct 2>&1"
    script.armed = script.hold = True
    s.g.sh(write)
    s.g.sh(f"wait_for 20 grep -qx 1 /sys/block/{s.name}/errors/resets")
    assert not script.armed
    s.g.sh(f"echo 30000 >/sys/block/{s.name}/queue/io_timeout")
    script.limit = 1
    job = s.g.start(write)
    s.dev.wait(lambda d: d.held, 20, "a write to hold")
    with s.dev.lock:
        s.dev.needs_reset()
    job.wait(20)
    assert count(s.g, s.name, "resets") == 2
    s.end()
