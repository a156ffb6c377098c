# SPDX-License-Identifier: GPL-2.0
"""Which kernels Debian's suites carry, from their package lists.

The lists are kept in the cache with an apt of their own: the system's package
sources and what is installed stay as they are.
"""

import contextlib
import dataclasses
import re
import subprocess
import time

from . import cache
from .errors import SetupError

# Each suite, oldest first, and the release whose compiler its kernels need.
RELEASE = {
    "bullseye": "bullseye",
    "bookworm": "bookworm", "bookworm-backports": "bookworm",
    "trixie": "trixie", "trixie-backports": "trixie",
    "sid": "sid", "experimental": "sid",
}
# What the newest kernel is looked for in; the stable ones never have it.
NEW = ("bookworm-backports", "trixie-backports", "sid", "experimental")
LIST_SECONDS = 12 * 3600


@dataclasses.dataclass(frozen=True)
class Package:
    """A version of a package in a suite."""

    name: str
    version: str
    suite: str


def _mirrors():
    """(main, security) as this system has them."""
    got = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)",
         "Created-By: Packages"], capture_output=True, text=True)
    found = {}
    for line in got.stdout.splitlines():
        label, _, uri = line.partition(" ")
        found.setdefault(label, uri)
    if "Debian" not in found:
        raise SetupError("apt knows no mirror of Debian; run apt-get update")
    main = found["Debian"]
    return main, found.get("Debian-Security", main.rstrip("/") + "-security/")


def sources(suite, updates=True):
    """Lines for apt with which the packages of @suite can be installed; of a
    release with its security updates, unless @updates is False."""
    main, security = _mirrors()
    release = RELEASE[suite]
    lines = [f"deb {main} {release} main"]
    if release != "sid" and updates:
        lines.append(f"deb {security} {release}-security main")
    if suite != release:
        lines.append(f"deb {main} {suite} main")
    return lines


def prefer(suite):
    """A hook for mmdebstrap: what a kernel needs comes from its own suite."""
    if RELEASE.get(suite, suite) == suite:
        return "true"
    codename = {"experimental": "rc-buggy"}.get(suite, suite)
    return (f"printf 'Package: linux-*\\nPin: release n={codename}\\n"
            "Pin-Priority: 900\\n' >\"$1\"/etc/apt/preferences.d/kernel")


class Lists:
    """The package lists of suites for one architecture: of all of them, or of
    @only one, without its security updates."""

    def __init__(self, arch="amd64", only=None):
        self.arch = arch
        self.lines = sources(only, False) if only else sorted(
            {line for suite in RELEASE for line in sources(suite)})
        name = f"{arch}-{only}" if only else arch
        self.folder = cache.root() / "apt" / name
        self.options = [
            "-o", f"Dir::State={self.folder}/state",
            "-o", f"Dir::Cache={self.folder}/cache",
            # Containers have these switched off.
            "-o", "Dir::Cache::pkgcache=pkgcache.bin",
            "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
            "-o", f"Dir::Etc::sourcelist={self.folder}/sources.list",
            "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", "Dir::State::status=/dev/null",
            "-o", f"APT::Architecture={arch}",
            "-o", f"APT::Architectures={arch}",
            "-o", "Acquire::Languages=none",
            # An archive that is not refreshed daily is as good here.
            "-o", "Acquire::Check-Valid-Until=false"]
        with cache.lock(f"apt-{name}"):
            self._update()

    def _update(self):
        text = "".join(f"{line}\n" for line in self.lines)
        listed, stamp = self.folder / "sources.list", self.folder / "fetched"
        with contextlib.suppress(OSError):
            if listed.read_text() == text and \
                    time.time() - stamp.stat().st_mtime < LIST_SECONDS:
                return
        for part in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        listed.write_text(text)
        got = self._run("apt-get", "update")
        if got.returncode == 0:
            stamp.touch()
        elif not stamp.exists():
            raise SetupError("the package lists of Debian cannot be fetched:\n"
                             + got.stderr.strip())

    def _run(self, command, *args, **options):
        return subprocess.run([command, *self.options, *args],
                              capture_output=True, text=True, **options)

    def newest(self, name, suite):
        """The newest version of a package in a suite, or None."""
        wanted = {suite, f"{suite}-security"}
        # The newest comes first.
        for line in self._run("apt-cache", "madison", name).stdout.splitlines():
            words = line.replace("|", " ").split()
            if words[3].partition("/")[0] in wanted:
                return Package(name, words[1], suite)
        return None

    def depends(self, package, pattern):
        """The first package that @package needs and that is called so."""
        got = self._run("apt-cache", "show",
                        f"{package.name}={package.version}")
        need = re.search(r"^Depends: (.*)", got.stdout, re.M)
        found = re.search(pattern, need[1]) if need else None
        if not found:
            raise SetupError(f"{package.name} {package.version} of Debian "
                             f"{package.suite} needs no {pattern}")
        return found[0]

    def headers(self, suite, flavour):
        """Name of the newest headers of a flavour in a suite, or None."""
        meta = self.newest(f"linux-headers-{flavour}", suite)
        return meta and self.depends(meta, r"linux-headers-\d[^ ,]*")

    def newest_kernel(self, flavour="amd64", among=NEW):
        """The newest linux-image of a flavour in any of the suites."""
        # In the order of apt's own list, which compares versions right.
        for line in self._run("apt-cache", "madison",
                              f"linux-image-{flavour}").stdout.splitlines():
            words = line.replace("|", " ").split()
            suite = words[3].partition("/")[0]
            if suite in among:
                return Package(words[0], words[1], suite)
        raise SetupError(f"Debian's suites carry no linux-image-{flavour}")

    def download(self, name, folder):
        """Fetch the newest version of a package into @folder, and unpack it."""
        got = self._run("apt-get", "download", name, cwd=folder)
        debs = list(folder.glob("*.deb"))
        if got.returncode or len(debs) != 1:
            raise SetupError(f"cannot download {name} for {self.arch}:\n"
                             + got.stderr.strip())
        subprocess.run(["dpkg", "-x", debs[0], folder], check=True)
        debs[0].unlink()
