# SPDX-License-Identifier: GPL-2.0
"""What a device can do wrong while QEMU holds a write of the guest.

A breach changes the ring while the write is held. A spoiler changes one number
of a true completion: QMP stop drains the disks, as a reset does, and the
stopped guest cannot see the completion before it is changed.
"""

from vbl import Disk

from .load import dd


def one_queue(**options):
    """A disk with one queue, so that every request is in that one."""
    return Disk(**{"transport": "modern", "num_queues": 1, **options})


def start_write(g, place=2, after=":"):
    """Start a write of 4 KiB of random data, which /tmp/held holds too."""
    return g.start(f"{after}; head -c 4096 /dev/urandom >/tmp/held; "
                   f"dd if=/tmp/held of=/dev/{g.dev()} bs=4k count=1 "
                   f"seek={place} oflag=direct; s=$?; wait; exit $s")


def wait_in_flight(g, n=1):
    g.sh(f"wait_for 20 grep -q ' {n}$' /sys/block/{g.dev()}/inflight")


def limit(g, bps):
    g.qmp_raw("qom-set", {"path": f"/objects/{g.disks[0].id}-group",
                          "property": "limits", "value": {"bps-total": bps}})


def hold(g, place=2, second=False, bps=1):
    """Start a write that QEMU holds until it drains the disk, as a reset does.

    With @second another write is in flight before it. The throttle limit that
    holds them is off again when this returns. A greater @bps than the usual one
    lets the write complete by itself, after 4096 / @bps seconds.
    """
    limit(g, bps)
    # The throttle always lets the first request pass.
    assert dd(g, g.dev(), 8)[0] == 0
    job = start_write(g, place, f"dd if=/dev/zero of=/dev/{g.dev()} bs=4k "
                      f"count=1 seek={place + 1} oflag=direct & wait_for 20 "
                      f"grep -q ' 1$' /sys/block/{g.dev()}/inflight"
                      if second else ":")
    wait_in_flight(g, 1 + second)
    limit(g, 0)
    return job


def errors(g, what, disk=0):
    """One of the error counters of a disk, as its driver shows it."""
    return int(g.sh(f"cat /sys/block/{g.dev(disk)}/errors/{what}"))


def wait_errors(g, what, least=1, timeout=30):
    """Wait until an error counter has reached @least."""
    g.sh(f"wait_for {timeout} sh -c '[ $(cat /sys/block/{g.dev()}/errors/"
         f"{what}) -ge {least} ]'", timeout=timeout + 20)


def held_is_there(g, place=2):
    """Check that what start_write() wrote can be read back."""
    assert g.sh(f"dd if=/dev/{g.dev()} bs=4k skip={place} count=1 "
                "iflag=direct 2>/dev/null | cmp - /tmp/held") == ""


# After a reset, a root port of QEMU reports that its link is down, unless it is
# one of 2.5 GT/s, which does not report the link at all.
AER_PORT = "-global pcie-root-port.x-speed=2_5"
AER = {"root_port": True, "props": {"aer": "on"}}


def bus_error(g):
    """Inject a fatal error of PCI Express: the kernel resets the slot (AER)."""
    assert "OK" in g.hmp(f"pcie_aer_inject_error {g.disks[0].id} DLP")


def writes_of(g):
    """How many writes the device has done, according to the host."""
    for b in g.qmp("query-blockstats"):
        if f"/{g.disks[0].id}/" in b.get("qdev", ""):
            return b["stats"]["wr_operations"]
    raise AssertionError("QEMU does not know the disk")


# -- breaches ----------------------------------------------------------------

def used_out_of_range(ring, head):
    ring.give(ring.num)


def used_not_in_flight(ring, head):
    ring.give((head + 1) % ring.num)


def used_jump(ring, head):
    ring.used_idx += ring.num + 1


def used_without_status(ring, head):
    ring.give(head)


# -- true completions, spoiled -----------------------------------------------

def answer(g, ring, second=False):
    """Let QEMU complete a held write while the guest is stopped: the job, and
    the index and the id of the used element before."""
    held, n = hold(g, second=second), 1 + second
    at, head = ring.used_idx, ring.newest()
    old = [ring.used_id(at + i) for i in range(n)]
    g.qmp("stop")
    assert ring.used_idx == (at + n) & 0xffff, "the host did not finish it"
    mine = next(i for i in range(n) if ring.used_id(at + i) == head)
    return held, at + mine, old[mine]


def lose(g, ring):
    """QEMU completes a write, and the guest is not told."""
    held, at, _ = answer(g, ring)
    ring.used_idx = at
    g.qmp("cont")
    return held


def spoil(g, ring, how):
    """QEMU completes a write, and how() spoils the completion."""
    # With one request in flight the stale id could be the right one by chance.
    held, at, old = answer(g, ring, second=how is never_written)
    how(ring, at, old)
    g.qmp("cont")
    return held


def never_written(ring, at, old):
    """The used index advances, and the element was never written."""
    # If the stale id is the right one all the same, take another.
    ring.used_id(at, old ^ (old == ring.used_id(at)))


def twice(ring, at, old):
    """The same id is in two used elements."""
    ring.used_id(at + 1, ring.used_id(at))
    ring.used_idx = at + 2


def out_of_range(ring, at, old):
    """The id is out of range."""
    ring.used_id(at, 0xffffffff)


def too_far(ring, at, old):
    """The used index is ahead by more than the ring holds."""
    ring.used_idx = at + 1 + ring.num


def too_far_back(ring, at, old):
    """The used index goes backwards, past what was reaped long ago."""
    ring.used_idx = at - 1


def length_huge(ring, at, old):
    """The length is more than the buffers hold."""
    ring.line.put(ring.used + 8 + 8 * (at % ring.num), 0xffffffff, 4)


def length_zero(ring, at, old):
    """The length says that not even the status was written; it was."""
    ring.line.put(ring.used + 8 + 8 * (at % ring.num), 0, 4)


# -- the same in a packed ring -----------------------------------------------

def spoil_packed(g, ring, how):
    """QEMU completes a write, and how() spoils the used descriptor."""
    held, slot, ident = hold(g), ring.state()["used-idx"], ring.newest()
    g.qmp("stop")
    assert ring.state()["used-idx"] != slot, "the host did not finish it"
    how(ring, slot, ident)
    g.qmp("cont")
    return held


def packed_out_of_range(ring, slot, ident):
    """The id is out of range."""
    ring.line.put(ring.desc + 16 * slot + 12, 0xfffe)


def packed_twice(ring, slot, ident):
    """The same id is in the next descriptor, too."""
    ring.give_packed(ident)


def packed_length_huge(ring, slot, ident):
    """The length is more than the buffers hold."""
    ring.line.put(ring.desc + 16 * slot + 8, 0xffffffff, 4)
