# SPDX-License-Identifier: GPL-2.0
"""Scenes, and the requirements that they show to be met.

A scene is a test with the fixture `stage`. It runs once with this driver and
once with upstream's, on scripted devices in one guest. What the devices could
judge by themselves is noted at its end, and what the scene asks on top of it
by stage.expect(). With this driver a broken requirement fails the test; what
upstream breaks is only noted, unless $DRIVER chose it: then what is not in
deviations.tsv fails. $VBL_CONFORMANCE names the file of notes.
"""

import functools
import json
import os

import pytest
import vbl
from conformance.results import table
from device import USUAL, Device, Script, scene
from device.pci import virtio_cap, usual_caps
from vbl import ktap
from vbl.guest import chosen_driver

JUNK = [virtio_cap(kind, 4, 0, 64) for kind in (0, 6, 7, 10, 0xff)]
# What the specification says of each requirement: MUST, SHOULD NOT, ...
LEVELS = {row["id"]: row["level"] for row in table("requirements.tsv")}
# What each driver is known not to meet.
KNOWN = {(row["driver"], row["id"]) for row in table("deviations.tsv")}


# -- what scenes have in common ----------------------------------------------

ALL = USUAL + ("BLK_MQ", "BLK_DISCARD", "BLK_WRITE_ZEROES", "BLK_TOPOLOGY",
               "BLK_CONFIG_WCE", "BLK_SIZE_MAX")
LEGACY = tuple(f for f in ALL if f != "VERSION_1") + ("ANY_LAYOUT",)
RINGS = {
    "split": ALL, "packed": ALL + ("RING_PACKED",),
    "split, no indirect, no event": [f for f in ALL if f not in
                                     ("INDIRECT_DESC", "EVENT_IDX")],
    "packed, no indirect, no event": [
        f for f in ALL + ("RING_PACKED",)
        if f not in ("INDIRECT_DESC", "EVENT_IDX")],
    "platform": ALL + ("ACCESS_PLATFORM", "ORDER_PLATFORM"),
    "nothing": ("VERSION_1",),
}


def exercise(stage, disk):
    """Every kind of request, some of them at a time."""
    g = stage.g
    scene.copy(g, disk)
    g.sh(f"for n in 1 2 3 4 5 6; do dd if=/dev/{disk} of=/dev/null bs=4k "
         f"count=50 skip=$((n * 99)) iflag=direct 2>/dev/null & done; wait; "
         f"cat /sys/block/{disk}/serial")
    g.sh(f"d=/dev/{disk}; if [ $(cat /sys/block/{disk}/queue/"
         "discard_max_bytes) != 0 ]; then /bin/blkdiscard -f -o 1M -l 1M $d; "
         "fi; /bin/blkdiscard -f -z -o 2M -l 1M $d", timeout=60)


def requests(dev, kind):
    """Entries of the log about requests of one type."""
    return [e for e in dev.log.find("request") if e[4] == kind]


def read(disk, block=0, count=1, size="4k"):
    """A shell command that reads from a disk, past every cache."""
    return (f"dd if=/dev/{disk} of=/dev/null bs={size} skip={block} "
            f"count={count} iflag=direct 2>&1")


# -- the stage ---------------------------------------------------------------


def devices(only=None):
    """The devices of a stage by name: all, or those in @only."""
    usual = usual_caps()
    vendor = bytes([9, 0, 12, 9, 0x34, 0x12]) + b"\xaa" * 6
    slots = iter(range(8, 0x1d))
    kinds = {
        "modern": {"queues": 4, "vectors": 5},
        "intx": {"vectors": 0, "queues": 2},
        "one vector": {"vectors": 1, "queues": 2},
        "2048 vectors": {"vectors": 2048, "queues": 2},
        "two vectors": {"vectors": 2, "queues": 2},
        "legacy": {"transport": "legacy", "queues": 2},
        "legacy intx": {"transport": "legacy", "vectors": 0},
        "transitional": {"transport": "transitional", "queues": 2},
        "revision 255": {"transport": "transitional", "revision": 255},
        "modern rev 255": {"revision": 255},
        "subsystem": {"subsystem": (0x1234, 0x5678)},
        "junk caps": {"caps": JUNK + usual[:4]},
        "bad BARs": {"caps": [virtio_cap(1, 6, 0, 64), virtio_cap(4, 7, 0, 96),
                              *usual[:2], virtio_cap(1, 4, 0x800, 64),
                              *usual[2:4]]},
        "huge caps": {"caps": usual_caps(huge=True), "multiplier": 0},
        "tiny caps": {"caps": usual_caps(common=0x38, config=8),
                      "config_length": 8},
        "broken caps": {"caps": usual_caps(common=0x10)},
        "short config": {"caps": usual_caps(config=4)},
        "vendor cap": {"caps": [vendor, *usual[:4]]},
        "notify 4096": {"multiplier": 4096, "bar_size": 0x8000, "queues": 4,
                        "caps": usual_caps(multiplier=4096, notify=0x4000)},
    }
    return {name: Device(addr=slot, **kw)
            for slot, (name, kw) in zip(slots, kinds.items())
            if only is None or name in only}


