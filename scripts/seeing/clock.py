# SPDX-License-Identifier: GPL-2.0
"""How the clocks of guest and QEMU go, from the requests alone.

A request cannot reach QEMU before the guest notifies, and the guest cannot see
the interrupt before QEMU raises it. So each request that was alone gives two
bounds: the line that maps one clock to the other passes between them. It has a
slope too, because an emulated CPU may have measured its clock wrongly when it
booted. With any line that all bounds allow, no step comes before one that it
waited for on the other side; how far such lines differ is what is not known.

On a busy host no line may do for all: a clock was set or measured again
meanwhile, or an event was not that of the request it was taken for. Then the
requests next to what is looked at count, and of the others those that agree with
them; how many that are is said. Where most do not agree, nothing is believed.
"""

import bisect
import dataclasses

from vbl import VblError

NOTIFY = ("virtqueue_notify", "vp_notify()")
INTERRUPT = ("vp_interrupt", "vp_interrupt()", "vring_interrupt()")
RAISE = ("virtio_notify", "virtio_notify_irqfd",
         "virtio_notify_irqfd_deferred_fn")


# A clock that goes so wrong is not believed.
MAX_DRIFT = 0.2


@dataclasses.dataclass
class Clock:
    """Of @requests @agree; from these, QEMU's time is @base + @offset + @rate * (the guest's - @guest_base)."""

    base: float
    guest_base: float
    offset: float
    rate: float
    error: float
    requests: int
    agree: int

    def to_guest(self, at):
        """The guest's time of a time of QEMU."""
        return self.guest_base + (at - self.base - self.offset) / self.rate


class Contradiction(VblError):
    """The clocks do not agree about most requests."""


class _Bounds:
    """What requests say about the line, each (went, told, came, raised)."""

    def __init__(self, requests):
        self.requests = requests

    def __call__(self, rate):
        """The smallest and the largest offset at this rate."""
        return (max(raised - rate * came
                    for _, _, came, raised in self.requests),
                min(told - rate * went for went, told, _, _ in self.requests))

    def width(self, rate):
        """How far these are apart; below 0 there is none."""
        low, high = self(rate)
        return high - low

    def rate(self):
        """The rate at which they are farthest apart."""
        # The width is a concave function of the rate.
        left, right = 1 - MAX_DRIFT, 1 + MAX_DRIFT
        for _ in range(100):
            third = (right - left) / 3
            if self.width(left + third) < self.width(right - third):
                left += third
            else:
                right -= third
        return (left + right) / 2


def _agreeing(requests, when):
    """Bounds of those that agree, the nearest to @when first, and the rate."""
    bounds = _Bounds(requests)
    rate = bounds.rate()
    if bounds.width(rate) >= 0:
        return bounds, rate
    by = -bounds.width(rate)
    bounds = _Bounds([])
    for one in sorted(requests, key=lambda r: abs((r[0] + r[2]) / 2 - when)):
        more = _Bounds([*bounds.requests, one])
        fits = more.rate()
        if more.width(fits) >= 0:
            bounds, rate = more, fits
    if 2 * len(bounds.requests) <= len(requests):
        raise Contradiction("the clocks of guest and QEMU contradict each "
                            f"other by {by * 1e6:.0f} us, and only "
                            f"{len(bounds.requests)} of {len(requests)} "
                            "requests agree")
    return bounds, rate


def fit(requests, when):
    """A Clock from requests.

    requests  [(went, told, came, raised)]: QEMU was told after the guest's
              time @went, and raised before the guest's time @came
    when      the guest's time at which the error matters
    """
    _, _, guest_base, base = requests[-1]
    when -= guest_base
    bounds, rate = _agreeing([(went - guest_base, told - base,
                               came - guest_base, raised - base)
                              for went, told, came, raised in requests], when)
    offset = sum(bounds(rate)) / 2
    error = 0
    for edge in _edges(bounds.width, rate):
        low, high = bounds(edge)
        here = (edge - rate) * when - offset
        error = max(error, abs(low + here), abs(high + here))
    return Clock(base, guest_base, offset, rate, error, len(requests),
                 len(bounds.requests))


def _edges(width, rate):
    """The rate, and the smallest and the largest that are possible."""
    yield rate
    for far in (rate - MAX_DRIFT, rate + MAX_DRIFT):
        near = rate
        for _ in range(60):
            middle = (near + far) / 2
            if width(middle) < 0:
                far = middle
            else:
                near = middle
        yield near


class _Side:
    """Events of one side, to look for the next or the last of some names."""

    def __init__(self, events, *kinds):
        self.lists = [[e.at for e in events if e.name in names]
                      for names in kinds]

    def after(self, kind, at):
        """When the first of this kind was, from @at on."""
        times = self.lists[kind]
        n = bisect.bisect_left(times, at)
        return times[n] if n < len(times) else None

    def before(self, kind, at):
        """When the last of this kind was, until @at."""
        times = self.lists[kind]
        n = bisect.bisect_right(times, at)
        return times[n - 1] if n else None


def _requests(guest):
    """[(sector, issued, completed, alone)] of reads and writes, in order."""
    flying, found = {}, []
    for e in guest:
        key = e.fields.get("dev"), e.fields.get("sector")
        if e.name == "block_rq_issue":
            flying[key] = [len(found), not flying]
            for other in flying.values():
                other[1] = other[1] and len(flying) == 1
            # QEMU's events of a flush or a discard name no sector.
            if e.fields["sectors"] != "0" and "D" not in e.fields["rwbs"]:
                found.append([int(key[1]), e.at, None, False])
            else:
                flying[key][0] = None
        elif e.name == "block_rq_complete" and key in flying:
            n, alone = flying.pop(key)
            if n is not None:
                found[n][2:] = e.at, alone
    return found


def _served(host):
    """{sector: [(told, raised)]}: when QEMU was told, and when it answered."""
    side = _Side(host, ("virtio_queue_notify",), RAISE)
    done, open_requests = {}, {}
    for e in host:
        if e.name in ("virtio_blk_handle_read", "virtio_blk_handle_write"):
            open_requests[e.fields["req"]] = (e.fields["sector"],
                                              side.before(0, e.at))
        elif e.name == "virtio_blk_req_complete" and \
                e.fields["req"] in open_requests:
            sector, told = open_requests.pop(e.fields["req"])
            done.setdefault(sector, []).append((told, side.after(1, e.at)))
    return done


def measure(guest, host, dev, when, polls=False):
    """The Clock, from the events of both sides.

    dev     the disk's number in the guest
    when    the guest's time at which its error matters
    polls   QEMU's thread may look at the ring before it is told
    """
    side = _Side(guest, NOTIFY, INTERRUPT)
    served = _served(host)
    found = []
    for sector, issued, completed, alone in _requests(
            [e for e in guest if e.fields.get("dev", dev) == dev]):
        if not served.get(sector):
            continue
        told, raised = served[sector].pop(0)
        if not alone:
            continue
        went = issued if polls else side.after(0, issued)
        came = side.before(1, completed)
        if None in (told, raised, went, came) or \
                not issued <= went < came <= completed:
            continue
        found.append((went, told, came, raised))
    if not found:
        raise VblError("no request was seen on both sides: the clocks cannot "
                       "be compared")
    return fit(found, when)
