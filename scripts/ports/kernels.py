# SPDX-License-Identifier: GPL-2.0
"""Debian's kernels of another architecture, and what builds modules for them.

A kernel's headers, image and modules are unpacked beside a cross compiler of
the same suite. What runs at a build is of this architecture: the compiler, and
the kernel's own tools (linux-kbuild) instead of those that its headers ask for.
"""

import shutil
import subprocess

from vbl import cache, kernel as vbl_kernel, lab, suites, tree
from vbl.errors import SetupError
from vbl.kernel import (Kernel, run_command, build_module, in_root,
                        module_warnings)

# The newest kernel of each series that the driver has to work with.
SUITES = ("bookworm", "bookworm-backports", "sid")
# An image is in one package, or, of newer kernels, in four.
PARTS = ("image", "base", "binary", "modules")


def find(machine, flavour, suite):
    """(release, package of the headers) in a suite, or None."""
    lists = suites.Lists(machine.arch, suite)
    name = lists.headers(suite, flavour)
    return name and (name.removeprefix("linux-headers-"),
                     lists.newest(name, suite))


def is_called(release, want):
    """Whether @want names a release, a series, or parts of its beginning."""
    return vbl_kernel.is_called(Kernel(release, None), want)


def fetch(machine, suite, release, headers):
    """The Kernel of a release, with all that a module is built with."""
    lists = suites.Lists(machine.arch, suite)
    native = [lists.depends(headers, pattern) for pattern in (
        r"linux-kbuild-[^ ,]*", r"linux-headers-[^ ,]*-common[^ ,]*")]
    native += [f"gcc-{machine.compiler.rstrip('-')}",
               f"libc6-dev-{machine.arch}-cross", "perl"]
    foreign = [headers.name, *(
        name for name in (f"linux-{part}-{release}" for part in PARTS)
        if lists.newest(name, suite))]

    def make(folder):
        root = folder / "root"
        lab.unpack(f"a kernel of {machine} and its compiler", suite,
                    ",".join([*native, lab.BUILD]), root,
                    suites.sources(suite))
        lab.finish(root)
        for name in foreign:
            lists.download(name, root)
        _place_image(root, release)
        run_command(["depmod", "-b", str(root), release])
        for unused in ("doc", "man", "locale"):
            shutil.rmtree(root / "usr/share" / unused, ignore_errors=True)

    root = cache.entry("ports", [machine.arch, native, foreign, lab.BUILD],
                       make, release) / "root"
    return Kernel(release, root / "usr/src" / f"linux-headers-{release}",
                  root=root, foreign=True, cross=machine.compiler)


def _place_image(root, release):
    """Of some architectures it is the ELF file; newer ones are elsewhere."""
    for image in (root / "boot" / f"vmlinux-{release}",
                  root / "lib/modules" / release / "vmlinuz",
                  root / "lib/modules" / release / "vmlinux"):
        if image.exists():
            image.rename(root / "boot" / f"vmlinuz-{release}")


def build(kernel):
    """(path of the module, warnings of a build with W=1)."""
    ko = build_module(kernel, make_args=["W=1"], quiet=True)
    return ko, module_warnings(ko)


def busybox(machine):
    """Path of a static busybox."""
    lists = suites.Lists(machine.arch, SUITES[0])
    package = lists.newest("busybox-static", SUITES[0])
    if not package:
        raise SetupError(f"Debian {SUITES[0]} has no busybox-static for "
                         f"{machine}")
    folder = cache.entry("busybox", [machine.arch, package.version],
                         lambda to: lists.download(package.name, to),
                         machine.arch)
    return next(p for p in (folder / "bin/busybox", folder / "usr/bin/busybox")
                if p.exists())


def agent(machine, kernel):
    """Path of the program that serves the host."""
    source = tree.TREE / "scripts/in-guest/agent.c"
    command = [f"{machine.compiler}gcc", "-O2", "-Wall", "-static",
               f'-DPORT="{machine.control}"']

    def make(folder):
        shutil.copy(source, folder)
        got = subprocess.run(
            in_root(kernel, folder, [*command, "-o", "/mnt/agent",
                                     "/mnt/agent.c"]),
            capture_output=True, text=True)
        if got.returncode:
            raise SetupError(f"{' '.join(command)} failed:\n{got.stderr}")

    return cache.entry("agent", [command, cache.file_hash(source)], make,
                       machine.arch) / "agent"
