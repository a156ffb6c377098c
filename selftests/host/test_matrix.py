# SPDX-License-Identifier: GPL-2.0
"""make matrix: that it continues, keeps its time, hides no second try, and that
what other programs read of it is well formed."""

import concurrent.futures
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matrix import compare, convert, parts, plan, report, run
from vbl import TREE, SetupError, pick_kernel
from vbl.kernel import Kernel

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


def test_continues(fake, tmp_path, monkeypatch):
    told = fake(WRITES)
    cells = [cell(), cell("cells")]
    first = run.Run(tmp_path, say=lambda _: None).all(cells, 2)
    asked = len(told)
    again = run.Run(tmp_path, say=lambda _: None).all(cells, 2)
    assert first == again and len(told) == asked
    # Of another tree they are run anew.
    monkeypatch.setattr(run, "tree_state", lambda: "another")
    other = run.Run(tmp_path, say=lambda _: None)
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


def test_continues_after_another_version(fake, tmp_path):
    """What that left, or what ended while it was written, is run anew."""
    told = fake(WRITES)
    one = run.Run(tmp_path, say=lambda _: None)
    one.all([cell()], 1)
    path = tmp_path / cell().file
    good = json.loads(path.read_text())
    for text in ("", path.read_text()[:100], "[]", json.dumps(
            {k: v for k, v in good.items() if k != "build"}), json.dumps(
                {k: v for k, v in good.items() if k != "figures"})):
        path.write_text(text)
        count = len(told)
        assert one.all([cell()], 1)[cell()]["results"] == good["results"]
        assert len(told) > count


def test_tree_state_tells_changes_apart(monkeypatch, tmp_path):
    """Two states of files that are not committed are two trees."""
    top = tmp_path / "tree"
    (top / "scripts").mkdir(parents=True)
    (top / "scripts/x").write_text("1")
    (top / "README").write_text("1")
    for argv in (["init", "-q"], ["add", "-A"], [
            "-c", "user.name=t", "-c", "user.email=t@example.org", "commit",
            "-qm", "x"]):
        subprocess.run(["git", "-C", top, *argv], check=True)
    monkeypatch.setattr(run, "TREE", top)
    monkeypatch.setattr(run.tree.sources, "__defaults__", (top,))
    monkeypatch.setattr(run.tree.kernel_sources, "__defaults__", (top,))
    seen = [run.tree_state()]
    for path, text in (("x", "2"), ("x", "3"), ("new", "1"), ("new", "2")):
        (top / "scripts" / path).write_text(text)
        seen.append(run.tree_state())
    assert len(set(seen)) == 5 and "changed" not in seen[0]
    # Results may lie in the tree, and words are not run.
    (top / "README").write_text("2")
    (top / "results").mkdir()
    (top / "results/matrix.txt").write_text("2")
    assert run.tree_state() == seen[-1]


def test_tree_changed_meanwhile(fake, tmp_path, monkeypatch):
    """Of which tree that is nobody knows: it is not kept, and all stops."""
    told = fake(WRITES)
    one = run.Run(tmp_path, say=lambda _: None)
    monkeypatch.setattr(run, "tree_state", lambda: "another")
    cells = [cell(), cell("cells"), cell("faults")]
    # In any thread.
    with concurrent.futures.ThreadPoolExecutor(1) as pool, \
            pytest.raises(SetupError, match="the tree was changed meanwhile"):
        pool.submit(one.all, cells, 1).result()
    assert len({of for of, _ in told}) == 1
    assert not list(tmp_path.glob("*.json"))


STARTS = """import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
with open(sys.argv[1] + ".pid", "w") as f:
    print(os.getpid(), child.pid, file=f)
time.sleep(1000)
"""
# make matrix with such a cell, whose process tells who it is in a file.
MATRIX = """import sys
sys.path.insert(0, "{scripts}")
from matrix import parts, plan, run
from vbl.entry import main
parts.why_not = lambda of: None
parts.command = lambda of, out, only=None: [
    sys.executable, "-c", {starts!r}, "{folder}/" + of.part]
cells = [plan.Cell("6.12", "6.12.9", "7.2.1", "lite", p)
         for p in ("bench", "faults", "cells")]
sys.exit(main(lambda: run.Run("{folder}").all(cells, 2) and 0))
"""


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130),
                                            (signal.SIGTERM, 143)])
