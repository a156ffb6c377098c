# SPDX-License-Identifier: GPL-2.0
"""The source tree: where it is and which files count as source."""

import os
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]

# Folders whose files never end up in the module.
NOT_KERNEL = ("scripts", "selftests", "Documentation", "debian", "tools",
              "udev")
# ... but for what only a test build of the module takes in.
TEST_BUILD = "scripts/fail_points/"
# Kbuild and programs have no suffix.
CODE = (".c", ".h", ".S", "")
# What a build leaves behind, for trees that are not a git checkout.
BUILD_SUFFIXES = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".order", ".symvers",
                  ".pyc", ".d", ".a")


def _walk(top):
    for where, dirs, names in os.walk(top):
        dirs[:] = sorted(d for d in dirs
                         if d != "__pycache__" and not d.startswith("."))
        for name in sorted(names):
            if not name.endswith(BUILD_SUFFIXES):
                yield os.path.relpath(os.path.join(where, name), top)


def sources(top=TREE):
    """Source files of @top, relative, sorted: tracked ones and new ones."""
    top = Path(top)
    try:
        out = subprocess.run(
            ["git", "-C", str(top), "ls-files", "-z", "-co",
             "--exclude-standard"], capture_output=True, check=True).stdout
        names = [os.fsdecode(n) for n in out.split(b"\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = list(_walk(top))
    return sorted({n for n in names if (top / n).is_file()})


def kernel_sources(top=TREE):
    """The files the module is made of: code in the folders for it, and at the
    top only what Kbuild reads.  The product Makefile is not one of them, nor are
    results that somebody keeps in a folder of the tree."""
    chosen = []
    for name in sources(top):
        folder, slash, _ = name.partition("/")
        if slash:
            if os.path.splitext(name)[1] in CODE and (
                    name.startswith(TEST_BUILD) or
                    folder not in NOT_KERNEL and not folder.startswith(".")):
                chosen.append(name)
        elif name.endswith((".c", ".h", ".S")) or \
                name.startswith(("Kbuild", "VERSION")):
            chosen.append(name)
    return chosen
