# SPDX-License-Identifier: GPL-2.0
"""Runs the commands of a lesson as a reader types them."""

import os
import re
import signal
import subprocess

from vbl.errors import SetupError, VblError
from vbl.tree import TREE

from . import compare, page

LONGEST = 600           # seconds for one command
PROMPT = "lesson-prompt> "


class Wrong(VblError):
    """The page shows something else than what was printed."""


class Shell:
    """What `make shell` shows: a guest's prompt on a terminal."""

    def __init__(self, command):
        try:
            import pexpect
        except ImportError:
            raise SetupError("python3-pexpect is missing: lessons that type "
                             "into a guest need it") from None
        self.lost = (pexpect.EOF, pexpect.TIMEOUT)
        self.end = pexpect.EOF
        self.child = pexpect.spawn("/bin/sh", ["-c", command], cwd=TREE,
                                   encoding="utf-8", timeout=LONGEST,
                                   dimensions=(50, 500))
        self._until(r"/ # ")
        # Messages of the kernel would stand between the lines of a command,
        # and an echo would be a line of its output.
        self.child.sendline(f"stty -echo; dmesg -n 1; PS1='{PROMPT}'")
        self._until(r"\n" + PROMPT)

    def _until(self, what):
        try:
            self.child.expect(what)
        except self.lost:
            last = (self.child.before or "").splitlines()[-20:]
            raise Wrong("the guest's prompt did not appear\n"
                        + "\n".join("  | " + t for t in last)) from None

    def type(self, text):
        """Type a line; the lines it prints."""
        self.child.sendline(text)
        self._until(PROMPT)
        text = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", self.child.before)
        return [t.rstrip() for t in text.replace("\r", "").splitlines()]

    def close(self):
        """End the guest as a reader does."""
        if self.child.isalive():
            self.child.sendline("exit")
            try:
                self.child.expect(self.end, timeout=60)
            except self.lost:
                pass
        self.child.close(force=True)


def _host(text):
    env = {**os.environ, "TERM": "dumb", "COLUMNS": "100",
           "MAKEFLAGS": "", "MAKELEVEL": ""}
    with subprocess.Popen(text, shell=True, executable="/bin/bash", cwd=TREE,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=env,
                          start_new_session=True) as p:
        try:
            out, _ = p.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            raise Wrong(f"{text}: did not end in {LONGEST} s") from None
    return [line.rstrip() for line in out.splitlines()]


def run(lesson, write=False, say=print):
    """Run a lesson's commands; Wrong at the first that prints something else.

    With @write the page gets what was printed, all of one run; where the page
    leaves lines out and is right, it stays.
    """
    blocks, shell = lesson.blocks(), None
    try:
        for command in (c for b in blocks for c in b):
            say(f"{command.where}{command.text}")
            if command.where == page.GUEST:
                if not shell:
                    raise SetupError(f"{lesson.path.name}: {command.text}: no "
                                     "make shell comes before it")
                if command.text == "exit":
                    shell.close()
                    shell = None
                    continue
                got = shell.type(command.text)
            else:
                if shell:
                    shell.close()
                shell = None
                if command.text.startswith("make shell"):
                    shell = Shell(command.text)
                    continue
                got = _host(command.text)
            wrong = compare.difference(command.output, got,
                                       lesson.varies())
            if wrong and not write:
                raise Wrong(f"{lesson.path.name}: {command.text}\n  {wrong}\n"
                            + "\n".join("  | " + g for g in got[:60]))
            if page.ELISION not in command.output or wrong:
                command.output = got
    finally:
        if shell:
            shell.close()
    if write:
        lesson.path.write_text(lesson.with_output(blocks))
