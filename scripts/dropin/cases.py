# SPDX-License-Identifier: GPL-2.0
"""What may go wrong on the way: the system boots all the same, and says why."""

import re
import subprocess

from faults import powercut
from vbl import Disk, initramfs

from . import efi, images, journey
from .journey import OURS, THEIRS, Failed, Journey, travel
from .software import Software

# What the tool leaves in the kernel log when a disk stays where it is.
STAYS = re.compile(r"virtio-lite: disks stay with the kernel's own driver: .*")


class Case(Journey):
    """What starts with a system that has chosen ours, and was shut down."""

    def __init__(self, suite, kind, debs, say=print, modules="dep"):
        start = journey.chosen(suite, kind, debs, say, modules)
        super().__init__(suite, kind, debs, say, modules)
        images.overlay(start, self.disk)

    def says_why(self, *words):
        """The kernel log of this boot says that ours is not used, and why."""
        said = STAYS.findall(self.g.sh("dmesg"))
        # In the initramfs, and again where udev sees the disk.
        if not said or not any(w in said[0] for w in words):
            raise Failed(f"{self.suite} {self.kind}: the kernel log says "
                         f"{said}, and nothing of {' or '.join(words)}")
        self.say(f"    {said[0]}")


class NoBuild(Case):
    """A kernel for which the module does not build."""

    STEPS = ("ours", "broken_kernel", "boots_without", "old_kernel")

    def broken_kernel(self):
        """Install a kernel with a header that stops every compiler."""
        before = self.kernels()
        self.g.sh(f"""
            set -e
            dpkg --unpack --force-depends /packages/kernel/linux-headers-*.deb
            for f in $(ls -d /usr/src/linux-headers-*-common | sort -V |
                    tail -1)/include/linux/blk-mq.h; do
                echo '#error this kernel is too new' >>$f; done
            {journey.INSTALL} /packages/kernel/*.deb""",
                  timeout=journey.INSTALL_SECONDS)
        self.next, = set(self.kernels()) - set(before)
        self.expect("how many packages are not configured",
                    self.g.sh("dpkg --audit | wc -l").strip(), "0")
        status = self.g.sh("dkms status")
        if f"{self.next}, x86_64: installed" in status:
            raise Failed(f"the module was built all the same:\n{status}")

    def boots_without(self):
        """Reboot: the new kernel boots on upstream's driver and says why."""
        self.reboot(THEIRS, release=self.next)
        self.says_why("no module", "not found", "not built", "is not there")

    def old_kernel(self):
        """Remove that kernel: the old one still has its root on ours."""
        self.g.sh(f"apt-get purge -y linux-image-{self.next}",
                  timeout=journey.INSTALL_SECONDS)
        self.reboot(OURS)


class Refused(Case):
    """A module that the kernel refuses: it takes signed ones only."""

    STEPS = ("ours", "enforced", "not_enforced")

    def enforced(self):
        """Boot with module.sig_enforce=1: on upstream's driver, and why."""
        self.reboot(THEIRS, once="module.sig_enforce=1")
        self.says_why("sign", "key", "rejected")

    def not_enforced(self):
        """Reboot without it: on ours."""
        self.reboot(OURS)


