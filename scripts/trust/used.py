# SPDX-License-Identifier: GPL-2.0
"""A guest whose disk is in use, and the loads that check its data.

Writers (ack.c) acknowledge which of their blocks are safe; where the guest has
tools, fio keeps many requests in flight and verifies them too. A load that
ended with its disk is started again, and first finds every block that was safe.
The first 4 MB are left to actions that write by themselves.
"""

import collections
import contextlib
import math
import subprocess

from device.scene import command, qemu_has
from faults import powercut
from faults.load import Busy
from faults.moving import Moves
from faults.qtest import Line, Ring
from vbl import Disk, VblError, ktap
from vbl.disk import PROPS

AREA = powercut.BLOCK * powercut.BLOCKS
MEGA = 1 << 20
SIZE, FIO = 64 * MEGA, "--offset=16M"
# Error counters that may only count what an action caused. The others count a
# slow host, too.
ERRORS = {"resets", "queue_resets", "protocol", "lost_interrupts",
           "lost_completions"}
# An action causes at most so many of each: where the reset of a queue is not
# enough, one of the device follows. A lost interrupt counts for each request.
MOST = {"lost_interrupts": math.inf}
MOST_EACH = 2
ALL_CPUS = ("for c in /sys/devices/system/cpu/cpu[1-9]*/online; do "
            "[ ! -e $c ] || grep -q 1 $c || echo 1 >$c; done")


