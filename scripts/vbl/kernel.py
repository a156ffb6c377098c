# SPDX-License-Identifier: GPL-2.0
"""Kernels a guest can run, and the module built for each of them.

A kernel is usable when its headers are installed.  Its image and modules are
the installed ones, or come from the distribution's package into the cache; or
all of it is in a folder (kernel_folder.py).
"""

import dataclasses
import os
import re
import shutil
import struct
import subprocess
from functools import cached_property
from pathlib import Path

from . import cache, debug_kernel, kernel_folder, lab, tree
from .errors import BuildFailed, SetupError


def _version_key(release):
    return [(0, int(p), "") if p.isdigit() else (1, 0, p)
            for p in re.findall(r"\d+|[a-z]+", release)]


# The note by which QEMU enters an ELF file: a name of 4 bytes, an address of 4
# or 8, type 18.
PVH = [struct.pack("<III", 4, size, 18) + b"Xen\0" for size in (4, 8)]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel release: headers, image and modules."""

    release: str
    headers: Path
    # Folder with boot/ and lib/modules/, where these are not the release's own.
    root: Path = None
    # "debug" or "race" for a kernel with checks, which is slow; or nothing.
    debug: str = ""
    # The root holds the compiler too, for this system's is another one.
    foreign: bool = False
    # The folder that K= named, where it was one.
    folder: str = ""
    # What the compiler's name begins with, for another architecture.
    cross: str = ""

    def __str__(self):
        return self.release

    @property
    def series(self):
        """Short name, such as 6.12."""
        if self.debug:
            return self.debug
        return ".".join(self.release.split(".")[:2])

    @cached_property
    def _root(self):
        """Folder holding boot/vmlinuz-REL and lib/modules/REL."""
        if self.root:
            return self.root
        image = Path("/boot") / f"vmlinuz-{self.release}"
        deps = Path("/lib/modules") / self.release / "modules.dep"
        if os.access(image, os.R_OK) and os.access(deps, os.R_OK):
            return Path("/")
        return cache.entry("image", [self.release], self._download,
                           self.release)

    @property
    def image(self):
        """The bootable kernel image."""
        return self._root / "boot" / f"vmlinuz-{self.release}"

    @cached_property
    def boot_file(self):
        """What QEMU is given: the image, unpacked when that saves time.

        An emulated CPU takes two seconds to unpack it; the ELF file within
        boots by the PVH entry at once.
        """
        def make(folder):
            plain = kernel_folder.unpacked(self.image.read_bytes())
            if plain and any(note in plain for note in PVH):
                (folder / "vmlinux").write_bytes(plain)

        made = cache.entry("vmlinux", [cache.file_stamp(self.image)], make,
                           self.release) / "vmlinux"
        return made if made.exists() else self.image

    @property
    def modules(self):
        """The folder with modules.dep."""
        return self._root / "lib" / "modules" / self.release

    @cached_property
    def builtin(self):
        """Names of the modules built into the image."""
        text = (self.modules / "modules.builtin").read_text()
        return {Path(p).name[:-3].replace("-", "_") for p in text.split()}

    def _download(self, folder):
        package = f"linux-image-{self.release}"
        print(f"{package} is not installed: downloading it for the guest",
              flush=True)
        got = subprocess.run(["apt-get", "download", package], cwd=folder,
                             capture_output=True, text=True)
        debs = list(folder.glob("*.deb"))
        if got.returncode or len(debs) != 1:
            raise SetupError(
                f"cannot download {package}, which the headers in "
                f"{self.headers} belong to:\n{got.stderr.strip()}\n"
                "Run scripts/setup (or apt-get update), or install the image.")
        for step in (["dpkg", "-x", str(debs[0]), str(folder)],
                     ["depmod", "-b", str(folder), self.release]):
            run_command(step)
        debs[0].unlink()
        shutil.rmtree(folder / "usr", ignore_errors=True)


def run_command(argv):
    """Run a program of the system; SetupError with its message if it fails."""
    env = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    got = subprocess.run(argv, capture_output=True, text=True, env=env)
    if got.returncode:
        raise SetupError(f"{' '.join(argv)} failed:\n{got.stderr.strip()}")


def _from_headers(folder):
    """The kernel whose headers are @folder, or None when it is not that."""
    # Not kernel.release: Debian overrides that name when it builds.
    try:
        text = (folder / "include/generated/utsrelease.h").read_text()
        release = re.search(r'UTS_RELEASE "(.+?)"', text)[1]
    except (OSError, TypeError):
        return None
    if not (folder / "Makefile").exists() or \
            not (folder / "Module.symvers").exists():
        return None
    return Kernel(release, Path(os.path.realpath(folder)))


def kernels():
    """Every usable kernel, newest first."""
    found = {}
    for folder in [*Path("/lib/modules").glob("*/build"),
                   *Path("/usr/src").glob("linux-headers-*")]:
        k = _from_headers(folder)
        if k:
            found.setdefault(k.release, k)
    return sorted(found.values(), key=lambda k: _version_key(k.release),
                  reverse=True)


def default_kernel():
    """The kernel of $KDIR, the running one, or the newest with headers."""
    kdir = os.environ.get("KDIR")
    if kdir:
        k = _from_headers(Path(kdir))
        if not k:
            raise SetupError(f"KDIR={kdir} is not a configured kernel tree "
                             "(no include/generated/utsrelease.h)")
        return k
    k = _from_headers(Path("/lib/modules") / os.uname().release / "build")
    if k:
        return k
    every = kernels()
    if not every:
        raise SetupError("no kernel headers are installed; run scripts/setup")
    return every[0]


def is_called(kernel, want):
    """Whether @want names @kernel: debug or race, a series, a release, or
    complete parts of its beginning: 6.1 is 6.1.0-56-amd64, and not 6.12."""
    if want in (kernel.series, kernel.release):
        return True
    return not kernel.debug and kernel.release.startswith(want) and \
        not kernel.release[len(want)].isalnum()


def pick_kernel(want=None):
    """The newest kernel that is called @want, or the default one for None.

    debug is the one with KASAN and others, race the one with KCSAN, when they
    were built. A word with a slash is a folder with a kernel in it.
    """
    if isinstance(want, Kernel):
        return want
    if not want:
        return default_kernel()
    if kernel_folder.is_folder(want):
        found = kernel_folder.find(want)
        return Kernel(found.release, found.headers, found.root, found.debug,
                      folder=want)
    every = [*kernels(), *made_kernels()]
    for k in every:
        if is_called(k, want):
            return k
    raise SetupError(f"K={want}: no such kernel; there are: {_listed(every)} "
                     "(scripts/setup --help tells how to get more)")


def headers_to_build(want):
    """The headers of the kernel called @want, for make in the tree itself.

    The harness alone builds for a kernel that scripts/setup made, which may
    need another compiler.
    """
    kernel = pick_kernel(want)
    if kernel.folder:
        return must_build(kernel)
    if kernel.debug or kernel.foreign:
        raise SetupError(f"K={want}: {kernel.release} is for guests (make run, "
                         "check, bench); make builds here for: "
                         + _listed(kernels()))
    return kernel.headers


def must_build(kernel):
    """The headers of a kernel, which one in a folder may lack."""
    if not kernel.headers:
        raise SetupError(
            f"K={kernel.folder}: there are no headers of {kernel.release} to "
            "build virtio_lite.ko with (a link build beside its modules, or "
            "linux-headers); DRIVER=upstream needs none")
    return kernel.headers


def _listed(found):
    return ", ".join(k.debug or k.release for k in found) or "none"


def made_kernels():
    """Those that scripts/setup made in the cache: not chosen unless named."""
    found = [Kernel(*k, foreign=True) for k in lab.find_kernels()]
    yield from sorted(found, key=lambda k: _version_key(k.release),
                      reverse=True)
    for flavour, found in debug_kernel.find():
        yield Kernel(*found, debug=flavour)


def series():
    """The newest kernel of each series, newest first: what a matrix runs."""
    newest = {}
    for k in kernels():
        newest.setdefault(k.series, k)
    return list(newest.values())


def _compiler_id(kernel):
    if kernel.foreign:
        return cache.file_stamp(kernel.root / f"usr/bin/{kernel.cross}gcc")
    cc = os.environ.get("CC", "gcc")
    got = subprocess.run([cc, "-dumpfullversion"], capture_output=True,
                         text=True)
    return [cc, got.stdout.strip()]


# $1 is the kernel's root and $2 the module's folder; the rest is a command.
_FOREIGN = """root=$1 folder=$2; shift 2
for d in proc dev; do mount --rbind /$d "$root/$d" || exit; done
mount --bind "$folder" "$root/mnt" || exit
PATH=/usr/bin:/usr/sbin:/bin:/sbin LANG=C
export PATH LANG
exec chroot "$root" "$@"
"""


def in_root(kernel, folder, command):
    """@command with the programs of a foreign kernel's root; there @folder is
    /mnt."""
    alone = ["unshare", "--mount"]
    if os.getuid():
        alone += ["--map-root-user"]
    return [*alone, "sh", "-c", _FOREIGN, "sh", str(kernel.root), str(folder),
            *command]


def _make_argv(kernel, folder, args):
    """make for a module in @folder, with the compiler that @kernel needs."""
    args = [f"-j{os.cpu_count()}", *args, "modules"]
    if not kernel.foreign:
        return ["make", "-C", str(kernel.headers), f"M={folder}", *args]
    if kernel.cross:
        args = [f"CROSS_COMPILE={kernel.cross}", *args]
    inside = "/" / kernel.headers.relative_to(kernel.root)
    return in_root(kernel, folder,
                   ["make", "-C", str(inside), "M=/mnt", *args])


def build_module(kernel=None, make_args=(), source=tree.TREE, quiet=False):
    """Build the tree's module for @kernel in the cache; its .ko path.

    The tree itself is never touched, so builds for several kernels cannot
    disturb each other.  Warnings are shown; a failure shows the complete log.
    """
    kernel = pick_kernel(kernel)
    headers = must_build(kernel)
    names = tree.kernel_sources(source)
    if "Kbuild" not in names:
        raise BuildFailed(f"{source}: no Kbuild file, nothing to build")
    inputs = [kernel.release, cache.file_stamp(headers / "Makefile"),
              _compiler_id(kernel), list(make_args),
              [[n, cache.file_hash(Path(source) / n)] for n in names]]
    if kernel.folder:
        # It may be configured anew, and keeps its name.
        inputs += [cache.file_stamp(headers / n) for n in
                   ("Module.symvers", "include/generated/autoconf.h")]

    def make(folder):
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(source) / name, target)
        got = subprocess.run(
            _make_argv(kernel, folder, make_args),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={k: v for k, v in os.environ.items()
                 if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "M", "K")})
        log = got.stdout.replace(f"{folder}/", "")
        (folder / "build.log").write_text(log)
        if got.returncode:
            raise BuildFailed(f"the module does not build for {kernel}:\n{log}")
        if not list(folder.glob("*.ko")):
            raise BuildFailed(f"the build for {kernel} made no .ko:\n{log}")

    folder = cache.entry("build", inputs, make, kernel.release)
    warnings = build_warnings((folder / "build.log").read_text())
    if warnings and not quiet:
        print(f"warnings from the build for {kernel}:\n" + warnings)
    kos = sorted(folder.glob("*.ko"))
    lite = [k for k in kos if k.name == "virtio_lite.ko"]
    return (lite or kos)[0]


# Noise every out-of-tree build has when vmlinux is not installed.
_NOISE = re.compile(r"Skipping BTF generation|the compiler differs from|"
                    r"The kernel was built by|You are using:")


def build_warnings(log):
    """The lines of a build log that say something is wrong."""
    keep, carry = [], False
    for line in log.splitlines():
        if _NOISE.search(line):
            carry = False
        elif re.search(r"\b(warning|error)\b:?", line, re.I):
            keep.append(line)
            carry = True
        elif carry and line.startswith((" ", "\t")) and \
                not re.match(r"\s+(CC|LD|AR|MODPOST|BTF|CHECK)\b", line):
            keep.append(line)
        else:
            carry = False
    return "\n".join(keep)


def module_warnings(ko):
    """The same of the build that made a module."""
    return build_warnings((ko.parent / "build.log").read_text())
