# SPDX-License-Identifier: GPL-2.0
"""Requests that complete late or never: devices that cause it, and limits.

Tests scale request_timeout down to SECONDS. A stall of less than STALL times
that resets nothing; a request that is really lost is found within LOST times
that.
"""

import contextlib
import subprocess
import threading
import time
from pathlib import Path

import pytest
from device import HOLD, Device, Script, scene
from device.spec import DISCARD, FLUSH, GET_ID, IN, OUT, WRITE_ZEROES
from faults.load import command as fio, result
from scripted import MODERN
from vbl import VblError
from vbl.qemu import time_scale

SECONDS, STALL, LOST = 2, 4, 8
PARAMS = f"request_timeout={SECONDS}"
RING = {"split": (), "packed": ("RING_PACKED",)}
# Seconds for what the guest does besides waiting, on a busy machine.
SLACK = 6 * time_scale()
# No CPU of a guest may stand still for longer, in seconds.
GAP = 2
# Devices sleep and wake up; the machine does not.
SLEEP = ("echo devices >/sys/power/pm_test; echo freeze >/sys/power/state; "
         "echo none >/sys/power/pm_test")


def count(g, dev, what):
    """One of the counters that the driver keeps for a disk."""
    return int(g.sh(f"cd /sys/block/{dev}; cat errors/{what} 2>/dev/null || "
                    f"cat trouble/{what}"))


def counts(g, dev):
    """All of them, as {name: number}."""
    out = g.sh(f"cd /sys/block/{dev}/errors 2>/dev/null || "
               f"cd /sys/block/{dev}/trouble; grep . *")
    return {name: int(n) for name, n in (
        line.split(":") for line in out.split())}


def told(g):
    """The last messages of the driver."""
    return g.sh("dmesg | grep virtio-pci-lite | tail -n 20", check=False)


# -- how long a CPU stood still ----------------------------------------------

def program(folder, name):
    """{guest path: host path} of NAME.c as a program that needs no library."""
    path = Path(folder) / name
    subprocess.run(["gcc", "-O2", "-static", "-o", path,
                    Path(__file__).with_name(f"{name}.c")], check=True)
    return {f"bin/{name}": path}


def watcher(folder):
    """The same for gap.c, which no_gap() needs."""
    return program(folder, "gap")


@contextlib.contextmanager
def no_gap(g):
    """No CPU of the guest stands still within this context."""
    job = g.start("exec /bin/gap")
    yield
    job.kill("TERM")
    most = int(job.wait(60)) / 1000
    assert most < GAP, \
        f"a CPU of the guest stood still for {most} s\n{told(g)}"


# -- scripted devices --------------------------------------------------------

class Lose(Script):
    """Loses some requests, once, and answers all others.

    kind    type of the lost requests (IN, OUT, ...); None: any
    first   how many of that type are answered before
    n       how many in a row are lost
    done    True: they are carried out and their status is written, and only
            the used element is lost; False: the device forgets them
    only    called as (request): whether it counts at all
    armed   nothing is lost before a test sets it
    lost    [(type, sector)] of the lost requests
    again   how many requests of the same type and sector followed
    began   time.monotonic() when the last of them was lost
    """

    def __init__(self, kind, first=0, n=1, done=False):
        self.kind, self.first, self.n, self.done = kind, first, n, done
        self.armed, self.seen, self.lost, self.again = False, 0, [], 0
        self.began = None
        self.only = lambda req: True
        self._chains = []

    def request(self, dev, req):
        if not self.armed or self.kind not in (None, req.kind) or \
                not self.only(req):
            return None
        self.again += (req.kind, req.sector) in self.lost
        self.seen += 1
        if not self.first < self.seen <= self.first + self.n:
            return None
        self.lost.append((req.kind, req.sector))
        if len(self.lost) == self.n:
            self.began = time.monotonic()
        if self.done:
            self._chains.append(req.chain)
            return None
        return HOLD             # which nothing releases

    def used(self, dev, queue, chain, length):
        if any(c is chain for c in self._chains):
            return []
        return super().used(dev, queue, chain, length)


class Slow(Script):
    """Holds each request of a type for some time; a reset drops it.

    seconds     for the first request, the second, ...; the last value counts
                for all further ones; None: for ever
    came        time.monotonic() of each request
    """

    def __init__(self, kind, *seconds):
        self.kind, self.seconds, self.came = kind, seconds, []

    def request(self, dev, req):
        if req.kind != self.kind:
            return None
        seconds = self.seconds[min(len(self.came), len(self.seconds) - 1)]
        self.came.append(time.monotonic())
        if seconds is not None:
            timer = threading.Timer(seconds, dev.release, (req,))
            timer.daemon = True
            timer.start()
        return HOLD


