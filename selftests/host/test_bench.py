# SPDX-License-Identifier: GPL-2.0
"""What keeps the driver fast: the figures that do not depend on the host.

The counts are exact, so a miss here is the driver's doing, never the host's.
"""

import copy

import pytest

import conftest
from bench import compare, exact
from bench.row import FAIL, OPEN, PASS, Row, interval, sampled

# What requests in a batch share: the notification, the interrupt.
BATCH = {"read1": 1, "read32": 32}


@pytest.fixture(scope="module")
def measured_on():
    """The kernel whose figures are looked at: 6.12, or what $K chose."""
    kernels = {k.series: k for k in conftest.matrix()}
    return kernels.get("6.12", conftest.matrix()[-1])


@pytest.fixture(scope="module")
def result(measured_on):
    return exact.measure(measured_on)


@pytest.fixture(scope="module")
def rows(result):
    return {r["id"]: r for r in result["kernels"][0]["rows"]}


def test_driver_instructions(measured_on, rows):
    """No target is missed but those of which the page says it."""
    known = {r["id"] for r in exact.page_rows(measured_on)
             if r["verdict"] == FAIL}
    missed = [f"{i}: {r['ratio']:.3f}, the target is {r['target']}"
              for i, r in rows.items() if i not in known
              and i.endswith(".driver") and r["verdict"] == FAIL]
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize("load", BATCH)
def test_notifications_and_interrupts(rows, load):
    for what in ("notify", "interrupt"):
        row = rows[f"{load}.{what}"]
        assert row["ours"] == row["upstream"] == 1 / BATCH[load]


@pytest.mark.parametrize("load", BATCH)
def test_cache_lines(rows, load):
    row = rows[f"{load}.lines"]
    assert 1 < row["ours"] < row["upstream"]


def test_no_allocation(rows):
    assert rows["allocations"]["ours"] == 0
    # Else the instrument would be blind: upstream takes a table for each.
    assert rows["allocations"]["upstream"] >= 1e6


def test_no_worse_than_the_page(measured_on, result):
    """Instructions, allocations and memory are those of the last page."""
    if not exact.page_rows(measured_on):
        pytest.skip(f"Documentation/performance.json lacks {measured_on.series}")
    lines, bad = exact.against_page(result)
    assert not bad, "\n".join(lines)


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
