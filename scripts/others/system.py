# SPDX-License-Identifier: GPL-2.0
"""A Debian system in a guest, with folders of the user beside it.

Not a boot of systemd: the packages are unpacked into an image, over which the
guest lays a file system in memory, so that tests can write wherever they like.
"""

import shlex
import shutil
from pathlib import Path

from vbl import Disk, Guest, cache, initramfs, lab, suites

PACKAGES = ("base-files,base-passwd,bash,dash,coreutils,util-linux,sed,grep,"
            "mount,gawk,findutils,diffutils,perl-base,procps,psmisc,kmod,udev,bc,"
            "e2fsprogs,xfsprogs,btrfs-progs,attr,acl,fio,bsdextrautils,"
            "postgresql,mawk,hostname,netbase,file,pciutils,quota,bsdutils,"
            "xfsdump,libaio1,liburing2,libcap2-bin,python3-minimal")
MODULES = ("overlay", "xfs", "btrfs", "dm_mod", "null_blk", "loop")
# The guest lays / of the system over the image, and keeps what is written in
# memory.
ENTER = """
    [ -d /sys/fs ] && modprobe overlay; modprobe xfs; modprobe btrfs
    vbl_tools && mkdir -p /tmp/up /root/sys && mount -t tmpfs -o size=60% \\
        tmpfs /tmp/up && mkdir /tmp/up/u /tmp/up/w &&
    mount -t overlay -o lowerdir=/tools,upperdir=/tmp/up/u,workdir=/tmp/up/w \\
        overlay /root/sys || exit 1
    cd /root/sys || exit 1
    for d in dev sys proc lib/modules; do mount --bind /$d $d || exit 1; done
    ip link set lo up; mount -t debugfs debugfs sys/kernel/debug 2>/dev/null
    mkdir -p run tmp dev/shm; chmod 1777 tmp dev/shm
    for d in 0:stdin 1:stdout 2:stderr; do
        ln -sf /proc/self/fd/${d%:*} dev/${d#*:}; done
"""


def image(suite="bookworm"):
    """Path of the image with the packages."""
    def make(folder):
        root = folder / "root"
        lab.unpack("a system for other people's tests", suite, PACKAGES, root,
                    suites.sources(suite))
        for name in ("passwd", "group"):
            shutil.copy(root / f"usr/share/base-passwd/{name}.master",
                        root / f"etc/{name}")
        for name in ("usr/share/doc", "usr/share/man", "usr/share/locale",
                     "var/lib/dpkg", "var/cache"):
            shutil.rmtree(root / name, ignore_errors=True)
        # What installing the packages would have done.
        for link, target in (("usr/bin/awk", "gawk"), ("bin/sh", "dash")):
            if not (root / link).is_symlink() and not (root / link).exists():
                (root / link).symlink_to(target)
        # Users that xfstests wants.
        for name in ("passwd", "group"):
            more = ":/tmp:/bin/bash" if name == "passwd" else ""
            with open(root / "etc" / name, "a", encoding="ascii") as f:
                for n, user in enumerate(("fsgqa", "fsgqa2", "123456-fsgqa"), 1001):
                    ids = f"{n}:{n}:" if more else f"{n}:"
                    f.write(f"{user}:x:{ids}{more}\n")
        (root / "lib/modules").mkdir(exist_ok=True)
        initramfs.make_ext4(root, folder / "system.img", "1G")
        shutil.rmtree(root)

    return cache.entry("system", [suite, PACKAGES, __doc__], make,
                       suite) / "system.img"


def folder_image(folder, to):
    """An image of a folder of the user's, below @to."""
    path = Path(to) / "suite.img"
    initramfs.make_image(path, {"suite": Path(folder)})
    return path


def guest(kernel, driver, disks, folder=None):
    """Such a guest, not started; the user's image is its last disk."""
    more = [Disk(folder, kind="nvme", serial="suite")] if folder else []
    return Guest(kernel, driver=driver, disks=[*disks, *more], mem=2048,
                 smp=2, timeout=0, tools=image(), modules=MODULES,
                 append="hung_task_panic=0")


def enter(g, folder=None):
    """Make the system ready; the folder becomes /suite in it."""
    g.sh(ENTER, timeout=120)
    if folder:
        g.sh(f"mkdir -p /tmp/s /root/sys/suite; mount -o ro "
             f"/dev/{g.dev(g.disks[-1])} /tmp/s && "
             "cp -a /tmp/s/suite/. /root/sys/suite/ && umount /tmp/s",
             timeout=300)


def command(text):
    """A shell command that runs in the system."""
    return ("PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /root/sys /usr/bin/env "
            f"HOME=/root bash -c {shlex.quote(text)}")
