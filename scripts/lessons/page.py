# SPDX-License-Identifier: GPL-2.0
"""A lesson's page: its commands, what they print, and its questions.

A block that starts with ```console holds commands and their output. A line that
starts with "$ " is typed in the tree on the host, one that starts with "/ # "
at the prompt of the guest that an earlier `make shell` of the page started. The
lines up to the next command are what it prints; "..." stands for any lines.
A comment <!-- varies: PATTERN --> says what else than times and addresses
differs from run to run, such as tags.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from vbl.errors import SetupError
from vbl.tree import TREE

FOLDER = TREE / "Documentation" / "lessons"
HOST, GUEST = "$ ", "/ # "
ELISION = "..."
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
_QUESTION = re.compile(r"^(\d)\. (.*?)(?=^\d\. |\Z)", re.M | re.S)


@dataclass
class Command:
    """One command of a page, and the lines of its output."""

    where: str
    text: str
    output: list = field(default_factory=list)


@dataclass
class Page:
    """One lesson."""

    path: Path
    text: str

    @property
    def number(self):
        """The number in the name of its file."""
        return int(self.path.name[:2])

    @property
    def title(self):
        """What its heading says behind the number."""
        return re.search(r"^# (?:\d+ · )?(.*)$", self.text, re.M).group(1)

    def blocks(self):
        """The commands of each block."""
        return [commands(b) for b in _BLOCK.findall(self.text)]

    def varies(self):
        """What of the output differs from run to run; None: nothing else."""
        found = re.findall(r"^<!-- varies: (.*) -->$", self.text, re.M)
        return re.compile("|".join(found)) if found else None

    def questions(self):
        """The questions at the end of the page."""
        _, found, rest = self.text.partition("\n## Questions\n")
        if not found:
            raise SetupError(f"{self.path.name}: has no '## Questions'")
        return [" ".join(q.split()) for _, q in _QUESTION.findall(rest)]

    def with_output(self, blocks):
        """The text with the output of these blocks instead."""
        left = iter(blocks)

        def block(_):
            lines = []
            for c in next(left):
                lines += [c.where + c.text, *c.output]
            return "```console\n" + "\n".join(lines) + "\n```"

        return _BLOCK.sub(block, self.text)


def commands(block):
    """The commands in the text of a block; output before one is an error."""
    got = []
    for line in block.splitlines():
        where = next((w for w in (HOST, GUEST) if line.startswith(w)), None)
        if where:
            got.append(Command(where, line[len(where):]))
        elif got and got[-1].text.endswith("\\") and not got[-1].output:
            got[-1].text += "\n" + line
        elif got:
            got[-1].output.append(line)
        else:
            raise SetupError(f"{line!r} stands before the first command")
    return got


def lessons():
    """Every lesson, in order."""
    return [Page(p, p.read_text()) for p in sorted(FOLDER.glob("[0-9]*.md"))]


def lesson(number):
    """The lesson of this number."""
    for page in lessons():
        if page.number == number:
            return page
    raise SetupError(f"there is no lesson {number}: "
                     f"{', '.join(str(p.number) for p in lessons())}")
