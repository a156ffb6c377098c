# SPDX-License-Identifier: GPL-2.0
"""Storms: a disk in use whose device lies while its settings are changed.

For some time the device lies in its rings, events and interrupts, holds and
stalls requests, changes its cache mode and asks for resets, and scheduler,
nr_requests, cache_type, ring_size and io_timeout change all the time. None of
its lies is one that an honest disk would have to believe: it does not fail
requests, and what it says is done is done. So every load has to succeed, and
ends soon when the device is honest again.
"""

import contextlib
import random
import time

from device import USUAL, scene
from faults import load
from fuzz.campaign import hostile_device, own_faults, pulse
from fuzz.hostile import STANDS as HOSTILE_STANDS
from fuzz.hostile import Hostile
from vbl import Guest, SetupError, VblError, ktap

SECONDS = 120
# So long after the last lie every load has to have ended.
CALM_SECONDS = 120
MEGA = 1 << 20
# The device, and features of the ring that others are drawn to.
RINGS = {
    "split": (),
    "packed": ("RING_PACKED",),
    "in order": ("IN_ORDER",),
    "packed, in order": ("RING_PACKED", "IN_ORDER"),
    "ring reset": ("RING_RESET",),
    "packed, ring reset": ("RING_PACKED", "RING_RESET"),
}
ALWAYS = USUAL + ("BLK_MQ", "BLK_CONFIG_WCE")
# Not always, though usual.
OFTEN = ("INDIRECT_DESC", "EVENT_IDX")
SOMETIMES = ("NOTIFICATION_DATA", "NOTIF_CONFIG_DATA", "ORDER_PLATFORM")
STANDS = {
    **{name: options for name, options in HOSTILE_STANDS.items()
       if name != "legacy"},
    "no interrupt": {"vectors": 0, "intx": False}}
# A polled queue has no vector, and the driver leaves one that is not polled.
QUEUES = (1, 2, 3)
# Rings of these sizes hold requests of this many segments.
RING_SIZES, SEGMENTS, DEPTH = (64, 128, 256), 14, 16
# Each load checks what it wrote, in a part of the disk of its own. Some end and
# begin again: nothing comes after the last request of these.
PART = 4 * MEGA
LOADS = {
    "endless": "--time_based --runtime=3600 --verify_backlog=32 --iodepth=16",
    "short": "--iodepth=8",
    "polled": "--ioengine=io_uring --hipri --iodepth=4",
}
SIZES = "--bssplit=512/20:4k/50:16k/20:64k/10"
AGAIN = ("while :; do {} >/run/{}.out 2>&1 || {{ cat /run/{}.out; exit 1; }}; "
         "[ ! -e /run/calm ] || break; done")
# Written again and again, into the folder of the disk.
SETTINGS = {
    "queue/scheduler": ("none", "mq-deadline", "kyber", "bfq"),
    "queue/nr_requests": (4, 8, 16, 64),
    "queue/io_timeout": (300, 500, 1000, 3000),
    "cache_type": ("write back", "write through"),
    "ring_size": RING_SIZES,
}
PARAMS = "/sys/module/virtio_lite/parameters"


class Stormy(Hostile):
    """A device that lies, but for what would make an honest request fail.

    ring    a word of RINGS; by default it is drawn
    calm    every answer is honest from now on
    polls   how many of the driver's queues are polled
    """

    # Probabilities, in a million.
    REGISTER = WRITE = REFUSE = 0
    KEEP, SWALLOW, INTERRUPT, NEEDS_RESET = 100, 100, 3000, 150
    CONFIG, CAPACITY, STALL = 500, 1 << 15, 200
    STALL_SECONDS = (0.2, 0.5, 1.5, 2.5)
    BREACHES, MILD, EVENTS = (0, 100, 500), (0,), (500, 2000)

    def __init__(self, seed, ring=None):
        super().__init__(seed)
        self.calm = True
        dice = random.Random(f"{seed} storm")
        self.ring = ring or dice.choice(tuple(RINGS))
        self.stand = dice.choice(tuple(STANDS))
        self.queues = dice.choice(QUEUES)
        self.polls = int(self.queues > 1 and dice.random() < 0.6)
        self.queue_size = dice.choice(RING_SIZES)
        self.features = tuple(
            f for f in ALWAYS if f not in OFTEN or dice.random() < 0.75
        ) + RINGS[self.ring] + tuple(
            f for f in SOMETIMES if dice.random() < 0.4)
        self.config, self.zones = {"seg_max": SEGMENTS}, None
        self.restless, self.rests = False, 1
        if "IN_ORDER" in self.features:
            # What comes after it is kept, too: the driver cannot tell that from
            # a slow device, and waits.
            self.KEEP = 0

    def in_words(self):
        return (f"{self.ring}, {self.stand}, {self.queues} queues of "
                f"{self.queue_size}, {self.polls} polled")

    def _chance(self, kind, millionths):
        return not self.calm and super()._chance(kind, millionths)

    def _spoil(self, dev, req):
        """What the device reads again would not be what the driver wrote."""


