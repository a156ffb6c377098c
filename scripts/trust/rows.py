# SPDX-License-Identifier: GPL-2.0
"""All faults, and how often each is tried with which driver."""

from . import held, own_guest
from .tally import DRIVERS

FAULTS = {**held.ROWS, **own_guest.ROWS}
# Most tries with upstream's driver cost a guest.
SHARE = 5


def tries(driver, n):
    """How often with this driver, if ours has @n tries."""
    return n if driver == "lite" else -(-n // SHARE)


def run(names, n, kernel, say, drivers=DRIVERS):
    """{fault: {driver: Tally, or a word why it cannot be tried}}, and how
    many guests each driver needed where they can be kept."""
    of, guests = {name: {} for name in names}, {}
    for driver in drivers:
        with held.Stage() as stage:
            for name in names:
                one = FAULTS[name](kernel, driver, tries(driver, n), stage)
                of[name][driver] = one
                say(f"{driver}: {name}: " + (
                    one if isinstance(one, str) else
                    f"tried {one.tried}, wrong: {one.text}"))
            guests[driver] = stage.booted
    return of, guests
