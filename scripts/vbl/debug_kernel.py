# SPDX-License-Identifier: GPL-2.0
"""Guest kernels with checks for memory errors and data races.

Debian ships none, so they are built from Debian's source package into the
cache.  K=debug has KASAN, UBSAN, lockdep and their like, see
scripts/debug.config; K=race has KCSAN, see scripts/race.config.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import cache, tree
from .errors import SetupError

# What each is built with: a later file overrides an earlier one.
CONFIGS = {name: [tree.TREE / "scripts" / f"{n}.config" for n in files]
           for name, files in (("debug", ("debug",)),
                               ("race", ("debug", "race")))}
PACKAGE = "linux-source-6.12"
TOOLS = ("flex", "bison", "bc", "gcc", "make")
# What a module is built with; the rest of the source can go.
KEEP = ("Makefile", "Module.symvers", ".config", "include", "scripts")
KEEP_X86 = ("Makefile", "Makefile_32.cpu", "Makefile.postlink", "include",
            "entry/syscalls", "tools")


def find():
    """(flavour, (release, headers, root)) of each one that is there."""
    for flavour in CONFIGS:
        folder = cache.root() / "debug-kernel" / \
            f"6.12-{cache.digest(_inputs(flavour))}"
        if folder.is_dir():
            yield flavour, _read(folder)


def build(flavour="debug"):
    """One of them, built now when it is missing: half an hour on two cores."""
    return _read(cache.entry("debug-kernel", _inputs(flavour),
                             lambda folder: _make(folder, flavour), "6.12"))


def build_race():
    """The one for data races."""
    return build("race")


def _inputs(flavour):
    return [PACKAGE, *map(cache.file_hash, CONFIGS[flavour])]


def _options(flavour):
    """The lines that a kernel's configuration shall have."""
    lines = {}
    for path in CONFIGS[flavour]:
        for line in path.read_text().splitlines():
            if line.startswith("CONFIG_"):
                lines[line.partition("=")[0]] = line
    return list(lines.values())


def _read(folder):
    release = (folder / "release").read_text().strip()
    return release, folder / "headers", folder / "root"


def _make(folder, flavour):
    missing = [t for t in TOOLS if not shutil.which(t)]
    if missing:
        raise SetupError(f"{', '.join(missing)} not found; run "
                         f"scripts/setup --{flavour}-kernel")
    print(f"building a {flavour} kernel from {PACKAGE} into {cache.root()}; this "
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
    wanted = folder / "config"
    wanted.write_text("".join(f"{line}\n" for line in _options(flavour)))
    _run([*make, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"], source)
    _check_config(source, flavour)
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


def _check_config(source, flavour):
    """Every option asked for has to be there: others may hide it silently."""
    got = set((source / ".config").read_text().splitlines())
    lost = [line for line in _options(flavour)
            if not line.endswith("=n") and line not in got]
    if lost:
        raise SetupError(f"{flavour}.config: this kernel does not take "
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
