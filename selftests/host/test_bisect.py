# SPDX-License-Identifier: GPL-2.0
"""scripts/bisect-run: what git bisect is told of a tree."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vbl import TREE

TOOL = TREE / "scripts/bisect-run"
# The tree of a QEMU, as far as bisect-run looks at it: its build folder makes
# a command of qemu.sh, which runs the real one.
BUILD = """qemu-system-x86_64: ../qemu.sh
	sh -n ../qemu.sh
	cp ../qemu.sh $@
	chmod +x $@
"""
GOOD = "exec qemu-system-x86_64 \"$@\"\n"
# The planted fault: disks lose their write cache.
BAD = "exec qemu-system-x86_64 -global virtio-blk-pci.write-cache=off \"$@\"\n"
BROKEN = "if then\n"
# The tool as a module, and with a look at the file in place of a guest.
LOAD = """import importlib.machinery, importlib.util
loader = importlib.machinery.SourceFileLoader("bisect_run", "{tool}")
module = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("bisect_run", loader))
loader.exec_module(module)
"""
LOOK = """import os, sys
sys.path.insert(0, "{tool.parent}")
""" + LOAD + """
def look(args):
    with open(os.environ["VBL_QEMU"]) as f:
        return module.BAD if "write-cache=off" in f.read() else module.GOOD
module.judge_guest = look
sys.exit(module.answer())
"""
# The same, and what the QEMU is that would be run.
SHOW = """import os, sys
sys.path.insert(0, "{tool.parent}")
""" + LOAD + """
from vbl import qemu
module.judge_guest = lambda args: print(qemu.binary()[0])
module.answer()
"""
TEST = "grep -q back /sys/block/$(disk_of 0000:00:04.0)/cache_type"


def git(folder, *args):
    """Run git there; its output."""
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *args],
        cwd=folder, check=True, text=True, capture_output=True).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """tree(contents...) -> a repository with a commit for each."""
    def make(*contents):
        git(tmp_path, "init", "-q")
        (tmp_path / ".gitignore").write_text("/build\n")
        for name in ("configure", "meson.build"):
            (tmp_path / name).touch()
        (tmp_path / "build").mkdir()
        (tmp_path / "build/Makefile").write_text(BUILD)
        for n, text in enumerate(contents):
            (tmp_path / "qemu.sh").write_text(f"#!/bin/sh\n# {n}\n{text}")
            git(tmp_path, "add", "-A")
            git(tmp_path, "commit", "-q", "-m", f"commit {n}")
        return tmp_path
    return make


def bisect(folder, *args):
    """Run the tool once."""
    return subprocess.run([TOOL, *args], cwd=folder, text=True,
                          capture_output=True)


def test_cannot_tell(tree, tmp_path):
    got = bisect(tmp_path, "--guest", "true")
    assert got.returncode == 125 and "neither a kernel's tree" in got.stdout
    got = bisect(tree(BROKEN), "--guest", "true")
    assert got.returncode == 125 and "make qemu-system-x86_64 fails" in \
        got.stdout
    (tmp_path / "qemu.sh").write_text("#!/bin/sh\nexit 1\n")
    got = bisect(tmp_path, "--guest", "true")
    assert got.returncode == 125, "a QEMU that does not run says nothing"
    (tmp_path / "build/Makefile").unlink()
    assert "configure the tree once" in bisect(tmp_path, "x").stdout
    assert bisect(tmp_path, "--help").returncode == 0


@pytest.mark.parametrize("args, why", [
    ([], "arguments are required: TEST"),
    (["--timeout=x", "test"], "invalid seconds value: 'x'"),
    (["--timeout=-5", "test"], "invalid seconds value: '-5'"),
    (["--jobs=0", "test"], "invalid jobs value: '0'"),
    (["test_that_there_is_not"], "no test is called 'test_that_there_is_not'"),
    (["test_( and"], "Wrong expression"),
], ids=["missing", "number", "ended", "jobs", "nothing", "expression"])
def test_wrong_at_every_commit(tree, args, why):
    """It ends the bisection, before anything is built."""
    top = tree(GOOD)
    got = bisect(top, *args)
    assert got.returncode == 128 and why in got.stdout + got.stderr
    assert not (top / "build/qemu-system-x86_64").exists()


def test_end_reaches_what_it_started(tree):
    """The build does not go on when the user ends the tool."""
    top = tree(GOOD)
    (top / "build/Makefile").write_text(
        "qemu-system-x86_64:\n\techo $$$$ >pid; exec sleep 1000\n")
    tool = subprocess.Popen([TOOL, "--guest", "true"], cwd=top)
    pid = top / "build/pid"
    until = time.monotonic() + 60
    while not (pid.exists() and pid.read_text().strip()):
        assert time.monotonic() < until and tool.poll() is None
        time.sleep(0.05)
    tool.terminate()
    status = tool.wait(60)
    left = Path(f"/proc/{int(pid.read_text())}")
    if left.exists():
        os.kill(int(left.name), signal.SIGKILL)
        pytest.fail("the build goes on")
    assert status >= 128, "git bisect would go on"


def test_folder_with_a_blank(tree, tmp_path):
    """QEMU's tree may be in one."""
    tree(GOOD)
    (tmp_path / "my qemu").mkdir()
    for name in ("build", "configure", "meson.build", "qemu.sh"):
        (tmp_path / name).rename(tmp_path / "my qemu" / name)
    got = subprocess.run(
        [sys.executable, "-c", SHOW.format(tool=TOOL), "--guest", "true"],
        cwd=tmp_path / "my qemu", text=True, capture_output=True)
    assert got.stdout.splitlines()[-1] == \
        f"{tmp_path}/my qemu/build/qemu-system-x86_64", got


