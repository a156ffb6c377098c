# SPDX-License-Identifier: GPL-2.0
"""The QEMU process: where it is, whether KVM works, how it is started."""

import ctypes
import functools
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cache, lab
from .errors import QemuFailed, SetupError

KVM_PROBE_SECONDS = 15
# The first version whose emulated CPUs work.  Before, a block of code that
# was patched while it was translated could stay in use: kernels patch
# themselves all the time, and one guest in a few dozen died of an old int3.
# And a guest with one CPU got no memory barriers, though the device runs in
# another thread: notifications were lost.
GOOD_TCG = (8, 1)
# These flags make a kernel select copies that are slow when they are emulated byte
# by byte.
QUICK_CPU = "max,erms=off,fsrm=off"


# What the harness itself needs of a QEMU.
DEVICES = ("virtio-blk-pci", "virtio-blk-pci-transitional", "nvme",
           "pcie-root-port", "isa-serial")


def binary(given=None):
    """The QEMU command as a list: @given, $VBL_QEMU, the one that $Q names, or
    the one in the PATH."""
    words = given or asked_for() or "qemu-system-x86_64"
    if isinstance(words, str):
        words = _split(words)
    path = shutil.which(words[0])
    if not path:
        raise SetupError(f"{words[0]} not found, or no program; "
                         "run scripts/setup")
    return [path, *words[1:]]


def _split(text):
    """The words of a command; a program whose name has blanks is one."""
    if os.path.isfile(text) and os.access(text, os.X_OK):
        return [text]
    try:
        words = shlex.split(text)
    except ValueError as e:
        raise SetupError(f"VBL_QEMU={text}: {str(e).lower()}") from None
    if not words:
        raise SetupError("VBL_QEMU= is no command, only blanks")
    return words


def called(word):
    """The command of the QEMU that is meant by "debian", "newer" or a command;
    None without a word."""
    if not word:
        return None
    if word == "newer":
        return [lab.qemu()]
    return binary("qemu-system-x86_64" if word == "debian" else word)


def asked_for():
    """The QEMU that somebody chose, by $VBL_QEMU or $Q; None if nobody did."""
    command, name = os.environ.get("VBL_QEMU"), os.environ.get("Q")
    if command and name:
        raise SetupError(f"Q={name} and VBL_QEMU={command}: give one of them")
    return command or (named(name) if name else None)


@functools.cache
def named(name):
    """The command of the QEMU called @name, which is the beginning of its
    version: 7.2, or 11.1.0."""
    there = {}
    for path in (shutil.which("qemu-system-x86_64"), *lab.find_qemus()):
        if path:
            there.setdefault(".".join(map(str, version(path))), path)
    for text, path in there.items():
        if f"{text}.".startswith(f"{name}."):
            return path
    raise SetupError(f"Q={name}: no such QEMU; there are: "
                     f"{', '.join(there) or 'none'} (scripts/setup --lab gets a "
                     "newer one, VBL_QEMU= takes any command)")


def check(command):
    """Refuse a QEMU that lacks what every guest needs."""
    def ask(folder):
        (folder / "lacks").write_text(" ".join(
            d for d in DEVICES if not has_device(command, d)))

    version(command[0])
    lacks = (cache.entry("devices", [cache.file_stamp(command[0]), command,
                                     DEVICES], ask) / "lacks").read_text()
    if lacks:
        raise SetupError(f"{shlex.join(command)}: this QEMU lacks the "
                         f"device(s) {lacks.replace(' ', ', ')}")


def has_device(command, name):
    """Whether a QEMU has a device. The list of all is no help: it stops at a
    module that this QEMU cannot load."""
    return subprocess.run([*command, "-device", f"{name},help"],
                          capture_output=True).returncode == 0