def test_ended_by_the_user(tmp_path, number, status):
    """It ends at once, also on a second Ctrl-C, and nothing of it stays."""
    # A test that runs in the background may have been told to ignore them.
    matrix = subprocess.Popen(
        ["env", "--default-signal", sys.executable, "-c", MATRIX.format(
            scripts=TREE / "scripts", starts=STARTS, folder=tmp_path)],
        stdout=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while len(pids := [int(p) for f in tmp_path.glob("*.pid")
                       for p in f.read_text().split()]) < 4:
        assert time.monotonic() < until and matrix.poll() is None
        time.sleep(0.05)
    matrix.send_signal(number)
    if number == signal.SIGINT:
        matrix.send_signal(number)
    try:
        assert matrix.wait(60) == status
    finally:
        matrix.kill()
        left = [p for p in pids if Path(f"/proc/{p}").exists()
                and "\nState:\tZ" not in Path(f"/proc/{p}/status").read_text()]
        for p in left:
            os.kill(p, signal.SIGKILL)
    assert not left
    assert len(list(tmp_path.glob("*.pid"))) == 2
    assert "time is over" not in matrix.stdout.read()


def test_disk_full(fake, tmp_path, monkeypatch):
    """One line, nothing more is begun, and what is there stays."""
    told = fake(WRITES)
    one = run.Run(tmp_path, say=lambda _: None)
    one.all([cell()], 1)
    report.write(tmp_path, {cell(): one.kept(cell())})
    whole = {p: p.read_text() for p in tmp_path.iterdir()}

    def full(path, *_, **__):
        with open(path, "w"):
            pass
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SetupError, match="No space left on device, at "):
        one.all([cell("cells"), cell("faults"), cell("conformance")], 1)
    assert {of.part for of, _ in told} == {"programs", "cells"}
    with pytest.raises(OSError):
        report.write(tmp_path, {cell(): one.kept(cell())})
    assert {p: p.read_text() for p in whole} == whole


@pytest.mark.parametrize("code, why", [
    (WRITES.replace('"b"', '"c"') + "import os; print('killed'); os._exit(9)",
     "ended early with 9: killed"),
    (WRITES.replace('"b"', '"c"') + "open(sys.argv[1], 'a').write('{')",
     "ended early with an incomplete file: it said nothing")])
def test_part_ends_early(fake, tmp_path, code, why):
    """Tests that passed before do not hide that the others never ran."""
    fake(code)
    of = run.Run(tmp_path, say=lambda _: None).all([cell()], 1)
    a, _, last = of[cell()]["results"]
    assert a["outcome"] == "passed"
    assert last["outcome"] == "failed"
    assert last["why"].startswith(why[:24]), last
    assert last["tries"][1].startswith("failed: ended early")


def test_part_ends_early_once(fake, tmp_path):
    """What the second try gave of the tests that never ran is kept."""
    mark = tmp_path / "mark"
    fake(f"import os\nif not os.path.exists({str(mark)!r}):\n"
         f"    open({str(mark)!r}, 'w')\n    print('killed', flush=True)\n"
         "    os._exit(9)\n" + WRITES.replace('"first"', '"never"'))
    of = run.Run(tmp_path / "to", say=lambda _: None).all([cell()], 1)
    assert [(r["test"], r["outcome"]) for r in of[cell()]["results"]] == [
        ("programs", "flaps"), ("a", "passed"), ("b", "passed")]


def test_default_kernels_differ(monkeypatch):
    """The newest that setup made may be of an installed series."""
    one, other = (Kernel(f"7.2.{n}-test", None) for n in (1, 2))
    monkeypatch.setattr(plan, "series", lambda: [one])
    monkeypatch.setattr(plan, "made_kernels", lambda: [other])
    assert plan.default_kernels() == ["7.2.1-test", "7.2.2-test"]
    monkeypatch.setattr(plan, "made_kernels", lambda: [one])
    assert plan.default_kernels() == ["7.2.1-test"]


