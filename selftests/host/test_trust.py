# SPDX-License-Identifier: GPL-2.0
"""Resets by others, lost interrupts, lost requests.

In each case the load continues and every byte that was written is there.
"""

import pytest
from faults.inflight import (
    AER, AER_PORT, bus_error, held_is_there, hold, length_huge, length_zero,
    lose, never_written, one_queue, out_of_range, spoil, start_write, too_far,
    too_far_back, errors, twice, wait_errors, writes_of)
from faults.load import Busy, dd, end_of_load
from faults.qtest import Ring
from vbl import Disk

PARAMS = "/sys/module/virtio_lite/parameters"


# -- resets from outside -----------------------------------------------------

@pytest.mark.parametrize("options", [
    {}, *(pytest.param(o, marks=pytest.mark.full) for o in (
        {"packed": True}, {"vectors": 0}, {"indirect": False},
        {"num_queues": 1}))], ids=lambda o: "-".join(o) or "plain")
def test_function_reset(boot, kernel, options):
    """Resets of the function, by its own register and by its power state."""
    g = boot(kernel=kernel, disks=[Disk(transport="modern", root_port=True,
                                        **options)])
    dev = g.dev()
    node = f"/sys/bus/pci/devices/{g.bdf(0)}"
    done = 0
    with Busy(g, dev, "--iodepth=32") as busy:
        for way in ("flr", "pm"):
            g.sh(f"echo {way} >{node}/reset_method")
            for _ in range(3):
                g.sh(f"echo 1 >{node}/reset", timeout=60)
                busy.progresses()
                done += 1
    assert errors(g, "resets") == done
    end_of_load(g)


@pytest.mark.parametrize("options", [
    {}, *(pytest.param(o, marks=pytest.mark.full) for o in (
        {"packed": True}, {"vectors": 0}))],
    ids=lambda o: "-".join(o) or "plain")
def test_bus_error(boot, kernel, options):
    """A fatal error of PCI Express: the kernel resets the slot."""
    g = boot(kernel=kernel, devices=[AER_PORT],
             disks=[Disk(transport="modern", **AER, **options)])
    mark = g.dmesg_mark("errors")
    with Busy(g, g.dev(), "--iodepth=32") as busy:
        for n in range(1, 4):
            bus_error(g)
            wait_errors(g, "resets", n)
            busy.progresses()
    assert g.dmesg_since(mark).count("device recovery successful") == 3
    end_of_load(g)


@pytest.mark.full
def test_bus_error_without_reset(boot, kernel):
    """The kernel cannot reset the slot: the user is told, the driver is not."""
    g = boot(kernel=kernel, disks=[Disk(transport="modern", **AER)])
    mark = g.dmesg_mark("error")
    with Busy(g, g.dev(), "--iodepth=32") as busy:
        bus_error(g)
        wait_errors(g, "resets", 1, timeout=90)
        busy.progresses()
    log = g.dmesg_since(mark)
    assert "device recovery failed" in log
    assert "its slot was not reset in 60 seconds" in log
    end_of_load(g)


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {}, {"packed": True}, {"transport": "legacy"}],
    ids=lambda o: "-".join(o) or "plain")
def test_bus_master_off(boot, kernel, options):
    """Bus mastering is switched off, and on again."""
    g = boot(kernel=kernel, params="request_timeout=1",
             disks=[Disk(**{"transport": "modern", **options})])
    dev, bdf = g.dev(), g.bdf(0)
    with Busy(g, dev, "--iodepth=32") as busy:
        for n in range(1, 4):
            g.sh(f"setpci -s {bdf} COMMAND=0:4")
            wait_errors(g, "resets", n)
            busy.progresses()
            # It works because the driver switched it on again.
            assert g.sh(f"setpci -s {bdf} COMMAND").strip()[-1] in "4567"
        for n in range(5):
            g.sh(f"setpci -s {bdf} COMMAND=0:4; usleep 20000; "
                 f"setpci -s {bdf} COMMAND=4:4")
            busy.progresses()
    end_of_load(g)


# -- interrupts that do not come ---------------------------------------------

def finds_lost(g, silence, speak):
    """A request without an interrupt completes by the timeout."""
    dev = g.dev()
    assert dd(g, dev, 0, write=True)[0] == 0
    before = errors(g, "lost_interrupts")
    silence()
    assert start_write(g).wait(60) is not None
    assert errors(g, "lost_interrupts") > before
    speak()
    held_is_there(g)
    assert errors(g, "resets") == 0
    assert "an interrupt was lost" in g.sh("dmesg")


