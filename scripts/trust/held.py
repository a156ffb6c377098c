# SPDX-License-Identifier: GPL-2.0
"""Faults while QEMU holds a write of the guest.

The next try uses the same guest as long as nothing went wrong, for either
driver; otherwise the guest is ended, and the next try boots a new one.
"""

import time

from faults import inflight
from faults.qtest import Line, Ring
from vbl import Disk, Guest, GuestHung

from .tally import Tally

# A command that has not ended after so many seconds, times VBL_SLOW, hangs. A
# lost request is found within lost_timeouts, 8 times request_timeout.
HANGS = 12
# Seconds until the kernel reports a hung task.
HUNG_TASK = 9
APPEND = "panic_on_warn=0 hung_task_panic=0 softlockup_panic=0"
PARAMS = "request_timeout=1"


class Scene:
    """A guest with a disk, in which one fault is tried after another."""

    def __init__(self, kernel, driver, devices=(), **options):
        self.line = Line()
        disk = Disk(**{"transport": "modern", "num_queues": 1, "throttle": {},
                       "root_port": True, **options})
        self.g = Guest(kernel, disks=[disk], driver=driver, params=PARAMS,
                       devices=[*self.line.devices, *devices],
                       append=APPEND, timeout=0)
        self.packed = bool(options.get("packed"))
        self._ring, self.undo, self.jobs = None, [], []

    def __enter__(self):
        try:
            self.g.__enter__()
            self.line.connect()
            self.dev, self.bdf = self.g.dev(), self.g.bdf(0)
            expect_hung_tasks(self.g)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the guest."""
        self.g.kill()
        self.line.close()

    @property
    def ring(self):
        """The ring that the driver has set up."""
        if not self._ring:
            self._ring = Ring(self.g, self.line, packed=self.packed)
        return self._ring

    def write(self):
        """Start a write that QEMU does not hold."""
        return inflight.start_write(self.g)

    def tried(self, how):
        """Make one try; a Tally."""
        g, before = self.g, inflight.writes_of(self.g)
        mark = g.dmesg_mark("fault")
        outcomes = judge(self, how(self), before)
        log = said(g, mark)
        if not outcomes.words:
            for job in self.jobs:
                job.kill()
            for command in self.undo:
                g.sh(command)
        self._ring, self.undo, self.jobs = None, [], []
        return outcomes.heard(log)


def expect_hung_tasks(g):
    """Let the kernel report hung tasks before the guest is ended."""
    g.sh(f"echo {int(HUNG_TASK * g.scale)} "
         ">/proc/sys/kernel/hung_task_timeout_secs")


def said(g, mark):
    """The kernel log since a mark; from the console when the guest hangs."""
    try:
        return g.dmesg_since(mark)
    except GuestHung:
        return g.console.rpartition(mark)[2]


def ends(g, jobs, seconds):
    """Wait for commands that may hang; whether all of them ended."""
    until = time.monotonic() + seconds * g.scale
    while not all(job.done for job in jobs):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def outcome(g, job, seconds=HANGS):
    """How a command ended: ok, fails or hangs."""
    if not ends(g, [job], seconds):
        return "hangs"
    return "fails" if job.status else "ok"


def judge(s, held, before):
    """How the write, the next write, the data and an unbind ended."""
    g = s.g
    # Our driver checks late requests every few seconds only.
    lies = ends(g, [held], HANGS) and not held.status and \
        inflight.writes_of(g) == before     # complete, says the driver
    after = g.start(f"dd if=/dev/zero of=/dev/{s.dev} bs=4k seek=99 count=1 "
                    "oflag=direct")
    ends(g, [held, after], HANGS)
    write, disk, data = outcome(g, held, 0), outcome(g, after, 0), "ok"
    write = "lies" if lies else write
    if disk == "ok":
        data = outcome(g, g.start(f"dd if=/dev/{s.dev} bs=4k skip=2 count=1 "
                               "iflag=direct 2>/dev/null | cmp - /tmp/held"))
        data = "is lost" if data == "fails" else data
    node = f"/sys/bus/pci/devices/{s.bdf}"
    rebind = outcome(g, g.start(
        f"d=$(readlink -f {node}/driver); echo {s.bdf} >$d/unbind && "
        f"echo {s.bdf} >$d/bind && disk_of {s.bdf}"))
    return counted({"write": write, "next write": disk, "data": data,
                    "unbind": rebind})


def counted(outcomes):
    """A Tally of one try.

    A write counts as lost once, whatever went wrong with it; so does a disk
    that cannot be bound again when nothing else was wrong.
    """
    wrong = {what: how for what, how in outcomes.items() if how != "ok"}
    lost = bool({"write", "data"} & set(wrong)) + ("next write" in wrong)
    if list(wrong.items()) == [("unbind", "fails")]:
        lost = 1
    return Tally(1, lost, int("hangs" in wrong.values()), 0, tuple(
        f"{what} {how}" for what, how in wrong.items()))


# -- what happens ------------------------------------------------------------

def breach(how):
    """Breach the protocol while QEMU holds the write."""
    def run(s):
        held = inflight.hold(s.g)
        how(s.ring, s.ring.newest())
        s.ring.interrupt()
        return held
    return run


def spoiled(how):
    """The write is done, and its completion is spoiled."""
    return lambda s: inflight.spoil(s.g, s.ring, how)


def spoiled_packed(how):
    """The same in a packed ring."""
    return lambda s: inflight.spoil_packed(s.g, s.ring, how)


def withheld(s):
    """Younger requests complete, and this one never does."""
    held = inflight.hold(s.g)
    s.jobs.append(s.g.start(f"while dd if=/dev/{s.dev} of=/dev/null bs=4k "
                            "count=4 iflag=direct; do sleep 1; done"))
    return held


def needs_reset(s):
    """The device sets DEVICE_NEEDS_RESET."""
    held = inflight.hold(s.g)
    s.ring.offend()
    return held


def no_message(s):
    """The vector is masked behind the driver's back."""
    s.ring.mask(True)
    return s.write()


