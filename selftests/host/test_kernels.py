# SPDX-License-Identifier: GPL-2.0
"""K=...: which kernel it chooses, for make and for the programs."""

import subprocess
from pathlib import Path

import pytest
from vbl import TREE, Kernel, SetupError, kernel


def fake(release, **more):
    return Kernel(release, Path("/headers") / release, **more)


HERE = [fake("6.12.94+deb12-amd64"), fake("6.12.43-amd64"),
        fake("6.1.0-50-amd64"), fake("6.1.0-5-amd64")]
MADE = [fake("7.2.3-amd64", foreign=True), fake("6.12.94", debug="debug"),
        fake("6.12.94", debug="race")]


@pytest.fixture
def some(monkeypatch):
    """These kernels, and no others."""
    monkeypatch.setattr(kernel, "kernels", lambda: HERE)
    monkeypatch.setattr(kernel, "made_kernels", lambda: MADE)


@pytest.mark.parametrize("want, release", [
    ("6.1", "6.1.0-50-amd64"),
    ("6.12", "6.12.94+deb12-amd64"),
    ("6.12.43", "6.12.43-amd64"),
    ("6.12.43-amd64", "6.12.43-amd64"),
    ("6.1.0-5", "6.1.0-5-amd64"),
    ("6.12.94+deb12-amd64", "6.12.94+deb12-amd64"),
    ("7.2", "7.2.3-amd64"),
])
def test_chosen(some, want, release):
    """6.1 names a series or a release, and never the start of a number."""
    assert kernel.pick_kernel(want).release == release


@pytest.mark.parametrize("want", ["debug", "race"])
def test_made_kernels(some, want):
    assert kernel.pick_kernel(want).debug == want


@pytest.mark.parametrize("want", ["6.1.0-50-amd6", "6.", "6.13", "5", "nosuch"])
def test_not_there(some, want):
    """One line, with the kernels that there are."""
    with pytest.raises(SetupError) as e:
        kernel.pick_kernel(want)
    text = str(e.value)
    assert text.startswith(f"K={want}: no such kernel; there are: ")
    assert all(k.debug or k.release in text for k in HERE + MADE)
    assert "\n" not in text


@pytest.mark.parametrize("want", ["7.2", "debug"])
def test_not_for_make(some, want):
    """What only the harness can build for is told from what is not there."""
    with pytest.raises(SetupError, match="is for guests.*6.1.0-50-amd64"):
        kernel.headers_to_build(want)


def make(*words):
    """make, as a user calls it: (status, output, errors)."""
    got = subprocess.run(["make", "-n", "-C", TREE, *words], text=True,
                         capture_output=True)
    return got.returncode, got.stdout, got.stderr


def test_make_chooses_the_same():
    """For each series with headers, make builds with those of its kernel."""
    assert kernel.series()
    for k in kernel.series():
        status, out, err = make("module", f"K={k.series}")
        assert status == 0, err
        assert f"-C {k.headers} M=" in out
        text = (k.headers / "include/generated/utsrelease.h").read_text()
        assert f'"{k.series}.' in text


def test_make_names_what_is_there():
    """One line from the chooser, and no build."""
    status, out, err = make("module", "K=9.99")
    assert "-C /" not in out
    lines = [line for line in err.splitlines() if "K=9.99" in line]
    assert len(lines) == 1 and kernel.kernels()[0].release in lines[0]
