# SPDX-License-Identifier: GPL-2.0
"""make run and make shell: one guest, one disk with real data, our module."""

import hashlib
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import initramfs, tree
from .disk import Disk
from .errors import CommandFailed, VblError
from .guest import Guest

SIZE_MB = 128
RANDOM_FILES = 8


def _tool(argv, **kw):
    got = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, **kw)
    if got.returncode:
        raise CommandFailed(" ".join(str(a) for a in argv), got.returncode,
                            got.stdout)
    return got.stdout


def make_image(folder):
    """A qcow2 image with an ext4 file system full of checkable files.

    Needs no root: mkfs.ext4 fills the file system by itself.
    """
    data = folder / "data"
    for name in tree.sources():
        target = data / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree.TREE / name, target)
    numbers = random.Random(1)
    (data / "random").mkdir()
    for n in range(RANDOM_FILES):
        (data / "random" / f"{n}.bin").write_bytes(
            numbers.randbytes(numbers.randrange(100_000, 2_000_000)))
    sums = []
    for p in sorted(data.rglob("*")):
        if p.is_file():
            digest = hashlib.sha256(p.read_bytes()).hexdigest()
            sums.append(f"{digest}  {p.relative_to(data)}\n")
    (data / "SHA256SUMS").write_text("".join(sums))
    raw, image = folder / "disk.raw", folder / "disk.qcow2"
    with open(raw, "wb") as f:
        f.truncate(SIZE_MB << 20)
    _tool([initramfs.tool("mkfs.ext4"), "-q", "-F", "-L", "lite", "-d", data,
           raw])
    _tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image])
    raw.unlink()
    shutil.rmtree(data)
    return image, len(sums)


def check_image(image, digest):
    """Check the image on the host, without the guest."""
    folder = image.parent
    raw, copy = folder / "after.raw", folder / "written"
    _say("qemu-img check", _tool(["qemu-img", "check", image]).splitlines()[0])
    _tool(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw])
    out = _tool([initramfs.tool("e2fsck"), "-fn", raw])
    _say("e2fsck -fn", out.splitlines()[-1].replace(str(raw), "clean"))
    _tool([initramfs.tool("debugfs"), "-R", f"dump /written {copy}", raw])
    got = hashlib.sha256(copy.read_bytes()).hexdigest()
    if got != digest:
        raise VblError(f"the file the guest wrote reads back differently: "
                       f"{got} instead of {digest}")
    _say("written file", f"sha256 {got[:16]}... is the same outside")


def _say(what, text):
    lines = text.rstrip().splitlines() or [""]
    print(f"{what + ':':<22}{lines[0]}", flush=True)
    for line in lines[1:]:
        print(f"{'':<22}{line}", flush=True)


WHO = r"""
f=/sys/bus/pci/devices/$BDF v=$(virtio_of $BDF) d=$(disk_of $BDF)
echo "$BDF ($(cat $f/vendor):$(cat $f/device)) on bus $(basename $(readlink $f/subsystem)), driver $(pci_driver $BDF)"
echo "${v##*/} on bus $(basename $(readlink $v/subsystem)), driver $(virtio_driver $BDF)"
echo "$d, $(($(cat /sys/block/$d/size) / 2048)) MB, $(ls -d /sys/block/$d/mq/* | wc -l) queue(s)"
"""


def demo(kernel=None, driver="lite", **options):
    """Use a disk through the module and check what it did; 0 when fine."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="vbl-run-"))
    try:
        image, files = make_image(folder)
        disk = Disk(image, num_queues=2)
        # The module is loaded by hand below, to show what happens.
        with Guest(kernel, [disk], None if driver == "lite" else driver,
                   **options) as g:
            _say("guest", f"{g.kernel}, {g.accel}, booted in "
                 f"{g.boot_seconds:.1f} s")
            digest = _use_disk(g, disk, driver, files)
            g.poweroff()
        _say("guest", "powered off")
        check_image(image, digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _say("result", f"everything is as it should be "
         f"({time.monotonic() - began:.0f} s)")
    return 0


def _use_disk(g, disk, driver, files):
    mark = g.dmesg_mark("load")
    if driver == "lite":
        out = g.sh("vbl_load && vbl_take_all", timeout=60)
        _say("insmod", "virtio_lite.ko" + (
            "" if out else "; the disk was free and is ours at once"))
        if out:
            _say("take over", out)
    _say("who has the disk", g.sh(f"BDF={g.bdf(disk)}\n{WHO}"))
    log = [re.sub(r"^\[\s*[\d.]+\] ", "", line)
           for line in g.dmesg_since(mark).splitlines()
           if re.search(r"virtio|\bvd[a-z]", line)
           and "taint" not in line]
    _say("kernel log", "\n".join(log) or "(nothing)")
    g.sh(f"modprobe ext4; mount /dev/{g.dev(disk)} /mnt")
    got = g.sh("cd /mnt && sha256sum -c SHA256SUMS 2>&1 | grep -vc ': OK$'",
               timeout=120, check=False).strip()
    if got != "0":
        raise VblError(f"{got} of {files} files have wrong checksums")
    _say("read", f"{files} files, all checksums match")
    digest = g.sh("head -c 8000000 /dev/urandom >/mnt/written && sync && "
                  "echo 3 >/proc/sys/vm/drop_caches && "
                  "sha256sum </mnt/written", timeout=120).split()[0]
    g.sh("umount /mnt")
    g.dmesg_check(mark)
    _say("write", "8 MB written, synced, read back, unmounted")
    return digest


def shell(kernel=None, driver="lite", **options):
    """A prompt in a guest with the module loaded and the same disk."""
    folder = Path(tempfile.mkdtemp(prefix="vbl-run-"))
    try:
        image, _ = make_image(folder)
        print("The guest's disk has an ext4 file system; its helpers are in "
              "/lib/vbl.sh.\nLeave with Ctrl-A x, or with exit.\n",
              flush=True)
        with Guest(kernel, [Disk(image, num_queues=2)], driver, timeout=0,
                   interactive=True, **options) as g:
            g.sh("touch /run/vbl/shell")
            while g.alive:
                g.process.pump(time.monotonic() + 3600)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
