# SPDX-License-Identifier: GPL-2.0
"""The registers: modern structures (4.1.4.3) and legacy BAR0 (4.1.4.10)."""

from .spec import (COMMON, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, LEGACY,
                   LEGACY_VECTORS, NO_VECTOR, OPTIONAL, READ_ONLY)

WIDTH_RULE = {1: "PCI-ACC-01", 2: "PCI-ACC-02", 4: "PCI-ACC-03"}


class Registers:
    """What both layouts do with a register, once its name is known."""

    def __init__(self, dev):
        self.dev = dev
        self.clear()

    def clear(self):
        """As after a reset."""
        self.feature_select = self.driver_select = self.select = 0
        self.unread_vector = None
        self.setup = {}         # queue -> names written since it was selected

    def rule(self, idents, good, text="", *values):
        """Judge a rule."""
        return self.dev.check.rule(idents, good, text, *values)

    @property
    def queue(self):
        """The selected queue, or None."""
        queues = self.dev.queues
        return queues[self.select] if self.select < len(queues) else None

    # -- order --------------------------------------------------------------

    def note(self, name, write):
        """Rules about what may come after what."""
        dev = self.dev
        if name in ("notify", "isr"):
            return      # other CPUs send requests meanwhile
        if name != "status":
            dev.status_reg.other_access(name)
        # A kick comes from whichever CPU sends a request just then.
        if name not in ("generation", "notify") and \
                not name.startswith("config+"):
            dev.config.other_access()
        if self.unread_vector and (write or name != self.unread_vector):
            self.rule("PCI-MSIX-05", False, "{} before {} was read back",
                      name, self.unread_vector)
            self.unread_vector = None
        elif self.unread_vector:
            self.rule("PCI-MSIX-05", True)
            self.unread_vector = None
        if write and dev.suspended and name != "status":
            self.rule("GEN-SUSP-06", False, "{} written while suspended",
                      name)

    # -- values -------------------------------------------------------------

    def get(self, name):
        """What a register holds."""
        dev, q = self.dev, self.queue
        if name == "status":
            return dev.status_reg.read()
        if name == "device_feature":
            return dev.offered >> 32 * self.feature_select & 0xffffffff \
                if self.feature_select < 4 else 0
        if name == "driver_feature":
            return dev.accepted >> 32 * self.driver_select & 0xffffffff \
                if self.driver_select < 4 else 0
        if name == "generation":
            dev.config.generation_read()
            return dev.config.generation & 0xff
        if name in ("device_feature_select", "driver_feature_select"):
            return self.feature_select if name[1] == "e" \
                else self.driver_select
        if name == "config_vector":
            return dev.config_vector
        if name == "num_queues":
            return len(dev.queues)
        if name == "queue_select":
            return self.select
        if q is None:
            return NO_VECTOR if name == "queue_vector" else 0
        return self.get_queue(name, q)

    def get_queue(self, name, q):
        """What a register of the selected queue holds."""
        if name.startswith(("queue_desc", "queue_driver", "queue_device")):
            what, _, hi = name.removeprefix("queue_").partition("_")
            return getattr(q, what) >> (32 if hi else 0) & 0xffffffff
        if name == "queue_reset":
            if q.resetting and self.dev.now() >= q.reset_until:
                q.resetting = False
                self.rule("GEN-QRST-01 PCI-COMMON-07", True)
            return int(q.resetting)
        return {"queue_size": q.size, "queue_vector": q.vector,
                "queue_enable": int(q.enabled),
                "queue_notify_off": q.notify_off,
                "queue_notif_data": q.notif_data,
                "queue_pfn": q.desc >> 12}.get(name, 0)

    def set(self, name, value):
        """A register is written."""
        dev = self.dev
        if name == "status":
            dev.status_reg.write(value)
        elif name == "device_feature_select":
            self.feature_select = value
        elif name == "driver_feature_select":
            self.driver_select = value
        elif name == "driver_feature":
            self._set_features(value)
        elif name == "config_vector":
            dev.config_vector = self._vector(name, value)
        elif name == "queue_select":
            self.select = value
        elif self.queue is not None:
            self.set_queue(name, value, self.queue)

    def _set_features(self, value):
        dev, shift = self.dev, 32 * self.driver_select
        self.rule("GEN-INIT-05", not dev.status & FEATURES_OK,
                  "features written after FEATURES_OK")
        if not dev.legacy_used:
            self.rule("GEN-INIT-01", dev.status & DRIVER,
                      "features written with status {:#x}", dev.status)
        if shift < 128:
            keep = ~(0xffffffff << shift)
            dev.accepted = dev.accepted & keep | value << shift

    def _vector(self, name, value):
        dev = self.dev
        self.rule("PCI-MSIX-04", value == NO_VECTOR or value < dev.vectors,
                  "vector {} of {}", value, dev.vectors)
        self.unread_vector = name
        if value != NO_VECTOR and value >= dev.vectors:
            value = NO_VECTOR
        return dev.script.vector(dev, name, value)

    def set_queue(self, name, value, q):
        """A register of the selected queue is written."""
        names = self.setup.setdefault(self.select, [])
        names.append(name)
        if name.startswith(("queue_desc", "queue_driver", "queue_device")):
            what, _, hi = name.removeprefix("queue_").partition("_")
            shift, old = (32 if hi else 0), getattr(q, what)
            setattr(q, what, old & ~(0xffffffff << shift) | value << shift)
        elif name == "queue_size":
            self._set_size(value, q)
        elif name == "queue_vector":
            q.vector = self._vector(name, value)
        elif name == "queue_enable":
            self._enable(value, q, names)
        elif name == "queue_reset":
            self.rule("GEN-QRST-01", value == 1, "queue_reset = {}", value)
            self.dev.reset_queue(q)
            self.setup[self.select] = []

    def _set_size(self, value, q):
        if self.dev.has("RING_PACKED"):
            self.rule("PCI-COMMON-02", value != 0, "queue_size = 0")
        else:
            self.rule("PCI-COMMON-03", value and not value & (value - 1),
                      "queue_size = {}", value)
        self.rule("PCI-VQCFG-I01", 0 < value <= q.max_size,
                  "queue_size = {} of {}", value, q.max_size)
        if q.was_reset and value != q.size_before:
            self.dev.check.saw("PCI-COMMON-09")
        q.size = value

    def _enable(self, value, q, names):
        dev = self.dev
        self.rule("PCI-COMMON-06", value != 0, "queue_enable = 0")
        need = {"queue_desc", "queue_driver", "queue_device"}
        if dev.msix_enabled:
            need.add("queue_vector")
        if q.was_reset:
            need.add("queue_size")
        missing = need - set(names)
        self.rule("PCI-COMMON-04 PCI-VQCFG-I01" +
                  (" GEN-QRST-03" if q.was_reset else ""), not missing,
                  "queue {} enabled without {}", q.index, missing)
        self.rule("GEN-INIT-01 GEN-INIT-07", dev.status & FEATURES_OK and
                  not dev.status & FAILED and
                  (q.was_reset or not dev.status & DRIVER_OK),
                  "queue enabled with status {:#x}", dev.status)
        if q.was_reset:
            self.rule("PCI-COMMON-07", not q.resetting,
                      "queue {} enabled while it resets", q.index)
        if q.was_reset:
            dev.check.saw("PCI-COMMON-08")
        if value == 1 and not q.resetting:
            dev.enable_queue(q)


