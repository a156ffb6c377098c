# SPDX-License-Identifier: GPL-2.0
"""make deb: what the packages have, and what Debian's own checks say of them."""

import shutil
import subprocess

import pytest
from vbl import TREE, tree
from vbl.kernel import build_module, module_warnings


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    """The folder with the packages of this tree."""
    if not shutil.which("dh"):
        pytest.skip("debhelper is not installed (scripts/setup --packages)")
    copy, out = (tmp_path_factory.mktemp(n) for n in ("tree", "debs"))
    for name in tree.sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, copy / name)
    # What a build leaves is nothing for a package.
    (copy / "blk/submit.o").touch()
    (copy / "include/compat/found.h").touch()
    got = subprocess.run(["make", "-C", copy, "deb", f"DEB={out}"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert got.returncode == 0, got.stdout
    return out


def unpacked(debs, name, folder):
    deb, = debs.glob(f"{name}_*.deb")
    subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
    return {str(p.relative_to(folder)) for p in folder.rglob("*")
            if not p.is_dir()}


def test_module(debs, tmp_path):
    """All that the module is made of, for DKMS, and nothing else."""
    version = (TREE / "VERSION").read_text().strip()
    names = unpacked(debs, "virtio-lite-dkms", tmp_path)
    source = f"usr/src/virtio-lite-{version}/"
    found = {n.removeprefix(source) for n in names if n.startswith(source)}
    wanted = {n for n in tree.kernel_sources()
              if not n.startswith(("scripts/", "include/userspace/",
                                   "samples/"))}
    assert found == wanted | {"dkms.conf"}
    conf = (tmp_path / source / "dkms.conf").read_text()
    assert f'PACKAGE_VERSION="{version}"' in conf and "uname" not in conf
    assert f'version="{version}"' in (
        tmp_path / "usr/lib/virtio-lite/dkms-build").read_text()
    others = {n for n in names if not n.startswith(
        (source, "usr/share/doc/"))}
    assert others == {
        "usr/lib/virtio-lite/dkms-build",
        "usr/lib/udev/rules.d/59-virtio-lite.rules",
        "etc/kernel/postinst.d/dkms-virtio-lite",
        "etc/kernel/header_postinst.d/dkms-virtio-lite"}


def test_compiled_by_part():
    """What DKMS compiles in fewer pieces is the same module."""
    assert "BY_PART=1" in (TREE / "debian/dkms.conf").read_text()
    files, parts = build_module(), build_module(make_args=("BY_PART=1",))
    assert module_warnings(parts) == ""
    assert "part_blk" in (parts.parent / "build.log").read_text()
    assert symbols(parts) == symbols(files)


def symbols(ko):
    """What other files and modules see of a module."""
    got = subprocess.run(["nm", "--defined-only", "--extern-only", ko],
                         capture_output=True, text=True, check=True)
    return sorted(line.split(" ", 1)[1] for line in got.stdout.splitlines())


def test_tools(debs, tmp_path):
    """The command runs from where its package puts it; both parts have a page."""
    names = unpacked(debs, "virtio-lite-tools", tmp_path)
    assert {n for n in names if n.startswith("usr/lib/virtio-lite/")} == \
        {f"usr/lib/virtio-lite/{p.name}" for p in
         [*(TREE / "tools/lib").iterdir(), TREE / "tools/boot"]}
    for name in "virtio-lite", "bind-lite":
        assert f"usr/sbin/{name}" in names
        assert f"usr/share/man/man8/{name}.8.gz" in names
    # Nothing of it may run before a user asks for it, nor stay when it goes.
    assert not any(n.startswith(("etc/", "var/", "usr/lib/modprobe.d"))
                   for n in names)


def test_from_source(tmp_path):
    """What make -C tools install puts there, uninstall takes away."""
    def make(what):
        subprocess.run(["make", "-s", "-C", TREE / "tools", what,
                        f"DESTDIR={tmp_path}"], check=True)
        return [p for p in tmp_path.rglob("*") if not p.is_dir()]

    assert make("install") and not make("uninstall")


def test_every_command_is_described():
    """The page, the usage and the completion name the same commands."""
    command = (TREE / "tools/virtio-lite").read_text()
    page = (TREE / "tools/virtio-lite.8").read_text()
    completion = (TREE / "tools/virtio-lite.bash").read_text()
    for name in ("list", "status", "check", "bind", "unbind", "persist",
                 "top"):
        assert f"virtio-lite {name}" in command
        assert name in page and name in completion


@pytest.mark.full
def test_lintian(debs):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed (scripts/setup --packages)")
    changes, = debs.glob("*.changes")
    got = subprocess.run(["lintian", "--allow-root", "--fail-on",
                          "error,warning,info", "-I", changes], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (got.returncode, got.stdout) == (0, "")
