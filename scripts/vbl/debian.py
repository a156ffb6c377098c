# SPDX-License-Identifier: GPL-2.0
"""A Debian system's udev and kmod in a guest.

The packages are unpacked into an image that a guest has instead of the tools.
Not a boot of systemd: udevd and the kernel's events are what decides which
module is loaded for a function, and which links a disk gets.
"""

import shutil

from . import cache, initramfs, lab, suites

PACKAGES = ("base-files,base-passwd,udev,kmod,util-linux,coreutils,dash,sed,"
            "grep,findutils")

# What a guest runs first; then debian COMMAND runs there.
START = """
    [ -d /tools/bin ] || { vbl_tools && cd /tools && mount -t tmpfs tmpfs run &&
    mount -t tmpfs tmpfs tmp && mount -t tmpfs tmpfs etc/udev/rules.d &&
    for d in dev sys proc lib/modules; do
        mount --bind /$d $d || exit 1
    done; } || exit 1
    debian() {
        # Else udevadm does nothing below another root. A path, or busybox
        # would be the program of that name itself.
        SYSTEMD_IGNORE_CHROOT=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            chroot /tools /usr/bin/env "$@"
    }
"""
# udevd as at boot: with an empty database, and every device announced once.
COLDPLUG = START + """
    debian udevadm control --exit 2>/dev/null
    rm -rf /tools/run/udev /dev/disk
    debian depmod -a
    debian sh -c 'for d in /usr/lib /lib; do
        [ ! -x $d/systemd/systemd-udevd ] ||
            exec $d/systemd/systemd-udevd --daemon; done; exit 1' || exit 1
    debian udevadm trigger --type=subsystems --action=add &&
    debian udevadm trigger --type=devices --action=add &&
    debian udevadm settle --timeout=120
"""


def image(suite="bookworm"):
    """Path of an image with udev of a suite of Debian."""
    def make(folder):
        root = folder / "root"
        lab.unpack("udev", suite, PACKAGES, root, suites.sources(suite))
        for name in ("passwd", "group"):
            shutil.copy(root / f"usr/share/base-passwd/{name}.master",
                        root / f"etc/{name}")
        for name in ("usr/share/doc", "usr/share/man", "usr/share/locale",
                     "var/lib/dpkg"):
            shutil.rmtree(root / name, ignore_errors=True)
        (root / "lib/modules").mkdir(exist_ok=True)
        initramfs.make_ext4(root, folder / "debian.img", "512M")
        shutil.rmtree(root)

    return cache.entry("debian", [suite, PACKAGES],
                       make, suite) / "debian.img"
