# SPDX-License-Identifier: GPL-2.0
"""The tests that need no guest: the ring compiled for userspace."""

import shutil
import subprocess

import pytest
from vbl import TREE


def make(folder, *words):
    """Run make in a folder of the self-tests; what it says is shown."""
    got = subprocess.run(["make", "-s", "-C", TREE / "selftests" / folder,
                          *words], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    print(got.stdout)
    return got


def test_unit():
    if not (TREE / "selftests/unit/Makefile").exists():
        pytest.skip("selftests/unit has no Makefile")
    assert make("unit", "check").returncode == 0


@pytest.mark.skipif(not (shutil.which("clang-14") or shutil.which("clang")),
                    reason="clang is not installed: no libFuzzer")
def test_fuzz_ring():
    """Every input of the corpus, and a few seconds of new ones."""
    got = make("fuzz", "check", "SECS=5")
    if "libclang_rt" in got.stdout:
        pytest.skip("clang has no libFuzzer (Debian: libclang-rt-14-dev)")
    assert got.returncode == 0
