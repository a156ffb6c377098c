# SPDX-License-Identifier: GPL-2.0
"""Both drivers in one guest, and one measurement of one of them."""

import dataclasses
import os
import tempfile
from pathlib import Path

from vbl import Disk, Guest, SetupError, cache
from vbl.qemu import binary, version

from . import build
from .symbols import (GROUPS, OURS, SCHED, UPSTREAM, Symbols, group_of,
                      is_driver)

DRIVERS = ("lite", "upstream")
DISK_SIZE = "512M"
# From this QEMU on plugins have another interface.
NEWER_PLUGINS = (9,)
# One CPU, but room for another: with only one possible CPU the emulator leaves
# memory barriers out, although its device runs on another of the host's CPUs,
# and notifications get lost.
ONE_CPU = {"smp": "1,maxcpus=2", "append": "possible_cpus=1"}

SUBMIT, COMPLETE, SKIP, INTERRUPT, ALLOC, DEVICE, TIMER, SWITCH, MAPPING = \
    range(9)
# The functions by which the block layer and the interrupt enter the driver.
ROOTS = {
    "lite": {
        SUBMIT: ("virtio_queue_rq", "virtio_queue_rqs", "virtio_commit_rqs"),
        COMPLETE: ("vp_interrupt", "vp_group_interrupt", "vp_intx_interrupt"),
    },
    "upstream": {
        SUBMIT: ("virtio_queue_rq", "virtio_queue_rqs", "virtio_commit_rqs"),
        COMPLETE: ("vring_interrupt",),
    },
}
# Whether somebody sleeps until a request ends depends on the host's speed, so
# telling whoever wanted it is not counted as a cost of completion.
NOT_COUNTED = ("aio_complete_rw", "__wake_up", "wake_up_process",
               "try_to_wake_up")


