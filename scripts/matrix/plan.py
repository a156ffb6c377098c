# SPDX-License-Identifier: GPL-2.0
"""The cells of the matrix."""

import dataclasses
import itertools
import os
import shutil
from pathlib import Path

from vbl import SetupError, cache, lab, pick_kernel, qemu
from vbl.kernel import made_kernels, must_build, series

DRIVERS = ("lite", "upstream")
# The quick ones first: a small budget sees all kernels with these.
PARTS = ("bench", "programs", "faults", "cells", "conformance")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One part with a kernel, a QEMU and a driver."""

    kernel: str         # what K= takes
    release: str
    qemu: str           # its version, which Q= takes
    driver: str
    part: str
    build: str = ""     # of a kernel in a folder, which may be built anew

    def __str__(self):
        return f"{self.release} qemu-{self.qemu} {self.driver} {self.part}"

    @property
    def file(self):
        """Where its outcome is kept."""
        return str(self).replace(" ", "_") + ".json"


def default_kernels():
    """The newest of each series that is installed, and what setup made."""
    made = [k for k in made_kernels() if not k.debug]
    # The newest one that was made may be of a series that is installed too.
    return list(dict.fromkeys([k.release for k in series()]
                              + [k.release for k in made[:1]]))


def default_qemus():
    """Versions of the QEMUs that are there."""
    paths = [shutil.which("qemu-system-x86_64"), *lab.find_qemus()]
    return list(dict.fromkeys(
        ".".join(map(str, qemu.version(p))) for p in paths if p))


def cells(kernels, qemus, drivers, parts):
    """All cells; raises in one line when one of the names is wrong."""
    _known("DRIVERS", drivers, DRIVERS)
    _known("PARTS", parts, PARTS)
    if os.environ.get("VBL_QEMU"):
        raise SetupError("VBL_QEMU= is one QEMU; a matrix has QEMUS=, by their "
                         "versions")
    found = {}
    for name in kernels or default_kernels():
        kernel = pick_kernel(name)
        if kernel.folder:
            # Cells are not run in the folder where this is.
            name = str(Path(name).expanduser().absolute())
        if "lite" in drivers:
            must_build(kernel)
        same = [n for n, k in found.items() if k.release == kernel.release]
        if same:
            raise SetupError(f"KERNELS: {same[0]} and {name} are both "
                             f"{kernel.release}")
        found[name] = kernel
    versions = []
    for name in qemus or default_qemus():
        path = qemu.named(name)
        qemu.check([path])
        versions.append(".".join(map(str, qemu.version(path))))
    return [Cell(name, k.release, q, d, p, _build(k))
            for p, (name, k), q, d in itertools.product(
                dict.fromkeys(parts), found.items(), dict.fromkeys(versions),
                dict.fromkeys(drivers))]


def _build(kernel):
    return cache.digest(cache.file_stamp(kernel.image)) if kernel.folder else ""


def _known(what, given, there):
    wrong = [g for g in given if g not in there]
    if wrong:
        raise SetupError(f"{what}: no {wrong[0]}; there are: "
                         + ", ".join(there))
