# SPDX-License-Identifier: GPL-2.0
"""The tests that need no guest: the ring compiled for userspace."""

import subprocess

import pytest
from vbl import TREE


def test_unit():
    if not (TREE / "selftests/unit/Makefile").exists():
        pytest.skip("selftests/unit has no Makefile")
    got = subprocess.run(["make", "-s", "-C", TREE / "selftests/unit",
                          "check"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    print(got.stdout)
    assert got.returncode == 0
