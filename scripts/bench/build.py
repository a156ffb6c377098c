# SPDX-License-Identifier: GPL-2.0
"""The two C programs, compiled into the cache."""

import os
import subprocess
from pathlib import Path

from vbl import SetupError, cache

HERE = Path(__file__).resolve().parent
HEADERS = ("mark.h", "plugin/qemu_plugin.h")


def _compile(name, source, flags):
    command = [os.environ.get("CC", "gcc"), "-O2", "-Wall", *flags]
    inputs = [command] + [cache.file_hash(HERE / n)
                          for n in (source, *HEADERS)]

    def make(folder):
        got = subprocess.run([*command, "-o", str(folder / name),
                              str(HERE / source)],
                             capture_output=True, text=True)
        if got.returncode:
            raise SetupError(f"{source} does not compile:\n{got.stderr}")

    return cache.entry("bench", inputs, make, name) / name


def iob():
    """Path of the load generator, which runs in any guest."""
    return _compile("iob", "iob.c", ["-static"])


def plugin():
    """Path of the plugin."""
    return _compile("count.so", "plugin/count.c",
                    ["-shared", "-fPIC", "-fvisibility=hidden", "-pthread"])
