# SPDX-License-Identifier: GPL-2.0
"""make matrix: that it continues, keeps its time, hides no second try, and that
what other programs read of it is well formed."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from matrix import compare, convert, parts, plan, report, run
from vbl import TREE, SetupError, pick_kernel

XSD = TREE / "scripts/matrix/junit.xsd"


def cell(part="programs", driver="lite", qemu="7.2.1"):
    """A cell."""
    return plan.Cell("6.12", "6.12.9-test", qemu, driver, part)


def result(test, outcome="passed", why="", **more):
    """What a test gave."""
    return {"test": test, "outcome": outcome, "why": why, "seconds": 1, **more}


@pytest.fixture
def fake(monkeypatch):
    """Cells that run a line of Python instead; what they are told is listed."""
    told = []

    def install(code):
        def command(of, out, only=None):
            told.append((of, only))
            return [sys.executable, "-c", code, str(out),
                    "again" if only else "first"]

        monkeypatch.setattr(parts, "command", command)
        monkeypatch.setattr(parts, "why_not", lambda of: None)
        return told

    return install


WRITES = """import json, sys
for n in ("a", "b"):
    bad = n == "b" and sys.argv[2] == "first"
    with open(sys.argv[1], "a") as f:
        print(json.dumps({"test": n, "outcome": "failed" if bad else "passed",
                          "why": "it broke" * bad, "seconds": 0}), file=f)