def no_intx(s):
    """INTx is disabled in the command register."""
    s.g.sh(f"vbl_tools; setpci -s {s.bdf} COMMAND=400:400")
    s.undo.append(f"setpci -s {s.bdf} COMMAND=0:400")
    return s.write()


def no_master(s):
    """Bus mastering is switched off."""
    s.g.sh(f"vbl_tools; setpci -s {s.bdf} COMMAND=0:4")
    return s.write()


def function_reset(s):
    """Function level reset while QEMU holds the write."""
    held = inflight.hold(s.g)
    # Not waited for: with some drivers it never ends.
    s.g.start(f"echo 1 >/sys/bus/pci/devices/{s.bdf}/reset")
    return held


def bus_error(s):
    """A fatal PCIe error while QEMU holds the write."""
    held = inflight.hold(s.g)
    inflight.bus_error(s.g)
    return held


class Held:
    """A row of the table."""

    def __init__(self, how, **options):
        self.how, self.options = how, options

    def __call__(self, kernel, driver, times, stage):
        """Try it so many times; a Tally."""
        total = Tally()
        for _ in range(times):
            s = stage.scene(kernel, driver, **self.options)
            one = s.tried(self.how)
            total.add(one)
            if not one.good:
                stage.close()
        return total


class Stage:
    """Keeps the last guest for the next fault, if that needs the same options.

    booted  how many guests were booted
    """

    def __init__(self):
        self.now = self.like = None
        self.booted = 0

    def scene(self, *like, **options):
        """A Scene with these options."""
        if self.now and (like, options) != self.like:
            self.close()
        if not self.now:
            self.now, self.like = Scene(*like, **options), (like, options)
            self.now.__enter__()
            self.booted += 1
        return self.now

    def close(self):
        """End the guest, if there is one."""
        if self.now:
            self.now.close()
        self.now = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


ROWS = {
    "used id out of range": Held(breach(inflight.used_out_of_range)),
    "used id of a request not in flight":
        Held(breach(inflight.used_not_in_flight)),
    "request given back without being done":
        Held(breach(inflight.used_without_status)),
    "used id given back twice": Held(spoiled(inflight.twice)),
    "used element never written": Held(spoiled(inflight.never_written)),
    "used index jumps ahead": Held(spoiled(inflight.too_far)),
    "used index goes backwards": Held(spoiled(inflight.too_far_back)),
    "used length makes no sense": Held(spoiled(inflight.length_huge)),
    "completion lost, younger ones came": Held(withheld),
    "interrupt lost, MSI-X": Held(no_message),
    "DEVICE_NEEDS_RESET": Held(needs_reset),
    "bus mastering switched off": Held(no_master),
    "function level reset": Held(function_reset),
    "fatal PCIe error, slot reset": Held(
        bus_error, devices=(inflight.AER_PORT,), **inflight.AER),
    "interrupt lost, INTx": Held(no_intx, vectors=0),
    "packed ring: used id out of range":
        Held(breach(inflight.used_out_of_range), packed=True),
    "packed ring: used id of a request not in flight":
        Held(breach(inflight.used_not_in_flight), packed=True),
    "packed ring: request given back without being done":
        Held(breach(inflight.used_without_status), packed=True),
    "packed ring: id of a true completion out of range":
        Held(spoiled_packed(inflight.packed_out_of_range), packed=True),
    "packed ring: used id given back twice":
        Held(spoiled_packed(inflight.packed_twice), packed=True),
    "packed ring: used length makes no sense":
        Held(spoiled_packed(inflight.packed_length_huge), packed=True),
}