class Signed(Case):
    """A kernel that takes signed modules only, and trusts DKMS's key.

    A firmware has the key in its database, from where Debian's kernels take
    keys for modules. Kernel and initramfs are those of the disk, without a
    boot loader.
    """

    STEPS = ("ours", "sign", "enrol", "enforced")

    def sign(self):
        """Install openssl, with which DKMS signs, and build once more."""
        self.g.sh(f"openssl version || {journey.INSTALL} "
                  "/packages/secure/openssl_*.deb", timeout=300)
        self.g.sh("""
            set -e
            v=$(dkms status virtio-lite | head -1 | cut -d, -f1 | cut -d/ -f2)
            dkms remove -m virtio-lite -v $v --all
            dkms add -m virtio-lite -v $v
            dkms install -m virtio-lite -v $v
            update-initramfs -u""", timeout=journey.INSTALL_SECONDS)

    def enrol(self):
        """Give DKMS's certificate to a UEFI firmware."""
        key = self.g.get("/var/lib/dkms/mok.pub")
        self.expect("the signer of the module", self.g.sh(
            "modinfo -F sig_id virtio_lite").strip(), "PKCS#7")
        line = self.g.sh("cat /proc/cmdline").split(" ", 1)[1].strip()
        self.end()
        # The files that the disk would boot, by way of a disk for them.
        box = self.folder / "box"
        with open(box, "wb") as f:
            f.truncate(128 << 20)
        self.boot(more=[Disk(box, kind="nvme")])
        self.g.sh("cd /boot; tar -chf - vmlinuz-$(uname -r) "
                  "initrd.img-$(uname -r) | dd of=/dev/disk/by-id/"
                  "nvme-QEMU_NVMe_Ctrl_vbl-d1 bs=1M conv=fsync status=none")
        self.end()
        subprocess.run(["tar", "-C", self.folder, "-xf", box], check=True)
        self.direct = (*(next(self.folder.glob(f"{n}-*"))
                         for n in ("vmlinuz", "initrd.img")), line)
        self.variables = efi.variables(self.folder / "vars")
        self.boot(direct=self.direct, efi=self.variables)
        self.g.put("/run/db", efi.signature_list(key))
        self.g.sh("mountpoint -q /sys/firmware/efi/efivars || mount -t "
                  "efivarfs efivarfs /sys/firmware/efi/efivars; "
                  f"dd if=/run/db of=/sys/firmware/efi/efivars/{efi.DB} bs=1M "
                  "status=none")
        self.end()

    def enforced(self):
        """Boot with module.sig_enforce=1: on ours."""
        image, initrd, line = self.direct
        self.boot(direct=(image, initrd, f"{line} module.sig_enforce=1"),
                  efi=self.variables)
        self.root_is_on(OURS)
        self.say("    " + self.g.sh(
            "dmesg | grep -i 'Loaded X.509 cert.*DKMS'").strip())


class Dracut(Journey):
    """A system whose initramfs is made by dracut."""

    STEPS = ("upstream", "dracut", "install", "persist_on", "ours",
             "workload", "persist_off")

    def dracut(self):
        """Replace initramfs-tools by dracut, and reboot."""
        self.g.sh(f"{journey.INSTALL} /packages/dracut/*.deb && "
                  "dracut --force --regenerate-all",
                  timeout=journey.INSTALL_SECONDS)
        self.reboot(THEIRS)


class Purged(Case):
    """The packages are purged while the root is on ours."""

    STEPS = ("ours", "purge_at_once", "no_trace")

    def purge_at_once(self):
        """Purge the packages without persist off, and reboot: on upstream's."""
        self.g.sh("apt-get purge -y 'virtio-lite*'",
                  timeout=journey.INSTALL_SECONDS)
        self.reboot(THEIRS)

    def no_trace(self):
        """The next initramfs that is made forgets the packages."""
        self.g.sh("update-initramfs -u -k all", timeout=journey.INSTALL_SECONDS)
        self.expect("what is left", self.g.sh(journey.TRACES, timeout=120), "")
        self.reboot(THEIRS)


