# SPDX-License-Identifier: GPL-2.0
"""Which kernel, QEMU and driver are used: K=, Q=, VBL_QEMU= and DRIVER=."""

import gzip
import lzma
import os
import re
import struct
import subprocess

import pytest
from vbl import (
    TREE,
    Disk,
    SetupError,
    expected,
    kernel_folder,
    lab,
    pick_kernel,
    suites,
)
from vbl import qemu as vbl_qemu

ALL = {**kernel_folder.BUILT_IN, **kernel_folder.EITHER}


def image(path, release="6.99.0-test"):
    """A file with the header of a kernel."""
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    head[0x20e:0x210] = struct.pack("<H", 0x600)
    head[0x800:0x800 + len(release)] = release.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)


def tree(folder, without="", **more):
    """A folder that looks like a kernel tree that was built."""
    image(folder / "arch/x86/boot/bzImage")
    config = {**dict.fromkeys(ALL, "y"), **more}
    (folder / ".config").write_text("".join(
        f"CONFIG_{name}={value}\n" for name, value in config.items()
        if name != without))
    for name in ("Makefile", "modules.order", "Module.symvers"):
        (folder / name).touch()
    return folder


def refused(folder):
    """The one line with which a folder is refused."""
    with pytest.raises(SetupError) as why:
        pick_kernel(f"{folder}/")
    assert str(why.value).startswith(f"K={folder}/: ")
    assert "\n" not in str(why.value)
    return str(why.value)


def test_no_kernel(tmp_path):
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert "no kernel here" in refused(tmp_path)
    (tmp_path / "vmlinuz").write_text("words")
    assert "vmlinuz is no Linux kernel for x86" in refused(tmp_path)
    image(tmp_path / "vmlinuz")
    assert "modules of 6.99.0-test are not here" in refused(tmp_path)


@pytest.mark.parametrize("option", sorted(ALL))
def test_tree_lacks(tmp_path, option):
    """Whatever a guest needs is missed before anything is built."""
    said = refused(tree(tmp_path, without=option))
    assert f"lacks CONFIG_{option} ({ALL[option]})" in said


def test_tree_not_ready(tmp_path):
    tree(tmp_path)
    (tmp_path / "modules.order").unlink()
    assert "run make modules" in refused(tmp_path)
    for uarts in ("1", "many"):
        tree(tmp_path, SERIAL_8250_RUNTIME_UARTS=uarts)
        assert "RUNTIME_UARTS" in refused(tmp_path)


def test_modules_without_virtio(tmp_path):
    """Without a configuration, the list of the modules tells."""
    image(tmp_path / "vmlinuz")
    modules = tmp_path / "lib/modules/6.99.0-test"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text(
        "kernel/drivers/nvme/host/nvme.ko:\nkernel/fs/ext4/ext4.ko:\n"
        "kernel/drivers/virtio/virtio_pci.ko.xz:\n")
    (modules / "modules.builtin").write_text(
        "kernel/drivers/tty/serial/8250/8250.ko\n")
    said = refused(tmp_path)
    assert "lacks CONFIG_VIRTIO_BLK" in said and "VIRTIO_PCI" not in said


@pytest.mark.parametrize("pack", [
    lzma.compress, gzip.compress, lambda data: subprocess.run(
        ["zstd", "-qc"], input=data, capture_output=True, check=True).stdout,
    lambda data: data], ids=["xz", "gzip", "zstd", "broken"])
