# SPDX-License-Identifier: GPL-2.0
"""The guest programs as kselftests of a kernel's source: installed by its
Makefile, run by its run_kselftest.sh in a Debian guest without our harness."""

import re
import shutil
import subprocess

import pytest
from vbl import TREE, Disk, SetupError, cache, debian, program

SOURCE = "linux-source-6.1"
# What make install needs of that source.
PARTS = ("tools/testing/selftests/Makefile", "tools/testing/selftests/lib.mk",
         "tools/testing/selftests/run_kselftest.sh",
         "tools/testing/selftests/kselftest", "scripts/subarch.include")


def source():
    """Where those parts of Debian's kernel source are, fetched when missing."""
    def make(folder):
        for argv in (["apt-get", "download", SOURCE],
                     ["sh", "-c", "dpkg -x ./*.deb package && rm ./*.deb"],
                     ["sh", "-c", "tar -xf package/usr/src/*.tar.xz "
                      "--strip-components=1 --wildcards "
                      + " ".join(f"'*/{p}'" for p in PARTS)]):
            got = subprocess.run(argv, cwd=folder, text=True,
                                 capture_output=True)
            if got.returncode:
                raise SetupError(f"{' '.join(argv)}: {got.stderr}")
        shutil.rmtree(folder / "package")

    return cache.entry("kselftest", [SOURCE, PARTS], make)


def install(tmp_path, *more):
    """Link our folder in, and install; the folder that a guest gets."""
    there, to = tmp_path / "linux", tmp_path / "installed"
    shutil.copytree(source(), there)
    selftests = there / "tools/testing/selftests"
    (selftests / "virtio_lite").symlink_to(TREE / "selftests")
    got = subprocess.run(
        ["make", "-C", str(selftests), "TARGETS=virtio_lite",
         f"INSTALL_PATH={to}", *more, "install"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert got.returncode == 0, got.stdout
    return to


def test_alone():
    """Without a kernel's source make says what to do, and exits with 2."""
    got = subprocess.run(["make", "-C", TREE / "selftests"], text=True,
                         capture_output=True)
    assert got.returncode == 2
    assert "link this folder into tools/testing/selftests" in got.stderr


def test_helpers_are_inside():
    """What a program reads when it is installed is in the same folder."""
    folder = TREE / "selftests"
    assert {"lib.sh", "vbl.sh", "bind-lite"} <= {p.name for p in
                                                 folder.iterdir()}
    for path in (*program.programs(), folder / "lib.sh"):
        assert "../scripts" not in re.sub(r"#.*", "", path.read_text())


@pytest.mark.full
@pytest.mark.parametrize("more", ["FORCE_TARGETS=1", "O=out"])
def test_installs(tmp_path, more):
    """Also into another folder, and where a failure would be one."""
    if not shutil.which("rsync"):
        pytest.skip("make install of the kernel's selftests needs rsync")
    if more == "O=out":
        (tmp_path / "out").mkdir()
        more = f"O={tmp_path}/out"
    installed = install(tmp_path, more)
    assert {p.name for p in (installed / "virtio_lite").iterdir()} >= {
        *(p.name for p in program.programs()), "lib.sh", "vbl.sh", "bind-lite",
        "lib", "settings", "config"}


@pytest.mark.full
def test_run_kselftest(boot, kernel, tmp_path):
    if not shutil.which("rsync"):
        pytest.skip("make install of the kernel's selftests needs rsync")
    installed = install(tmp_path)
    names = [p.name for p in program.programs()]
    listed = (installed / "kselftest-list.txt").read_text().split()
    assert sorted(listed) == [f"virtio_lite:{n}" for n in names]
    g = boot(kernel=kernel, disks=[Disk()], tools=debian.image(),
             timeout=1800, files={
                 f"ksft/{p.relative_to(installed)}": p
                 for p in installed.rglob("*") if p.is_file()})
    out = g.sh(debian.START + f"""
        cp -r /ksft /virtio_lite.ko /tools/tmp/ && mkdir /tools/tmp/bin
        mv /tools/tmp/virtio_lite.ko /tools/tmp/ksft/
        # What a package's installation would have linked.
        ln -s /usr/bin/mawk /tools/tmp/bin/awk
        rm /dev/stdout
        debian PATH=/tmp/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
            VBL_DISKS={g.bdf(0)} sh /tmp/ksft/run_kselftest.sh -c virtio_lite
        echo; echo details:; cat /dev/stdout 2>/dev/null""", timeout=900)
    print(out)
    results, _, details = out.partition("\ndetails:\n")
    said = dict(re.findall(r"^(?:not )?ok \d+ selftests: virtio_lite: (\S+)(.*)$",
                           results, re.M))
    assert sorted(said) == names, out
    assert "not ok" not in results, details or results
    # Some of it really ran, and what did not says why.
    assert not said["io.sh"] and not said["sysfs.sh"] and not said["bind.sh"]
    assert "SKIP" in said["ext4.sh"]
    assert "1..0 # SKIP no mkfs.ext4 here" in out
