# SPDX-License-Identifier: GPL-2.0
"""A system that exists in a folder only: what runs there has this system's
programs, and files of its own in /etc, /boot, /lib/modules and /sys."""

import os
import subprocess

import pytest
from vbl import TREE

# What would change this system, or find something else on another one.
HIDDEN = {"update-initramfs", "mkinitramfs", "dracut", "dkms", "modprobe",
          "depmod", "virtio-lite", "bind-lite", "modules"}
# Folders that have more than this system's files.
OWN = ("usr/bin", "usr/sbin", "usr/lib")
ALONE = ["unshare", "--mount", *([] if os.geteuid() == 0
                                 else ["--map-root-user"])]
ENTER = """
    set -e
    mount --make-rprivate /
    mount --rbind / "$0/host"
    mount --rbind /proc "$0/proc"
    mount --bind "$1" "$0/src"
    mount --bind /dev/null "$0/dev/null"
    exec chroot "$0" /usr/bin/env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin \
        HOME=/ /bin/sh -c "$2"
"""
# Stands for both tools that make an initramfs, as Debian 12 has them: its text is
# what was chosen when it was made.
MAKES = r"""#!/bin/sh
make()
{
    echo "$1" >>/tmp/calls
    [ ! -e /tmp/hold ] || { : >/tmp/held; cat /tmp/hold; }
    [ ! -e /tmp/idle ] || exit 0
    if [ -e "/tmp/fail-$1" ]; then
        echo "no room for $1" >&2
        [ ! -e /tmp/once ] || rm "/tmp/fail-$1"
        # dracut has no other place for what it makes.
        [ "$me" != dracut ] || rm -f "$2"
        exit 1
    fi
    cat /etc/virtio-lite/disks >"$2.made" 2>/dev/null || echo none >"$2.made"
    mv "$2.made" "$2"
    # A hook of a boot loader.
    [ ! -e "/tmp/late-$1" ] || exit 1
}
me=${0##*/}
if [ "$me" = dracut ]; then
    [ "$1" != --force ] || shift
    case $1 in
    --regenerate-all) set -- $(ls /lib/modules) ;;
    --kver) shift ;;
    *) make "$2" "$1"; exit ;;
    esac
else
    # -u -k KERNEL
    [ "$3" != all ] || set -- -u -k $(ls /lib/modules | sort -rV)
    shift 2
fi
for k; do make "$k" "/boot/initrd.img-$k"; done
"""


class Root:
    """Such a system, in the folder @top: two kernels and no disk."""

    def __init__(self, top):
        self.top = top
        for name in ("boot", "dev", "etc/virtio-lite", "host", "proc", "run",
                     "src", "sys/bus/pci/devices", "sys/bus/virtio/drivers",
                     "sys/bus/virtio-lite/devices", "tmp", "usr/local/sbin",
                     "usr/lib/modules"):
            (top / name).mkdir(parents=True)
        for folder in OWN:
            (top / folder).mkdir(exist_ok=True)
            for name in set(os.listdir(f"/{folder}")) - HIDDEN:
                (top / folder / name).symlink_to(f"/host/{folder}/{name}")
        for name in ("bin", "sbin", "lib"):
            (top / name).symlink_to(f"usr/{name}")
        for name in ("lib64", "usr/share", "etc/alternatives",
                     "etc/ld.so.cache", "etc/passwd", "etc/group"):
            if os.path.lexists(f"/{name}"):
                (top / name).symlink_to(f"/host/{name}")
        for name in ("dev/null", "dev/kmsg"):
            (top / name).touch()
        (top / "usr/sbin/virtio-lite").symlink_to("/src/tools/virtio-lite")
        self.write("sys/bus/pci/drivers_probe", "")
        self.kernels = ["6.1.0-9", os.uname().release]
        for release in self.kernels:
            (top / f"usr/lib/modules/{release}").mkdir()
            self.write(f"boot/initrd.img-{release}", "none\n")

    def write(self, name, text, mode=0o644):
        """A file of the system."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name):
        """The text of a file, or None."""
        path = self.top / name
        return path.read_text() if path.exists() else None

    def tool(self, name, text=MAKES):
        """A program of the system."""
        self.write(f"usr/local/sbin/{name}", text, 0o755)

    def images(self):
        """What each kernel's initramfs was made with."""
        return {p.name.partition("-")[2]: p.read_text()
                for p in (self.top / "boot").glob("initrd.img-*")}

    def disk(self, bdf, name, serial="", ours=False):
        """A disk of upstream's driver, or of ours."""
        sys, lite = self.top / "sys", "-lite" if ours else ""
        dev = sys / "devices" / bdf
        for file, text in (("vendor", "0x1af4"), ("device", "0x1042"),
                           ("driver_override", "(null)")):
            self.write(f"sys/devices/{bdf}/{file}", text + "\n")
        block = dev / "virtio0/block" / name
        block.mkdir(parents=True)
        for file, text in (("dev", "253:0\n"), ("size", "2048\n"),
                           ("serial", serial)):
            (block / file).write_text(text)
        (block / "device").symlink_to(f"/sys/devices/{bdf}/virtio0")
        for where, kind, driver in (
                (dev, "pci", f"virtio-pci{lite}"),
                (dev / "virtio0", f"virtio{lite}",
                 "virtio_blk" + lite.replace("-", "_"))):
            folder = sys / f"bus/{kind}/drivers/{driver}"
            folder.mkdir(parents=True, exist_ok=True)
            (where / "driver").symlink_to(
                f"/sys/bus/{kind}/drivers/{driver}")
        (sys / "bus/pci/devices" / bdf).symlink_to(f"/sys/devices/{bdf}")
        if ours:
            (sys / "bus/virtio-lite/devices/virtio0").symlink_to(
                f"/sys/devices/{bdf}/virtio0")
        for folder in ("block", "class/block"):
            (sys / folder).mkdir(parents=True, exist_ok=True)
            (sys / folder / name).symlink_to(
                f"/sys/devices/{bdf}/virtio0/block/{name}")

    def loaded(self):
        """Our module is."""
        (self.top / "sys/bus/pci/drivers/virtio-pci-lite").mkdir(
            parents=True, exist_ok=True)

    def start(self, command, **options):
        """Begin a shell command in the system, which ignores no signal."""
        return subprocess.Popen(
            ["env", "--default-signal", *ALONE, "sh", "-c", ENTER,
             str(self.top), str(TREE), command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, **options)

    def status(self, command, **options):
        """(exit status, output) of a shell command."""
        job = self.start(command, **options)
        out = job.communicate(timeout=120)[0]
        return job.returncode, out

    def sh(self, command):
        """The output of a shell command, which must succeed."""
        status, out = self.status(command)
        assert status == 0, out
        return out


@pytest.fixture
def root(tmp_path):
    """A system in a folder."""
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no mount namespace (unshare)")
    made = Root(tmp_path / "root")
    made.tool("update-initramfs")
    return made
