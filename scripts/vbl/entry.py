# SPDX-License-Identifier: GPL-2.0
"""How the programs of the host begin and end."""

import contextlib
import os
import signal
import subprocess
import sys

from .errors import SetupError, VblError


def leave_cleanly():
    """Have SIGTERM and SIGHUP end this program through its finally clauses, so
    that no guest and no file stays behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))


def end(process):
    """End a program that was started in a session of its own, and whatever it
    started there. It may first remove its files."""
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGTERM, 10),
                            (signal.SIGKILL, 10)):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError,
                                 subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def words(name, text):
    """What the list in variable @name names; a folder whose name has a blank is alone in it."""
    if os.path.isdir(os.path.expanduser(text)):
        return [text]
    found = text.replace(",", " ").split()
    if not found:
        raise SetupError(f"{name}={text}: names nothing")
    return found


def main(fn):
    """Run a program; its exit status: what @fn returns, or 2 after an error,
    which is printed."""
    leave_cleanly()
    try:
        return fn()
    except KeyboardInterrupt:
        return 130
    except VblError as e:
        print(e, file=sys.stderr)
        return 2
