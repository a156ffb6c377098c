# SPDX-License-Identifier: GPL-2.0
"""A guest: boots it, runs commands in it, tells how it ended."""

import base64
import gzip
import itertools
import json
import os
import re
import shutil
import threading
import time
import warnings

from . import initramfs, ktap, tree
from .errors import (CommandFailed, GuestDied, GuestHung, QemuFailed,
                     SetupError, VblError)
from .kernel import build_module, pick_kernel
from .qemu import (GOOD_TCG, SERIAL, Process, binary, check, choose,
                   time_scale, version, work_folder)

# no_timer_check: on a busy host an emulated timer may be too late to be found.
COMMON = ("quiet panic=-1 oops=panic panic_on_warn=1 hung_task_panic=1 "
          "softlockup_panic=1 mitigations=off log_buf_len=4M "
          "random.trust_cpu=on "
          # Tests and tables of cryptography: half of an emulated boot.
          "cryptomgr.notests initcall_blacklist=jent_mod_init,"
          "crypto_kdf108_init,init_encrypted")
APPEND = f"console=ttyS0,115200 tsc=reliable no_timer_check {COMMON}"
# What a kernel with checks needs on top of that.
WATCHING = {
    # Debian lets resize2fs have a disk that is mounted; these do not.
    "debug": " bdev_allow_write_mounted=1",
    # Most data races are the kernel's own, and each would panic it.
    "race": (" bdev_allow_write_mounted=1 panic_on_warn=0 "
             "kcsan.skip_watch=300"),
}
TOOLS_SLOT = "0x1e"
BOOT_SECONDS = 90
# So often a guest is booted whose emulator may be why it dies; see GOOD_TCG.
BOOTS = 3
TAIL = 40
DRIVERS = ("lite", "upstream", None)


def chosen_driver():
    """The driver that $DRIVER chooses for tests: ours, or upstream's."""
    name = os.environ.get("DRIVER") or "lite"
    if name not in ("lite", "upstream"):
        raise SetupError(f"DRIVER={name}: lite or upstream")
    return name


class Job:
    """A command running in the background of a guest."""

    def __init__(self, guest, ident, command):
        self.guest, self.ident, self.command = guest, ident, command
        self.status = self.output = None

    def wait(self, timeout=30, check=True):
        """Wait for the end; the output."""
        return self.guest._finish(self, timeout, check)

    @property
    def done(self):
        """Whether the guest already answered; never waits."""
        self.guest._take(time.monotonic())
        return self.status is not None

    def partial(self):
        """The output so far of a command that still runs."""
        return self.guest.sh(f"cat /run/vbl/{self.ident}.out 2>/dev/null",
                             check=False)

    def listens(self, timeout=60):
        """Wait until the command handles SIGINT, which jobs begin ignoring."""
        self.guest.sh(f"wait_for {timeout} grep -q '^SigCgt:.*[2367abef]$' "
                      f"/proc/$(cat /run/vbl/{self.ident}.pid)/status",
                      timeout=timeout + 30)

    def kill(self, signal="KILL"):
        """Signal the command and everything it started."""
        self.guest.sh(f"kill -{signal} -$(cat /run/vbl/{self.ident}.pid)",
                      check=False)


