# SPDX-License-Identifier: GPL-2.0
"""Rounds with a hostile device in a guest.

Each round has another device, drawn from its own seed: it lies while it is
probed, used and unbound. The disk may work or fail; the kernel may not
complain, nothing may hang, and the module can always be unloaded.
"""

import contextlib
import multiprocessing
import threading
import time

from device import Device, scene
from device.memory import BadAddress
from vbl import Guest, VblError, ktap, record

from .hostile import KINDS, STANDS, Hostile

PARAMS = "request_timeout=1"
IO_SECONDS = 30
PULSE_SECONDS = 0.005
# A round ends when at most SLOW requests came in SLOW_SECONDS.
SLOW, SLOW_SECONDS = 50, 6
# Many lies make requests fail; fio continues after most errors.
LOAD = ("end=$(($(date +%s) + {1})); while [ $(date +%s) -lt $end ] && "
        "[ $(cat /sys/block/{0}/size) -gt 0 ]; do "
        "fio --name=f --filename=/dev/{0} --allow_file_create=0 "
        "--ioengine=libaio --rw=randrw --direct=1 "
        "--bssplit=512/40:4k/50:16k/8:128k/2 --iodepth=32 "
        "{2} --continue_on_error=all --fsync=64 "
        "--size=1M --numjobs=2 --thread & p=$!; {3} for n in 1 2 3; do "
        "/bin/blkdiscard -f -l 64k /dev/{0}; "
        "/bin/blkdiscard -f -z -l 64k /dev/{0}; cat /sys/block/{0}/serial; "
        "blkzone reset /dev/{0}; blkzone report /dev/{0}; "
        "done; while kill -0 $p && [ $(cat /sys/block/{0}/size) -gt 0 ]; do "
        "sleep 0.3; done; kill $p; wait; done >/dev/null 2>&1")
# Until the time is over; or once through its part of the disk, again and again.
ENDLESS, FINITE = "--time_based --runtime={}", ""
# Whatever a queue is frozen for, as long as the load beside it runs.
FREEZES = ("(cd /sys/block/{}; while kill -0 $p; do "
           "for s in $(tr -d '[]' <queue/scheduler); do "
           "echo $s >queue/scheduler; done; "
           "for n in 4 64; do echo $n >queue/nr_requests; done; "
           "for c in through back; do echo write $c >cache_type; done; "
           "usleep 200000; done) &")
SETTINGS = "/sys/module/virtio_lite/parameters"


class Unjudged:
    """Replaces Rules and Log: a hostile device does not judge the driver."""

    @staticmethod
    def rule(_idents, good, *_):
        return good

    def add(self, *_):
        pass

    saw = add


def hostile_device(options):
    """A Device that judges nothing, for a Hostile script."""
    dev = Device(**options)
    dev.check.rule, dev.check.saw = Unjudged.rule, Unjudged().saw
    dev.log.add = Unjudged().add
    return dev


def own_faults(dev):
    """Raise when the device itself failed, other than by an address that a lie
    has changed."""
    faults = [e for e in dev.errors if not isinstance(e, BadAddress)]
    dev.errors.clear()
    if faults:
        raise VblError(f"the device itself failed: {faults[0]!r}"
                       ) from faults[0]


@contextlib.contextmanager
def pulse(devs):
    """Carry out what the devices have delayed, in a thread of its own."""
    done = threading.Event()

    def beat():
        while not done.wait(PULSE_SECONDS):
            for dev in devs:
                if isinstance(dev.script, Hostile):
                    dev.server.handle(dev.script.pulse, dev)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Sum:
    """Counters of all rounds, shared by the processes of all guests."""

    NAMES = ("rounds", "mutations", "worked", "dead", "drawn", "failed",
             *KINDS)

    def __init__(self):
        self._of = multiprocessing.Array("q", len(self.NAMES))

    def __getattr__(self, name):
        return self._of[self.NAMES.index(name)]

    def add(self, **counts):
        """Add; returns the values before."""
        with self._of.get_lock():
            before = {name: getattr(self, name) for name in counts}
            for name, n in counts.items():
                self._of[self.NAMES.index(name)] += n
        return before

    def seeds(self, first, rounds=None):
        """The next seed, for whichever guest asks."""
        while True:
            n = self.add(drawn=1)["drawn"]
            if rounds and n >= rounds:
                return
            yield first + n

    def __str__(self):
        return f"{self.rounds} rounds ({self.worked} with a disk, " \
            f"{self.dead} given up); " + ", ".join(
                f"{kind} {getattr(self, kind)}" for kind in KINDS)


