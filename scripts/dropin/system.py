# SPDX-License-Identifier: GPL-2.0
"""A guest that boots a Debian system from its disk, by QEMU's firmware."""

from vbl import Disk, Guest, initramfs, pick_kernel
from vbl.qemu import choose

from . import efi

# As the login of an administrator has it.
PRELUDE = """export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
wait_for() {
    local end=$(($(date +%s) + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $(date +%s) -lt $end ] || return 1
        sleep 0.2
    done
}
"""


class System(Guest):
    """One boot of an installed system; a reboot ends it.

    disks     the disk with the system first
    packages  images of file systems, as NVMe disks
    direct    (kernel, initramfs, command line): these, and no boot loader
    efi       path of a file with the variables of a UEFI firmware
    resumes   the guest whose memory this disk has, which hibernated
    """

    PRELUDE = PRELUDE

    def __init__(self, disks, packages=(), direct=None, efi=None, resumes=None,
                 mem=1024, devices=(), **options):
        # After a resume q35's watchdog runs, and nobody serves it: the guest
        # would be reset within a minute, with either driver.
        super().__init__(
            devices=[*devices, "-action watchdog=none"],
            disks=[*disks, *(Disk(p, kind="nvme", readonly=True)
                             for p in packages)],
            driver=None, tools=False, ko=False, mem=mem, **options)
        self.direct, self.efi, self.resumes = direct, efi, resumes

    def _handshake(self, until):
        super()._handshake(until)
        if self.resumes:
            # Its agent goes on, and so do the jobs that it had.
            self.adopt(self.resumes)

    def _load_drivers(self):
        # udev does. One that goes on from its hibernation hears nothing yet.
        pass

    def _boots_from(self):
        # Only tells whether KVM works.
        kernel = pick_kernel(None)
        command, self.accel = choose(
            self.qemu_given, kernel.image,
            initramfs.initrd(kernel, folder=self.folder))
        boot = ["-boot", "strict=on"]
        if self.direct:
            image, initrd, append = self.direct
            boot = ["-kernel", str(image), "-initrd", str(initrd),
                    "-append", append]
        if self.efi:
            boot += efi.arguments(self.efi)
        return command, boot

    def mount(self, disk, where):
        """Mount one of the packages= images."""
        device = f"/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_vbl-d{disk}"
        # The prompt comes before udev is done.
        self.sh(f"udevadm wait --timeout=100 {device} && mkdir -p {where} && "
                f"mount -o ro {device} {where}", timeout=120)

    def shut_down(self, how="poweroff", timeout=120):
        """End the system as its administrator would; QEMU has ended then."""
        self.start(f"systemctl {how}")
        self.wait_exit(timeout)
