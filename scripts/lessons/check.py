# SPDX-License-Identifier: GPL-2.0
"""The questions of a lesson and the answers that are right.

The solutions of lesson 5 stand in solutions/05.md: a line "1. answer" for each
question, and below it a comment "<!-- right: pattern -->": a regular expression
that a right answer contains, whatever its case.
"""

import re

from vbl.errors import SetupError

from . import page

_SOLUTION = re.compile(r"^(\d)\. (.*?)\s*<!-- right: (.*?) -->", re.M | re.S)


def solutions(lesson):
    """[(answer, pattern)] of a lesson."""
    path = page.FOLDER / "solutions" / f"{lesson.number:02}.md"
    if not path.exists():
        raise SetupError(f"{path}: no such file")
    found = _SOLUTION.findall(path.read_text())
    if [int(n) for n, _, _ in found] != list(
            range(1, len(lesson.questions()) + 1)):
        raise SetupError(f"{path}: does not answer each question once")
    return [(" ".join(a.split()), re.compile(r, re.I)) for _, a, r in found]


def right(answer, pattern):
    """Whether an answer is right."""
    return bool(pattern.search(" ".join(answer.split())))


def ask(lesson, read=input, say=print):
    """Ask every question; the number of answers that were wrong."""
    wrong = 0
    known = solutions(lesson)
    for n, (question, (_, pattern)) in enumerate(
            zip(lesson.questions(), known), 1):
        say(f"{n}. {question}")
        try:
            answer = read("> ")
        except EOFError:
            answer = ""
        if right(answer, pattern):
            say("right\n")
        else:
            wrong += 1
            say("not right\n")
    say(f"{len(known) - wrong} of {len(known)} right"
        + (f"; the answers are in Documentation/lessons/solutions/"
           f"{lesson.number:02}.md" if wrong else ""))
    return wrong
