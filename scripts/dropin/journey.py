# SPDX-License-Identifier: GPL-2.0
"""The journey of a Debian system: from upstream's driver to ours and back.

Each step is a method; STEPS is their order. A system goes through all of them
on one disk, which is an overlay of an installed image.
"""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from vbl import Disk, VblError, cache, ktap

from . import images, look
from .system import System

OURS, THEIRS = "virtio_blk_lite", "virtio_blk"
# Limits are for the host that is slowest: an emulated one.
INSTALL_SECONDS, BOOT_SECONDS = 900, 300
# There is no network, from where what is only recommended would come.
INSTALL = "apt-get install -y --no-install-recommends"

# The driver of each disk below the root file system, once.
ROOT_DRIVER = """
    lsblk -rnso NAME,TYPE "$(findmnt -nvo SOURCE /)" |
        sed -n 's/ disk$//p' | sort -u | while read -r d; do
            basename "$(readlink -f /sys/block/$d/device/driver)"; done"""
# Data that is read back from the disk, a package, and many small fsyncs.
WORKLOAD = """
    set -e
    mkdir /var/tmp/work; cd /var/tmp/work
    for n in 1 2 3 4; do
        (head -c 16M /dev/urandom | tee file$n | sha256sum |
            sed "s/-/file$n/" >sum$n) &
    done; wait
    sync; echo 3 >/proc/sys/vm/drop_caches
    cat sum? | sha256sum -c --quiet
    for n in $(seq 200); do
        echo $n | dd of=log oflag=append,dsync conv=notrunc status=none
    done
    seq 200 | cmp - log
    apt-get install -y -q /packages/small/*.deb >/dev/null
    hello | grep -q 'Hello, world'
    apt-get purge -y -q hello >/dev/null
    cd /; rm -r /var/tmp/work; fstrim /
"""
# What a package could leave behind.
TRACES = r"""
    find / -xdev \( -path /tmp -o -path /packages -o -path /debs -o \
            -path /var/log \) -prune -o -iname '*virtio*lite*' -print
    find /etc /usr/lib/udev /lib/modprobe.d /usr/share/initramfs-tools \
        -type f -exec grep -l 'virtio[-_]lite' {} +
    for i in /boot/initrd.img-*; do
        lsinitramfs $i | grep 'virtio[-_]lite' | sed "s,^,$i: ,"; done
    dpkg -l 'virtio-lite*' 2>/dev/null | grep '^[a-z][a-z] '
    dkms status 2>/dev/null | grep virtio-lite
    true"""


class Failed(VblError):
    """A system did not do what its user expects."""