"""


def test_continues(fake, tmp_path):
    told = fake(WRITES)
    cells = [cell(), cell("cells")]
    first = run.Run(tmp_path, say=lambda _: None).all(cells, 2)
    asked = len(told)
    again = run.Run(tmp_path, say=lambda _: None).all(cells, 2)
    assert first == again and len(told) == asked
    # Of another tree they are run anew.
    other = run.Run(tmp_path, say=lambda _: None)
    other.tree = "another"
    other.all(cells, 1)
    assert len(told) == 2 * asked
    # So they are when the kernel in a folder was built anew.
    other.all([dataclasses.replace(c, build="new") for c in cells], 1)
    assert len(told) == 3 * asked


def test_second_try_is_shown(fake, tmp_path):
    told = fake(WRITES)
    of = run.Run(tmp_path, say=lambda _: None).all([cell()], 1)
    assert [only for _, only in told] == [None, ["b"]]
    b = of[cell()]["results"][1]
    assert b["outcome"] == "flaps"
    assert b["tries"] == ["failed: it broke", "passed: "]
    text = report.ktap(of)
    assert "    # try 1: failed: it broke\n" in text
    assert "    not ok 2 b # flaps" in text
    assert f"\nnot ok 1 {cell()}\n" in text
    assert "flaps: " in report.table(of) and "try 1" in report.page(of)


def test_nothing_in_the_log_is_a_failure(fake, tmp_path):
    """A command that leaves no results has failed, and says with what."""
    fake("print('no such kernel')")
    of = run.Run(tmp_path, say=lambda _: None).all([cell()], 1)
    only = of[cell()]["results"]
    assert [r["outcome"] for r in only] == ["failed"]
    assert only[0]["why"] == "no such kernel"


def test_time_is_kept(fake, tmp_path):
    """A cell that is not through by then is ended, and no part of it counts."""
    fake("import time; time.sleep(60)")
    began = time.monotonic()
    of = run.Run(tmp_path, 2 / 3600, lambda _: None).all(
        [cell(), cell("cells"), cell("faults")], 2)
    assert time.monotonic() - began < 30
    assert list(of.values()) == [None] * 3
    assert report.ktap(of).count("# SKIP not run: out of time") == 3


def test_refuses():
    kernel, series = pick_kernel(None).release, pick_kernel(None).series
    for options, word in (
            (["--parts", "cell"], "PARTS: no cell; there are: bench"),
            (["--drivers", "both"], "DRIVERS: no both"),
            (["--kernels", "0.99"], "K=0.99: no such kernel"),
            (["--qemus", "0.9"], "Q=0.9: no such QEMU"),
            (["--kernels", f"{kernel} {series}"], "are both "),
            (["--hours", "-1"], "invalid hours value")):
        got = matrix("run", *options)
        assert got.returncode == 2 and word in got.stderr
    got = matrix("compare", "/nowhere", "/nowhere")
    assert got.returncode == 2 and "/nowhere: No such file" in got.stderr


def matrix(*args):
    """Run scripts/matrix.py."""
    clean = {k: v for k, v in os.environ.items() if k not in ("K", "Q")}
    return subprocess.run([TREE / "scripts/matrix.py", *map(str, args)],
                          text=True, capture_output=True, env=clean)


# -- compare -----------------------------------------------------------------

def made(folder, release, results, instructions):
    """A folder as make matrix leaves one."""
    folder.mkdir()
    got = {"release": release, "qemu": "7.2.1", "driver": "lite",
           "part": "programs", "results": results, "figures": [
               {"name": "read", "instructions": instructions}]}
    (folder / "matrix.json").write_text(json.dumps([got]))
    return folder


def test_compare(tmp_path):
    old = made(tmp_path / "old", "6.12.1", [
        result("io"), result("t[x-6.12]", "failed", "broken"),
        result("was[6.12.1]"), result("flappy"), result("left"),
        result("still", "failed", "as ever")], 1000)
    new = made(tmp_path / "new", "6.12.2", [
        result("io", "failed", "lost data"), result("t[x-6.12]"),
        result("was[6.12.2]"),
        result("flappy", "flaps", "", tries=["failed: x", "passed: "]),
        result("still", "failed", "as ever")], 1021)
    got = matrix("compare", old, new)
    lines = got.stdout.splitlines()
    assert got.returncode == 1
    assert [line.partition(" 6.12")[0].strip() for line in lines] == [
        "newly fails", "flaps", "newly passes", "gone", "slower"]
    assert "io: lost data" in lines[0] and "failed: x / passed" in lines[1]
    assert "1000 -> 1021 instructions (+2.1%)" in lines[4]
    same = matrix("compare", new, new)
    assert "flaps" in same.stdout
    assert matrix("compare", old, old).returncode == 0


def test_two_kernels_of_a_series(tmp_path):
    """They are not taken for one."""
    cells = [{"release": r, "qemu": "7", "driver": "lite", "part": "bench"}
             for r in ("6.12.1", "6.12.1-mine", "6.1.9")]
    path = tmp_path / "matrix.json"
    path.write_text(json.dumps(cells))
    assert [key[0] for key in compare.load(path)] == [
        "6.12.1", "6.12.1-mine", "6.1"]


def test_within_the_limit_is_not_slower():
    figures = [{"name": "read", "instructions": 1000}]
    more = [{"name": "read", "instructions": 1019}]
    assert not list(compare._figures(figures, more))


# -- JUnit and KCIDB ---------------------------------------------------------

@pytest.fixture
def ktap_file(tmp_path):
    """A report with every outcome in it."""
    of = {cell(): {"tree": "abc123", "results": [
        result("a"), result("b <&>", "failed", 'why "so"\x07'),
        result("c", "skipped", "no fio"), result("d", "expected", "known"),
        result("e", "flaps", "x", tries=["failed: x", "passed: "])]},
        cell("cells"): None}
    path = tmp_path / "matrix.ktap"
    path.write_text(report.ktap(of))
    return path


def test_junit_is_valid(ktap_file, tmp_path):
    if not shutil.which("xmllint"):
        pytest.skip("no xmllint (libxml2-utils) here")
    out = tmp_path / "junit.xml"
    got = matrix("convert", ktap_file, "--junit", out)
    assert got.returncode == 0, got.stderr
    text = out.read_text()
    assert 'tests="5" failures="2" errors="0" skipped="2"' in text
    valid = subprocess.run(["xmllint", "--noout", "--schema", XSD, out],
                           capture_output=True, text=True)
    assert valid.returncode == 0, valid.stderr
    # The schema notices a file that is not one.
    out.write_text(text.replace('failures="2"', 'failures="two"'))
    assert subprocess.run(["xmllint", "--noout", "--schema", XSD, out],
                          capture_output=True).returncode != 0


def test_kcidb_is_valid(ktap_file, tmp_path):
    out = tmp_path / "kcidb.json"
    assert matrix("convert", ktap_file, "--kcidb", out).returncode == 0
    made = json.loads(out.read_text())
    assert convert.kcidb_problems(made) == []
    assert made["checkouts"][0]["git_commit_name"] == "abc123"
    assert [(t["status"], t["waived"]) for t in made["tests"]] == [
        ("PASS", False), ("FAIL", False), ("SKIP", False), ("FAIL", True),
        ("FAIL", False), ("SKIP", False)]


@pytest.mark.full
def test_kcidb_takes_it(ktap_file):
    """KCIDB's own check, where its library is installed."""
    schema = pytest.importorskip("kcidb_io").schema
    schema.V4_0.validate(convert.kcidb(convert.read(ktap_file)))


