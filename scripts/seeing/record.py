# SPDX-License-Identifier: GPL-2.0
"""Has a guest do something, and records what guest and QEMU do meanwhile.

The guest: an instance of ftrace, with events and the function tracer, which
also shows a driver without events. QEMU: its trace events, switched on by QMP,
in the log that each build of Debian's has.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from vbl import Disk, Guest, SetupError, initramfs, lab
from vbl.qemu import GOOD_TCG, asked_for, binary, called, version

INSTANCE = "/sys/kernel/tracing/instances/seeing"
SIZE = "64M"
# Those functions of the file that is the next word that ftrace has, by their
# names in the source: see function() of events.py.
FIND = r"""awk 'FNR == 1 { files++ } files == 1 { name = $1
    sub(/\.(isra|part|constprop)\..*/, "", name); sub(/^lite_/, "", name); has[name] = has[name] " " $1; next }
    has[$1] { print has[$1] }' /sys/kernel/tracing/available_filter_functions"""
# QEMU writes a file for each thread from here on, and names no thread within.
FILE_PER_THREAD = (8, 0)


def qemu_command(word=None):
    """A QEMU command: what @word, $VBL_QEMU or $Q means.

    Without any, the installed one, unless it is better not trusted without KVM.
    """
    command = called(word) or binary()
    if word or asked_for() or version(command[0]) >= GOOD_TCG:
        return command
    return [lab.qemu()]


class Studio:
    """A guest with one disk, watched from both sides.

    A context manager; the file of the disk is fresh. More options are those
    of Guest.
    """

    def __init__(self, kernel=None, driver="lite", qemu=None, disk=(),
                 fs=False, **options):
        self.folder = Path(tempfile.mkdtemp(prefix="vbl-seeing-"))
        self.log = self.folder / "qemu.log"
        self.driver, self.qemu = driver, qemu or qemu_command()
        self.image = self._image(fs)
        self.disk = Disk(str(self.image), **dict(disk))
        self.options, self.kernel, self.guest = options, kernel, None
        self.known = set()

    def __enter__(self):
        try:
            # Which QEMU it will be decides how its log is written.
            self.guest = Guest(self.kernel, [self.disk], self.driver,
                               qemu=self.qemu, devices=self._logging(),
                               **self.options)
            self.guest.start_guest()
            self.known = {e["name"] for e in self.guest.qmp_raw(
                "trace-event-get-state", {"name": "*"})}
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        if self.guest:
            self.guest.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _image(self, fs):
        """A fresh qcow2 image, with a file system if wanted."""
        image = self.folder / "disk.qcow2"
        raw = self.folder / "disk.raw"
        run = [["qemu-img", "create", "-q", "-f", "raw", raw, SIZE]]
        if fs:
            run.append([initramfs.tool("mkfs.ext4"), "-q", "-F", "-b", "4096",
                        raw])
        run.append(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", raw,
                    image])
        for argv in run:
            got = subprocess.run([str(a) for a in argv], text=True,
                                 capture_output=True)
            if got.returncode:
                raise SetupError(f"{argv[0]}: {got.stderr.strip()}")
        raw.unlink()
        return image

    def _logging(self):
        out = ["-msg", "timestamp=on"], ["-D", str(self.log)]
        if version(self.qemu[0]) >= FILE_PER_THREAD:
            return [out[0], ["-d", "tid"], ["-D", f"{self.log}-%d"]]
        return list(out)

    # -- the guest ---------------------------------------------------------

    def start_guest_trace(self, events, functions, graph=False):
        """Record these events and functions, as far as the kernel has them."""
        d = INSTANCE
        self.guest.put("/tmp/events", "\n".join(events) + "\n")
        self.guest.put("/tmp/functions", "\n".join(functions) + "\n")
        self.guest.sh(f"""mkdir {d} && cd {d} || exit 1
echo mono >trace_clock
echo 16384 >buffer_size_kb
{FIND} /tmp/functions | tr ' ' '\\n' | sed '/^$/d' | sort -u >/tmp/traced
[ -s /tmp/traced ] || exit 1
cat /tmp/traced >set_ftrace_filter
echo {"function_graph" if graph else "function"} >current_tracer
while read -r e; do
    [ ! -e events/$e/enable ] || echo 1 >events/$e/enable
done </tmp/events
echo >trace""", timeout=60)

    def stop_guest_trace(self):
        """The text that was recorded."""
        # Another tracer empties the buffer.
        text = self.guest.sh(f"cd {INSTANCE}; echo 0 >tracing_on; cat trace",
                             timeout=120)
        self.guest.sh(f"cd {INSTANCE}; echo nop >current_tracer; "
                      f"echo 0 >events/enable; cd /; rmdir {INSTANCE}")
        return text

    # -- QEMU --------------------------------------------------------------

    def host_trace(self, events, enable):
        """Switch QEMU's events on or off; those that it has."""
        for name in sorted(set(events) & self.known):
            self.guest.qmp_raw("trace-event-set-state",
                               {"name": name, "enable": enable})

    def host_log(self):
        """{thread: what QEMU wrote}; the thread is 0 where each line says it."""
        got = {0: self.log.read_text(errors="replace")} \
            if self.log.exists() else {}
        for path in sorted(self.folder.glob("qemu.log-*")):
            got[int(path.name.rpartition("-")[2])] = \
                path.read_text(errors="replace")
        return got

    def strace(self, command, calls):
        """Run @command in the guest with QEMU's file access seen by strace.

        The lines of strace; or why there are none, as a string.
        """
        if not shutil.which("strace"):
            return "strace is not installed"
        out = self.folder / "strace"
        seen = subprocess.Popen(
            ["strace", "-f", "-y", "-e", "trace=" + ",".join(calls), "-o",
             str(out), "-p", str(self.guest.process.popen.pid)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            # It says so when it is there, or why it cannot be.
            first = seen.stderr.readline()
            if "attached" not in first:
                return first.strip() or "strace ended"
            self.guest.sh(command, timeout=60)
        finally:
            seen.terminate()
            seen.communicate()
        return out.read_text(errors="replace").splitlines()
