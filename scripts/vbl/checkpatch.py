# SPDX-License-Identifier: GPL-2.0
"""Where checkpatch.pl comes from: a kernel tree, or the source package."""

import os
import subprocess
from pathlib import Path

from . import cache
from .errors import SetupError
from .kernel import kernels

_PARTS = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")


def find():
    """Path of a checkpatch.pl: $CHECKPATCH, an installed kernel source, or
    one taken out of the distribution's source package into the cache."""
    given = os.environ.get("CHECKPATCH")
    if given:
        if not os.path.exists(given):
            raise SetupError(f"CHECKPATCH={given}: no such file")
        return Path(given)
    every = kernels()
    for top in [*(k.headers for k in every), *(k.headers / "source"
                for k in every), *sorted(Path("/usr/src").glob("linux-*"))]:
        if (top / "scripts/checkpatch.pl").exists():
            return top / "scripts/checkpatch.pl"
    for series in dict.fromkeys(k.series for k in every):
        tar = Path(f"/usr/src/linux-source-{series}.tar.xz")

        def make(folder, tar=tar, series=series):
            _extract(folder, tar if tar.exists() else None, series)

        return cache.entry("checkpatch", [series], make, series) / _PARTS[0]
    raise SetupError("no kernel source to take checkpatch.pl from")


def _extract(folder, tar, series):
    package = f"linux-source-{series}"
    if not tar:
        print(f"{package} is not installed: downloading it for its "
              "checkpatch.pl", flush=True)
        got = subprocess.run(["apt-get", "download", package], cwd=folder,
                             capture_output=True, text=True)
        debs = list(folder.glob("*.deb"))
        if got.returncode or len(debs) != 1:
            raise SetupError(f"cannot download {package}: "
                             + got.stderr.strip())
        subprocess.run(["dpkg", "-x", str(debs[0]), str(folder / "x")],
                       check=True)
        debs[0].unlink()
        tar = next((folder / "x").rglob("linux-source-*.tar.xz"))
    subprocess.run(["tar", "-xJf", str(tar), "-C", str(folder),
                    "--strip-components=2",
                    *(f"linux-source-{series}/scripts/{p}" for p in _PARTS)],
                   check=True)
    subprocess.run(["rm", "-rf", str(folder / "x")], check=True)