@pytest.mark.parametrize("packed", [
    False, pytest.param(True, marks=pytest.mark.full)])
def test_lost_msix(boot, kernel, line, packed):
    """The vector of a queue is masked behind the driver's back."""
    g = boot(kernel=kernel, devices=line.devices, params="request_timeout=1",
             disks=[one_queue(packed=packed)])
    ring = Ring(g, line.connect(), packed=packed)
    finds_lost(g, lambda: ring.mask(True), lambda: ring.mask(False))
    end_of_load(g)


@pytest.mark.parametrize("transport", ["modern", "legacy"])
def test_lost_intx(boot, kernel, transport):
    """INTx is disabled in the command register."""
    g = boot(kernel=kernel, params="request_timeout=1",
             disks=[one_queue(transport=transport, vectors=0)])
    bdf = g.bdf(0)
    finds_lost(g, lambda: g.sh(f"setpci -s {bdf} COMMAND=400:400"),
               lambda: g.sh(f"setpci -s {bdf} COMMAND=0:400"))
    end_of_load(g)


# -- requests that do not come back, by what the user wants ------------------

def lost_auto(g, ring):
    """Reads complete, no write does: it is lost, and a reset ends it."""
    held = hold(g)
    reads = g.start(f"while [ ! -e /tmp/enough ]; do dd if=/dev/{g.dev()} "
                    "of=/dev/null bs=4k count=4 iflag=direct 2>/dev/null || "
                    "exit 1; usleep 50000; done")
    held.wait(90)
    g.sh("touch /tmp/enough")
    reads.wait()
    assert errors(g, "lost_completions") == 1
    assert errors(g, "resets") == 1


def lost_reset(g, ring):
    """A late request ends after a reset, as its status says: only once done."""
    before = writes_of(g)
    lose(g, ring).wait(60)
    assert errors(g, "resets") == 1
    assert errors(g, "lost_completions") == 0
    assert writes_of(g) == before + 1


def lost_fail(g, ring):
    """Of a late request whose status was written, the status decides."""
    lose(g, ring).wait(60)
    assert errors(g, "resets") == 1
    # Only that one: the disk still works.
    assert dd(g, g.dev(), 100, write=True)[0] == 0


def lost_wait(g, ring):
    """A late request is reported, and waited for."""
    held = lose(g, ring)
    wait_errors(g, "slow", timeout=60)
    assert not held.done
    ring.used_idx += 1
    ring.interrupt()
    held.wait()
    assert errors(g, "resets") == 0


@pytest.mark.parametrize("case", [
    pytest.param(c, id=c.__name__, marks=[pytest.mark.full] if long else [])
    for c, long in ((lost_auto, False), (lost_reset, False), (lost_fail, True),
                    (lost_wait, True))])
def test_lost_completion(boot, kernel, line, case):
    """The driver does what timeout_action says."""
    action = case.__name__.partition("_")[2]
    g = boot(kernel=kernel, devices=line.devices,
             disks=[one_queue(throttle={})],
             params=f"request_timeout=1 timeout_action={action}")
    assert g.sh(f"cat {PARAMS}/timeout_action") == f"{action}\n"
    case(g, Ring(g, line.connect()))
    held_is_there(g)
    end_of_load(g)


# -- true completions, spoiled on their way ----------------------------------

SPOILERS = {never_written: True, twice: True, out_of_range: True,
            too_far: True, too_far_back: True,
            length_huge: False, length_zero: False}


def test_spoiled_completions(boot, kernel, line):
    """A completion in which one number is wrong."""
    g = boot(kernel=kernel, devices=line.devices,
             disks=[one_queue(throttle={})], params="reset_attempts=20")
    ring = Ring(g, line.connect())
    resets = 0
    for how, bad in SPOILERS.items():
        g.dmesg_mark(how.__name__)
        held = spoil(g, ring, how)
        held.wait(60)
        held_is_there(g)
        if bad:
            resets += 1
            wait_errors(g, "resets", resets)
        assert errors(g, "resets") == resets, how.__name__
        assert errors(g, "protocol") == resets, how.__name__
    end_of_load(g)
