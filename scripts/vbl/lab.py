# SPDX-License-Identifier: GPL-2.0
"""Programs that are newer than those of this release, in the cache.

Nothing of it is installed: the packages are unpacked into the cache, and run
with the libraries that came with them.
"""

import shutil
import subprocess

from . import cache
from .errors import SetupError

QEMU = ("forky", "qemu-system-x86,seabios")
# With its compiler: a kernel's own tools run with the libraries of its release.
KERNEL = ("sid", "linux-image-amd64,linux-headers-amd64,gcc,make,"
          "dash,bash,coreutils,sed,grep,findutils,mawk,perl-base")

# exec, so that signals and the death of the parent reach QEMU itself.
WRAPPER = """#!/bin/sh
lib={root}/usr/lib/x86_64-linux-gnu share={root}/usr/share
export QEMU_MODULE_DIR=$lib/qemu
exec {root}/usr/lib64/ld-linux-x86-64.so.2 --library-path $lib \\
	{root}/usr/bin/qemu-system-x86_64 -L $share/qemu -L $share/seabios "$@"
"""


def qemu():
    """A QEMU of 10.1 or later, as the path of a command; made when missing."""
    final = cache.entry("qemu", QEMU, _make_qemu, QEMU[0])
    command = final / "qemu-system-x86_64"
    text = WRAPPER.format(root=final / "root")
    # The cache may have been moved since.
    if not command.exists() or command.read_text() != text:
        command.write_text(text)
        command.chmod(0o755)
    return str(command)


def _make_qemu(folder):
    root = folder / "root"
    _unpack("a newer QEMU", *QEMU, root)
    for unused in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / unused, ignore_errors=True)


def find_kernel():
    """(release, headers, root) of the newer kernel, or None if not made."""
    folder = cache.root() / "kernel" / f"{KERNEL[0]}-{cache.digest(KERNEL)}"
    return _read_kernel(folder) if folder.is_dir() else None


def kernel():
    """The same, made when it is missing."""
    return _read_kernel(cache.entry("kernel", KERNEL, _make_kernel, KERNEL[0]))


def _read_kernel(folder):
    image = next((folder / "root/boot").glob("vmlinuz-*"))
    release = image.name.removeprefix("vmlinuz-")
    return (release, folder / f"root/usr/src/linux-headers-{release}",
            folder / "root")


def _make_kernel(folder):
    root = folder / "root"
    _unpack("a newer kernel and its compiler", *KERNEL, root)
    # Scripts that would run at installation are not: what matters of them.
    awk = root / "usr/bin/awk"
    if not awk.is_symlink():
        awk.symlink_to("mawk")
    (root / "mnt").mkdir(exist_ok=True)
    modules = next((root / "usr/lib/modules").iterdir())
    image = root / "boot" / f"vmlinuz-{modules.name}"
    if not image.exists():
        shutil.copy(modules / "vmlinuz", image)
    got = subprocess.run(["/usr/sbin/depmod", "-b", str(root), modules.name],
                         capture_output=True, text=True)
    if got.returncode:
        raise SetupError(f"depmod failed for {modules.name}:\n{got.stderr}")


def _unpack(what, suite, packages, root):
    if not shutil.which("mmdebstrap"):
        raise SetupError("mmdebstrap not found; run scripts/setup")
    print(f"unpacking {what} (Debian {suite}) into {cache.root()}", flush=True)
    got = subprocess.run(
        ["mmdebstrap", "--variant=extract", f"--include={packages}",
         # An archive that is not refreshed daily is as good here.
         "--aptopt=Acquire::Check-Valid-Until \"false\"",
         suite, str(root)], capture_output=True, text=True)
    if got.returncode:
        raise SetupError(f"cannot unpack {what} of Debian {suite}:\n"
                         + "\n".join(got.stderr.splitlines()[-8:]))
