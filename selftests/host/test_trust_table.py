# SPDX-License-Identifier: GPL-2.0
"""make trust: what it counts, for both drivers."""

import pytest
from trust import held, own_guest, rows
from trust.tally import Tally, table
from vbl import GuestHung, KernelComplained, ktap, record

OK = {"write": "ok", "next write": "ok", "data": "ok", "unbind": "ok"}


@pytest.mark.parametrize("wrong, lost, hangs", [
    ({}, 0, 0),
    ({"write": "hangs"}, 1, 1),
    ({"write": "lies"}, 1, 0),
    ({"data": "is lost"}, 1, 0),
    ({"write": "fails", "data": "is lost"}, 1, 0),
    ({"write": "hangs", "next write": "fails", "unbind": "hangs"}, 2, 1),
    ({"unbind": "hangs"}, 0, 1),
    ({"unbind": "fails"}, 1, 0),
], ids=lambda v: "-".join(v) if isinstance(v, dict) else None)
def test_counted(wrong, lost, hangs):
    """Each write once, each try that hung once, and what is wrong in words."""
    one = held.counted({**OK, **wrong})
    assert (one.tried, one.lost, one.hangs) == (1, lost, hangs)
    assert one.words == tuple(" ".join(w) for w in wrong.items())
    assert one.good == (not wrong)


HUNG = ("INFO: task dd:77 blocked for more than 5 seconds.\n"
        "Call Trace:\n <TASK>\n")


@pytest.mark.parametrize("log, n", [
    ("vda: an interrupt was lost", 0),
    (HUNG, 1),
    (HUNG + HUNG.replace("5 s", "10 s"), 1),
    (HUNG + HUNG.replace("77", "78"), 2),
    ("WARNING: CPU: 0 PID: 1 at x.c:1\nCall Trace:\nBUG: KASAN: y\n", 2),
    ("kernel BUG at x.c:2!\nOops: invalid opcode\nCall Trace:\n", 1),
], ids=("quiet", "hung", "still hung", "two hung", "two", "bug"))
def test_splats(log, n):
    """Reports are counted, not lines; a hung task counts once."""
    assert ktap.reports(log) == n
    assert bool(ktap.scan_log(log)) == bool(n)
    assert Tally(1).heard(log).good == (not n)


def cells(of):
    """Of the only row, without the fault."""
    return [c.strip() for c in table({"x": of})[-1].split("|")[2:-1]]


def test_table():
    """Both drivers, and neither can be mistaken for the other."""
    good = Tally(5)
    bad = Tally(1, 2, 1, 3, ("write hangs", "next write fails"))
    assert cells({"lite": good, "upstream": bad}) == [
        *"5000", *"1213", "write hangs, next write fails"]
    assert cells({"lite": bad, "upstream": good}) == [
        *"1213", *"5000", "nothing"]
    assert cells({"lite": Tally(5, None), "upstream": "is built in"}) == [
        "5", "-", "0", "0", *"----", "is built in"]


def test_tally_adds_up():
    """Tries, losses and words."""
    total = Tally()
    for one in (Tally(1), Tally(1, 2, 1, 0, ("a",)), Tally(1, 1, 0, 1, ("a",))):
        total.add(one)
    assert total == Tally(3, 3, 1, 1, ("a",))
    assert Tally(lost=None).add(Tally(1)).lost is None


def test_tries():
    """Upstream gets a fifth of them, and never none."""
    assert [rows.tries("lite", n) for n in (1, 5, 11)] == [1, 5, 11]
    assert [rows.tries("upstream", n) for n in (1, 5, 11)] == [1, 1, 3]


@pytest.mark.parametrize("error, want", [
    (None, Tally(4)),
    (GuestHung("no end\nmore"), Tally(4, 0, 1, 0, ("no end",))),
    (KernelComplained("it did"), Tally(4, 0, 0, 1, ("it did",))),
    (AssertionError("not there"), Tally(4, 1, 0, 0, ("not there",))),
], ids=("good", "hung", "splat", "lost"))
def test_campaign(error, want):
    """What ends a campaign is what it cost."""
    def run(kernel, driver, times):
        if error:
            raise error
    assert own_guest.campaign(run)(None, "lite", 4, None) == want


def test_blocks_are_counted():
    """A campaign that knows how many it lost."""
    got = own_guest.campaign(lambda *_: 6)(None, "lite", 4, None)
    assert (got.lost, got.good) == (6, False)


class FakeScene:
    """A guest in which the tries end as told."""

    def __init__(self, kernel, driver, **options):
        self.open = True

    def __enter__(self):
        return self

    def close(self):
        self.open = False

    def tried(self, how):
        assert self.open
        return held.counted({**OK, **next(how)})


def test_guest_is_kept_while_all_is_well(monkeypatch):
    """And thrown away when anything was wrong."""
    monkeypatch.setattr(held, "Scene", FakeScene)
    how = iter([{}, {}, {"write": "fails"}, {}, {}, {"unbind": "hangs"}])
    with held.Stage() as stage:
        got = held.Held(how)(None, "lite", 6, stage)
        assert (got.tried, got.lost, stage.booted) == (6, 1, 2)
        held.Held(iter([{}]))(None, "lite", 1, stage)
        held.Held(iter([{}, {}]), vectors=0)(None, "lite", 2, stage)
    assert stage.booted == 4 and stage.now is None


def test_page_is_of_these_faults():
    """The page has none that the tool does not try any more."""
    part = record.PAGE.read_text().split("<!-- faults:")[1].split("<!-- end")[0]
    shown = [line.split(" | ")[0][2:] for line in part.splitlines()
             if line.startswith("| ")][1:]
    assert len(shown) > 20 and not set(shown) - set(rows.FAULTS)


@pytest.mark.parametrize("fault", [
    "used id given back twice",
    pytest.param("used element never written", marks=pytest.mark.full)])
def test_both_drivers(kernel, fault):
    """Ours keeps the disk in the same guest; upstream's loses it."""
    with held.Stage() as stage:
        for name in (fault, "interrupt lost, MSI-X"):
            ours = rows.FAULTS[name](kernel, "lite", 2, stage)
            assert ours == Tally(2), ours
        assert stage.booted == 1
    with held.Stage() as stage:
        theirs = rows.FAULTS[fault](kernel, "upstream", 1, stage)
    assert theirs.lost and "next write fails" in theirs.words, theirs