class Journey:
    """One system on its way.

    debs     the packages of the project
    modules  see images.system()
    say      called with a line for each thing that was done
    """

    def __init__(self, suite, kind, debs, say=print, modules="dep"):
        self.suite, self.kind, self.say = suite, kind, say
        self.image, self.seed = images.system(suite, kind, modules)
        self.debs = debs
        self.folder = Path(tempfile.mkdtemp(prefix="vbl-dropin-"))
        self.disk = images.overlay(self.image, self.folder / "disk.qcow2")
        self.seconds, self.g, self.before = {}, None, {}
        self.differences = []

    def close(self):
        """End what runs, and forget the disk."""
        if self.g:
            self.g.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    # -- boots ---------------------------------------------------------------

    def boot(self, resumes=None, disk=None, more=(), **options):
        """Boot the disk: self.g."""
        self.g = System(
            [disk or Disk(self.disk, transport="modern", serial="root",
                          bootindex=0), *more],
            packages=[self.seed.packages, self.debs], resumes=resumes,
            suspend=True, timeout=2400, **options)
        self.g.__enter__()
        if not resumes:
            self.g.mount(1 + len(more), "/packages")
            self.g.mount(2 + len(more), "/debs")
        return self.g

    def end(self):
        """Shut the system down; the kernel must have been content."""
        ktap.must_be_quiet(self.g.sh("dmesg"))
        self.g.shut_down("reboot")
        self.g.kill()

    def reboot(self, driver, once=None, release=None):
        """Reboot; the root must be on @driver then.

        once     a word for the kernel's command line, for this boot only
        release  the kernel that must run
        """
        if once:
            self.g.sh(f"grub-editenv - set vbl_once={once}")
        if self.g:
            self.end()
        self.boot()
        if once:
            assert once in self.g.sh("cat /proc/cmdline")
            self.g.sh("grub-editenv - unset vbl_once")
        if release:
            self.expect("the kernel", self.g.sh("uname -r").strip(), release)
        self.root_is_on(driver)

    # -- what must be so -----------------------------------------------------

    def expect(self, what, found, wanted):
        """Fail unless they are the same."""
        if found != wanted:
            raise Failed(f"{self.suite} {self.kind}: {what} is {found!r}, "
                         f"not {wanted!r}\n{self.g.console[-3000:]}")

    def root_is_on(self, driver):
        """The driver of the disk that has the root file system."""
        found = self.g.sh(ROOT_DRIVER).strip()
        self.expect("the driver of the root disk", found, driver)
        failed = self.g.sh("systemctl --failed --plain --no-legend").strip()
        self.expect("what systemd calls failed", failed, "")

    def compare(self):
        """What changed for users of the disk since the boot on upstream's."""
        release = self.g.sh("uname -r").strip()
        found = look.differences(self.before[release], look.look(self.g))
        new = look.not_allowed(found)
        self.differences = found
        for line in found:
            self.say(f"    {'   ' if line not in new else 'NEW'} {line}")
        if new:
            raise Failed(f"{self.suite} {self.kind}: values that changed and "
                         "are no intended difference:\n" + "\n".join(new))

    def kernels(self):
        """Releases that are installed, the oldest first."""
        return self.g.sh("ls -v /boot/vmlinuz-* | sed s,.*vmlinuz-,,").split()

    # -- steps ---------------------------------------------------------------

    def upstream(self):
        """Boot as installed: the root is on upstream's driver."""
        self.boot()
        self.root_is_on(THEIRS)
        self.before[self.g.sh("uname -r").strip()] = look.look(self.g)
        self.traces = set(self.g.sh(TRACES, timeout=120).splitlines())

    def install(self):
        """Install the packages; DKMS builds the module."""
        self.g.sh("apt-get install -y /debs/*.deb", timeout=INSTALL_SECONDS)
        status = self.g.sh("dkms status")
        for release in self.kernels():
            if f"{release}, x86_64: installed" not in status:
                raise Failed(f"DKMS has no module for {release}:\n{status}")
        self.root_is_on(THEIRS)

    def unchanged(self):
        """Reboot: as long as nobody asks for it, nothing changes."""
        self.reboot(THEIRS)
        self.expect("the loaded module",
                    self.g.sh("grep virtio_lite /proc/modules",
                              check=False), "")
        found = look.differences(self.before[self.g.sh("uname -r").strip()],
                                 look.look(self.g))
        self.expect("the list of changed values", found, [])

    def persist_on(self):
        """Choose ours for every disk."""
        self.g.sh("virtio-lite persist on --all", timeout=INSTALL_SECONDS)
        self.root_is_on(THEIRS)

    def ours(self):
        """Reboot: the root is on ours."""
        self.reboot(OURS)

    def same(self):
        """Links, properties and values are those under upstream's driver."""
        self.compare()

    def workload(self):
        """Checked writes, small fsyncs, a package, a trim."""
        self.g.sh(WORKLOAD, timeout=300)

    def upgrade(self):
        """Install the next kernel; DKMS builds the module for it too."""
        before = self.kernels()
        self.g.sh(f"{INSTALL} /packages/kernel/*.deb",
                  timeout=INSTALL_SECONDS)
        self.next, = set(self.kernels()) - set(before)
        status = self.g.sh("dkms status")
        if f"{self.next}, x86_64: installed" not in status:
            raise Failed(f"DKMS has no module for {self.next}:\n{status}")

    def upgraded(self):
        """Reboot: the next kernel has its root on ours."""
        self.reboot(OURS, release=self.next)
        self.g.sh(WORKLOAD, timeout=300)

    def off_once(self):
        """virtio_lite=off on the command line: this boot is on upstream's."""
        self.reboot(THEIRS, once="virtio_lite=off", release=self.next)
        self.before[self.next] = look.look(self.g)

    def ours_again(self):
        """Reboot without it: on ours, with the same values."""
        self.reboot(OURS, release=self.next)
        self.compare()

    def hibernate(self):
        """Write memory to the swap partition, power off, go on from there."""
        old = self.g
        if not old.sh("swapon --show --noheadings").strip():
            self.say("    no swap in this image")
            return
        boot_id = old.sh("cat /proc/sys/kernel/random/boot_id")
        old.sh("echo hibernated >/root/before")
        # Ends in the system that goes on: until then it reads no commands.
        job = old.start(f"""systemctl hibernate && wait_for {INSTALL_SECONDS} \
            sh -c "dmesg | grep 'PM: hibernation: hibernation exit'" """)
        old.wait_exit(120)
        self.boot(resumes=old)
        job.wait(BOOT_SECONDS)
        self.expect("the boot id", self.g.sh(
            "cat /proc/sys/kernel/random/boot_id"), boot_id)
        self.root_is_on(OURS)
        self.g.sh(WORKLOAD, timeout=300)
        old.kill()

    def persist_off(self):
        """Take the choice back, and reboot: on upstream's."""
        self.g.sh("virtio-lite persist off", timeout=INSTALL_SECONDS)
        self.reboot(THEIRS)

    def purge(self):
        """Purge the packages: no trace of them is left."""
        self.g.sh("apt-get purge -y 'virtio-lite*'", timeout=INSTALL_SECONDS)
        left = set(self.g.sh(TRACES, timeout=120).splitlines())
        self.expect("what is left", sorted(left - self.traces), [])
        self.reboot(THEIRS)