class PowerCut(Case):
    """QEMU is killed between each two steps of a change of the choice.

    Every write and flush of the disk is logged. What was on it at each flush
    is looked at from outside, and booted when the files that decide about the
    boot are others than at the flush before.
    """

    STEPS = ("ours", "cut_off", "cut_on")
    # In the root file system: what a change of the choice may touch.
    WATCHED = ("/etc/virtio-lite", "/etc/modprobe.d",
               "/etc/initramfs-tools/conf.d", "/boot")

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        if self.kind != "ext4":
            raise Failed("the power is cut on ext4 only: no other file system "
                         "can be looked at from outside")

    def cut_on(self):
        """Each state of the disk during persist on boots."""
        self._cuts("virtio-lite persist on --all")

    def cut_off(self):
        """Each state of the disk during persist off boots."""
        self._cuts("virtio-lite persist off")

    def _cuts(self, command):
        self.end()
        base = self.folder / "before.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", self.disk, base],
                       check=True)
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        self.boot(disk=Disk(
            backend=powercut.logged(self.disk, log, "qcow2"),
            transport="modern", serial="root", bootindex=0))
        self.g.sh("sync")
        began = log.stat().st_size
        self.g.sh(f"{command}; sync", timeout=journey.INSTALL_SECONDS)
        ended = log.stat().st_size
        self.end()
        at, pending, flushes, states, seen = powercut.SECTOR, [], 0, 0, None
        for sector, flags, data in powercut.log_entries(log):
            if at >= ended:
                break
            if flags & powercut.FLUSH:
                if at >= began and not seen:
                    seen = self._files(base)
                self._write(base, pending)
                pending = []
                if at >= began:
                    flushes += 1
                    now = self._files(base)
                    if now != seen:
                        states += 1
                        self._boots(base, f"flush {flushes}")
                    seen = now
            if data:
                pending.append((sector * powercut.SECTOR, data))
            at += powercut.SECTOR + len(data)
        self.say(f"    {flushes} flushes, {states} states booted")
        if states < 2:
            raise Failed(f"{command} changed nothing on the disk")
        base.unlink()
        self.boot()

    @staticmethod
    def _write(raw, writes):
        with open(raw, "r+b") as disk:
            for at, data in writes:
                disk.seek(at)
                disk.write(data)

    def _files(self, raw):
        """Names, sizes and times of what decides about the boot."""
        part = self.folder / "part.raw"
        start, size = self._root_part(raw)
        subprocess.run(["dd", f"if={raw}", f"of={part}", "bs=1M",
                        "conv=sparse", "status=none", f"skip={start >> 20}",
                        f"count={size >> 20}"], check=True)
        # Goes through the journal.
        subprocess.run([initramfs.tool("e2fsck"), "-p", part],
                       stdout=subprocess.DEVNULL)
        out = [subprocess.run([initramfs.tool("debugfs"), "-R", f"ls -p {d}",
                               part], capture_output=True, text=True).stdout
               for d in self.WATCHED]
        part.unlink()
        return out

    def _root_part(self, raw):
        """(start, size) of the root's partition, in bytes."""
        got = subprocess.run([initramfs.tool("sfdisk"), "-d", raw],
                             capture_output=True, text=True, check=True)
        found = re.search(r"raw2 : start= *(\d+), size= *(\d+)", got.stdout)
        return [int(x) * 512 for x in found.groups()]

    def _boots(self, raw, what):
        """The disk as it is now boots, and has its root on either driver."""
        self.disk, kept = images.overlay(
            raw, self.folder / "cut.qcow2", "raw"), self.disk
        try:
            self.boot()
            driver = self.g.sh(journey.ROOT_DRIVER).strip()
            if driver not in (OURS, THEIRS):
                raise Failed(f"after a power cut at {what} the root is on "
                             f"{driver!r}")
            self.say(f"    power cut at {what}: boots in "
                     f"{self.g.boot_seconds:.0f} s, root on {driver}")
            self.g.kill()
        finally:
            self.disk = kept


CASES = {"nobuild": NoBuild, "refused": Refused, "signed": Signed,
         "dracut": Dracut, "purged": Purged, "powercut": PowerCut, "software": Software}


def run(name, suite, kind, debs, say=print, modules="dep", seconds=None):
    """One of CASES, or the journey; raises when something is not as wanted.

    seconds  a dict that gets the time of each step
    """
    make, steps = (Journey, journey.STEPS) if name == "journey" else \
        (Journey, journey.SHORT) if name == "short" else \
        (CASES[name], CASES[name].STEPS)
    with make(suite, kind, debs, say, modules) as j:
        if seconds is not None:
            j.seconds = seconds
        travel(j, steps)
