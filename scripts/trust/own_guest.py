# SPDX-License-Identifier: GPL-2.0
"""Faults that need a guest of their own: the disk is removed, or the host
changes."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from device import Device, HoldRequests, scene
from device.spec import OUT
from faults import powercut, removal
from faults.load import Busy
from faults.moving import Backend, Moving, boot_beside
from vbl import Guest, VblError, ktap, pick_kernel, record

from . import held
from .tally import Tally


@contextlib.contextmanager
def folder():
    """A temporary folder."""
    path = Path(tempfile.mkdtemp(prefix="vbl-trust-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def campaign(run):
    """A row of the table of run(), which raises at the first error."""
    def tried(kernel, driver, times, _stage):
        try:
            lost = run(kernel, driver, times) or 0
            return Tally(times, lost, words=("blocks are lost",) * bool(lost))
        except (VblError, AssertionError) as e:
            return Tally(times, **record.costs(e), words=(
                str(e).split("\n", 1)[0],))
    return tried


def removed(what):
    """A campaign of make soak."""
    return campaign(lambda kernel, driver, times: removal.campaign(
        what, times, kernel=kernel, driver=driver) and 0)


def reload(kernel, driver, times, stage):
    """Unload and load, where the driver is a module."""
    if driver == "upstream" and "virtio_blk" in pick_kernel(kernel).builtin:
        return "is built into this kernel"
    return removed("reload")(kernel, driver, times, stage)


def power(kernel, driver, times):
    """Blocks lost in as many power cuts."""
    return powercut.campaign(times, 1, kernel, say=lambda _: None,
                             driver=driver)[1]


@contextlib.contextmanager
def booting(driver):
    """boot(...) as in the tests: a Guest that is gone afterwards."""
    with contextlib.ExitStack() as guests:
        yield lambda **options: guests.enter_context(
            Guest(driver=driver, **options))


def migrated(kernel, driver, times):
    """Live migration under load."""
    with folder() as there, booting(driver) as boot:
        m = Moving(boot, kernel, there, {"transport": "modern"})
        m.go(times)
        m.end()
        ktap.must_be_quiet(m.g.sh("dmesg"))


def backend_killed(kernel, driver, times):
    """The process that serves the disk is killed under load, and restarted."""
    with folder() as there, booting(driver) as boot:
        image = there / "disk"
        image.touch()
        os.truncate(image, 64 << 20)
        with Backend(there, image) as backend:
            g = boot_beside(boot, kernel, backend)
            with Busy(g, g.sh("disk_of 0000:00:08.0").strip()) as busy:
                for _ in range(times):
                    backend.kill()
                    backend.start()
                    busy.progresses()
            ktap.must_be_quiet(g.sh("dmesg"))


def surprise(kernel, driver, times, _stage):
    """Surprise removal: every register reads 0xff from one moment on."""
    qemu, why_not = scene.qemu()
    if why_not:
        return why_not
    total, left = Tally(lost=None), times
    while left:
        with Device() as dev, Guest(
                kernel, devices=[dev.qemu], share_mem=True, driver=None,
                qemu=qemu, append=held.APPEND, timeout=0) as g:
            held.expect_hung_tasks(g)
            scene.keep_off(g, dev)
            scene.load(g, driver, held.PARAMS)
            good = True
            while left and good:
                one = pulled(g, dev, driver)
                total.add(one)
                good, left = one.good, left - 1
    return total


def pulled(g, dev, driver):
    """Remove it once; the writes in flight and after that must fail."""
    dev.pci.gone = False
    dev.become()
    name = scene.bind(g, dev, driver)
    with dev.lock:
        dev.script = HoldRequests(OUT)
    mark = g.dmesg_mark("gone")
    command = f"dd if=/dev/zero of=/dev/{name} bs=4k count=1 oflag=direct"
    job = g.start(command)
    dev.wait(lambda d: d.held, why="a write to keep")
    with dev.lock:
        dev.pci.gone = True
    held.ends(g, [job], held.HANGS)
    after = g.start(command)
    held.ends(g, [job, after], held.HANGS)
    # They must fail.
    seen = {"ok": "lies", "fails": "ok", "hangs": "hangs"}
    outcomes = {what: seen[held.outcome(g, of, 0)]
             for what, of in (("write", job), ("next write", after))}
    outcomes["unbind"] = held.outcome(g, g.start(
        f"echo {dev.bdf} >/sys/bus/pci/devices/{dev.bdf}/driver/unbind"))
    one = held.counted(outcomes)
    one.lost = None
    return one.heard(held.said(g, mark))


ROWS = {
    "device gone, all reads 0xff": surprise,
    "hot-unplug under load": removed("unplug"),
    "unbind under load": removed("rebind"),
    "unload after writes": reload,
    "backend killed under load": campaign(backend_killed),
    "live migration under load": campaign(migrated),
    "power cut": campaign(power),
}