class Campaign:
    """Rounds in one guest."""

    def __init__(self, kernel, verbose=False, io_seconds=IO_SECONDS,
                 total=None):
        self.kernel, self.verbose = kernel, verbose
        self.io_seconds = io_seconds
        self.sum, self.rounds = total or Sum(), 0

    def run(self, seeds, more):
        """One round for each seed, while more() is true."""
        qemu, why = scene.qemu()
        if why:
            raise VblError(why)
        with contextlib.ExitStack() as running:
            devs = {name: running.enter_context(hostile_device(options))
                    for name, options in STANDS.items()}
            g = running.enter_context(Guest(
                self.kernel, devices=[d.qemu for d in devs.values()],
                share_mem=True, driver=None, qemu=qemu, timeout=0))
            running.enter_context(pulse(devs.values()))
            for dev in devs.values():
                scene.keep_off(g, dev)
            g.sh(f"vbl_load {PARAMS}")
            for seed in seeds:
                if not more(self.sum):
                    break
                lies = Hostile(seed)
                try:
                    self._round(g, devs[lies.stand], seed, lies)
                except VblError as e:
                    raise VblError(
                        f"seed {seed}: {e}\nits last lies:\n"
                        + "\n".join(lies.story[-40:]) + "\nrepeat it: " +
                        record.make("fuzz", K=self.kernel, SEED=seed, ROUNDS=1)
                    ) from e
            self._unload(g)

    def _round(self, g, dev, seed, lies):
        mark = g.dmesg_mark(f"seed {seed}")
        dev.become(lies.features, script=lies, queues=lies.queues,
                   queue_size=lies.queue_size, config=lies.config,
                   zones=lies.zones)
        g.sh(f"echo {lies.action} >{SETTINGS}/timeout_action; "
             f"echo {lies.attempts} >{SETTINGS}/reset_attempts")
        name = scene.bind(g, dev, "lite")
        if name:
            # A regular file of that name would take all of the load.
            g.sh(f"[ -b /dev/{name} ]")
            job = g.start(LOAD.format(
                name, self.io_seconds, FINITE if lies.finite else
                ENDLESS.format(self.io_seconds),
                FREEZES.format(name) if lies.frozen else ""))
            if lies.goes:
                # The disk is unbound while it is used.
                g.sh(f"echo auto >{SETTINGS}/timeout_action; wait_for "
                     f"{self.io_seconds} sh -c '[ "
                     f"$(awk \"{{ print \\$1 + \\$5 }}\" /sys/block/{name}"
                     f"/stat) -gt {seed * 977 % 200 * self.io_seconds} ]'",
                     timeout=2 * self.io_seconds, check=False)
            else:
                self._watch(dev, lies, job,
                            self._must_find(g, dev, lies, name))
        if lies.unloaded:
            g.sh(f"echo none >/sys/bus/pci/devices/{dev.bdf}/driver_override; "
                 "vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=120)
        scene.keep_off(g, dev)
        if name:
            job.wait(90, check=False)
        if lies.unloaded:
            g.sh(f"vbl_load {PARAMS}")
        log = g.dmesg_since(mark)
        ktap.must_be_quiet(log)
        if not dev.server.client:
            raise VblError("QEMU has given the scripted device up")
        own_faults(dev)
        if self.verbose:
            print(log, end="")
        self.rounds += 1
        self.sum.add(rounds=1, mutations=lies.mutations, worked=bool(name),
                     dead="the disk is dead" in log, **lies.counts)
        print(f"seed {seed}: {lies.in_words()}, {lies.mutations} lies read of "
              f"{lies.told} told, {'disk' if name else 'no disk'}; "
              f"{self.sum.mutations} in all", flush=True)

    @staticmethod
    def _must_find(g, dev, lies, name):
        """Whether the driver has to find what is lost. It cannot tell that from
        slow where the device works in order, so that nothing completes after a
        held request, or where the ring has no room for a check."""
        return lies.action == "auto" and not dev.has("IN_ORDER") and int(
            g.sh(f"cat /sys/block/{name}/mq/0/nr_tags || echo 0")
            .split()[-1]) > 2

    def _watch(self, dev, lies, job, must_end):
        """Wait until the load ends, as it has to with @must_end, or the device
        gets hardly any requests, for what it said before."""
        end = time.monotonic() + self.io_seconds
        more = True
        while more and time.monotonic() < end:
            before = lies.requests
            with dev.changed:
                more = dev.changed.wait_for(
                    lambda: lies.requests - before > SLOW, SLOW_SECONDS)
        if more or lies.unloaded or must_end:
            job.wait(90, check=False)

    def _unload(self, g):
        mark = g.dmesg_mark("unload")
        g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=90)
        if g.kernel.debug == "debug":
            leaks = g.sh("for n in 1 2; do echo scan; sleep 6; done "
                         ">/sys/kernel/debug/kmemleak; "
                         "cat /sys/kernel/debug/kmemleak", timeout=200)
            if leaks.strip():
                raise VblError(f"leaked:\n{leaks}")
        ktap.must_be_quiet(g.dmesg_since(mark))
