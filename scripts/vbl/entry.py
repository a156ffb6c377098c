# SPDX-License-Identifier: GPL-2.0
"""How the programs of the host begin and end."""

import signal
import sys

from .errors import VblError


def leave_cleanly():
    """Have SIGTERM and SIGHUP end this program through its finally clauses, so
    that no guest and no file stays behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))


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
