# SPDX-License-Identifier: GPL-2.0
"""make suites: which of other people's tests are run, how their output is read,
and that it is the difference between the drivers that is shown."""

import os
import subprocess

import pytest
import suites
from others import tests
from vbl import TREE, SetupError, pick_kernel


def test_reads():
    assert tests.blktests(
        "block/001 (stress)                 [not run]\n    no scsi_debug\n"
        "block/003 => vda (run various)             [passed]\n"
        "    runtime    ...  2.1s\nblock/011 => vda (x)   [failed]\n") == {
            "block/001": "not run", "block/003": "passed",
            "block/011": "failed"}
    assert tests.blktests("block/003 => vda (run various)\nblock/003 => vda "
                          "(run various)      [passed]\nblock/011 => vda (x)\n"
                          ) == {"block/003": "passed",
                                "block/011": "did not end"}
    assert tests.xfstests(
        "== ext4\ngeneric/001 5s ...  6s\ngeneric/003       [not run] no x\n"
        "generic/009 - output mismatch (see x)\n== xfs\ngeneric/001        7s\n"
        ) == {"ext4 generic/001": "passed", "ext4 generic/003": "not run",
              "ext4 generic/009": "failed", "xfs generic/001": "passed"}
    assert tests.marked("x\nRESULT a 0\nSTART b\nRESULT b 77\nSTART c\n"
                        "RESULT c 124\nSTART d\n") == {
        "a": "passed", "b": "not run", "c": "failed", "d": "did not end"}


def test_differences():
    assert suites.differences({
        "lite": {"a": "passed", "b": "passed", "c": "passed"},
        "upstream": {"a": "passed", "b": "failed"}}) == [
            "b: lite passed, upstream failed",
            "c: lite passed, upstream did not run"]


def test_choice(tmp_path):
    assert list(tests.chosen([], {})) == ["fio", "pgbench"]
    assert list(tests.chosen(["fio"], os.environ)) == ["fio"]
    (tmp_path / "src").mkdir()
    (tmp_path / "src/discontiguous-io").touch()
    assert tests.chosen(["blktests"], {"BLKTESTS": str(tmp_path)}) == {
        "blktests": str(tmp_path)}
    assert "blktests" in tests.chosen([], {"BLKTESTS": str(tmp_path)})
    for names, folders, word in (
            ([], {"ONLY": "block/003", "BLKTESTS": str(tmp_path)},
             "ONLY=block/003: is for one of .*chosen are blktests, fio, pgbench"),
            (["fio"], {"ONLY": "x"}, "ONLY=x: is for one of .*chosen are fio"),
            (["blktests"], {"ONLY": "-x y block/9", "BLKTESTS": str(tmp_path)},
             "ONLY=block/9: .* has no tests/block/9"),
            (["xfs"], {}, "WHAT=xfs: there are: blktests, xfstests"),
            (["xfstests"], {}, "XFSTESTS= must name a folder"),
            ([], {"LIBURING": str(tmp_path)}, "liburing is not there, or was "
             "not built: no test/"),
            # A source without what was made of it.
            ([], {"XFSTESTS": str(tmp_path)}, "xfstests is not there, or was "
             "not built: no ltp/fsstress")):
        with pytest.raises(SetupError, match=word):
            tests.chosen(names, folders)


def test_refuses_early():
    got = subprocess.run([TREE / "scripts/suites.py", "--what=blktests"],
                         text=True, capture_output=True,
                         env={k: v for k, v in os.environ.items()
                              if k != "BLKTESTS"})
    assert got.returncode == 2 and got.stderr.count("\n") == 1
    assert "BLKTESTS= must name a folder" in got.stderr
    got = subprocess.run([TREE / "scripts/suites.py", "--to=/dev/null/x"],
                         text=True, capture_output=True)
    assert got.returncode == 2
    assert got.stderr == "/dev/null/x: Not a directory\n"
    for argv, said in (
            (["--what=,"], "WHAT=,: names nothing\n"),
            (["--what=fio", "--to=/proc"],
             "/proc/fio-lite.log: No such file or directory\n")):
        got = subprocess.run([TREE / "scripts/suites.py", *argv], text=True,
                             capture_output=True)
        assert (got.returncode, got.stderr) == (2, said)


def test_values_are_words(tmp_path):
    """What a variable holds is no command of the shell's."""
    mark = tmp_path / "mark"
    for argv in (["suites", f"WHAT=no;touch {mark}"], ["suites", "WHAT=a'b\"c"],
                 ["matrix", f"PARTS=no;touch {mark}"], ["matrix", "HOURS=1;true"]):
        got = subprocess.run(["make", "-s", "-C", TREE, *argv], text=True,
                             capture_output=True)
        assert got.returncode == 2 and "Syntax error" not in got.stderr
        assert argv[1].partition("=")[2].split()[0] in got.stderr, got.stderr
    assert not mark.exists()


@pytest.mark.parametrize("driver, lite, upstream, status", [
    (None, "passed", "failed", False), (None, "failed", "passed", True),
    ("upstream", "passed", "failed", True), ("lite", "passed", "failed", False),
    ("upstream", "failed", "passed", False), (None, tests.HANGS, "passed", True)])
def test_status(monkeypatch, tmp_path, capsys, driver, lite, upstream, status):
    """The driver that was asked for is judged; without one it is ours."""
    found = {"lite": lite, "upstream": upstream}
    monkeypatch.setattr(tests, "run", lambda name, d, kernel, image, only:
                        ({"a": found[d]}, "\udc80"))
    assert suites.run("fio", None, driver, None, tmp_path) == status
    assert ("a: lite " in capsys.readouterr().out) == (driver is None)


@pytest.mark.full
@pytest.mark.parametrize("name", ["fio", "pgbench"])
def test_suite(name, kernel, tmp_path):
    """Debian's own pass on both drivers."""
    of = {d: suites.one(name, d, pick_kernel(kernel), None, tmp_path)
          for d in suites.DRIVERS}
    assert of["lite"] and set(of["lite"].values()) == {"passed"}, \
        (tmp_path / f"{name}-lite.log").read_text()[-3000:]
    assert suites.differences(of) == []