STEPS = ("upstream", "install", "unchanged", "persist_on", "ours", "same",
         "workload", "upgrade", "upgraded", "off_once", "ours_again",
         "hibernate", "persist_off", "purge")
# Without the kernel upgrade, which takes half of the time.
SHORT = ("upstream", "install", "persist_on", "ours", "same", "workload",
         "persist_off")


def travel(journey, steps=STEPS):
    """Take the steps one after another, and say how long each took."""
    began = time.monotonic()
    for name in steps:
        at = time.monotonic()
        step = getattr(journey, name)
        try:
            with _named(journey, name):
                step()
        finally:
            took = journey.seconds[name] = time.monotonic() - at
        journey.say(f"{took:6.0f} s  {step.__doc__.splitlines()[0]}")
    journey.say(f"{time.monotonic() - began:6.0f} s  Debian {journey.suite}, "
                f"root on {journey.kind}: all of it")


def chosen(suite, kind, debs, say, modules):
    """An image of a system that has the packages, and has chosen ours."""
    image, _ = images.system(suite, kind, modules)

    def make(folder):
        with Journey(suite, kind, debs, say, modules) as j:
            travel(j, ("upstream", "install", "persist_on"))
            j.end()
            shutil.copy(j.disk, folder)

    return cache.entry(
        "dropin-chosen", [image.parent.name, debs.parent.name], make,
        f"{suite}-{kind}") / "disk.qcow2"


@contextlib.contextmanager
def _named(journey, name):
    """An error says at which step it was."""
    try:
        yield
    except (VblError, AssertionError):
        journey.say(f"FAILED   {journey.suite} {journey.kind}: {name}")
        raise