class Modern(Registers):
    """The common configuration structure."""

    def read(self, off, size):
        """The driver reads @size bytes at @off."""
        dev = self.dev
        name = self._name(off, size)
        if name is None:
            return 0
        self.note(name, False)
        value = dev.script.read(dev, name, self.get(name))
        dev.log.add("read", name, value)
        return value

    def write(self, off, size, value):
        """The driver writes."""
        dev = self.dev
        name = self._name(off, size)
        if name is None:
            return
        dev.log.add("write", name, value)
        dev.use(False, name)
        self.note(name, True)
        if not self.rule("PCI-COMMON-01", name not in READ_ONLY,
                         "{} written", name):
            return
        value = dev.script.write(dev, name, value)
        if value is not None:
            self.set(name, value)

    def _name(self, off, size):
        width, name = COMMON.get(off, (0, None))
        if name is None:
            self.rule("PCI-ACC-01", False, "no register at {:#x}", off)
            return None
        self.rule(WIDTH_RULE[width], size == width,
                  "{} is {} bytes wide, not {}", name, width, size)
        if name in OPTIONAL:
            self.rule("PCI-COMMON-I02",
                      self.dev.accepted >> OPTIONAL[name] & 1,
                      "{} without its feature", name)
        elif self.dev.status & DRIVER_OK:
            self.rule("PCI-COMMON-I02", True)
        return name


class Legacy(Registers):
    """BAR0 of a legacy or transitional device."""

    def _name(self, off, size):
        table = dict(LEGACY)
        start = 0x14
        if self.dev.msix_enabled:
            table.update(LEGACY_VECTORS)
            start = 0x18
        if off >= start:
            return f"config+{off - start:#x}", off - start
        width, name = table.get(off, (0, None))
        self.rule("LEG-PCI-01", name is not None and size == width,
                  "{} bytes at {:#x}", size, off)
        return name, None

    def read(self, off, size):
        """The driver reads."""
        dev = self.dev
        name, config = self._name(off, size)
        if name is None:
            return 0
        self.note(name, False)
        if config is not None:
            value = dev.config.read(config, size, legacy=True)
        elif name == "isr":
            value = dev.read_isr()
        else:
            value = self.get(name)
        value = dev.script.read(dev, name, value)
        dev.log.add("read", "legacy." + name, value)
        return value

    def write(self, off, size, value):
        """The driver writes."""
        dev = self.dev
        name, config = self._name(off, size)
        if name is None:
            return
        dev.log.add("write", "legacy." + name, value)
        dev.use(True, name)
        self.note(name, True)
        value = dev.script.write(dev, name, value)
        if value is None:
            return
        if config is not None:
            dev.config.write(config, size, value, legacy=True)
        elif name == "notify":
            dev.kick(value, 2, None)
        elif name == "queue_pfn":
            self._pfn(value)
        elif name == "driver_feature":
            self.set(name, value)
            dev.status_reg.check_features()
        elif name in ("status", "queue_select", "config_vector",
                      "queue_vector"):
            self.set(name, value)
        else:
            self.rule("LEG-VQ-01" if name == "queue_size" else "LEG-PCI-01",
                      False, "{} written", name)

    def _pfn(self, value):
        q = self.queue
        if q is None:
            return
        if not value:
            q.clear()
            return
        n = q.size
        q.desc = value << 12
        q.driver = q.desc + 16 * n
        q.device = (q.driver + 6 + 2 * n + 4095) & ~4095
        self.rule("LEG-VQ-I01 LEG-VQ-01 LEG-VQ-03 LEG-VQCFG-I01 LEG-VQ-02",
                  True)
        self.dev.enable_queue(q)