class Stage:
    """A guest with all devices, and one driver that is tried."""

    def __init__(self, driver, kernel=None):
        self.driver, self.kernel = driver, kernel
        self.g, self.dev, self.devs = None, None, {}
        self.notes, self.where, self.name = {}, {}, "modern"
        self.test = self.mark = None
        self.special = False

    # -- guest --------------------------------------------------------------

    def _boot(self, only=None, **options):
        self.devs = devices(only)
        for dev in self.devs.values():
            dev.__enter__()
        qemu, _ = scene.qemu()
        args = [d.qemu for d in self.devs.values()]
        if options.get("iommu"):
            # A device in another process has to be told of every mapping.
            args.append(["-global", "intel-iommu.caching-mode=on"])
        options.setdefault("kernel", self.kernel)
        self.g = vbl.Guest(
            devices=args,
            share_mem=True, driver=None, qemu=qemu, timeout=2400, smp=2,
            **options)
        self.g.__enter__()
        for dev in self.devs.values():
            scene.keep_off(self.g, dev)
        scene.load(self.g, self.driver)

    def kill(self):
        """End the guest; the next scene boots a new one."""
        if self.g:
            self.g.kill()
        for dev in self.devs.values():
            dev.close()
        self.g, self.devs = None, {}

    # -- a scene ------------------------------------------------------------

    def begin(self, test, observes=()):
        """Get ready for a scene about some requirements."""
        self.observes, self.judged = set(observes), set()
        self.test, self.notes, self.where, self.dev = test, {}, {}, None
        if self.special or self.g is None or not self.g.alive:
            self.kill()
            self.special = False
            self._boot()
        self.mark = self.g.dmesg_mark(test)

    def on(self, name, features=None, **more):
        """Choose one of the devices, and what it offers."""
        if self.dev:
            self.leave()
        self.dev, self.name = self.devs[name], name
        more.setdefault("queues", len(self.dev.queues))
        if features is not None:
            self.dev.become(features, **more)
        return self.dev

    def bind(self):
        """Bind the device; the name of its disk, or None."""
        return scene.bind(self.g, self.dev, self.driver)

    def start(self, name, features, **more):
        """on() and bind() where a disk has to come of it; its name."""
        self.on(name, features, **more)
        disk = self.bind()
        assert disk, self._no_disk()
        return disk

    def needs_zones(self):
        """Skip where neither driver drives host-managed disks."""
        if self.g.kernel.series == "6.1":
            pytest.skip("on 6.1 neither driver drives host-managed disks")

    def _no_disk(self):
        said = [line.partition("] ")[2] for line in self.log().splitlines()
                if "virtio" in line]
        return "no disk; the kernel says: " + "\n".join(said[-4:])

    def take(self, feature, idents, name, features, **more):
        """start() for a scene that needs a feature; skips if not taken."""
        self.on(name, features, **more)
        disk = self.bind()
        # A host-managed disk may be refused before features are chosen.
        chose = self.dev.log.find("write", "driver_feature")
        if not self.dev.has(feature) and (disk or chose or
                                          feature == "BLK_ZONED"):
            for ident in idents.split():
                self.notes.setdefault(ident, (None, f"{feature} is optional "
                                              "and not taken"))
                self.where.setdefault(ident, name)
            pytest.skip(f"{self.driver} does not take {feature}")
        self.about(idents)
        assert disk, self._no_disk()
        return disk

    def reboot(self, only, **options):
        """A guest of its own for this scene, with some of the devices."""
        self.kill()
        self._boot(only, **options)
        self.special = True
        self.mark = self.g.dmesg_mark("reboot")

    def log(self):
        """The kernel log of this scene."""
        return self.g.dmesg_since(self.mark)

    def expect(self, idents, good, text=""):
        """Note requirements that this scene is about as met or not."""
        for ident in idents.split():
            self.judged.add(ident)
            self._note(ident, good, text)

    def _note(self, ident, good, text=""):
        if self.notes.get(ident, (True, ""))[0] is not False:
            self.notes[ident] = (bool(good), "" if good else text)
            self.where[ident] = self.name

    def quiet(self, *idents):
        """Breaches that this scene provokes on purpose and judges itself."""
        for ident in idents:
            self.dev.check.breaches = [b for b in self.dev.check.breaches
                                       if b.ident != ident]
            self.dev.check.seen.pop(ident, None)

    def leave(self, unbind=True):
        """Take the device back and note what it saw."""
        dev, self.dev = self.dev, None
        if unbind:
            with dev.lock:
                dev.script = Script()
            dev.release()
            scene.unbind(self.g, dev)
        for ident in dev.check.seen:
            self._note(ident, True)
        for b in dev.check.breaches:
            self._note(b.ident, False, b.text)
        if dev.errors:
            error, dev.errors = dev.errors[0], []
            raise error

    def about(self, idents):
        """More requirements that this scene is about."""
        self.observes |= set(idents.split())

    def end(self, failed=None):
        """The scene is over; returns what is wrong, for this driver only."""
        try:
            # After a failure nobody knows what the driver still waits for.
            if self.dev:
                self.leave(unbind=not failed)
        except (vbl.VblError, TimeoutError) as e:
            failed = failed or e
        bad = self._complaints()
        if bad or failed:
            self.kill()
        for ident in self.observes:
            self.expect(ident, not (failed or bad),
                        " ".join(str(bad[0] if bad else failed).split()))
        self._write(bool(failed))
        wrong = [f"{i}: {text}" for i, (ok, text) in self.notes.items()
                 if ok is False and LEVELS[i].startswith("MUST")] + bad
        return "\n".join(wrong) if self.driver == "lite" else ""

    def news(self):
        """Requirements that upstream's driver broke in this scene and is not
        known to break, where that driver is the one that is tested."""
        if os.environ.get("DRIVER") != "upstream":
            return []
        return [f"{i}: {text}" for i, (ok, text) in self.notes.items()
                if ok is False and (self.driver, i) not in KNOWN]

    def _complaints(self):
        try:
            log = self.log() if self.g else ""
        except vbl.VblError:
            log = self.g.console
        return ktap.scan_log(log)

    def _write(self, failed):
        path = os.environ.get("VBL_CONFORMANCE")
        if not path:
            return
        with open(path, "a") as f:
            for ident, (ok, text) in self.notes.items():
                f.write(json.dumps({
                    "id": ident, "driver": self.driver, "test": self.test,
                    "device": self.where[ident],
                    "about": ident in self.observes | self.judged, "ok": ok,
                    "text": text[:200], "failed": failed}) + "\n")