class Guest:
    """One QEMU guest.  A context manager: boots on entry, is gone on exit.

    kernel     a series (6.1), a release, or a Kernel; None is the default one
    disks      list of Disk
    driver     "lite" builds, loads and binds virtio_lite.ko; "upstream" loads
               virtio_blk and carries no other; None carries virtio_lite.ko
               but leaves every disk alone
    params     module parameters for virtio_lite.ko
    ko         a ready module instead of the one built from the tree
    modules    more kernel modules to carry, with their dependencies
    files      {guest path: host path} to carry
    append     more kernel command line; a parameter given here wins
    devices    more QEMU arguments, each a string such as "-device x,y=z"
    iommu      True: an emulated Intel IOMMU, used for every device
    timeout    seconds the guest may live; 0 for no limit
    incoming   migration URI: nothing is booted, the state arrives by QMP
    share_mem  True: guest memory is shared, as vhost-user backends need
    suspend    True: S3 and S4 are offered, and the kernel is booted as a
               computer would, which waking up depends on
    tools      False: without the image with fio and others, which is a disk
               that cannot migrate; a path: with that image instead
    """

    # What commands arrive by.
    PORT = SERIAL
    # What every command in the guest begins with.
    PRELUDE = ". /lib/vbl.sh\n"

    def __init__(self, kernel=None, disks=(), driver="lite", smp=2, mem=512,
                 append="", machine="q35", devices=(), modules=(), files=None,
                 params="", ko=None, timeout=300, qemu=None, iommu=False,
                 incoming=None, share_mem=False, suspend=False, tools=True,
                 interactive=False):
        if driver not in DRIVERS:
            raise SetupError(f"Guest driver={driver!r}: lite, upstream or None")
        self.kernel = pick_kernel(kernel)
        self.disks, self.driver, self.params = list(disks), driver, params
        self.smp, self.append = smp, append
        # KASAN keeps an eighth, and what was freed, for itself.
        self.mem = max(mem, 1536) if self.kernel.debug else mem
        self.machine, self.devices = machine, list(devices)
        self.modules, self.files, self.ko = modules, files or {}, ko
        self.scale = time_scale() * (5 if self.kernel.debug else 1)
        self.timeout, self.qemu_given = timeout * self.scale, qemu
        self.iommu, self.incoming, self.share_mem = iommu, incoming, share_mem
        self.suspend, self.tools = suspend, tools
        self.interactive = interactive
        if incoming and tools:
            raise SetupError("Guest incoming needs tools=False: the disk "
                             "with the tools cannot migrate")
        self.process = self.folder = self.accel = None
        self.boot_seconds = None
        self._ids = (f"{os.getpid()}-{id(self):x}-{n}"
                     for n in itertools.count())
        self._jobs, self._ready, self._late = {}, False, None
        self._marks = itertools.count(1)
        self._final_console = ""

    # -- start and end -----------------------------------------------------

    def __enter__(self):
        try:
            return self.start_guest()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, value, trace):
        self.kill()

    def start_guest(self):
        """Boot, wait for the agent, load the driver."""
        if self.process:
            raise SetupError("this guest was already started")
        self._check()
        if self.driver != "upstream" and self.ko is None and \
                (tree.TREE / "Kbuild").exists():
            self.ko = build_module(self.kernel)
        for left in reversed(range(BOOTS)):
            try:
                self._boot()
                break
            except GuestDied as e:
                if not left or not self._may_die():
                    raise
                # No driver was loaded yet. It is said of a test that passes, too.
                good = ".".join(map(str, GOOD_TCG))
                warnings.warn(f"{e}\nBooting again: emulated CPUs before QEMU "
                              f"{good} let guests die at random.", stacklevel=2)
                self.kill()
        if self.incoming:
            return self
        if self.kernel.debug == "race":
            self.sh("echo on >/sys/kernel/debug/kcsan")
        self._load_drivers()
        return self

    def _boot(self):
        self.folder = work_folder()
        argv = self._argv()
        began = time.monotonic()
        self.process = Process(argv, self.folder, self.interactive, self.PORT)
        if self.timeout:
            # Also ends a guest whose test is stuck in something else.
            self._alarm = threading.Timer(self.timeout, self._out_of_time)
            self._alarm.daemon = True
            self._alarm.start()
        self._handshake(began + 30 * self.scale)
        if not self.incoming:
            self._await(lambda: self._ready, BOOT_SECONDS, "boot")
            self.boot_seconds = time.monotonic() - began

    def _may_die(self):
        """Whether a guest that dies while it boots is the emulator's fault."""
        return self.accel == "tcg" and not self.interactive and \
            version(self.process.argv[0]) < GOOD_TCG

    def _load_drivers(self):
        if any(d.kind == "nvme" for d in self.disks):
            self.sh("modprobe nvme")
        if self.driver == "lite":
            self.sh(f"vbl_load {self.params} && vbl_take_all", timeout=60)
        elif self.driver == "upstream":
            self.sh("vbl_load_upstream", timeout=60)

    def _check(self):
        check(binary(self.qemu_given))

    def _handshake(self, until):
        p = self.process
        while not p.replies and p.mon.open and time.monotonic() < until:
            # The greeting is no reply: it is kept apart by its own key.
            p.pump(until)
        if not p.replies:
            p.popen.wait(5) if not p.mon.open else None
            raise QemuFailed(f"QEMU did not start:\n{p.stderr.strip()}\n"
                             f"command: {' '.join(p.argv)}")
        p.qmp("qmp_capabilities", None, until)

    def _initrd(self, first=None):
        return initramfs.initrd(self.kernel, self.ko, self.modules, self.files,
                                self.folder, first)

    def _boots_from(self):
        """QEMU's command, and its arguments for what is booted."""
        kernel = self.kernel
        initrd = self._initrd()
        image = kernel.image if self.suspend else kernel.boot_file
        command, self.accel = choose(self.qemu_given, image, initrd)
        append = APPEND + WATCHING.get(self.kernel.debug, "")
        if self.iommu:
            append += " intel_iommu=on iommu.strict=1"
        if self.interactive:
            append += " vbl.shell"
        return command, ["-kernel", str(image), "-initrd", str(initrd),
                         "-append", f"{append} {self.append}".strip()]

    def _argv(self):
        command, boot = self._boots_from()
        machine = self.machine
        if self.iommu:
            machine += ",kernel-irqchip=split"
        if self.share_mem:
            machine += ",memory-backend=vblmem"
        argv = [*command, "-accel", self.accel, "-M", machine,
                "-cpu", os.environ.get("VBL_CPU", "max"),
                "-smp", str(self.smp), "-m", str(self.mem),
                "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", *boot]
        if self.interactive:
            argv += ["-chardev", "stdio,id=vblcon,mux=on,signal=off,logfile="
                     + str(self.folder / "console")]
        else:
            argv += ["-chardev", "file,id=vblcon,path="
                     + str(self.folder / "console")]
        argv += ["-serial", "chardev:vblcon"]
        if self.suspend:
            argv += ["-global", "ICH9-LPC.disable_s3=0",
                     "-global", "ICH9-LPC.disable_s4=0"]
        if self.share_mem:
            argv += ["-object", "memory-backend-memfd,id=vblmem,share=on,"
                     f"size={self.mem}M"]
        if self.iommu:
            argv += ["-device", "intel-iommu,intremap=on,device-iotlb=on"]
        if self.incoming:
            argv += ["-incoming", self.incoming]
        if self.tools:
            bus = "pci.0" if self.machine.startswith("pc") else "pcie.0"
            tools = initramfs.tools_image() if self.tools is True \
                else self.tools
            argv += ["-blockdev", "driver=raw,node-name=vbltools,"
                     "read-only=on,file.driver=file,file.filename="
                     + str(tools).replace(",", ",,"),
                     "-device", "nvme,serial=vbl-tools,drive=vbltools,"
                     f"bus={bus},addr={TOOLS_SLOT}"]
        for n, d in enumerate(self.disks):
            d.place(n, self.machine)
            argv += d.args(self.folder)
        for d in self.devices:
            argv += d.split(" ", 1) if isinstance(d, str) else list(d)
        return argv

    def _out_of_time(self):
        self._late = f"the guest lived longer than {self.timeout:.0f} s"
        self.process.popen.kill()

    def kill(self):
        """End the guest now; safe to call again."""
        if self.process:
            if self.timeout:
                self._alarm.cancel()
            self.process.kill()
            self._final_console = self.console
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def poweroff(self, timeout=30):
        """Shut down the guest's way; fails when that is not clean."""
        self.start("sync; poweroff -f")
        self.wait_exit(timeout)

    def wait_exit(self, timeout=30):
        """Wait until QEMU has ended; raises when it ended by a panic."""
        until = time.monotonic() + timeout * self.scale
        while self.alive:
            if time.monotonic() > until:
                raise GuestHung(self._story(f"no power-off in {timeout} s"))
            self.process.pump(until)
        bad = ktap.scan_log(self.console)
        if bad or self.process.popen.returncode:
            raise GuestDied(self._story("the guest did not end cleanly"))

    @property
    def alive(self):
        """Whether QEMU runs."""
        return bool(self.process) and self.process.alive

    @property
    def running(self):
        """Whether the guest's CPUs run: not paused, not migrated away."""
        return self.alive and self.qmp("query-status")["running"]

    # -- commands ----------------------------------------------------------

    def start(self, command):
        """Start a shell command in the background; a Job."""
        if not self.process or not self.folder:
            raise SetupError("the guest is not running")
        script = self.PRELUDE + command
        job = Job(self, next(self._ids), command)
        self._jobs[job.ident] = job
        code = base64.b64encode(script.encode()).decode()
        if len(code) > 48000:
            raise SetupError("guest command too long; use put() for data")
        self.process.send(f"run {job.ident} {code}\n".encode())
        return job

    def sh(self, command, timeout=30, check=True):
        """Run a shell command; its output (stdout and stderr together).

        With check=False a failing command gives its output all the same.
        """
        return self._finish(self.start(command), timeout, check)

    def status(self, command, timeout=30):
        """Run a shell command; (exit status, output)."""
        job = self.start(command)
        out = self._finish(job, timeout, False)
        return job.status, out

    def put(self, path, data, mode=None):
        """Write bytes to a file in the guest."""
        if isinstance(data, str):
            data = data.encode()
        self.sh(f"mkdir -p $(dirname '{path}') && : >'{path}'")
        for at in range(0, len(data), 24000):
            job = Job(self, next(self._ids), f"put {path}")
            self._jobs[job.ident] = job
            code = base64.b64encode(data[at:at + 24000]).decode()
            self.process.send(f"put {job.ident} {path} {code}\n".encode())
            self._finish(job, 30, True)
        if mode is not None:
            self.sh(f"chmod {mode:o} '{path}'")

    def get(self, path):
        """The bytes of a file in the guest."""
        return base64.b64decode(self.sh(f"base64 '{path}'"))

    def poke(self):
        """Send an empty line to the control port: wakes a sleeping guest."""
        self.process.send(b"\n")

    def next_boot(self, command):
        """Run a command that starts another kernel in this machine."""
        self._jobs.clear()
        self._ready = False
        self.start(command)
        self._await(lambda: self._ready, BOOT_SECONDS, "boot")

    def adopt(self, other):
        """Take over the jobs of the guest this one was migrated from."""
        self._jobs.update(other._jobs)
        for job in other._jobs.values():
            job.guest = self
        self._ready = True

    def _finish(self, job, timeout, check):
        self._await(lambda: job.status is not None, timeout,
                    f"guest command: {job.command.strip()}", job)
        if check and job.status:
            raise CommandFailed(job.command, job.status, job.output)
        return job.output

    def _take(self, until):
        """One turn of the event loop."""
        # An answer may have come while a reply of QMP was waited for.
        if not self.process.answers:
            self.process.pump(until)
        lines, self.process.answers = self.process.answers, []
        for line in lines:
            words = line.split(b" ")
            if words[0] == b"ready":
                self._ready = True
            elif words[0] in (b"end", b"endz") and len(words) == 4:
                job = self._jobs.pop(words[1].decode(), None)
                if job:
                    data = base64.b64decode(words[3])
                    if words[0] == b"endz":
                        data = gzip.decompress(data)
                    job.output = data.decode(errors="replace")
                    job.status = int(words[2])

    def _await(self, ready, timeout, what, job=None):
        until = time.monotonic() + timeout * self.scale
        while not ready():
            if not self.process.ctl.open or not self.alive:
                self._take(time.monotonic() + 0.1)
                if ready():
                    return
                raise self._gone(what)
            if time.monotonic() > until:
                raise self._hung(what, timeout, job)
            self._take(until)

    def _gone(self, what):
        self.process.popen.wait(10)
        if self._late:
            return GuestHung(self._story(f"{self._late}, during {what}"))
        err = self.process.stderr.strip()
        if not self.console.strip() and err:
            return QemuFailed(f"QEMU ended during {what}:\n{err}")
        why = self._last_event()
        return GuestDied(self._story(f"the guest went away during {what}"
                                     + (f"\nQEMU: {err}" if err else "")
                                     + (f"\nQMP: {why}" if why else "")))

    def _last_event(self):
        """Why QEMU says it ended: a reset, a watchdog, a signal."""
        ends = [f"{e['event']} {json.dumps(e.get('data', {}))}"
                for e in self.process.events
                if e["event"] in ("SHUTDOWN", "WATCHDOG", "GUEST_PANICKED")]
        return ", ".join(ends)

    def _hung(self, what, timeout, job):
        """Describe a command that did not end; ask the kernel what blocks."""
        more = ""
        if job:
            # The agent serves other commands meanwhile, if the kernel lives.
            probe = self.start(
                f"cat /run/vbl/{job.ident}.out; dmesg -n 8;"
                "echo w >/proc/sysrq-trigger; sleep 1")
            until = time.monotonic() + 10 * self.scale
            while probe.status is None and self.process.ctl.open and \
                    time.monotonic() < until:
                self._take(until)
            more = "\nthe guest answers, only this command does not end; " \
                "its output so far:\n" + probe.output \
                if probe.status is not None else \
                "\nthe guest answers nothing at all"
        return GuestHung(self._story(f"no end in {timeout} s: {what}{more}"))

    def _story(self, what):
        """@what happened, what the kernel said first, and the last lines."""
        lines = self.console.splitlines()
        bad = ktap.scan_log("\n".join(lines[:-TAIL]))
        first = "\nfirst complaint:\n" + "\n".join(bad) if bad else ""
        return f"{what}{first}\nlast console lines:\n" + \
            "\n".join(lines[-TAIL:])

    # -- the host's view ---------------------------------------------------

    @property
    def console(self):
        """Everything on the guest's console so far."""
        try:
            text = (self.folder / "console").read_bytes()
        except (OSError, TypeError):
            return self._final_console
        return text.decode(errors="replace").replace("\r", "")

    def qmp(self, command, timeout=30, **arguments):
        """Run a QMP command; underscores in argument names become dashes.

        For names that really have an underscore there is qmp_raw().
        """
        return self.qmp_raw(command, {k.replace("_", "-"): v
                                      for k, v in arguments.items()}, timeout)

    def qmp_raw(self, command, arguments=None, timeout=30):
        """Run a QMP command with a dict of arguments."""
        return self.process.qmp(command, arguments,
                                time.monotonic() + timeout * self.scale)

    def hmp(self, line):
        """Run a line of QEMU's human monitor; what it prints."""
        return self.qmp_raw("human-monitor-command", {"command-line": line})

    def qemu_io(self, disk, command):
        """Run a command of qemu-io on a disk, such as "break pwritev A".

        By way of the device: a node named by itself would be drained first,
        and never is while a request is held in it.
        """
        return self.hmp(f"qemu-io -d /machine/peripheral/{disk.id}/"
                        f'virtio-backend "{command}"')

    def wait_event(self, name, timeout=30, **data):
        """Wait for a QMP event whose data contains @data; its data.

        Events that came earlier and were not asked for yet count too.
        """
        until = time.monotonic() + timeout * self.scale
        while True:
            for e in self.process.events:
                got = e.get("data", {})
                if e["event"] == name and \
                        all(got.get(k) == v for k, v in data.items()):
                    self.process.events.remove(e)
                    return got
            if not self.process.mon.open:
                raise self._gone(f"waiting for the event {name}")
            if time.monotonic() > until:
                raise GuestHung(self._story(f"no event {name} in {timeout} s"))
            self._take(until)

    def plug(self, disk):
        """device_add a disk made with hotplug=True."""
        self.qmp_raw("device_add", disk.device_json())

    def unplug(self, disk, timeout=30):
        """device_del a disk and wait until the guest has let go of it."""
        self.qmp("device_del", id=disk.id)
        self.wait_event("DEVICE_DELETED", timeout, device=disk.id)

    # -- disks -------------------------------------------------------------

    def bdf(self, disk):
        """PCI address of a disk in the guest."""
        disk = self.disks[disk] if isinstance(disk, int) else disk
        if disk.bdf:
            return disk.bdf
        if not disk.root_port:
            raise SetupError(f"disk {disk.id}: its address on bus {disk.bus} "
                             "is not known to the harness")
        return self.sh("wait_for 10 vbl_behind_port "
                       f"0000:00:{disk.port_slot:02x}.0").strip()

    def dev(self, disk=0):
        """Name of a disk in the guest, such as vda."""
        # Only nvme probes in the background; for virtio this never waits.
        return self.sh(f"wait_for 5 disk_of {self.bdf(disk)}").strip()

    # -- kernel log --------------------------------------------------------

    def dmesg_mark(self, name="mark"):
        """Put a mark into the kernel log; what dmesg_since() starts from."""
        name = re.sub(r"[^\w.-]", "_", name)
        mark = f"vbl: === {next(self._marks)} {name} ==="
        self.sh(f"echo '{mark}' >/dev/kmsg")
        return mark

    def dmesg_since(self, mark):
        """The kernel log after @mark; from the console when the guest died."""
        if self.alive:
            log = self.sh(f"dmesg | sed -n '/{mark}/,$p'")
            if not log:
                raise VblError(f"the kernel log is too short for all since "
                               f"{mark!r}")
            return log.partition("\n")[2]
        return self.console.rpartition(mark)[2].lstrip("\n")

    def dmesg_check(self, mark):
        """Raise when the kernel complained since @mark."""
        ktap.must_be_quiet(self.dmesg_since(mark))
