# SPDX-License-Identifier: GPL-2.0
"""The packages of this tree, and the image on which a guest gets them."""

import shutil
import subprocess
from pathlib import Path

from vbl import BuildFailed, SetupError, cache, initramfs, tree


def _build():
    """A folder with the packages of this tree."""
    names = tree.sources()

    def make(folder):
        source = folder / "source"
        for name in names:
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree.TREE / name, target)
        got = subprocess.run(["make", "-C", source, "deb"], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        debs = list(source.rglob("*.deb")) + list(folder.glob("*.deb"))
        if got.returncode or not debs:
            raise BuildFailed("make deb:\n" + got.stdout[-3000:])
        for deb in debs:
            shutil.copy(deb, folder)
        shutil.rmtree(source)

    return cache.entry("deb", [[n, cache.file_hash(tree.TREE / n)]
                               for n in names], make)


def image(folder=None):
    """An image with the packages in @folder, else with those of this tree."""
    debs = sorted(Path(folder or _build()).glob("*.deb"))
    if not debs:
        raise SetupError(f"{folder}: no packages there")

    def make(where):
        stage = where / "stage"
        stage.mkdir()
        for deb in debs:
            shutil.copy(deb, stage)
        with open(where / "debs.img", "wb") as f:
            f.truncate(16 << 20)
        subprocess.run([initramfs.tool("mkfs.ext4"), "-q", "-F", "-O",
                        "^has_journal", "-d", stage, where / "debs.img"],
                       check=True)
        shutil.rmtree(stage)

    return cache.entry("dropin-debs", [cache.file_hash(d) for d in debs],
                       make) / "debs.img"
