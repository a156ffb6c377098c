# SPDX-License-Identifier: GPL-2.0
"""Programs that are newer than those of this release, in the cache.

Nothing of it is installed: the packages are unpacked into the cache, and run
with the libraries that came with them.
"""

import shutil
import subprocess

from . import cache, suites
from .errors import SetupError

QEMU = ("forky", "qemu-system-x86,seabios")
# What makes a module beside a kernel's headers, which bring its compiler: a
# kernel's own tools run with the libraries of its release.
BUILD = ("make,dash,bash,coreutils,sed,grep,findutils,mawk,perl-base,"
         "libc6-dev")

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


def find_qemus():
    """Paths of the commands that qemu() made."""
    return sorted(str(p) for p in (cache.root() / "qemu").glob(
        "[!.]*/qemu-system-x86_64"))


def _make_qemu(folder):
    root = folder / "root"
    unpack("a newer QEMU", *QEMU, root, ())
    for unused in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / unused, ignore_errors=True)


def find_kernels():
    """(release, headers, root) of each newer kernel that was made."""
    for folder in sorted((cache.root() / "kernel").glob("[!.]*")):
        yield _read_kernel(folder)


def kernel():
    """The newest one of Debian's suites, made when it is missing."""
    lists = suites.Lists()
    image = lists.newest_kernel()
    headers = suites.Package("linux-headers-amd64", image.version, image.suite)
    names = [lists.depends(p, p.name.replace("amd64", r"\d[^ ,]*"))
             for p in (image, headers)]

    def make(folder):
        root = folder / "root"
        unpack("a newer kernel and its compiler", image.suite,
                ",".join([*names, "gcc", BUILD]), root,
                suites.sources(image.suite))
        finish(root)
        _finish_kernel(root)

    return _read_kernel(cache.entry("kernel", [names, BUILD], make,
                                    image.suite))


def build_root(suite, headers):
    """A folder to chroot to, with these headers of @suite and a compiler."""
    # W=1 of older kernels reads comments with perl.
    packages = ",".join([*sorted(headers), "gcc", "perl", BUILD])

    def make(folder):
        root = folder / "root"
        unpack(f"{len(headers)} kernels' headers and their compiler", suite,
                packages, root, suites.sources(suite))
        finish(root)

    return cache.entry("headers", [suite, packages], make, suite) / "root"


def _read_kernel(folder):
    image = next((folder / "root/boot").glob("vmlinuz-*"))
    release = image.name.removeprefix("vmlinuz-")
    return (release, folder / f"root/usr/src/linux-headers-{release}",
            folder / "root")


def finish(root):
    """Scripts that would run at installation are not: what matters of them."""
    awk = root / "usr/bin/awk"
    if not awk.is_symlink():
        awk.symlink_to("mawk")
    (root / "mnt").mkdir(exist_ok=True)


def _finish_kernel(root):
    modules = next((root / "usr/lib/modules").iterdir())
    image = root / "boot" / f"vmlinuz-{modules.name}"
    if not image.exists():
        shutil.copy(modules / "vmlinuz", image)
    got = subprocess.run(["/usr/sbin/depmod", "-b", str(root), modules.name],
                         capture_output=True, text=True)
    if got.returncode:
        raise SetupError(f"depmod failed for {modules.name}:\n{got.stderr}")


def unpack(what, suite, packages, root, lines):
    """Unpack packages of a suite into the folder @root; @what users read."""
    if not shutil.which("mmdebstrap"):
        raise SetupError("mmdebstrap not found; run scripts/setup")
    print(f"unpacking {what} (Debian {suite}) into {cache.root()}", flush=True)
    got = subprocess.run(
        ["mmdebstrap", "--variant=extract", f"--include={packages}",
         # An archive that is not refreshed daily is as good here.
         "--aptopt=Acquire::Check-Valid-Until \"false\"",
         f"--setup-hook={suites.prefer(suite)}",
         suite, str(root), *lines], capture_output=True, text=True)
    if got.returncode:
        raise SetupError(f"cannot unpack {what} of Debian {suite}:\n"
                         + "\n".join(got.stderr.splitlines()[-8:]))
