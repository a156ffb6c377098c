# SPDX-License-Identifier: GPL-2.0
"""The tables of Documentation/trust.md say what was seen, also what is bad."""

import json

import pytest
from vbl import (CommandFailed, GuestDied, GuestHung, KernelComplained,
                 VblError, record)

EMPTY = """# Title
<!-- campaigns: made, not written -->
old
<!-- end: campaigns -->
the rest
"""


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """An empty page, and nothing kept."""
    monkeypatch.setattr(record, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(record, "KEPT", tmp_path / "kept.json")
    record.PAGE.write_text(EMPTY)
    return record


def campaign(tried=7, error=None, what="soak", write=True, **more):
    """One that ends as told."""
    with record.noted(write, what, None, tried, "make soak") as figures:
        figures.update(more)
        if error:
            raise error


def last(paper):
    """Cells of the last row of the record."""
    rows = [line for line in paper.PAGE.read_text().splitlines()
            if line.startswith("| ")]
    return [cell.strip() for cell in rows[-1].split("|")[1:-1]]


def test_campaign_that_is_stopped(paper):
    """Kept as far as it came, where it knows that; else there is no row."""
    for what, figures in (("fuzz", {"tried": 3, "lost": None}), ("soak", {})):
        with pytest.raises(KeyboardInterrupt), \
                record.noted(True, what, None, 9, "make") as told:
            told.update(figures)
            raise KeyboardInterrupt
    assert [(r["what"], r["tried"]) for r in record.kept()] == [("fuzz", 3)]


def test_campaign_is_kept(paper):
    """In the file and in the page; the same one again takes its place."""
    campaign(tried=5)
    campaign(tried=7, said="900 blocks")
    row, = json.loads(paper.KEPT.read_text())
    assert (row["tried"], row["said"]) == (7, "900 blocks")
    cells = last(paper)
    assert cells[:1] + cells[2:] == ["soak", "7", "0", "0", "0", "900 blocks",
                                     "`make soak`", record.commit()]
    assert "\nold\n" not in paper.PAGE.read_text()
    assert paper.PAGE.read_text().endswith("the rest\n")
    campaign(what="other", lost=None)
    assert len(paper.kept()) == 2
    assert "| other |" in paper.PAGE.read_text()


def chained():
    """What a campaign says around what happened."""
    try:
        raise VblError("seed 3: ...") from GuestHung("x")
    except VblError as e:
        return e


@pytest.mark.parametrize("error, cells", [
    (GuestHung("no end\nat all"), ["0", "1", "0"]),
    (chained(), ["0", "1", "0"]),
    (GuestDied("no end\nat all"), ["0", "0", "1"]),
    (KernelComplained("no end\nat all"), ["0", "0", "1"]),
    (CommandFailed("cmp", 1, "data lost"), ["1", "0", "0"]),
], ids=lambda x: type(x).__name__)
def test_failed_campaign_is_kept(paper, error, cells):
    """What ended it is counted, and it fails all the same."""
    with pytest.raises(type(error)):
        campaign(error=error)
    got = last(paper)
    assert got[3:6] == cells
    assert got[6].startswith("stopped: ") and "at all" not in got[6]


def test_nothing_is_kept_unasked(paper):
    campaign(write=False)
    with pytest.raises(VblError):
        campaign(write=False, error=VblError("x"))
    assert not paper.KEPT.exists()
    assert paper.PAGE.read_text() == EMPTY


def test_page_without_marks(paper):
    """A table that has no place is not lost in silence."""
    paper.PAGE.write_text("# Title\n")
    with pytest.raises(ValueError, match="campaigns"):
        paper.put("campaigns", [])


def test_page_is_made():
    """Nobody wrote figures into the page by hand."""
    text = record.PAGE.read_text()
    assert "\n".join(record.campaigns(record.kept())) in text