def test_configuration_inside(tmp_path, pack, request):
    """A kernel that carries its own is known by it, however it is packed; the
    modules would not tell that it has no serial console."""
    image(tmp_path / "vmlinuz")
    config = "".join(f"CONFIG_{o}=y\n" for o in ALL
                     if o != "SERIAL_8250_CONSOLE").encode()
    packed = pack(b"ELF" + b"IKCFG_ST" + gzip.compress(config) + b"IKCFG_ED"
                  + bytes(100000)) + b"size"
    if request.node.callspec.id == "broken":
        packed = b"\xfd7zXZ\0 is no such thing"
    head = bytearray((tmp_path / "vmlinuz").read_bytes())
    head[0x1f1] = 7
    head[0x248:0x250] = struct.pack("<II", 0, len(packed))
    (tmp_path / "vmlinuz").write_bytes(head + packed)
    modules = tmp_path / "lib/modules/6.99.0-test"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("".join(
        f"kernel/{m}.ko:\n" for m in ("nvme", "ext4", "virtio_pci",
                                      "virtio_blk", "8250")))
    if request.node.callspec.id == "broken":
        assert pick_kernel(f"{tmp_path}/").release == "6.99.0-test"
    else:
        assert refused(tmp_path).endswith(
            "lacks CONFIG_SERIAL_8250_CONSOLE (a console on the serial port)")


def test_unreadable_image(tmp_path, monkeypatch):
    """As those in /boot are for users, on some systems."""
    image(tmp_path / "vmlinuz")

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kernel_folder, "release_of", denied)
    assert refused(tmp_path).endswith(": vmlinuz: Permission denied")


@pytest.mark.parametrize("suite", sorted({lab.QEMU[0], *suites.RELEASE}))
def test_each_suite_is_unpacked(tmp_path, monkeypatch, suite):
    """Also one whose kernels nobody asks for, as that of the newer QEMU."""
    command = tmp_path / "mmdebstrap"
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/words\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lab.unpack("a program", suite, "hello", tmp_path / "root", ())
    words = (tmp_path / "words").read_text().splitlines()
    assert words[-2:] == [suite, f"{tmp_path}/root"]
    pinned = f"release n={suite}" in "".join(words).replace(
        "rc-buggy", "experimental")
    assert pinned == (suite.endswith("-backports") or suite == "experimental")


def test_no_headers(tmp_path):
    """Such a kernel is for upstream's driver only."""
    tree(tmp_path)
    modules = tmp_path / "plain/lib/modules/6.99.0-test"
    modules.mkdir(parents=True)
    (modules / "modules.dep").touch()
    (tmp_path / ".config").rename(tmp_path / "plain/config")
    image(tmp_path / "plain/vmlinuz")
    got = guest("check", K=f"{tmp_path}/plain")
    assert got.returncode == 2
    assert "no headers of 6.99.0-test" in got.stderr
    assert guest("check", K=f"{tmp_path}/plain",
                 DRIVER="upstream").returncode == 0


@pytest.mark.full
def test_folder_boots(boot, tmp_path):
    """An installed kernel, in another place and without its configuration."""
    kernel = pick_kernel(None)
    (tmp_path / "lib/modules").mkdir(parents=True)
    (tmp_path / "vmlinuz").write_bytes(kernel.image.read_bytes())
    (tmp_path / "lib/modules" / kernel.release).symlink_to(kernel.modules)
    (tmp_path / "build").symlink_to(kernel.headers)
    g = boot(kernel=str(tmp_path), disks=[Disk()])
    assert g.sh("uname -r").strip() == kernel.release
    assert g.sh(f"virtio_driver {g.bdf(0)}").strip() == "virtio_blk_lite"


# -- QEMU --------------------------------------------------------------------

def guest(*args, **env):
    """Run scripts/guest.py with other variables."""
    clean = {k: v for k, v in os.environ.items()
             if k not in ("K", "Q", "DRIVER", "VBL_QEMU")}
    return subprocess.run([TREE / "scripts/guest.py", *args], text=True,
                          capture_output=True, env={**clean, **env})


def test_qemu_in_a_folder_with_a_blank(tmp_path):
    there = tmp_path / "my qemu"
    there.mkdir()
    (there / "qemu").symlink_to(vbl_qemu.binary(["qemu-system-x86_64"])[0])
    for text in (f"{there}/qemu", f"'{there}/qemu'"):
        got = guest("check", VBL_QEMU=text)
        assert got.returncode == 0, got.stderr