def test_named_twice(monkeypatch):
    """A driver or a part that is named twice is run once."""
    monkeypatch.setattr(plan, "pick_kernel", lambda n: Kernel("7.2.1-test", None))
    monkeypatch.setattr(plan, "must_build", lambda k: None)
    one = plan.cells(["7.2"], ["7.2"], ["lite", "lite"], ["bench", "bench"])
    assert len(one) == 1


def test_folder_with_a_blank(tmp_path):
    there = tmp_path / "my kernel"
    there.mkdir()
    got = matrix("run", "--kernels", there, "--to", tmp_path / "to")
    assert got.returncode == 2
    assert f"K={there}: no kernel here" in got.stderr


def test_refuses(tmp_path):
    kernel, series = pick_kernel(None).release, pick_kernel(None).series
    for options, word in (
            (["--parts", "cell"], "PARTS: no cell; there are: bench"),
            (["--drivers", "both"], "DRIVERS: no both"),
            (["--kernels", "0.99"], "K=0.99: no such kernel"),
            (["--qemus", "0.9"], "Q=0.9: no such QEMU"),
            (["--kernels", f"{kernel} {series}"], "are both "),
            (["--hours", "-1"], "HOURS=-1: expected a number of hours"),
            (["--hours", "abc"], "HOURS=abc: expected a number of hours"),
            (["--hours", "0"], "HOURS=0: expected a number of hours"),
            (["--jobs", "x"], "J=x: expected a number of cells"),
            (["--parts", ","], "PARTS=,: names nothing"),
            (["--to", "/dev/null"], "TO=/dev/null: File exists")):
        got = matrix("run", *options)
        assert got.returncode == 2 and word in got.stderr
        assert got.stderr.count("\n") == 1 and not got.stdout
    # What another commit gave is not lost.
    kept = tmp_path / "x_bench.json"
    kept.write_text('{"tree": "another"}')
    got = matrix("run", "--to", tmp_path)
    assert got.returncode == 2 and "has the results of another" in got.stderr
    assert [p.name for p in tmp_path.iterdir()] == [kept.name]
    got = matrix("compare", "/nowhere", "/nowhere")
    assert got.returncode == 2 and \
        "/nowhere: No such file or directory" in got.stderr


def matrix(*args):
    """Run scripts/matrix.py."""
    clean = {k: v for k, v in os.environ.items() if k not in ("K", "Q")}
    return subprocess.run([TREE / "scripts/matrix.py", *map(str, args)],
                          text=True, capture_output=True, env=clean)


# -- compare -----------------------------------------------------------------

def made(folder, release, results, instructions, qemu="7.2.1", more=()):
    """A folder as make matrix leaves one."""
    folder.mkdir()
    got = {"release": release, "qemu": qemu, "driver": "lite",
           "part": "programs", "results": results, "figures": [
               {"name": "read", "instructions": instructions}]}
    (folder / "matrix.json").write_text(json.dumps(
        [got, *({**got, **m} for m in more)]))
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
    assert "flaps again" in same.stdout and same.returncode == 0
    assert matrix("compare", old, old).returncode == 0


def test_compare_hides_nothing(tmp_path):
    """A test that no longer runs, a failure that was expected to come, a cell
    that only one of both has; and an update of QEMU is no other QEMU."""
    old = made(tmp_path / "old", "6.12.1", [result("io"), result("trace")],
               1000, "7.2.1", [{"part": "faults"}])
    new = made(tmp_path / "new", "6.12.1", [
        result("io", "expected", "known"), result("trace", "skipped", "no fio")],
               1000, "7.2.2", [{"part": "cells"}])
    got = matrix("compare", old, new)
    at = "6.12 qemu-7.2 lite"
    assert got.stdout.splitlines() == [
        f"newly fails   {at} programs: io: known",
        f"gone          {at} programs: trace: skipped: no fio",
        f"only in OLD   {at} faults", f"only in NEW   {at} cells"]
    assert got.returncode == 1


