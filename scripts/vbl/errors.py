# SPDX-License-Identifier: GPL-2.0
"""The errors that the harness raises, one class for each cause."""


class VblError(Exception):
    """Base of everything the harness raises on purpose."""


class SetupError(VblError):
    """The host lacks something, or an option makes no sense."""


class BuildFailed(VblError):
    """The module did not compile."""


class QemuFailed(VblError):
    """QEMU did not start, or refused a QMP command."""


class GuestError(VblError):
    """Something went wrong inside a guest."""


class CommandFailed(GuestError):
    """A command in a healthy guest ended with another status than 0."""

    def __init__(self, command, status, output):
        self.command, self.status, self.output = command, status, output
        super().__init__(f"guest command exited {status}: {command.strip()}\n"
                         f"{output.rstrip()}")


class GuestDied(GuestError):
    """The guest went away by itself: a panic, an oops, a reset."""


class KernelComplained(GuestError):
    """The guest's kernel said what a healthy one never says."""


class GuestHung(GuestError):
    """A command or the guest did not end in time."""
