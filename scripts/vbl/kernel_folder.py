# SPDX-License-Identifier: GPL-2.0
"""A kernel that lies in a folder: K=/some/folder.

Either a kernel tree (or a build folder, O=) in which make has built the image
and the modules; these are installed into the cache.  Or a vmlinuz with its
modules, unpacked from a package for example; with the headers beside it, this
driver can be built for it too.
"""

import dataclasses
import functools
import gzip
import lzma
import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

from . import cache
from .errors import SetupError

# What a guest needs of a kernel, and what for. Modules are as good for some.
BUILT_IN = {
    "64BIT": "64 bits", "BLK_DEV_INITRD": "an initramfs", "MODULES": "modules",
    "SERIAL_8250_CONSOLE": "a console on the serial port",
    "BINFMT_ELF": "programs", "BINFMT_SCRIPT": "scripts",
    "DEVTMPFS": "/dev", "PROC_FS": "/proc", "SYSFS": "/sys",
    "TMPFS": "tmpfs", "PCI": "PCI", "BLOCK": "block devices",
}
EITHER = {
    "VIRTIO_PCI": "upstream's virtio-pci", "VIRTIO_BLK": "upstream's virtio_blk",
    "BLK_DEV_NVME": "the disk with the tools", "EXT4_FS": "the disk with the "
    "tools",
}
# Without a configuration, the modules tell of these.
AS_MODULE = {"virtio_pci": "VIRTIO_PCI", "virtio_blk": "VIRTIO_BLK",
             "nvme": "BLK_DEV_NVME", "ext4": "EXT4_FS"}
IMAGES = ("arch/x86/boot/bzImage", "bzImage", "vmlinuz", "vmlinuz-*",
          "boot/vmlinuz-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")


@dataclasses.dataclass(frozen=True)
class Found:
    """A kernel: what a guest needs of it, and what it was configured for."""

    release: str
    headers: Path           # None where the module cannot be built for it
    root: Path              # with boot/ and lib/modules/
    debug: str              # "debug" with KASAN, "race" with KCSAN


def is_folder(text):
    """Whether K= means a folder: a series or a release has no slash."""
    return "/" in text or text in (".", "..")


def find(text):
    """The kernel in a folder; raises with one line when there is none."""
    folder = Path(text).expanduser().absolute()

    def refuse(why):
        raise SetupError(f"K={text}: {why}")

    if not folder.is_dir():
        refuse("this is no folder" if folder.exists()
               else "there is no such folder")
    image = next((p for pattern in IMAGES
                  for p in sorted(folder.glob(pattern)) if p.is_file()), None)
    if not image:
        refuse("no kernel here: neither arch/x86/boot/bzImage (make bzImage "
               "modules) nor vmlinuz*")
    try:
        release = release_of(image)
    except OSError as e:
        refuse(f"{image.relative_to(folder)}: {e.strerror}")
    if not release:
        refuse(f"{image.relative_to(folder)} is no Linux kernel for x86")
    # A tree for other kernels may have been built here before: the folder
    # is one as long as it has what modules are built with.
    tree = (folder / "Makefile").exists() and (folder / ".config").exists()
    if tree:
        lacking = [n for n in ("modules.order", "Module.symvers")
                   if not (folder / n).exists()]
        config = _config(folder / ".config")
        if config.get("MODULES") == "y" and lacking:
            refuse(f"there is no {lacking[0]}: run make modules there")
        _check(text, config, None)
        root = cache.entry("tree", _stamps(folder, image),
                           lambda to: _install(folder, image, release, to),
                           release)
        return Found(release, folder, root, _debug(config))
    modules = _modules(folder, release)
    if not modules:
        refuse(f"the modules of {release} are not here: no lib/modules/"
               f"{release}/modules.dep (made by depmod)")
    config = next((_config(p) for p in (
        folder / "config", folder / ".config", folder / f"config-{release}",
        folder / f"boot/config-{release}", modules / "config")
        if p.is_file()), None) or _embedded(image, *cache.file_stamp(image))
    _check(text, config, modules)
    root = cache.entry("tree", [cache.file_stamp(image), str(modules)],
                       lambda to: _link(modules, image, release, to), release)
    return Found(release, _headers(folder, modules, release), root,
                 _debug(config or {}))


def release_of(image):
    """What the boot protocol says the release is, or None."""
    with open(image, "rb") as f:
        head = f.read(0x8000)
    if head[0x202:0x206] != b"HdrS":
        return None
    at = int.from_bytes(head[0x20e:0x210], "little") + 0x200
    return head[at:at + 128].partition(b"\0")[0].decode(
        errors="replace").partition(" ")[0] or None


def _config(path):
    """{option: value} of a configuration."""
    return _options(path.read_text())


def _options(text):
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.M))


@functools.cache
def _embedded(image, *_stamp):
    """The configuration that a kernel carries (IKCONFIG), or None."""
    data = image.read_bytes()
    try:
        # What is packed may show the mark too, and not what follows.
        _, found, rest = (unpacked(data) or data).partition(b"IKCFG_ST")
        if not found:
            return None
        return _options(gzip.decompress(rest.partition(b"IKCFG_ED")[0])
                        .decode())
    except (OSError, EOFError, ValueError, struct.error, zlib.error,
            lzma.LZMAError, subprocess.SubprocessError):
        return None