class Used(Moves):
    """The guest and the disk that were drawn for a round, in use.

    g         the guest; another one after a migration
    beside    commands that run in the background, whatever their status; DISK
              is the disk's folder in sysfs
    expected  how many of ERRORS actions caused since the driver was bound
    """

    def __init__(self, boot, kernel, folder, plan, beside=()):
        self.boot, self.kernel, self.beside = boot, kernel, beside
        self.folder, self.plan = folder, plan
        self.image, self.log = folder / "disk", folder / "log"
        subprocess.run(["qemu-img", "create", "-q", "-f", plan["format"],
                        self.image, str(SIZE)], check=True)
        self.acks, self._read = folder / "acks", 0
        self._safe = {n: 0 for n, _ in enumerate(plan["flush"], 1)}
        self.files = {"bin/ack": powercut.writer(folder)}
        self.line = None if plan["moves"] else Line()
        self.writers, self.noise, self.busy = [], [], None
        self.expected = collections.Counter()
        self.g = None

    def __enter__(self):
        try:
            self.g = self.another()
            if self.line:
                self.line.connect()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.line:
            self.line.close()

    def another(self, incoming=None):
        """Start a QEMU with the same disk."""
        plan = self.plan
        # Options that this QEMU does not have are left out.
        options = {name: value for name, value in plan["disk"].items()
                   if name not in PROPS or qemu_has(PROPS[name])}
        options["throttle"] = {}
        if plan["end"] == "power cut":
            disk = Disk(backend=powercut.logged(self.image, self.log,
                                                plan["format"]), **options)
        else:
            disk = Disk(self.image, format=plan["format"], **options)
        return self.boot(
            kernel=self.kernel, qemu=command(), disks=[disk],
            files=self.files, tools=not plan["moves"], incoming=incoming,
            timeout=900, devices=[
                f"-chardev file,id=acks,path={self.acks},append=on",
                "-device isa-serial,chardev=acks,index=2",
                *(self.line.devices if self.line else ()), *plan["devices"]],
            **plan["guest"])

    # -- the loads ---------------------------------------------------------

    def safe(self):
        """{area: number of the last block that was acknowledged}."""
        new = self.acks.read_bytes()[self._read:]
        self._read += new.rfind(b"\n") + 1
        for line in new.split(b"\n")[:-1]:
            words = line.split()
            # A line that is no pair is incomplete: its writer was killed.
            if len(words) == 2:
                area, n = map(int, words)
                self._safe[area] = max(self._safe[area], n)
        return dict(self._safe)

    def start(self):
        """Start all loads on the disk of a driver that was just bound."""
        g, port = self.g, powercut.PORT
        dev, safe = g.dev(), self.safe()
        g.sh(f"echo >{port}")
        self.expected.clear()
        self.writers = [
            g.start(f"exec /bin/ack /dev/{dev} {port} {self.seed(area)} "
                    f"{flush} {safe[area]} {area}")
            for area, flush in enumerate(self.plan["flush"], 1)]
        if self.plan["fio"]:
            self.busy = Busy(g, dev, f"{FIO} {self.plan['fio']}")
        self.noise = [g.start(c.replace("DISK", f"/sys/block/{dev}"))
                      for c in self.beside]
        self.progresses()

    def seed(self, area):
        """The seed of the blocks of an area."""
        return self.plan["round"] + area

    def jobs(self):
        """All loads that run."""
        return [*self.writers, *self.noise,
                *([self.busy.job] if self.busy else ())]

    def progresses(self, more=20):
        """Wait until every load has made progress."""
        before = self.safe()
        powercut.wait_acks(self.g, self.writers, lambda: all(
            n >= before[area] + more for area, n in self.safe().items()))
        if self.busy:
            self.busy.progresses()

    @contextlib.contextmanager
    def still(self):
        """Stop all loads for a while; no request is in flight."""
        for job in self.jobs():
            job.kill("STOP")
        self.g.sh("wait_for 20 grep -q '^ *0 *0$' "
                  f"/sys/block/{self.g.dev()}/inflight")
        yield
        for job in self.jobs():
            job.kill("CONT")

    def told(self):
        """The disk is gone: each load gets an error, none has wrong data."""
        self._hush()
        for job in self.writers:
            out = job.wait(60, check=False)
            if not job.status or "is not at" in out:
                raise VblError(f"a writer whose disk is gone ended with "
                               f"{job.status}: {out}")
        if self.busy:
            # A disk that is gone has no sectors. fio takes a short read for
            # wrong data, so what it says of data does not count now.
            self.busy.ends()
        self.writers, self.busy = [], None

    def stop(self):
        """Stop the loads; all of their data must be right."""
        self._hush()
        for job in self.writers:
            job.kill("TERM")
            out = job.wait(check=False)
            if out:
                raise VblError(f"a writer ended by itself: {out}")
        if self.busy:
            self.busy.stop()
        self.writers, self.busy = [], None

    def _hush(self):
        for job in self.noise:
            job.kill()
            job.wait(check=False)
        if self.noise:
            self.g.sh(ALL_CPUS)
        self.noise = []

    # -- what is judged ----------------------------------------------------

    def ring(self, queue=0):
        """A ring, as QEMU sees it."""
        return Ring(self.g, self.line, queue=queue,
                    packed="packed" in self.plan["disk"])

    def causes(self, *errors):
        """An action is about to cause these errors."""
        for what in errors:
            self.expected[what] += MOST.get(what, MOST_EACH)

    def check(self, mark):
        """Raise when the kernel complained since @mark, or the driver counted
        more errors than actions caused."""
        self.g.dmesg_check(mark)
        counts = dict(row.split(":") for row in self.g.sh(
            f"cd /sys/block/{self.g.dev()}/errors && grep . *").split())
        for what in ERRORS:
            most = self.expected[what]
            if int(counts[what]) > most:
                raise VblError(f"{what} {counts[what]}: the actions caused at "
                               f"most {most}\n" + self.g.dmesg_since(mark))

    def unload(self):
        """End: stop the loads and unload the module."""
        self.stop()
        self.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=60)
        ktap.must_be_quiet(self.g.sh("dmesg") + self.g.console)
        self.g.kill()
        self._on_host(self._contents())

    def power_off(self):
        """End: the guest powers off under load."""
        self.g.start("poweroff -f")
        self.g.wait_exit(60)
        self._on_host(self._contents())

    def power_cut(self, rng):
        """End: kill QEMU; only what was flushed counts."""
        powercut.pull(self.g)
        self._on_host(powercut.left_of(bytearray(SIZE), self.log, rng))

    def _contents(self):
        """The data of the disk, read on the host."""
        raw = self.folder / "raw"
        subprocess.run(["qemu-img", "convert", "-f", self.plan["format"], "-O",
                        "raw", self.image, raw], check=True)
        return raw.read_bytes()

    def _on_host(self, data):
        for area, n in self.safe().items():
            gone = powercut.lost(data[area * AREA:][:AREA], self.seed(area), n)
            if gone:
                raise VblError(f"of {n} blocks that were safe in area {area}, "
                               f"{len(gone)} are not there: {gone[:10]}")
