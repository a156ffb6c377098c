# SPDX-License-Identifier: GPL-2.0
"""Device status and negotiation, sections 2.1, 2.2, 3.1 and 6, as rules."""

from . import spec
from .spec import (ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK,
                   NEEDS_RESET, SUSPENDED, bit)

# Offered, they should or must be taken; id of the requirement.
SHOULD_TAKE = {"VERSION_1": "GEN-RSVD-01", "ACCESS_PLATFORM": "GEN-RSVD-03",
               "RING_PACKED": "GEN-RSVD-06", "ORDER_PLATFORM": "GEN-RSVD-07",
               "NOTIF_CONFIG_DATA": "GEN-RSVD-13", "BLK_RO": "BLK-OP-03"}


class Status:
    """The status register of a device, and what may be done when."""

    def __init__(self, dev):
        self.dev = dev
        self.value, self.unread_reset, self.unread_ok = 0, False, False
        self.until, self.pending = 0.0, None
        self.failed_before = False
        self.history = []

    def rule(self, idents, good, text="", *values):
        """Judge a rule."""
        return self.dev.check.rule(idents, good, text, *values)

    # -- reading ------------------------------------------------------------

    def read(self):
        """The driver reads."""
        dev = self.dev
        if self.pending is not None and dev.now() >= self.until:
            self.value, self.pending = self.pending, None
            dev.log.add("status", self.value)
            if dev.suspended:
                self._settled()
        if self.value == 0:
            if self.unread_reset:
                self.rule(self._reset_rules(), True)
            self.unread_reset = False
        self.unread_ok = False
        return self.value

    def _settled(self):
        """The driver has waited until it is suspended, or awake."""
        if self.value & SUSPENDED:
            self.rule("GEN-SUSP-03", True)
        else:
            self.rule("GEN-SUSP-07", True)
            self.dev.wake()

    def unsettled(self):
        """What requires to wait now, if anything does."""
        if not self.dev.suspended or self.pending is None:
            return None
        return "GEN-SUSP-03" if self.pending & SUSPENDED else "GEN-SUSP-07"

    def _reset_rules(self):
        return "GEN-RESET-01" if self.dev.legacy_used \
            else "GEN-RESET-01 PCI-COMMON-05"

    def other_access(self, name):
        """Another register than status was accessed."""
        if self.unread_reset:
            self.rule(self._reset_rules(), False,
                      "{} before status read as 0", name)
            self.unread_reset = False
            self.pending, self.value = None, 0
        if self.unsettled():
            self.rule(self.unsettled(), False, "{} before status says so",
                      name)
        if self.unread_ok:
            self.rule("GEN-INIT-02", False,
                      "{} before FEATURES_OK was read back", name)
            self.unread_ok = False

    # -- writing ------------------------------------------------------------

    def write(self, value):
        """The driver writes."""
        dev, old = self.dev, self.value
        self.history.append(value)
        if value == 0:
            self._reset()
            return
        if self.unread_reset:
            self.other_access("status")
            old = self.value
        self.rule("GEN-STATUS-02", not old & ~value & ~(SUSPENDED | DRIVER_OK)
                  or dev.has("SUSPEND"),
                  "{:#x} after {:#x} clears bits", value, old)
        if old & FAILED:
            self.rule("GEN-STATUS-03 GEN-INIT-07", value == old,
                      "{:#x} after FAILED", value)
        new = value & ~old
        if dev.has("SUSPEND") and (value ^ old) & (SUSPENDED | DRIVER_OK) \
                and (old & DRIVER_OK or old & SUSPENDED):
            self._suspend(value, old)
            return
        self.rule("GEN-SUSP-02", not new & SUSPENDED,
                  "SUSPEND without the feature")
        self._order(new, old)
        self.value = value & ~NEEDS_RESET | old & NEEDS_RESET
        if new & FAILED:
            dev.check.seen["GEN-INIT-06"] += 1
            self.failed_before = True
        if new & FEATURES_OK:
            self._features_ok()
        if new & DRIVER_OK and not value & FAILED:
            dev.driver_ok()

    def _reset(self):
        dev, old = self.dev, self.value
        self.unread_ok = False
        dev.reset()
        self.unread_reset = True
        if dev.script.reset_seconds:
            self.value = old or ACKNOWLEDGE
            self.pending = 0
            self.until = dev.now() + dev.script.reset_seconds
        else:
            self.value, self.pending = 0, None

    def _order(self, new, old):
        legacy = self.dev.legacy_used
        ok = True
        if new & ACKNOWLEDGE:
            ok = old == 0
        if new & DRIVER:
            ok = ok and old & ACKNOWLEDGE
        if new & FEATURES_OK:
            ok = ok and old & DRIVER and not legacy
        if new & DRIVER_OK:
            ok = ok and old & DRIVER and (legacy or old & FEATURES_OK)
        self.rule("LEG-INIT-01" if legacy else "GEN-INIT-01 GEN-STATUS-01",
                  ok, "status bits {:#x} after {:#x}", new, old)
        self.rule("GEN-INIT-07", not new & DRIVER_OK or not old & FAILED,
                  "DRIVER_OK after FAILED")

    def _suspend(self, value, old):
        dev, script = self.dev, self.dev.script
        if value & SUSPENDED and not old & SUSPENDED:
            self.rule("GEN-SUSP-01", old & DRIVER_OK,
                      "SUSPEND without DRIVER_OK")
            self.pending = old & ~DRIVER_OK | SUSPENDED
            dev.suspend()
        elif old & SUSPENDED and value & DRIVER_OK:
            self.pending = old & ~SUSPENDED | DRIVER_OK
        else:
            self.rule("GEN-STATUS-02", False, "{:#x} after {:#x}", value, old)
            return
        self.until = dev.now() + script.suspend_seconds

    # -- features -----------------------------------------------------------

    def _features_ok(self):
        dev = self.dev
        self.unread_ok = True
        self.rule("GEN-INIT-02", True)
        self.check_features()
        hm = dev.config["model"] == 1 and dev.offered >> 17 & 1
        if hm:
            self.rule("BLK-INIT-08", dev.accepted >> 17 & 1,
                      "FEATURES_OK for a host-managed disk without ZONED")
        if not dev.script.features_ok(dev) or dev.accepted & ~dev.offered or \
                (hm and not dev.accepted >> 17 & 1):
            self.value &= ~FEATURES_OK
            dev.refused = True

    def check_features(self):
        """Rules for what was accepted out of what is offered."""
        dev = self.dev
        offered, accepted = dev.offered, dev.accepted
        legacy = dev.legacy_used
        known = spec.KNOWN_LEGACY if legacy else spec.KNOWN
        self.rule("GEN-FEAT-01", not accepted & ~offered,
                  "{:#x} was not offered", accepted & ~offered)
        self.rule("GEN-FEAT-05", not accepted & ~spec.mask(known),
                  "{:#x} is not for a block device here",
                  accepted & ~spec.mask(known))
        if offered & ~spec.mask(known):
            dev.check.seen["GEN-FEAT-04"] += 1
            dev.check.seen["GEN-FEAT-08"] += 1
        for b, needs in spec.NEEDS.items():
            if accepted >> b & 1:
                self.rule("GEN-FEAT-02 GEN-FEAT-03",
                          all(accepted >> n & 1 for n in needs),
                          "{} without {}", b, needs)
        if legacy:
            self._check_legacy(offered, accepted)
            return
        for name, ident in SHOULD_TAKE.items():
            if offered >> bit(name) & 1:
                self.rule(ident, accepted >> bit(name) & 1,
                          "{} was not taken", name)
        self.rule("GEN-RSVD-10", not accepted >> bit("SR_IOV") & 1,
                  "SR_IOV without the capability")
        self.rule("LEG-BLK-I02", not accepted & 0x81,
                  "BARRIER or SCSI on the modern interface")
        if offered >> 17 & 1 and dev.config["model"] == 1:
            self.rule("BLK-INIT-06 GEN-FEAT-03",
                      not (accepted >> 17 & 1 and accepted >> 13 & 1),
                      "DISCARD taken from a host-managed disk")

    def _check_legacy(self, offered, accepted):
        if offered >> bit("ANY_LAYOUT") & 1:
            self.rule("LEG-RSVD-01", accepted >> bit("ANY_LAYOUT") & 1,
                      "ANY_LAYOUT was not taken")
        if offered >> bit("UNUSED") & 1:
            self.rule("LEG-RSVD-02", not accepted >> bit("UNUSED") & 1,
                      "bit 30 was taken")
        if offered >> 17 & 1:
            self.rule("LEG-BLK-I01", not accepted >> 17 & 1,
                      "ZONED was taken")
        self.rule("LEG-PCI-I01", not accepted >> 32, "bits above 31")