def test_file_that_does_not_run(tmp_path):
    """Such as one of another machine."""
    fake = tmp_path / "qemu"
    fake.write_bytes(b"\x7fELF\0\xff")
    fake.chmod(0o755)
    got = guest("check", VBL_QEMU=str(fake))
    assert got.returncode == 2
    assert got.stderr == f"{fake} is no QEMU: Exec format error\n"


@pytest.mark.parametrize("env, word", [
    ({"VBL_QEMU": "qemu 'x"}, "VBL_QEMU=qemu 'x: no closing quotation"),
    ({"VBL_QEMU": " "}, "VBL_QEMU= is no command"),
    ({"K": "/bin/true"}, "K=/bin/true: this is no folder"),
    ({"Q": "0.9"}, "Q=0.9: no such QEMU; there are: "),
    ({"Q": "7", "VBL_QEMU": "qemu-system-x86_64"}, "give one of them"),
    ({"VBL_QEMU": "/bin/true"}, "/bin/true is no QEMU"),
    ({"VBL_QEMU": "/nowhere/qemu"}, "/nowhere/qemu not found"),
    ({"DRIVER": "both"}, "DRIVER=both: lite or upstream"),
    ({"K": "/proc"}, "K=/proc: no kernel here"),
])
def test_refused_before_anything_starts(env, word):
    got = guest("check", **env)
    assert got.returncode == 2 and word in got.stderr
    assert got.stderr.count("\n") == 1


def test_qemu_lacks_a_device(tmp_path):
    fake = tmp_path / "qemu"
    fake.write_text("#!/bin/sh\necho QEMU emulator version 9.9.0\n"
                    "case $2 in virtio-blk-pci*) exit 1;; esac\n")
    fake.chmod(0o755)
    got = guest("check", VBL_QEMU=str(fake))
    assert got.returncode == 2
    assert "lacks the device(s) virtio-blk-pci, virtio-blk-pci-trans" in \
        got.stderr


def test_named_qemu():
    """A name is the beginning of a version, at a dot."""
    path = vbl_qemu.binary(["qemu-system-x86_64"])[0]
    version = ".".join(map(str, vbl_qemu.version(path)))
    assert vbl_qemu.named(version) == path
    with pytest.raises(SetupError, match="no such QEMU"):
        vbl_qemu.named(version[:-1] + "999")


# -- what upstream's driver does otherwise -----------------------------------

def test_expected():
    rows = expected.read()
    assert rows and all(r["reason"].strip() for r in rows)
    assert expected.find("upstream", "programs", "params", kind="n/a")
    assert not expected.find("lite", "programs", "params", kind="n/a")
    assert expected.find("upstream", "programs", "irq", "2 vectors: CPU 0")
    assert not expected.find("upstream", "programs", "irq", "CPU 0: its")


@pytest.mark.parametrize("line", [
    "faults\tx\t*\tfails", "faults\tx\t*\tfails\t ", "faults\tx\t*\tmaybe\tso",
])
def test_expected_needs_a_reason(tmp_path, line):
    path = tmp_path / "expected.tsv"
    path.write_text(f"suite\ttest\tpoint\tkind\treason\n{line}\n")
    with pytest.raises(SetupError, match="expected.tsv:2: "):
        expected.read(path)


# -- what upstream's driver breaks -------------------------------------------

def test_upstream_page_is_current():
    """It is what the tool makes of what was seen."""
    got = subprocess.run([TREE / "scripts/upstream.py", "--check"], text=True,
                         capture_output=True)
    assert got.returncode == 0, got.stdout


def test_upstream_page_has_what_one_needs():
    """Of each deviation the requirement, a command that exists, a kernel."""
    text = (TREE / "Documentation/upstream.md").read_text()
    parts = text.split("\n### ")[1:]
    tests = "".join(p.read_text() for p in
                    (TREE / "selftests/host").glob("test_conformance*.py"))
    assert parts
    for part in parts:
        assert "virtio 1.4, " in part.splitlines()[0]
        assert "\n- seen on: " in part
        name = re.search(r"^- `make conformance K=\S+ DRIVER=upstream "
                         r"T=(\w+)`$", part, re.M)[1]
        assert f"def {name}(" in tests
    assert "not known yet" not in text
