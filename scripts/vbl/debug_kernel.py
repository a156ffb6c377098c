# SPDX-License-Identifier: GPL-2.0
"""A guest kernel that watches itself: KASAN, UBSAN, lockdep and their like.

Debian ships none, so it is built from Debian's source package, with
scripts/debug.config, into the cache.  K=debug chooses it.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import cache, tree
from .errors import SetupError

CONFIG = tree.TREE / "scripts" / "debug.config"
PACKAGE = "linux-source-6.12"
TOOLS = ("flex", "bison", "bc", "gcc", "make")
# What a module is built with; the rest of the source can go.
KEEP = ("Makefile", "Module.symvers", ".config", "include", "scripts")
KEEP_X86 = ("Makefile", "Makefile_32.cpu", "Makefile.postlink", "include",
            "entry/syscalls", "tools")


def find():
    """(release, headers, root) of the newest one built, or None."""
    folder = _entry_name()
    return _read(folder) if folder.is_dir() else None


def build():
    """The same, built now when it is missing: half an hour on two cores."""
    return _read(cache.entry("debug-kernel", _inputs(), _make, "6.12"))


def _inputs():
    return [PACKAGE, cache.file_hash(CONFIG)]


def _entry_name():
    return cache.root() / "debug-kernel" / f"6.12-{cache.digest(_inputs())}"


def _read(folder):
    release = (folder / "release").read_text().strip()
    return release, folder / "headers", folder / "root"


def _make(folder):
    missing = [t for t in TOOLS if not shutil.which(t)]
    if missing:
        raise SetupError(f"{', '.join(missing)} not found; run "
                         "scripts/setup --debug-kernel")
    print(f"building a debug kernel from {PACKAGE} into {cache.root()}; this "
          "takes a while", flush=True)
    _run(["apt-get", "download", PACKAGE], folder)
    deb = next(folder.glob("*.deb"))
    _run(["dpkg", "-x", str(deb), "package"], folder)
    deb.unlink()
    archive = next(folder.glob("package/usr/src/*.tar.xz"))
    source, headers = folder / "source", folder / "headers"
    source.mkdir()
    _run(["tar", "--strip-components=1", "-C", str(source), "-xf",
          str(archive)], folder)
    shutil.rmtree(folder / "package")
    make = ["make", "-s", f"-j{os.cpu_count()}"]
    _run([*make, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig"], source)
    _check_config(source)
    _run([*make, "bzImage", "modules"], source)
    release = subprocess.run(
        [*make, "kernelrelease"], cwd=source, check=True,
        capture_output=True, text=True).stdout.strip()
    root = folder / "root"
    (root / "boot").mkdir(parents=True)
    shutil.copy(source / "arch/x86/boot/bzImage",
                root / "boot" / f"vmlinuz-{release}")
    _run([*make, f"INSTALL_MOD_PATH={root}", "modules_install"], source)
    for link in ("build", "source"):
        (root / "lib/modules" / release / link).unlink(missing_ok=True)
    _keep_headers(source, headers)
    shutil.rmtree(source)
    (folder / "release").write_text(release + "\n")


def _check_config(source):
    """Every option asked for has to be there: others may hide it silently."""
    got = set((source / ".config").read_text().splitlines())
    lost = [line for line in CONFIG.read_text().splitlines()
            if line.startswith("CONFIG_") and not line.endswith("=n") and
            line not in got]
    if lost:
        raise SetupError(f"{CONFIG.name}: this kernel does not take "
                         + ", ".join(lost))


def _keep_headers(source, headers):
    for base, names in (("", KEEP), ("arch/x86", KEEP_X86),
                        ("tools/objtool", ("objtool",))):
        for name in names:
            at = source / base / name
            to = headers / base / name
            to.parent.mkdir(parents=True, exist_ok=True)
            if at.is_dir():
                shutil.copytree(at, to, symlinks=True)
            elif at.exists():
                shutil.copy(at, to)


def _run(argv, folder):
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "M", "K")}
    env["PATH"] = env.get("PATH", "") + ":/usr/sbin:/sbin"
    got = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, env=env)
    if got.returncode:
        raise SetupError(f"{' '.join(argv)} failed in {Path(folder).name}:\n"
                         + "\n".join(got.stdout.splitlines()[-15:]))