@pytest.mark.parametrize("change, word", [
    (lambda r: r["tests"][0].pop("build_id"), "tests[0]: no build_id"),
    (lambda r: r["tests"][0].update(status="GOOD"), "tests[0].status: 'GOOD'"),
    (lambda r: r["tests"][0].update(path="a b"), "tests[0].path: 'a b'"),
    (lambda r: r["tests"][0].update(mood="x"), "tests[0].mood: 'x'"),
    (lambda r: r["tests"][0].update(id="noorigin"), "tests[0].id"),
    (lambda r: r["tests"][0].update(build_id="x:y"), "x:y is not in builds"),
    (lambda r: r["builds"].append(r["builds"][0]), ".id: twice"),
    (lambda r: r.update(version={"major": 5, "minor": 0}), "version: not 4.0"),
])
def test_kcidb_check_notices(ktap_file, change, word):
    made = convert.kcidb(convert.read(ktap_file))
    change(made)
    assert any(word in line for line in convert.kcidb_problems(made))


def test_converts_any_ktap(tmp_path):
    """That of run_kselftest.sh too, and what ended early has failed."""
    path = tmp_path / "kselftest.txt"
    path.write_text("TAP version 13\n1..2\n# selftests: x: a.sh\n"
                    "ok 1 selftests: x: a.sh\n"
                    "not ok 2 selftests: x: b.sh # exit=1\n")
    suite, = convert.read(path)
    assert [(t.name, t.outcome) for t in suite.tests] == [
        ("selftests: x: a.sh", "passed"), ("selftests: x: b.sh", "failed")]
    path.write_text("KTAP version 1\n1..2\n    ok 1 a\nok 1 whole\n    ok 1 b\n")
    assert [s.count("failed") for s in convert.read(path)] == [0, 1]
    path.write_text("nothing\n")
    with pytest.raises(SetupError, match="no KTAP"):
        convert.read(path)


@pytest.mark.full
def test_real_cell(tmp_path):
    """One cell with real guests, as make matrix runs it."""
    got = subprocess.run(
        ["make", "-s", "matrix", "K=6.12", "Q=7.2", "DRIVER=upstream",
         "PARTS=bench", f"TO={tmp_path}/out"], cwd=TREE, text=True,
        capture_output=True)
    assert got.returncode == 0, got.stdout + got.stderr
    made, = json.loads((tmp_path / "out/matrix.json").read_text())
    assert made["figures"] and all(f["instructions"] > 100
                                   for f in made["figures"])
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        *report.NAMES, "matrix.junit.xml", "matrix.kcidb.json"}