class Storm:
    """One disk in use, under the lies that a seed decides."""

    def __init__(self, kernel, seed, ring=None, seconds=SECONDS):
        self.kernel, self.seed, self.seconds = kernel, seed, seconds
        self.lies = Stormy(seed, ring)
        self.dice = random.Random(f"{seed} settings")
        self.jobs = {}
        self.g = self.dev = self.name = None

    def run(self):
        """The storm, and the calm after it; what was seen, in words."""
        qemu, why = scene.qemu()
        if why:
            raise SetupError(why)
        lies, stand = self.lies, STANDS[self.lies.stand]
        with hostile_device(stand) as self.dev, Guest(
                self.kernel, devices=[self.dev.qemu], share_mem=True,
                driver=None, qemu=qemu, timeout=0) as self.g, \
                pulse([self.dev]):
            scene.keep_off(self.g, self.dev)
            self.g.sh(f"vbl_load request_timeout=1 queue_depth={DEPTH} "
                      f"poll_queues={lies.polls}")
            self.g.sh(f"echo {lies.attempts} >{PARAMS}/reset_attempts")
            self.dev.become(lies.features, script=lies, queues=lies.queues,
                            queue_size=lies.queue_size, config=lies.config)
            self.name = scene.bind(self.g, self.dev, "lite")
            if not self.name:
                raise VblError(f"no disk\n{self.g.sh('dmesg | tail -n 20')}")
            try:
                return self._blow()
            except VblError as e:
                raise VblError(f"{e}\n{self._evidence()}") from e

    def _blow(self):
        self._start()
        before = load.written(self.g, self.name)
        with self.dev.lock:
            self.lies.calm = False
        settings = self.g.start(self._settings())
        time.sleep(self.seconds)
        settings.kill()
        settings.wait(CALM_SECONDS, check=False)
        began = time.monotonic()
        self._calm()
        self._end()
        took = time.monotonic() - began
        writes = load.written(self.g, self.name) - before
        scene.copy(self.g, self.name)
        errors = self.g.sh(f"cd /sys/block/{self.name}/errors; grep . *")
        scene.unbind(self.g, self.dev)
        self.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=60)
        ktap.must_be_quiet(self.g.sh("dmesg") + self.g.console)
        own_faults(self.dev)
        return (f"{writes} writes, {self.lies.mutations} lies read, "
                f"{' '.join(errors.split())}, calm after {took:.0f} s")

    def _start(self):
        """Start the loads."""
        for n, (what, options) in enumerate(LOADS.items()):
            if what == "polled" and not self.lies.polls:
                continue
            fio = load.command(self.name, f"--size={PART} --offset={n * PART} "
                               f"{options}", SIZES)
            self.jobs[what] = self.g.start(
                f"exec {fio}" if what == "endless" else
                AGAIN.format(fio, what, what))
        self.jobs["endless"].listens()

    def _settings(self):
        """A command that changes the settings of the disk again and again."""
        rows = []
        for _ in range(200):
            file = self.dice.choice(tuple(SETTINGS))
            rows.append(f"set {file} {self.dice.choice(SETTINGS[file])}")
        return (f"cd /sys/block/{self.name}; "
                "set() { f=$1; shift; echo $* >$f; usleep 100000; }; "
                "while [ -e size ]; do " + "; ".join(rows) + "; done")

    def _calm(self):
        """The device is honest from now on, and completes what it held."""
        with self.dev.lock:
            self.lies.calm = True
            self.dev.release()

    def _end(self):
        """Every load ends, and all of its data was right."""
        until = time.monotonic() + CALM_SECONDS
        self.g.sh("touch /run/calm")
        self.jobs["endless"].kill("INT")
        for what, job in self.jobs.items():
            left = max(1, until - time.monotonic())
            out = job.wait(left, check=False)
            # fio ends with 128 after a signal; its result says what it found.
            if job.status and (what != "endless" or job.status != 128):
                raise VblError(f"the load '{what}' failed:\n{out}")
            if what == "endless" and load.result(out)["error"]:
                raise VblError(f"the load '{what}' has wrong data:\n{out}")

    def _evidence(self):
        """What helps to understand a storm that went wrong."""
        told = [self.lies.in_words(), "its last lies:", *self.lies.story[-40:]]
        with contextlib.suppress(VblError):
            told.append(self.g.sh(
                "echo w >/proc/sysrq-trigger; dmesg | tail -n 150; "
                f"cd /sys/block/{self.name}; grep . errors/* inflight queue/io_timeout; "
                "grep . /sys/kernel/debug/virtio_lite/*/queue*"))
        return "\n".join(told)
