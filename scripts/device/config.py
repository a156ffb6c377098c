# SPDX-License-Identifier: GPL-2.0
"""Device configuration space, section 5.2.4, and rules for reading it."""

from .spec import CONFIG, CONFIG_SIZE, FEATURES_OK


class Config:
    """The fields by name; config["capacity"] = 2048 and so on."""

    def __init__(self, dev, **fields):
        self.dev, self.length = dev, CONFIG_SIZE
        self.raw = bytearray(CONFIG_SIZE)
        self.readonly = False
        self.known_capacity = 0
        self.generation = 0
        # Reading of a wide field: generation seen before, which halves.
        self.bracket, self.halves = False, set()
        self.legacy_reads = []
        for name, value in fields.items():
            self[name] = value
        self.known_capacity = self["capacity"]

    def __getitem__(self, name):
        off, size, _ = CONFIG[name]
        return int.from_bytes(self.raw[off:off + size], "little")

    def __setitem__(self, name, value):
        off, size, _ = CONFIG[name]
        self.raw[off:off + size] = value.to_bytes(size, "little")

    # -- rules --------------------------------------------------------------

    @staticmethod
    def field(off):
        """(name, offset, width, feature) of what lies at an offset."""
        for name, (start, size, feature) in CONFIG.items():
            if start <= off < start + size:
                return name, start, size, feature
        return None, off, 1, None

    def check_access(self, off, size, legacy):
        """Rules for one access."""
        dev, rule = self.dev, self.dev.check.rule
        name, start, width, feature = self.field(off)
        if name is None or off + size > self.length:
            rule("GEN-CFG-04", off + size <= self.length and
                 name is not None, "config access at {:#x}+{}", off, size)
            return
        if not legacy:
            ident = {1: "PCI-ACC-01", 2: "PCI-ACC-02"}.get(width,
                                                           "PCI-ACC-03")
            rule(ident, size == min(width, 4) and off % size == 0,
                 "{} is {} bytes wide, the access is {} at {:#x}", name,
                 width, size, off)
        if dev.status and not dev.status & FEATURES_OK and not legacy:
            dev.check.saw("GEN-INIT-03")
        if feature is not None:
            # A driver must read the model to decide whether to take ZONED.
            rule("GEN-CFG-04", dev.offered >> feature & 1,
                 "{} read, feature {} is not offered", name, feature)
        if name == "writeback" and not legacy:
            rule("BLK-INIT-04", dev.status & FEATURES_OK,
                 "writeback read before FEATURES_OK")
        if feature == 17 and self["model"] == 2 and \
                not dev.has("BLK_ZONED"):
            rule("BLK-INIT-11", name == "model",
                 "{} of a host-aware disk read", name)

    def read(self, off, size, legacy=False):
        """A driver reads; the value, as wide as asked for."""
        self.check_access(off, size, legacy)
        data = bytes(self.raw[off:off + size]) if off + size <= self.length \
            else b""
        if off >= 8:
            self.legacy_done()
        elif legacy:
            self.legacy_reads += enumerate(data, off)
            self.known_capacity = self["capacity"]
        else:
            self.known_capacity = self["capacity"]
            self.halves.add(off)
            self.dev.check.saw("PCI-ACC-04")
            self.dev.check.rule("GEN-CFG-03", self.bracket, "capacity read "
                                "without the generation before")
        return int.from_bytes(data.ljust(size, b"\0"), "little")

    def legacy_done(self):
        """No generation there: capacity has to be read until it stays."""
        reads, self.legacy_reads = self.legacy_reads, []
        if reads:
            each = [[b for at, b in reads if at == n] for n in range(8)]
            self.dev.check.rule(
                "LEG-CFG-01 GEN-CFG-01",
                all(len(e) > 1 and e[-1] == e[-2] for e in each),
                "legacy capacity was not read until two readings agreed")

    def generation_read(self):
        """The generation was read: it begins or ends a bracket."""
        if self.halves:
            self.dev.check.rule("GEN-CFG-03 GEN-CFG-01", True)
        self.bracket, self.halves = True, set()

    def other_access(self):
        """Something else was accessed: a bracket may not be left open."""
        self.legacy_done()
        if self.halves:
            self.dev.check.rule("GEN-CFG-03 GEN-CFG-01", False,
                                "capacity read without the generation after")
        self.bracket, self.halves = False, set()

    def write(self, off, size, value, legacy=False):
        """A driver writes; only writeback can be."""
        self.check_access(off, size, legacy)
        dev = self.dev
        if not legacy:
            dev.check.rule("GEN-INIT-04", dev.status & FEATURES_OK,
                           "config written before FEATURES_OK")
        if off == CONFIG["writeback"][0] and dev.has("BLK_CONFIG_WCE"):
            dev.check.rule("BLK-OP-12", value in (0, 1), "writeback = {}",
                           value)
            self["writeback"] = value & 1