@pytest.mark.parametrize("rows, status", [
    ([("passed", "")], 0), ([("passed", ""), ("failed", "assert 1")], 1),
    ([("failed", "vbl.errors.GuestHung: no end in 30 s")], 1),
    ([("failed", "vbl.errors.SetupError: no kernel")], 125),
    ([("failed", "vbl.errors.BuildFailed: x"), ("passed", "")], 125),
    ([("skipped", "no fio")], 125), ([], 125),
])
def test_verdict(rows, status):
    scope = {}
    exec(LOAD.format(tool=TOOL), scope)
    assert scope["module"].verdict([{"test": "t", "outcome": o, "why": w}
                           for o, w in rows]) == status


def bisected(top, *command):
    """What git bisect run says of all commits."""
    git(top, "bisect", "start", "HEAD", git(top, "rev-list", "--max-parents=0",
                                            "HEAD"))
    got = subprocess.run(["git", "bisect", "run", *command, "--guest", TEST],
                         cwd=top, text=True, capture_output=True)
    print(got.stdout)
    return got.stdout + got.stderr


def test_steps_over_what_does_not_build(tree):
    """Commit 3 does not: it, or 4 that has the fault, is all one can know."""
    said = bisected(tree(GOOD, GOOD, GOOD, BROKEN, BAD, BROKEN, BAD, BAD),
                    sys.executable, "-c", LOOK.format(tool=TOOL))
    assert "bisect-run: make qemu-system-x86_64 fails" in said
    assert "first bad commit could be any of" in said


@pytest.mark.full
def test_finds_the_commit(tree):
    top = tree(GOOD, BROKEN, GOOD, GOOD, BAD, BAD, BROKEN, BAD)
    bisected(top, TOOL)
    found = git(top, "rev-parse", "refs/bisect/bad")
    assert git(top, "show", "-s", "--format=%s", found) == "commit 4"


@pytest.mark.full
def test_a_hang_is_bad(tree):
    got = bisect(tree(GOOD), "--guest", "--timeout=3", "sleep 100")
    assert got.returncode == 1 and "no end" in got.stdout
