#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A guest and a device that wants to do it harm, for a while.

Each round is another device, made of a seed of its own: it lies while it is
probed, used and left. The disk may work or be dead; the kernel may not
complain, nothing may hang, and the module can always be unloaded.
"""

import argparse
import contextlib
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "selftests"), str(ROOT / "selftests" / "fuzz"),
                str(ROOT / "scripts")]

from device import Device, scene                        # noqa: E402
from hostile import Hostile                             # noqa: E402
from trust import page                                  # noqa: E402
from vbl import Guest, VblError, ktap                   # noqa: E402

PARAMS = "request_timeout=1 reset_attempts=1000000"
IO_SECONDS = 30
PULSE_SECONDS = 0.02
# Errors are what the user sees of a lie; fio goes on after most of them.
LOAD = ("end=$(($(date +%s) + {1})); while [ $(date +%s) -lt $end ] && "
        "[ $(cat /sys/block/{0}/size) -gt 0 ]; do "
        "fio --name=f --filename=/dev/{0} --allow_file_create=0 "
        "--ioengine=libaio --rw=randrw --direct=1 "
        "--bssplit=512/40:4k/50:16k/8:128k/2 --iodepth=32 "
        "--time_based --runtime={1} --continue_on_error=all --fsync=64 "
        "--size=1M --numjobs=2 --thread & for n in 1 2 3; do "
        "/bin/blkdiscard -f -l 64k /dev/{0}; "
        "/bin/blkdiscard -f -z -l 64k /dev/{0}; cat /sys/block/{0}/serial; "
        "done; while kill -0 $! && [ $(cat /sys/block/{0}/size) -gt 0 ]; do "
        "sleep 0.3; done; kill $!; wait; done >/dev/null 2>&1")
ACTION = "/sys/module/virtio_lite/parameters/timeout_action"


class Unjudged:
    """In the place of Rules and Log: a hostile device is not the judge."""

    @staticmethod
    def rule(_idents, good, *_):
        return good

    def add(self, *_):
        pass

    saw = add


class Campaign:
    """Rounds in one guest."""

    def __init__(self, kernel, verbose=False, io_seconds=IO_SECONDS):
        self.kernel, self.verbose = kernel, verbose
        self.io_seconds = io_seconds
        self.rounds = self.mutations = self.worked = self.dead = 0

    def run(self, seeds, more):
        """One round for each seed, while more() is true."""
        qemu, why = scene.qemu()
        if why:
            raise VblError(why)
        dev = Device()
        dev.check.rule, dev.check.saw = Unjudged.rule, Unjudged().saw
        dev.log.add = Unjudged().add
        with dev, Guest(self.kernel, devices=[dev.qemu], share_mem=True,
                        driver=None, qemu=qemu, timeout=0) as g, \
                self._pulse(dev):
            g.sh(f"vbl_load {PARAMS}")
            for seed in seeds:
                if not more(self):
                    break
                try:
                    self._round(g, dev, seed)
                except VblError as e:
                    raise VblError(
                        f"seed {seed}: {e}\nits last lies:\n"
                        + "\n".join(dev.script.story[-40:])) from e
            self._unload(g)
            dev.trouble.clear()

    @contextlib.contextmanager
    def _pulse(self, dev):
        """What a lie delayed happens meanwhile, in a thread of its own."""
        done = threading.Event()

        def beat():
            while not done.wait(PULSE_SECONDS):
                if isinstance(dev.script, Hostile):
                    dev.script.pulse(dev)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _round(self, g, dev, seed):
        mark = g.dmesg_mark(f"seed {seed}")
        lies = Hostile(seed)
        scene.unbind(g, dev)
        dev.become(lies.features, script=lies, queues=lies.queues,
                   queue_size=lies.queue_size, config=lies.config)
        # Nothing is younger than the only request, so what keeps it is slow.
        g.sh(f"echo reset >{ACTION}")
        name = scene.bind(g, dev, "lite")
        if name:
            # A file that somebody made in its place would take all load.
            g.sh(f"[ -b /dev/{name} ]")
            job = g.start(LOAD.format(name, self.io_seconds))
            if self.rounds % 2:
                job.wait(90, check=False)
            else:
                # The disk goes while it is used.
                g.sh(f"echo auto >{ACTION}; wait_for {self.io_seconds} sh -c '[ "
                     f"$(awk \"{{ print \\$1 + \\$5 }}\" /sys/block/{name}"
                     f"/stat) -gt {seed * 977 % 200 * self.io_seconds} ]'",
                     timeout=2 * self.io_seconds, check=False)
        scene.unbind(g, dev)
        if name:
            job.wait(90, check=False)
        log = g.dmesg_since(mark)
        ktap.must_be_quiet(log)
        if self.verbose:
            print(log, end="")
        self.rounds += 1
        self.mutations += lies.mutations
        self.worked += bool(name)
        self.dead += "the disk is dead" in log
        print(f"seed {seed}: {lies.mutations} lies read of {lies.told} told, "
              f"{'disk' if name else 'no disk'}; {self.mutations} in all",
              flush=True)

    def summary(self):
        """What the rounds came to."""
        return f"{self.rounds} rounds ({self.worked} with a disk, " \
            f"{self.dead} given up)"

    def _unload(self, g):
        g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=90)
        if g.kernel.debug == "debug":
            leaks = g.sh("for n in 1 2; do echo scan; sleep 6; done "
                         ">/sys/kernel/debug/kmemleak; "
                         "cat /sys/kernel/debug/kmemleak", timeout=200)
            if leaks.strip():
                raise VblError(f"leaked:\n{leaks}")


def main():
    """Command line entry."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("-k", "--kernel", help="debug, or a release or prefix")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--mutations", type=int, help="go on until that many")
    p.add_argument("--rounds", type=int, help="exactly so many rounds")
    p.add_argument("--seed", type=int, default=int(time.time()),
                   help="of the first round; each next one has one more")
    p.add_argument("--verbose", action="store_true",
                   help="show the kernel log of each round")
    p.add_argument("--write", action="store_true",
                   help="keep the figures for Documentation/trust.md")
    args = p.parse_args()
    campaign, began = Campaign(args.kernel, args.verbose), time.monotonic()

    def more(c):
        if args.rounds:
            return c.rounds < args.rounds
        if args.mutations:
            return c.mutations < args.mutations
        return time.monotonic() - began < args.seconds

    seeds = iter(range(args.seed, args.seed + 10 ** 9))
    try:
        with page.noted(args.write, "hostile device", args.kernel, None,
                        page.make("fuzz", N=args.mutations, SEED=args.seed,
                                  K=args.kernel, SECONDS=f"{args.seconds:g}"
                                  if not args.mutations else None)) as figures:
            try:
                campaign.run(seeds, more)
            finally:
                # A disk that lies keeps nothing that could be lost.
                figures.update(tried=campaign.mutations, lost=None,
                               said=campaign.summary())
    except VblError as e:
        print(f"fuzz: {e}", file=sys.stderr)
        return 1
    print(f"{campaign.mutations} mutations in {campaign.summary()}, "
          f"{time.monotonic() - began:.0f} s: no complaint, no hang, unloaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