@dataclasses.dataclass(frozen=True)
class Job:
    """A load: what iob is asked to do."""

    op: str = "r"
    size: int = 4096
    depth: int = 1
    batch: int = 1
    count: int = 10000
    how: str = ""           # s scattered, p apart, u io_uring ...: see iob.c
    jobs: int = 1

    def __str__(self):
        return f"{self.op} {self.size} depth {self.depth} batch {self.batch}"

    def but(self, **changes):
        """The same job, except for what is named."""
        return dataclasses.replace(self, **changes)

    def _whole(self, count):
        # Complete batches, so that all requests cost the same.
        return -(-count // self.batch) * self.batch

    @property
    def total(self):
        """Requests counted."""
        return self._whole(self.count) * self.jobs

    def command(self, disk, warm):
        """What runs in the guest."""
        return (f"iob {disk} {self.op}{self.how} {self.size} {self.depth} "
                f"{self._whole(self.count)} {self.batch} {self._whole(warm)} "
                f"{self.jobs}")


@dataclasses.dataclass
class Result:
    """What one measurement counted, per request."""

    functions: dict     # (name, module) -> instructions
    touched: dict       # (name, module) -> cache lines it is the first to use
    groups: dict        # group -> instructions
    driver: float       # instructions within the driver
    kernel: float       # in the kernel but the timer's interrupt
    timer: float        # in the timer's interrupt
    work: float         # kernel without the scheduler and the idle loop
    user: float
    submit: float       # below the entry to the driver, callees included
    complete: float     # below the interrupt handler
    submits: float      # times the entry was called
    interrupts: float
    registers: float    # accesses to the device's registers by the driver
    lines: float        # cache lines used by the driver and to map data for it
    allocs: float       # allocations below both entries
    ns: float           # guest time, a smoke test only


def no_scheduler(*names):
    """A command for the guest: these disks have no I/O scheduler."""
    return "".join(f"echo none >/sys/block/{n}/queue/scheduler; "
                   for n in names)


class OneThread(Guest):
    """A guest whose CPUs run by turns: the plugin's counters are not shared
    by any two at the same time."""

    def _argv(self):
        argv = super()._argv()
        argv[argv.index("-accel") + 1] = "tcg,thread=single"
        return argv


class Bench:
    """A guest with a disk for each driver, under the counting plugin.

    drivers    which of "lite" and "upstream" are loaded
    ko         a ready module instead of the one built from the tree
    disk       options of both disks
    more       more disks of each driver
    one_thread several CPUs may be measured, at the price of speed
    params     of both drivers' disks
    guest      options of the guest
    """

    def __init__(self, kernel, drivers=DRIVERS, ko=None, disk=None, more=0,
                 devices=(), append="", one_thread=False, params="", **guest):
        self.drivers, self.symbols, self.params = drivers, None, params
        # A plugin needs an emulated CPU, also where KVM would work.
        os.environ["VBL_ACCEL"] = "tcg"
        # Said outright, or an old QEMU would be passed over for a newer one.
        guest.setdefault("qemu", binary())
        found = version(guest["qemu"][0])
        if found >= NEWER_PLUGINS:
            raise SetupError("the counting plugin is for QEMU 4.2 to 8.x, and "
                             f"this is {'.'.join(map(str, found))}")
        self._folder = tempfile.TemporaryDirectory(prefix="vbl-bench-")
        self.folder, self._results = Path(self._folder.name), 0
        if "," in self._folder.name:
            raise SetupError("TMPDIR must not have a comma in it")
        if guest.setdefault("smp", 1) == 1:
            guest["smp"] = ONE_CPU["smp"]
            append += " " + ONE_CPU["append"]
        # Several to a slot: there are 26 slots.
        places = (f"{4 + n // 8:x}.{n % 8}" for n in range(8 * 26))
        self.disks, *self.more = [
            {d: Disk("null", size=DISK_SIZE, addr=next(places),
                     props={"multifunction": True}, **(disk or {}))
             for d in (DRIVERS if not n else drivers)}
            for n in range(1 + more)]
        self.guest = (OneThread if one_thread else Guest)(
            kernel, ko=ko, tools=False,
            disks=[d for some in (self.disks, *self.more)
                   for d in some.values()],
            driver=None if "lite" in drivers else "upstream",
            append=" ".join(["nokaslr", append, *(
                f"virtio_blk.{p}" for p in params.split())]), files={"bin/iob": build.iob()},
            devices=[["-plugin", f"{build.plugin()},dir={self.folder}"],
                     *devices], **guest)

    def __enter__(self):
        g = self.guest.__enter__()
        try:
            if "upstream" in self.drivers:
                g.sh("vbl_load_upstream", timeout=60)
            if "lite" in self.drivers:
                ours = [some["lite"] for some in (self.disks, *self.more)]
                g.sh(f"vbl_load {self.params}; " + "".join(f"take_over {g.bdf(d)};"
                                            for d in ours), timeout=120)
            self.symbols = Symbols(self._kallsyms())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *why):
        self.guest.__exit__(*why)
        self._folder.cleanup()

    def run(self, driver, job, warm=2000):
        """Measure @job on the disk of @driver."""
        g, dev = self.guest, self.guest.dev(self.disks[driver])
        self._write_roots(driver)
        out = g.sh(no_scheduler(dev)
                   + job.command(f"/dev/{dev}", warm), timeout=300)
        self._results += 1
        return self._read(driver, job, float(out.split()[-1]))

    def _kallsyms(self):
        g = self.guest
        core = r"grep ' [tTwW] ' /proc/kallsyms | grep -v -e ' __pfx_' -e '\['"

        def make(folder):
            (folder / "kallsyms").write_text(g.sh(core, timeout=120))

        # A megabyte that is always the same with nokaslr.
        inputs = [core, cache.file_stamp(g.kernel.boot_file)]
        folder = cache.entry("kallsyms", inputs, make, g.kernel.release)
        return (folder / "kallsyms").read_text() + \
            g.sh("grep -F '[' /proc/kallsyms", timeout=60)

    def _write_roots(self, driver):
        modules = OURS if driver == "lite" else UPSTREAM | {""}
        roots = [(kind, a, a) for kind, names in ROOTS[driver].items()
                 for name in names for a in self.symbols.find(name, modules)]
        if {SUBMIT, COMPLETE} - {kind for kind, *_ in roots}:
            raise SetupError(f"{driver}: none of the functions in ROOTS is "
                             "there; were they renamed?")
        roots += [(SKIP, a, a) for name in NOT_COUNTED
                  for a in self.symbols.find(name, {""})]
        roots += [(TIMER, a, a) for a in
                  self.symbols.find("asm_sysvec_apic_timer_interrupt", {""})]
        roots += [(SWITCH, a, a) for name in ("schedule", "__schedule")
                  for a in self.symbols.find(name, {""})]
        roots += [(INTERRUPT, *r) for r in self.symbols.interrupts()]
        roots += [(ALLOC, a, a) for a in self.symbols.allocators()]
        roots += [(DEVICE, *r) for r in self.symbols.register_users(driver)]
        roots += [(MAPPING, *r) for r in self.symbols.mappers()]
        (self.folder / "roots").write_text(
            "".join(f"{k:x} {a:x} {b:x}\n" for k, a, b in roots))

    def _read(self, driver, job, ns):
        functions, touched, plain, roots = {}, {}, {}, {}
        with open(self.folder / str(self._results)) as f:
            for line in f:
                verb, *words = line.split()
                if verb == "insn":
                    name = self.symbols.at(int(words[0], 16))
                    functions[name] = functions.get(name, 0) + int(words[1])
                    touched[name] = touched.get(name, 0) + int(words[2])
                elif verb == "root":
                    roots[int(words[0], 16)] = [int(w) for w in words[1:]]
                else:
                    plain[verb] = int(words[0])
        each = 1 / job.total
        functions, touched = ({f: n * each for f, n in some.items()}
                              for some in (functions, touched))
        groups = dict.fromkeys(GROUPS, 0.0)
        for f, n in functions.items():
            groups[group_of(*f, driver)] += n
        kernel = sum(functions.values()) - plain["timer"] * each
        submit, complete = (roots.get(k, (0, 0, 0)) for k in (SUBMIT, COMPLETE))
        return Result(
            functions, touched, groups,
            sum(n for f, n in functions.items() if is_driver(*f, driver)),
            kernel, plain["timer"] * each, kernel - groups[SCHED],
            plain["user"] * each, submit[1] * each,
            complete[1] * each, submit[0] * each, complete[0] * each,
            plain["registers"] * each, plain["lines"] * each,
            (submit[2] + complete[2]) * each, ns * each)
