# SPDX-License-Identifier: GPL-2.0
"""The lessons show what their commands print, and their questions are fair."""

import re

import pytest
from lessons import check, compare, page, run

LESSONS = page.lessons()
IDS = [f"{p.number}" for p in LESSONS]


@pytest.mark.full
@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_lesson(lesson):
    """Its commands print what the page shows."""
    run.run(lesson)


def test_first_lesson():
    """The same for one, which shows a guest's prompt."""
    run.run(page.lesson(0))


@pytest.mark.parametrize("lesson", LESSONS, ids=IDS)
def test_questions(lesson):
    """Three questions, whose solutions are right, and no empty answer is."""
    known = check.solutions(lesson)
    assert len(lesson.questions()) == len(known) == 3
    for answer, pattern in known:
        assert check.right(answer, pattern), answer
        assert not check.right("", pattern)
        assert not check.right("I do not know", pattern)


def test_ask(capsys):
    """A right, a wrong and no answer."""
    lesson = page.lesson(4)
    given = iter(["1, 2, 4, 8", "the driver"])

    def read(_):
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    assert check.ask(lesson, read) == 2
    assert "1 of 3 right" in capsys.readouterr().out


@pytest.mark.parametrize("shown, got", [
    (["a 12 us", "b"], ["a 40.5 us", "b"]),
    (["a", "...", "z"], ["a", "1", "2", "z"]),
    (["...", "m", "..."], ["a", "m", "z"]),
    (["[    1.234567] x"], ["[   17.000001] x"]),
    (["...", "z"], ["z"])])
def test_same(shown, got):
    assert compare.difference(shown, got) is None


@pytest.mark.parametrize("shown, got", [
    (["a 12 us"], ["b 12 us"]),
    (["3 requests"], ["4 requests"]),
    (["a", "b"], ["b", "a"]),
    (["a"], ["a", "b"]),
    (["a", "b"], ["a"]),
    (["a", "...", "z"], ["z"]),
    (["...", "m", "..."], ["a", "z"])])
def test_different(shown, got):
    assert compare.difference(shown, got)


def test_wrong_output_fails(tmp_path):
    """A page that shows something else than the command prints."""
    path = tmp_path / "99-wrong.md"
    path.write_text("# 99 · x\n\n```console\n$ echo 3 requests\n4 requests\n```\n")
    with pytest.raises(run.Wrong, match="4 requests"):
        run.run(page.Page(path, path.read_text()))
    run.run(page.Page(path, path.read_text()), write=True)
    assert "\n3 requests\n" in path.read_text()


def test_every_lesson_is_listed():
    """With its title, in the page that lists them."""
    text = (page.FOLDER / "README.md").read_text()
    for lesson in LESSONS:
        assert f"| [{lesson.number}]({lesson.path.name}) | " \
            f"{lesson.title} |" in text, lesson.path.name


def test_every_point_is_shown():
    """The table of points names a command or a lesson that exists."""
    text = (page.FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|$", text, re.M)
    assert [int(n) for n, _, _ in rows] == list(range(1, len(rows) + 1))
    there = {p.number for p in LESSONS}
    for _, point, where in rows:
        named = {int(n) for n in re.findall(r"lesson (\d+)", where)}
        assert named and named <= there, point
