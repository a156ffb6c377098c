# SPDX-License-Identifier: GPL-2.0
"""What keeps the driver fast: the figures that do not depend on the host.

The counts are exact, so a miss here is the driver's doing, never the host's.
"""

import copy

import pytest

import conftest
from bench import compare
from bench.measure import DRIVERS, Bench, Job
from bench.row import FAIL, OPEN, PASS, Row, interval, sampled

COUNT = 320
JOBS = {"depth 1": Job(count=COUNT, how="b"),
        "batches of 32": Job(depth=32, batch=32, count=COUNT, how="b")}
TARGET = {"depth 1": 0.35, "batches of 32": 0.30}


@pytest.fixture(scope="module")
def results():
    """{(driver, job): [first result, second one]} on one kernel."""
    with Bench(conftest.matrix()[0]) as bench:
        return {(d, n): [bench.run(d, job, warm=COUNT) for _ in "12"]
                for n, job in JOBS.items() for d in DRIVERS}


@pytest.mark.parametrize("job", JOBS)
def test_driver_instructions(results, job):
    ours, theirs = (results[d, job][0].driver for d in DRIVERS)
    assert ours <= TARGET[job] * theirs


@pytest.mark.parametrize("job", JOBS)
def test_notifications_and_interrupts(results, job):
    ours, theirs = (results[d, job][0] for d in DRIVERS)
    assert ours.registers == theirs.registers == 1 / JOBS[job].batch
    assert ours.interrupts == theirs.interrupts == 1 / JOBS[job].batch


@pytest.mark.parametrize("job", JOBS)
def test_cache_lines(results, job):
    ours, theirs = (results[d, job][0].lines for d in DRIVERS)
    assert 1 < ours < theirs


@pytest.mark.parametrize("job", JOBS)
def test_no_allocation(results, job):
    assert results["lite", job][0].allocs == 0
    # Else the instrument would be blind: upstream takes a table for each.
    assert results["upstream", job][0].allocs >= 1


@pytest.mark.parametrize("job", JOBS)
def test_instrument_repeats(results, job):
    first, second = results["upstream", job]
    assert first.driver == second.driver
    assert 500 < first.driver < 1500


def _result(ours=100.0, release="6.12.1", **more):
    row = Row("read1.driver", "driver", "instructions", ours, 300.0, 0.35)
    return {"format": 1, "kernels": [
        {"release": release, "rows": [{**vars(row), **more}]}]}


def test_compare_accepts_the_same():
    assert compare.compare(_result(), _result()) == ([], 0)
    assert compare.compare(_result(100), _result(101.9))[1] == 0
    assert compare.compare(_result(100), _result(50))[1] == 0


def test_compare_finds_what_got_worse():
    lines, bad = compare.compare(_result(100), _result(102.5))
    assert bad == 1 and "WORSE" in lines[0]
    new = copy.deepcopy(_result(100))
    new["kernels"][0]["rows"][0].update(more=True, ours=90.0)
    assert compare.compare(_result(100), new)[1] == 1


def test_compare_from_nothing_to_something():
    assert compare.compare(_result(0.0), _result(1.0))[1] == 1


def test_compare_of_another_release_compares_ratios():
    old = _result(100)
    assert compare.compare(old, _result(110, "6.12.2"))[1] == 1
    new = _result(110, "6.12.2", ratio=100 / 300)
    assert compare.compare(old, new)[1] == 0


def test_compare_knows_chance():
    old, new = (_result(100, low=a, high=b, ratio=r)
                for a, b, r in ((0.8, 1.1, 0.95), (0.9, 1.2, 1.05)))
    assert compare.compare(old, new)[1] == 0
    new["kernels"][0]["rows"][0].update(low=1.2, high=1.4, ratio=1.3)
    assert compare.compare(old, new)[1] == 1


def test_compare_refuses_what_is_no_result(tmp_path):
    path = tmp_path / "a.json"
    for text in ("{", "[]", '{"format": 99}'):
        path.write_text(text)
        with pytest.raises(compare.SetupError, match="a.json"):
            compare.load(path)


def test_verdicts():
    assert Row("a", "", "", 35, 100, 0.35).verdict == PASS
    assert Row("a", "", "", 36, 100, 0.35).verdict == FAIL
    assert Row("a", "", "", 0, 0, 0).verdict == PASS
    assert Row("a", "", "", 1, 0, 0).verdict == FAIL
    assert Row("a", "", "", 90, 100, 1, more=True).verdict == FAIL
    assert sampled("a", "", "", [9, 11, 9, 11], [10] * 4,
                   target=1, more=True).verdict == OPEN
    assert sampled("a", "", "", [12, 11, 12, 11], [10] * 4,
                   target=1, more=True).verdict == PASS
    assert sampled("a", "", "", [12, 11, 12, 11], [10] * 4,
                   target=1).verdict == FAIL
    assert interval([2.0] * 9) == (2.0, 2.0)