@pytest.mark.parametrize("change", [
    lambda c: c.pop("figures"), lambda c: c.pop("qemu"),
    lambda c: c["results"][0].pop("outcome"), lambda c: c.update(results=3),
    lambda c: c.update(figures=[{"name": "read"}])])
def test_compare_with_an_older_format(tmp_path, change):
    folder = made(tmp_path / "new", "6.12.1", [result("io")], 1000)
    path = folder / "matrix.json"
    cells = json.loads(path.read_text())
    change(cells[0])
    (tmp_path / "old.json").write_text(json.dumps(cells))
    got = matrix("compare", tmp_path / "old.json", folder)
    assert got.returncode == 2
    assert got.stderr == f"{tmp_path}/old.json: not a result of make matrix\n"


def test_two_kernels_of_a_series(tmp_path):
    """They are not taken for one."""
    cells = [{"release": r, "qemu": "7", "driver": "lite", "part": "bench",
              "results": [], "figures": []} for r in (
                  "6.12.1", "6.12.1-mine", "6.1.9")]
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


# Names and reasons that a conversion may stumble over.
ODD = [result(t, "failed", w) for t, w in (
    ("nothing said", ""), ("quotes", "'x' is not \"y\""), ("list", "[1, 2]"),
    ("a word", "it broke"), ("SKIP", "SKIP is no reason"),
    ("todo", "TODO: not yet"), ("what? é \u2028 ] ]]> &amp;", "\x1b[31mred"),
    ("no character \ufffe", "\udc80"), ("- dash", "\x00"), ("# 1", "a # b"))]


def test_odd_names(tmp_path):
    """Whatever a test is called and says: a failure stays one, in all files."""
    of = {cell(): {"tree": "abc123", "results": ODD}}
    report.write(tmp_path, of)
    made, = convert.read(tmp_path / "matrix.ktap")
    assert [t.outcome for t in made.tests] == ["failed"] * len(ODD)
    assert made.tests[1].why == ODD[1]["why"]
    assert made.tests[3].why == "it broke"
    assert matrix("convert", tmp_path / "matrix.ktap", "--junit",
                  tmp_path / "j", "--kcidb", tmp_path / "k").returncode == 0
    top = ET.parse(tmp_path / "j").getroot()
    assert len(top.findall(".//failure")) == len(ODD)
    statuses = [t["status"] for t in json.loads(
        (tmp_path / "k").read_text())["tests"]]
    assert statuses == ["FAIL"] * len(ODD)
    assert "\x1b" not in (tmp_path / "matrix.html").read_text()


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
    # A program of which nothing ran; one that failed after its tests; a run
    # that was killed; two runs in a file.
    path.write_text("KTAP version 1\n1..0 # SKIP no fio\n")
    assert [(t.outcome, t.why) for t in convert.read(path)[0].tests] == [
        ("skipped", "no fio")]
    path.write_text("KTAP version 1\n1..1\n    ok 1 a\nnot ok 1 whole\n")
    assert [t.outcome for t in convert.read(path)[0].tests] == [
        "passed", "failed"]
    path.write_text("TAP version 13\n1..2\nok 1 selftests: x: a.sh\n")
    assert [t.outcome for t in convert.read(path)[0].tests] == [
        "passed", "failed"]
    path.write_text("KTAP version 1\n1..1\n    ok 1 a\nok 1 whole\n" * 2)
    assert convert.kcidb_problems(convert.kcidb(convert.read(path))) == []
    got = matrix("convert", path)
    assert got.returncode == 2 and "--junit FILE or" in got.stderr
    got = matrix("convert", path, "--junit", "/nowhere/x")
    assert got.returncode == 2 and got.stderr == \
        "/nowhere/x: No such file or directory\n"
    before = path.read_text()
    for words in (("--junit", path), ("--kcidb", path),
                  ("--junit", tmp_path / "x", "--kcidb", tmp_path / "x")):
        got = matrix("convert", path, *words)
        assert got.returncode == 2 and "a name of its own" in got.stderr
    assert path.read_text() == before and not (tmp_path / "x").exists()
    for text in ("nothing\n", "All is well\nok with me\n"):
        path.write_text(text)
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
