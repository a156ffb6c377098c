# SPDX-License-Identifier: GPL-2.0
"""Programs newer than this release has, in a folder of their own.

Nothing of it is installed: the packages are unpacked into the cache, and run
with the libraries that came with them.
"""

import shutil
import subprocess

from . import cache
from .errors import SetupError

SUITE = "forky"
QEMU_PACKAGES = "qemu-system-x86,seabios"

# exec, so that signals and the death of the parent reach QEMU itself.
WRAPPER = """#!/bin/sh
lib={root}/usr/lib/x86_64-linux-gnu share={root}/usr/share
export QEMU_MODULE_DIR=$lib/qemu
exec {root}/usr/lib64/ld-linux-x86-64.so.2 --library-path $lib \\
	{root}/usr/bin/qemu-system-x86_64 -L $share/qemu -L $share/seabios "$@"
"""


def qemu():
    """A QEMU of 10.1 or later, as the path of a command; made when missing."""
    final = cache.entry("qemu", [SUITE, QEMU_PACKAGES], _make_qemu, SUITE)
    command = final / "qemu-system-x86_64"
    text = WRAPPER.format(root=final / "root")
    # The cache may have been moved since.
    if not command.exists() or command.read_text() != text:
        command.write_text(text)
        command.chmod(0o755)
    return str(command)


def _make_qemu(folder):
    if not shutil.which("mmdebstrap"):
        raise SetupError("mmdebstrap not found; run scripts/setup")
    print(f"unpacking a newer QEMU (Debian {SUITE}) into {cache.root()}",
          flush=True)
    root = folder / "root"
    got = subprocess.run(
        ["mmdebstrap", "--variant=extract", f"--include={QEMU_PACKAGES}",
         # An archive that is not refreshed daily is as good here.
         "--aptopt=Acquire::Check-Valid-Until \"false\"",
         SUITE, str(root)], capture_output=True, text=True)
    if got.returncode:
        raise SetupError(f"cannot unpack QEMU of Debian {SUITE}:\n"
                         + "\n".join(got.stderr.splitlines()[-8:]))
    for unused in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / unused, ignore_errors=True)
