# SPDX-License-Identifier: GPL-2.0
"""What a device changes about itself while it is in use."""

from device import HoldRequests
from device.spec import OUT, mask
from faults.load import Busy
from scripted import MODERN


def flushes(s):
    """Write and sync a file; how many flushes the device got."""
    before = s.dev.blk.flushes
    s.sh("dd if=/dev/zero of=/dev/$D bs=4k count=1 conv=fsync 2>/dev/null")
    return s.dev.blk.flushes - before


def test_cache_changed(scripted):
    """The device's cache comes and goes, and is emptied when it has to be."""
    s = scripted()
    s.be(MODERN + ("BLK_CONFIG_WCE",), queues=2)
    show = "cat /sys/block/$D/cache_type /sys/block/$D/queue/write_cache"
    with Busy(s.g, s.name, "--size=4M --offset=8M") as busy:
        for n, on in enumerate((0, 1), 1):
            words = ("write through", "write back")[on]
            before = s.dev.blk.flushes
            s.dev.change(writeback=on)
            s.sh(f"wait_for 20 sh -c '[ $(dmesg | grep -c \"{s.name}: the "
                 f"device made its cache\") = {n} ]'")
            assert f"its cache {words}" in s.sh("dmesg | tail -n 1")
            assert s.sh(show).splitlines() == [words] * 2
            assert on or s.dev.blk.flushes > before
        busy.progresses()
    assert flushes(s)
    # A change by the user is no config event.
    s.sh("echo 'write through' >/sys/block/$D/cache_type")
    assert not flushes(s)
    s.dev.resize(48 << 20)
    s.sh(f"wait_for 20 grep -qx {96 << 10} /sys/block/$D/size")
    assert s.sh("dmesg | grep -c 'made its cache'") == "2\n"
    s.end()


def test_more_features_after_a_reset(scripted, kernel):
    """A device that has learned more, as a back end that was updated has, is
    driven as before; one that has forgotten something cannot be."""
    s = scripted(kernel=kernel)
    s.be(MODERN)
    s.copy()
    accepted = s.dev.accepted
    with s.dev.lock:
        s.dev.offered = mask(MODERN + ("RING_PACKED", "BLK_DISCARD",
                                       "IN_ORDER", "BLK_TOPOLOGY"))
        # What is offered later need not be taken.
        s.dev.check.rule = lambda *_, **__: True
        s.dev.needs_reset()
    s.sh("wait_for 30 grep -qx 1 /sys/block/$D/errors/resets")
    assert s.dev.accepted == accepted
    s.copy()
    with s.dev.lock:
        s.dev.offered &= ~mask(("BLK_FLUSH",))
        s.dev.needs_reset()
    s.sh("wait_for 30 sh -c 'dmesg | grep -q \"$D: the disk is dead\"'")
    assert "device came back with features" in s.g.sh("dmesg")


def test_read_only_changed(scripted):
    """A disk becomes read-only under those who write, and writable again."""
    s = scripted()
    s.be(MODERN, queues=2, script=HoldRequests(OUT, hold=False))
    s.copy()
    with s.dev.lock:
        s.dev.script.hold = True
    job = s.g.start(f"dd if=/dev/zero of=/dev/{s.name} bs=4k count=1 "
                    "seek=512 oflag=direct 2>&1")
    s.dev.wait(lambda d: d.held, 30, "a write")
    for ro in (True, False):
        with s.dev.lock:
            s.dev.offered ^= 1 << 5
            s.dev.config.readonly = ro
            s.dev.script.hold = False
            s.dev.change()
        s.sh(f"wait_for 20 grep -qx {ro:d} /sys/block/$D/ro")
        assert s.dev.has("BLK_RO") == ro
        job.wait(30, check=False)
        assert job.status and s.g.status(
            f"dd if=/dev/zero of=/dev/{s.name} bs=4k count=1 oflag=direct"
            )[0] == ro
        s.sh("dd if=/dev/$D of=/dev/null bs=64k count=8 iflag=direct")
    s.copy()
    s.end()