class LoseAgain(Script):
    """Loses the first request of a type, and the first one after each reset.

    armed   nothing is lost before a test sets it
    lost    how many were
    """

    def __init__(self, kind):
        self.kind, self.armed, self.lost = kind, False, 0

    def request(self, dev, req):
        if not self.armed or req.kind != self.kind or dev.held:
            return None
        self.lost += 1
        return HOLD             # a reset drops it, and nothing else does


class Several:
    """A guest with several scripted devices at once.

    scripts     {name: Script}
    devs        {name: Device}, each with its script
    disks       {name: disk in the guest}, of those that were bound
    """

    def __init__(self, boot, scripts, features=MODERN, queues=1,
                 queue_size=128, params=PARAMS, zones=None,
                 transport="modern", vectors=None, **options):
        self.scripts = scripts
        self.devs = {name: Device(
            features, script=script, queues=queues, queue_size=queue_size,
            zones=zones, transport=transport, vectors=vectors)
            for name, script in scripts.items()}
        self.boot, self.params, self.options = boot, params, options
        self.disks, self.g = {}, None

    def __enter__(self):
        for dev in self.devs.values():
            dev.__enter__()
        self.g = self.boot(devices=[d.qemu for d in self.devs.values()],
                           share_mem=True, driver=None,
                           qemu=scene.command(), **self.options)
        for dev in self.devs.values():
            scene.keep_off(self.g, dev)
        scene.load(self.g, "lite", self.params)
        return self

    def __exit__(self, *_):
        self.g and self.g.kill()
        for dev in self.devs.values():
            dev.close()

    def bind(self, *names):
        """Bind devices to the driver, all by default."""
        for name in names or self.devs:
            self.disks[name] = scene.bind(self.g, self.devs[name], "lite")
            assert self.disks[name], f"{name}: no disk"

    def arm(self):
        """Let the scripts lose requests from now on."""
        for script in self.scripts.values():
            script.armed = True

    def end(self):
        """Unload the module; no device saw a rule broken."""
        self.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=60)
        self.good()

    def good(self):
        """No device saw a rule broken."""
        for name, dev in self.devs.items():
            assert not dev.check.breaches, f"{name}: {dev.check.report()}"


@pytest.fixture
def several(boot):
    """several(scripts, ...): a Several, entered."""
    why_not = scene.qemu()[1]
    if why_not:
        pytest.skip(why_not)
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            Several(boot, *args, **options))


class Tries:
    """Commands of a guest, each of which has to end in time."""

    def __init__(self, g):
        self.g, self.rows = g, []

    def add(self, name, job, began, seconds, judge=None):
        """Add a command: began() is the time.monotonic() from which @seconds
        count, or None before that; judge(output) raises if it is wrong."""
        self.rows.append((name, job, began, seconds, judge))

    def wait(self):
        """Wait for all of them; an assertion names all that failed."""
        last, wrong = time.monotonic() + 60 + SLACK, []
        for name, job, began, seconds, judge in self.rows:
            while not job.done and time.monotonic() < last and not (
                    began() and time.monotonic() > began() + seconds):
                time.sleep(0.05)
            if not began():
                wrong.append(f"{name}: no request was lost")
            elif not job.done:
                wrong.append(f"{name}: no end in {seconds:.0f} s: "
                             f"{job.command[:200]}")
            elif job.status:
                wrong.append(f"{name}: status {job.status}: "
                             f"{job.output[-400:]}")
            elif judge:
                try:
                    judge(job.output)
                except (AssertionError, VblError) as e:
                    wrong.append(f"{name}: {e}")
        assert not wrong, "\n".join(wrong + [told(self.g)])


def verified(writes):
    """A judge of fio's output: all was written and read back right."""
    def judge(out):
        job = result(out)
        assert not job["error"], f"fio: error {job['error']}"
        done = job["write"]["total_ios"], job["read"]["total_ios"]
        assert done == (writes, writes), f"fio: {done} writes and reads"
    return judge


def finite(dev, writes, options=""):
    """A fio command: so many writes of 4 KiB, 16 at a time, then as many reads.

    After the last write, and the last read, no younger request follows.
    """
    return fio(dev, f"--rw=write --size={writes * 4096} --fsync=64 {options}",
               "--bs=4k")


KINDS = {"read": IN, "write": OUT, "flush": FLUSH, "discard": DISCARD,
         "zeroes": WRITE_ZEROES, "serial": GET_ID}
