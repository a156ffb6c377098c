# SPDX-License-Identifier: GPL-2.0
"""Devices that break the protocol are reset, and no data is lost."""

import pytest
from faults.inflight import (
    held_is_there, hold, one_queue, start_write, errors, used_jump,
    used_not_in_flight, used_out_of_range, used_without_status, wait_errors,
    writes_of)
from faults.load import Busy, dd, end_of_load
from faults.qtest import Ring
from vbl import Disk

PARAMS = "/sys/module/virtio_lite/parameters"


# -- the device gives up -----------------------------------------------------

def test_needs_reset(boot, kernel, line):
    """QEMU finds an invalid head in the ring and asks for a reset."""
    g = boot(kernel=kernel, devices=line.devices,
             disks=[one_queue(throttle={})])
    ring = Ring(g, line.connect())

    # Once with a request that QEMU certainly holds.
    held, before = hold(g), writes_of(g)
    ring.offend()
    wait_errors(g, "resets")
    held.wait()
    # The host drained, and its status says so: it is not sent again.
    assert writes_of(g) == before + 1
    held_is_there(g)

    with Busy(g, g.dev(), "--iodepth=32") as busy:
        for n in range(2, 5):
            # Otherwise the guest could write the same ring slot.
            g.qmp("stop")
            ring.offend()
            g.qmp("cont")
            wait_errors(g, "resets", n)
            busy.progresses()
    assert errors(g, "protocol") == 0
    end_of_load(g)


# -- breaches of the protocol ------------------------------------------------

BREACHES = {
    used_out_of_range: "bad used id: ",
    used_not_in_flight: "bad used id, which is not in flight",
    used_jump: "bad used index",
    used_without_status: "bad used id, of a request without status",
}


@pytest.mark.parametrize("options", [
    {}, pytest.param({"packed": True}, marks=pytest.mark.full)],
    ids=lambda o: "-".join(o) or "plain")
def test_breaches(boot, kernel, line, options):
    """Whatever the ring says, a request completes when it was done."""
    g = boot(kernel=kernel, disks=[one_queue(throttle={}, **options)],
             devices=line.devices)
    ring = Ring(g, line.connect(), packed="packed" in options)
    done = 0
    for breach, words in BREACHES.items():
        if ring.packed and breach is used_jump:
            continue
        held = hold(g)
        mark, before = g.dmesg_mark(breach.__name__), writes_of(g)
        assert not held.done
        breach(ring, ring.newest())
        ring.interrupt()
        done += 1
        wait_errors(g, "resets", done)
        held.wait()
        # The host drained, and its status says so: it is not sent again.
        assert writes_of(g) == before + 1
        assert words in g.dmesg_since(mark)
        assert errors(g, "protocol") >= done
        held_is_there(g)
    end_of_load(g)


def test_dead(boot, line):
    """A device that breaks the protocol after each reset is given up."""
    g = boot(disks=[one_queue(throttle={})],
             devices=line.devices, params="reset_attempts=1")
    ring = Ring(g, line.connect())
    for n in range(2):
        held = hold(g)
        used_out_of_range(ring, None)
        ring.interrupt()
        if n == 0:
            held.wait()
            wait_errors(g, "resets")
    # The host was done with it when it drained.
    held.wait()
    dev = g.dev()
    assert dd(g, dev, 0, write=True)[0]
    # It may end at sector 0 now.
    status, out = dd(g, dev, 0)
    assert status or "0+0 records in" in out
    assert "the disk is dead" in g.sh("dmesg")
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


# -- requests that do not come back ------------------------------------------

@pytest.mark.full
def test_slow(boot):
    """A slow host is waited for, and the kernel log says so."""
    g = boot(disks=[one_queue(blkdebug={})],
             params="request_timeout=1")
    mark = g.dmesg_mark("slow")
    g.qemu_io(g.disks[0], "break pwritev A")
    held = start_write(g)
    wait_errors(g, "slow", 2)
    assert not held.done
    assert "sector 16, is late: waiting" in g.dmesg_since(mark)
    g.qemu_io(g.disks[0], "resume A")
    held.wait()
    assert errors(g, "resets") == 0
    held_is_there(g)
    end_of_load(g)


# -- parameters --------------------------------------------------------------

def test_parameters(boot):
    """Invalid values are refused, when loading and later."""
    g = boot(disks=[Disk()], driver=None)
    for bad in ("timeout_action=nonsense", "timeout_action=",
                "request_timeout=0", "request_timeout=86401",
                "request_timeout=x"):
        status, out = g.status(f"vbl_load {bad}")
        assert status and "nvalid" in out, out
    g.sh("vbl_load timeout_action=wait request_timeout=7 && vbl_take_all")
    read = f"cd {PARAMS}; cat timeout_action request_timeout reset_attempts"
    assert g.sh(read).split() == ["wait", "7", "5"]
    for name, value in (("timeout_action", "nonsense"),
                        ("request_timeout", "0")):
        assert g.status(f"echo {value} >{PARAMS}/{name}")[0]
    assert g.sh(read).split() == ["wait", "7", "5"]
    assert g.sh(f"cat /sys/block/{g.dev()}/queue/io_timeout") == "7000\n"
    for action in ("auto", "reset", "fail"):
        g.sh(f"echo {action} >{PARAMS}/timeout_action")
        assert g.sh(f"cat {PARAMS}/timeout_action") == f"{action}\n"
    g.sh("vbl_unload")