def play(observes=""):
    """Make a scene of a function; @observes are the ids that it is about."""
    def wrap(function):
        @functools.wraps(function)
        def run(stage, **more):
            failed = None
            stage.begin(os.environ.get("PYTEST_CURRENT_TEST", "?")
                        .split("::")[-1].rpartition(" (")[0],
                        observes.split())
            try:
                function(stage, **more)
            except pytest.skip.Exception:
                stage.end()
                raise
            except Exception as e:
                failed = e
            wrong = stage.end(failed)
            news = stage.news()
            if failed and (stage.driver == "lite" or news):
                raise failed
            if failed:
                pytest.xfail(f"upstream: {failed}")
            assert not wrong, wrong
            assert not news, f"not in deviations.tsv: {news}"
        return run
    return wrap


# Both, unless $DRIVER says which.
CAST = [chosen_driver()] if os.environ.get("DRIVER") else ["lite", "upstream"]


@pytest.fixture(scope="session", params=CAST)
def cast(request):
    """The stage of one driver, as long as its scenes last."""
    _, why_not = scene.qemu()
    if why_not:
        pytest.skip(why_not)
    stage = Stage(request.param, os.environ.get("K") or None)
    yield stage
    stage.kill()


@pytest.fixture
def stage(cast):
    """Where a scene is played."""
    return cast