@functools.cache
def version(path):
    """Version of the QEMU command @path, such as (7, 2, 22)."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True,
                              text=True, errors="replace").stdout
    except OSError as e:
        raise SetupError(f"{path} is no QEMU: {e.strerror}") from None
    found = re.search(r"version (\d+(\.\d+)+)", said)
    if not found or "QEMU" not in said:
        raise SetupError(f"{path} is no QEMU: --version gives no version")
    return tuple(int(n) for n in found[1].split("."))


def choose(given, kernel_image, initrd):
    """(QEMU command, accelerator) for a guest.

    Unless somebody said which QEMU, an old one is used with KVM only.
    """
    command = binary(given)
    accel = accelerator(command, kernel_image, initrd)
    if accel == "tcg" and not given and not asked_for() and \
            version(command[0]) < GOOD_TCG:
        command = _newer(command[0])
    return command, accel


@functools.cache
def _newer(old):
    try:
        return [lab.qemu()]
    except SetupError as e:
        print(f"warning: {e}\nGoing on with {old}, whose emulated CPUs let "
              "guests die at random.", file=sys.stderr, flush=True)
        return [old]


def time_scale():
    """Factor for every time limit, for machines slower than usual."""
    text = os.environ.get("VBL_SLOW", "1")
    try:
        return max(float(text), 0.1)
    except ValueError:
        raise SetupError(f"VBL_SLOW={text}: expected a number") from None


def _die_with_parent():
    # A guest must not outlive a killed test run.  PR_SET_PDEATHSIG is 1.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def spawn(argv, fds=(), **kw):
    """Start QEMU so that it ends when this program does."""
    return subprocess.Popen(argv, pass_fds=fds, preexec_fn=_die_with_parent,
                            **kw)


def accelerator(qemu, kernel_image, initrd):
    """kvm when a guest really boots with it, else tcg.  $VBL_ACCEL decides.

    A /dev/kvm that opens proves nothing: on some nested hosts the guest
    starts and then never runs.  So one is booted, once per machine and QEMU.
    """
    given = os.environ.get("VBL_ACCEL")
    if given:
        if given not in ("kvm", "tcg"):
            raise SetupError(f"VBL_ACCEL={given}: kvm or tcg")
        return given
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def probe(folder):
        works = _boots_with_kvm(qemu, kernel_image, initrd)
        (folder / "accel").write_text("kvm" if works else "tcg")

    return (cache.entry("kvm", [boot, cache.file_stamp(qemu[0])], probe)
            / "accel").read_text()


def _boots_with_kvm(qemu, kernel_image, initrd):
    ours, theirs = socket.socketpair()
    ours.settimeout(KVM_PROBE_SECONDS)
    argv = [*qemu, "-accel", "kvm", "-M", "q35", "-cpu", "max", "-m", "512",
            "-nodefaults", "-no-reboot", "-display", "none",
            "-kernel", str(kernel_image), "-initrd", str(initrd),
            "-append", "panic=-1 quiet", "-serial", "null",
            "-chardev", f"socket,id=ctl,fd={theirs.fileno()}",
            "-serial", "chardev:ctl"]
    q = spawn(argv, [theirs.fileno()], stdin=subprocess.DEVNULL,
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    theirs.close()
    try:
        return b"ready" in ours.recv(64)
    except OSError:
        return False
    finally:
        q.kill()
        q.wait()
        ours.close()


class Lines:
    """Complete lines from a socket."""

    def __init__(self, sock):
        self.sock, self.rest, self.open = sock, [], True

    def read(self):
        """The lines that arrived; an empty list may also mean the end."""
        data = b""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError:
            pass
        if not data:
            self.open = False
            return []
        *lines, tail = data.split(b"\n")
        if lines:
            lines[0] = b"".join(self.rest) + lines[0]
            self.rest = []
        if tail:
            self.rest.append(tail)
        return lines


# The control port, as arguments of QEMU.
SERIAL = ("-serial", "chardev:vblctl")


class Process:
    """A running QEMU with its control port and its QMP socket.

    Both are socket pairs handed over as descriptors: there is no path to be
    too long, no moment to wait for, and the end of QEMU is the end of file.

    port        QEMU's arguments for what the control port is in the guest,
                with the chardev vblctl
    """

    def __init__(self, argv, folder, terminal=False, port=SERIAL):
        self.folder = Path(folder)
        ctl, ctl_far = socket.socketpair()
        mon, mon_far = socket.socketpair()
        self.argv = [
            *argv,
            "-chardev", f"socket,id=vblctl,fd={ctl_far.fileno()}",
            *port,
            "-chardev", f"socket,id=vblqmp,fd={mon_far.fileno()}",
            "-mon", "chardev=vblqmp,mode=control",
        ]
        self._stderr = open(self.folder / "qemu.stderr", "w+")
        self.popen = spawn(self.argv, [ctl_far.fileno(), mon_far.fileno()],
                           stdin=None if terminal else subprocess.DEVNULL,
                           stdout=None if terminal else self._stderr,
                           stderr=self._stderr)
        ctl_far.close()
        mon_far.close()
        self.ctl, self.mon = Lines(ctl), Lines(mon)
        self.select = selectors.DefaultSelector()
        self.select.register(ctl, selectors.EVENT_READ, self.ctl)
        self.select.register(mon, selectors.EVENT_READ, self.mon)
        self.events, self.replies, self.answers = [], [], []

    @property
    def alive(self):
        """Whether QEMU still runs."""
        return self.popen.poll() is None

    @property
    def stderr(self):
        """What QEMU said on its error stream."""
        return (self.folder / "qemu.stderr").read_text(errors="replace")

    def pump(self, until):
        """Take in what arrives next, at most until the time @until."""
        left = max(0, until - time.monotonic())
        if not self.ctl.open and not self.mon.open:
            # Both ends closed: all that can still come is the exit status.
            try:
                self.popen.wait(min(left, 5) or 0.01)
            except subprocess.TimeoutExpired:
                pass
            return
        for key, _ in self.select.select(left):
            lines = key.data
            for line in lines.read():
                if lines is self.ctl:
                    self.answers.append(line)
                elif line.strip():
                    message = json.loads(line)
                    kind = self.events if "event" in message else self.replies
                    kind.append(message)
            if not lines.open:
                self.select.unregister(key.fileobj)

    def send(self, data):
        """Write to the guest's control port."""
        try:
            self.ctl.sock.sendall(data)
        except OSError:
            pass        # a dead QEMU is noticed, and named, by the reader

    def qmp(self, command, arguments, until):
        """Run one QMP command; its return value."""
        self.replies.clear()
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        try:
            self.mon.sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass
        while True:
            for r in self.replies:
                if "return" in r:
                    return r["return"]
                if "error" in r:
                    raise QemuFailed(f"QMP {command}: {r['error']['desc']}")
            self.replies.clear()
            if not self.mon.open:
                raise QemuFailed(f"QMP {command}: QEMU is gone\n{self.stderr}")
            if time.monotonic() > until:
                raise QemuFailed(f"QMP {command}: no answer in time")
            self.pump(until)

    def kill(self):
        """End QEMU and forget it."""
        if self.alive:
            self.popen.kill()
        self.popen.wait()
        self.select.close()
        self.ctl.sock.close()
        self.mon.sock.close()
        self._stderr.close()


def work_folder():
    """A folder for one guest's files, removed with the guest."""
    return Path(tempfile.mkdtemp(prefix="vbl-"))
