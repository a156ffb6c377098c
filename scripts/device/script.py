# SPDX-License-Identifier: GPL-2.0
"""What a device answers. Script is honest; tests override parts of it."""

from .blk import HOLD


class Script:
    """Every answer that can be changed.

    The attributes suffice for most lies; the methods are for the rest. All of
    them run in the device's thread, one at a time; @dev is the Device.

    reset_seconds       how long status keeps its value after 0 was written
    queue_reset_seconds how long queue_reset reads 1
    suspend_seconds     how long SUSPEND takes, and waking up
    park                with EVENT_IDX: ask for a kick this much later than now
    used_flags          used.flags (split) or the device event's flags (packed)
    late_kicks          unwanted kicks that may still be on their way
    used_desc_flags     more flags for used descriptors (packed)
    batch               with IN_ORDER, one used element for all that is ready
    ring_enabled        called as (dev, queue) when a queue is enabled
    """

    reset_seconds = queue_reset_seconds = suspend_seconds = 0.0
    park = None
    used_flags = used_desc_flags = late_kicks = 0
    batch = True
    ring_enabled = None

    def config_space(self, dev, off, data):
        """What is read of config space of PCI, as bytes."""
        return data

    def read(self, dev, name, value):
        """What a register reads as; config fields are "config+0x14"."""
        return value

    def write(self, dev, name, value):
        """What is done instead of writing @value; None drops the write."""
        return value

    def features_ok(self, dev):
        """Whether FEATURES_OK stays set."""
        return True

    def vector(self, dev, name, vector):
        """Which vector is really mapped; 0xffff refuses."""
        return vector

    def request(self, dev, req):
        """A status to answer without work, HOLD, SILENT, or None for none.

        A held request is carried out by dev.release(req). A silent one is
        given back with nothing written, not even the status.
        """
        return None

    def used(self, dev, queue, chain, length):
        """What goes into the used ring: [(id, length, ring slots)]."""
        return [(chain.ident, length, chain.slots)]

    def event(self, dev, queue, honest):
        """When a kick is wanted: avail_event, used.flags, or (packed) the
        device's event, 32 bits. Written whenever a queue was checked."""
        return honest

    def interrupt(self, dev, queue):
        """Whether the interrupt that the driver asked for is sent."""
        return True


class HoldRequests(Script):
    """Holds requests back until dev.release() carries them out.

        script = HoldRequests(OUT)                          every write
        script = HoldRequests(OUT, limit=1, hold=False)     one, later

    kinds   types of the requests to hold (IN, OUT, ...); without any: all
    only    called as (request): whether this one is to be held
    limit   how many are held at most, from now on; None: no limit
    hold    False: none is held until the test sets the attribute to True
    """

    def __init__(self, *kinds, only=None, limit=None, hold=True):
        self.kinds, self.only, self.limit = kinds, only, limit
        self.hold = hold

    def request(self, dev, req):
        if not self.hold or self.limit == 0 or \
                self.kinds and req.kind not in self.kinds or \
                self.only and not self.only(req):
            return None
        if self.limit is not None:
            self.limit -= 1
        return HOLD
