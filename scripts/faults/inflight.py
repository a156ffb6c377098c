# SPDX-License-Identifier: GPL-2.0
"""What a device can do wrong, while the host holds a write of the guest.

A breach is done to the ring while the write is held. A spoiler changes one
number of a true answer: a guest that stands still drains its disks, as one that
is reset does, and cannot see the answer before it is spoiled.
"""

from vbl import Disk

from .load import dd


def one_queue(**options):
    """A disk whose only queue every request has to take."""
    return Disk(**{"transport": "modern", "num_queues": 1, **options})


def start_write(g, place=2, after=":"):
    """One write of 4 KiB of noise, which is also kept in /tmp/held."""
    return g.start(f"{after}; head -c 4096 /dev/urandom >/tmp/held; "
                   f"dd if=/tmp/held of=/dev/{g.dev()} bs=4k count=1 "
                   f"seek={place} oflag=direct; s=$?; wait; exit $s")


def wait_in_flight(g, n=1):
    g.sh(f"wait_for 20 grep -q ' {n}$' /sys/block/{g.dev()}/inflight")


def limit(g, bps):
    g.qmp_raw("qom-set", {"path": f"/objects/{g.disks[0].id}-group",
                          "property": "limits", "value": {"bps-total": bps}})


def hold(g, place=2, second=False):
    """A write that the host keeps until it drains the disk, as a reset does.

    With @second another one is in flight before it. The limit is for those to
    come; it is off again when this returns.
    """
    limit(g, 1)
    # The first one always passes.
    assert dd(g, g.dev(), 8)[0] == 0
    job = start_write(g, place, f"dd if=/dev/zero of=/dev/{g.dev()} bs=4k "
                      f"count=1 seek={place + 1} oflag=direct & wait_for 20 "
                      f"grep -q ' 1$' /sys/block/{g.dev()}/inflight"
                      if second else ":")
    wait_in_flight(g, 1 + second)
    limit(g, 0)
    return job


def trouble(g, what, disk=0):
    """How often it happened to the disk, according to its driver."""
    return int(g.sh(f"cat /sys/block/{g.dev(disk)}/trouble/{what}"))


def wait_trouble(g, what, least=1, timeout=30):
    """Until something was counted; counting makes no other noise."""
    g.sh(f"wait_for {timeout} sh -c '[ $(cat /sys/block/{g.dev()}/trouble/"
         f"{what}) -ge {least} ]'", timeout=timeout + 20)


def held_is_there(g, place=2):
    """What start_write() wrote can be read back."""
    assert g.sh(f"dd if=/dev/{g.dev()} bs=4k skip={place} count=1 "
                "iflag=direct 2>/dev/null | cmp - /tmp/held") == ""


# A root port of QEMU has no link after it was reset, unless it is a slow one,
# which does not say whether it has.
AER_PORT = "-global pcie-root-port.x-speed=2_5"
AER = {"root_port": True, "props": {"aer": "on"}}


def bus_error(g):
    """A fatal error of PCI Express: the kernel resets the slot (AER)."""
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


# -- true answers, spoiled on their way --------------------------------------

def answer(g, ring, second=False):
    """Let the host do a held write, unseen: (job, index and id of before)."""
    held, n = hold(g, second=second), 1 + second
    at, head = ring.used_idx, ring.newest()
    old = [ring.used_id(at + i) for i in range(n)]
    g.qmp("stop")
    assert ring.used_idx == (at + n) & 0xffff, "the host did not finish it"
    mine = next(i for i in range(n) if ring.used_id(at + i) == head)
    return held, at + mine, old[mine]


def lose(g, ring):
    """A write that the host did, and that the guest is not told of."""
    held, at, _ = answer(g, ring)
    ring.used_idx = at
    g.qmp("cont")
    return held


def spoil(g, ring, how):
    """A write that the host did, and whose answer is spoiled."""
    # What is stale is true by chance where one alone always has the same id.
    held, at, old = answer(g, ring, second=how is never_written)
    how(ring, at, old)
    g.qmp("cont")
    return held


def never_written(ring, at, old):
    """The index moved on, but the element was never written."""
    # Should it be right all the same, the next one stands for it.
    ring.used_id(at, old ^ (old == ring.used_id(at)))


def twice(ring, at, old):
    """The same request comes back a second time."""
    ring.used_id(at + 1, ring.used_id(at))
    ring.used_idx = at + 2


def out_of_range(ring, at, old):
    """The id is none."""
    ring.used_id(at, 0xffffffff)


def too_far(ring, at, old):
    """The index runs away."""
    ring.used_idx = at + 1 + ring.num


def too_far_back(ring, at, old):
    """The index runs backwards, past what was taken long ago."""
    ring.used_idx = at - 1


def length_huge(ring, at, old):
    """More bytes than there are buffers for."""
    ring.line.put(ring.used + 8 + 8 * (at % ring.num), 0xffffffff, 4)


def length_zero(ring, at, old):
    """Not even the status, says the length; but there it is."""
    ring.line.put(ring.used + 8 + 8 * (at % ring.num), 0, 4)