def unpack_zstd(data):
    """Unpack zstd data; older Pythons cannot."""
    return subprocess.run(["zstd", "-dcq"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def _unpack_gzip(data):
    # What follows it is cut: gzip has the size in itself.
    return zlib.decompressobj(31).decompress(data)


# Magic numbers of packed kernels, and what unpacks them.
UNPACK = {b"\xfd7zXZ\0": lzma.decompress, b"\x28\xb5\x2f\xfd": unpack_zstd,
          b"\x1f\x8b": _unpack_gzip}


def unpacked(data):
    """The ELF file within an image, or None."""
    if data[0x202:0x206] != b"HdrS":
        return None
    # Where the boot protocol says that the packed kernel is.
    start, size = struct.unpack_from("<II", data, 0x248)
    start += (data[0x1f1] + 1) * 512
    # Its last four bytes are the size of what was packed.
    packed = data[start:start + size - 4]
    return next((unpack(packed) for magic, unpack in UNPACK.items()
                 if packed.startswith(magic)), None)


def _check(text, config, modules):
    """Refuse a kernel that no guest of ours could use."""
    if config is not None:
        lacks = [f"CONFIG_{o} ({why})" for o, why in BUILT_IN.items()
                 if config.get(o) != "y"]
        lacks += [f"CONFIG_{o} ({why})" for o, why in EITHER.items()
                  if config.get(o) not in ("y", "m")]
        # The second port is the one that commands arrive by.
        uarts = config.get("SERIAL_8250_RUNTIME_UARTS", "2")
        if not uarts.isdigit() or int(uarts) < 2:
            lacks.append("CONFIG_SERIAL_8250_RUNTIME_UARTS of at least 2")
    else:
        names = {Path(line.partition(":")[0]).name.split(".")[0]
                 .replace("-", "_") for name in
                 ("modules.dep", "modules.builtin")
                 for line in _lines(modules / name)}
        lacks = [f"CONFIG_{o} ({EITHER[o]})" for m, o in AS_MODULE.items()
                 if m not in names]
        if "8250" not in names:
            lacks.append("CONFIG_SERIAL_8250_CONSOLE "
                         f"({BUILT_IN['SERIAL_8250_CONSOLE']})")
    if lacks:
        raise SetupError(f"K={text}: this kernel lacks " + ", ".join(lacks))


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def _debug(config):
    if config.get("KCSAN") == "y":
        return "race"
    return "debug" if config.get("KASAN") == "y" else ""


def _modules(folder, release):
    """The folder with modules.dep, or None."""
    for where in (folder / "lib/modules" / release,
                  folder / "usr/lib/modules" / release,
                  folder / "modules", folder):
        if (where / "modules.dep").exists():
            return where
    return None


def _headers(folder, modules, release):
    """What a module is built with, if it is there."""
    for where in (modules / "build", folder / "build",
                  folder / f"usr/src/linux-headers-{release}",
                  Path("/usr/src") / f"linux-headers-{release}"):
        try:
            text = (where / "include/generated/utsrelease.h").read_text()
        except OSError:
            continue
        if f'"{release}"' in text and (where / "Module.symvers").exists():
            return where.resolve()
    return None


def _stamps(folder, image):
    """What tells a build from the one before."""
    stamps = [cache.file_stamp(p) for p in (
        image, folder / ".config", folder / "Module.symvers")]
    for name in _lines(folder / "modules.order"):
        # Older kernels list what is loaded, newer ones what it is made of.
        ko = folder / re.sub(r"\.o$", ".ko", name.removeprefix("kernel/"))
        stamps.append(cache.file_stamp(ko) if ko.exists() else name)
    return stamps


def _install(folder, image, release, to):
    """make modules_install, and the image beside."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "M", "K")}
    env["PATH"] = env.get("PATH", "") + ":/usr/sbin:/sbin"
    got = subprocess.run(
        ["make", "-s", "-C", str(folder), f"INSTALL_MOD_PATH={to}",
         "INSTALL_MOD_STRIP=1", "modules_install"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if got.returncode:
        raise SetupError(f"make modules_install fails in {folder}:\n"
                         + "\n".join(got.stdout.splitlines()[-10:]))
    at = to / "lib/modules" / release
    if not (at / "modules.dep").exists():
        there = ", ".join(p.name for p in (to / "lib/modules").glob("*"))
        raise SetupError(f"{folder}: the image is {release}, the modules are "
                         f"of {there or 'none'}: run make there again")
    for link in ("build", "source"):
        (at / link).unlink(missing_ok=True)
    _boot(image, release, to)


def _link(modules, image, release, to):
    (to / "lib/modules").mkdir(parents=True)
    (to / "lib/modules" / release).symlink_to(modules)
    _boot(image, release, to)


def _boot(image, release, to):
    (to / "boot").mkdir()
    # A copy: the next build would replace it under a guest that boots.
    (to / "boot" / f"vmlinuz-{release}").write_bytes(image.read_bytes())
