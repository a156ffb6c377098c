# SPDX-License-Identifier: GPL-2.0
"""Sleep and shutdown while a device still has requests."""

import re
import time

import pytest
from device import HoldRequests
from device.spec import FLUSH, OUT
from late import SLEEP, several
from scripted import scene

__all__ = ["several"]

full = pytest.mark.full
# CPUs but the first go offline, and come back.
CPUS = ("echo processors >/sys/power/pm_test; echo deep >/sys/power/mem_sleep; "
        "echo mem >/sys/power/state; status=$?; "
        "echo none >/sys/power/pm_test; exit $status")


class Order(HoldRequests):
    """Notes for each flush how many requests are held, until it is reset."""

    def __init__(self, *kinds, **options):
        super().__init__(*kinds, hold=False, **options)
        self.flushes, self.over = [], False

    def request(self, dev, req):
        if self.hold and not self.over and req.kind == FLUSH:
            self.flushes.append(len(dev.held))
        return super().request(dev, req)

    def write(self, dev, name, value):
        self.over |= self.hold and name == "status" and not value
        return super().write(dev, name, value)


def writes(s, held, options=""):
    """A job that writes, and waits in a way that does not keep the system from
    sleep; the device holds so many of them."""
    dev, disk = s.devs["one"], s.disks["one"]
    dev.script.hold = True
    job = s.g.start(f"exec fio --name=load --filename=/dev/{disk} --thread "
                    "--ioengine=io_uring --direct=1 --allow_file_create=0 "
                    f"--rw=write --bs=4k {options}")
    dev.wait(lambda d: len(d.held) == held, why="requests to hold")
    return job


def let_go(s):
    """The device does what it held, and holds nothing any more."""
    dev = s.devs["one"]
    with dev.lock:
        dev.script.hold = False
        dev.release()


def good(s, job):
    """The load ends, and the disk works."""
    job.wait(60)
    scene.copy(s.g, s.disks["one"])
    s.end()


@full
def test_queue_of_an_offline_cpu(several, kernel):
    """Requests that do not end belong to the queue of a CPU, which does not go
    offline before they have: the system says so and stays awake."""
    s = several({"one": HoldRequests(OUT, hold=False)}, kernel=kernel, queues=2,
                suspend=True)
    s.bind()
    job = writes(s, 4, "--size=16k --iodepth=4 --cpus_allowed=1")
    assert {r.queue.index for r in s.devs["one"].held} == {1}
    mark = s.g.dmesg_mark("sleep")
    sleep = s.g.start(CPUS)
    sleep.wait(90, check=False)
    assert sleep.status, "it slept"
    assert "the system cannot sleep" in s.g.dmesg_since(mark)
    let_go(s)
    good(s, job)


@full
@pytest.mark.parametrize("what", ["sleep", "reboot"])
def test_no_tag_for_the_flush(several, kernel, what):
    """A silent device has so many requests that the flush before sleep or
    shutdown gets no tag: it is not waited for without end."""
    s = several({"one": HoldRequests(OUT, hold=False)}, kernel=kernel,
                params="queue_depth=4")
    s.bind()
    # The fourth slot is that of the check. No task waits for a tag, which would
    # keep the system from sleep.
    job = writes(s, 3, "--size=12k --iodepth=3")
    mark = s.g.dmesg_mark("asleep")
    if what == "reboot":
        s.g.start("reboot -nf")
        s.g.wait_exit(60)
        return
    s.g.start(SLEEP).wait(90)
    assert "the cache was not flushed" in s.g.dmesg_since(mark)
    let_go(s)
    good(s, job)


@full
def test_flush_covers_all(several, kernel):
    """A write that comes back when the system is about to sleep is flushed, too,
    before the device is reset."""
    s = several({"one": Order(OUT)}, kernel=kernel)
    s.bind()
    g, dev, script = s.g, s.devs["one"], s.scripts["one"]
    g.sh("echo N >/sys/module/printk/parameters/console_suspend; "
         "echo 1 >/sys/power/pm_print_times")
    job = writes(s, 1, "--size=4k --iodepth=1")
    sleep = g.start(SLEEP)
    asked = re.compile(rf"{dev.bdf}: (?:PM: )?(?:calling )?pci_pm_suspend")
    until = time.monotonic() + 60 * g.scale
    while not asked.search(g.console):
        assert time.monotonic() < until and g.alive, g.console[-2000:]
        time.sleep(0.05)
    # A flush may come now, or when the write is back.
    until = time.monotonic() + 2
    while not script.flushes and time.monotonic() < until:
        time.sleep(0.05)
    dev.release()
    sleep.wait(90)
    assert script.over, "the device was not reset"
    assert script.flushes[-1:] == [0], \
        f"flushes came while so many writes were held: {script.flushes}"
    script.hold = False
    good(s, job)
