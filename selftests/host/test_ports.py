# SPDX-License-Identifier: GPL-2.0
"""make ports: other architectures, of which each runs one kernel here."""

import os
import subprocess

import pytest
from ports import kernels, machines
from ports.load import KINDS, PARTS, Load
from vbl import TREE, SetupError, initramfs


def say(*args, **variables):
    """scripts/ports.py: (exit status, what it says about an error)."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("K", "Q", "DRIVER", "VBL_QEMU")}
    got = subprocess.run([TREE / "scripts/ports.py", *args], text=True,
                         capture_output=True, env={**env, **variables})
    assert not got.stdout
    return got.returncode, got.stderr


@pytest.mark.parametrize("args, variables, said", [
    (["--arch=mips"], {}, "ARCH=mips: there are: arm64, armhf, s390x"),
    ([], {"Q": "7.2"}, "Q=7.2: make ports takes ARCH= and K= only"),
    ([], {"DRIVER": "upstream"}, "DRIVER=upstream: make ports takes ARCH="),
])
def test_refuses(args, variables, said):
    """One line before anything is fetched."""
    status, text = say(*args, **variables)
    assert status == 2 and text.count("\n") == 1
    assert text.startswith(said)


def test_missing(monkeypatch):
    """A QEMU that is not there is named, with what installs it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SetupError, match="^qemu-system-s390x is missing: "
                                         "scripts/setup --ports$"):
        machines.MACHINES["s390x"].command()


def test_applets():
    """The names are read from the file of a busybox, and all of them."""
    busybox = initramfs.busybox_program()
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True,
                           check=True).stdout.split()
    assert sorted(initramfs.applets_of(busybox)) == sorted(names)


@pytest.mark.full
@pytest.mark.parametrize("arch", machines.DEFAULT)
def test_load(arch, tmp_path):
    """The module builds without a warning, and each kind of disk is used."""
    machine = machines.MACHINES[arch]
    suite = "bookworm-backports"
    try:
        machine.command()
        found = kernels.find(machine, machine.flavours[0], suite)
        if not found:
            pytest.skip(f"Debian {suite} has no kernel for {arch}")
        kernel = kernels.fetch(machine, suite, *found)
        kernels.busybox(machine)
    except SetupError as e:
        pytest.skip(str(e))
    ko, warnings = kernels.build(kernel)
    assert not warnings
    seen = Load(machine, kernel, ko, tmp_path).run()
    assert not {n: why for n, (outcome, why) in seen.items()
                if outcome == "failed"}
    lacking = {n for n, kind in KINDS.items()
               if kind.iommu and not machine.iommu
               or kind.intx and not machine.intx}
    assert {n for n in PARTS if seen[n][0] == "skipped"} == lacking
