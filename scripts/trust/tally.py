# SPDX-License-Identifier: GPL-2.0
"""What a fault cost, counted; and the table of all of them."""

import dataclasses

from vbl import ktap

DRIVERS = ("lite", "upstream")
HEAD = ("| fault | tried | lost | hangs | splats | upstream: tried | lost "
        "| hangs | splats | what happens |",
        "|---|" + "--:|" * 8 + "---|")


@dataclasses.dataclass
class Tally:
    """Of one fault with one driver.

    lost    writes; None where nothing could be kept
    hangs   tries in which something did not end
    splats  complaints of the kernel
    words   what went wrong, once each
    """

    tried: int = 0
    lost: int = 0
    hangs: int = 0
    splats: int = 0
    words: tuple = ()

    def add(self, other):
        """One more try, or some."""
        self.tried += other.tried
        self.lost = None if self.lost is None else \
            self.lost + (other.lost or 0)
        self.hangs += other.hangs
        self.splats += other.splats
        self.words = tuple(dict.fromkeys(self.words + other.words))
        return self

    def heard(self, log):
        """What the kernel said meanwhile."""
        splats = ktap.reports(log)
        return self.add(Tally(splats=splats,
                              words=("kernel complains",) * bool(splats)))

    @property
    def good(self):
        """Whether nothing was wrong, counted or not."""
        return not (self.lost or self.hangs or self.splats or self.words)

    @property
    def cells(self):
        """Its four cells."""
        return [str(self.tried), "-" if self.lost is None else str(self.lost),
                str(self.hangs), str(self.splats)]

    @property
    def text(self):
        """The words, or that there are none."""
        return ", ".join(self.words) or "nothing"


def table(tallies):
    """Lines for {fault: {driver: Tally, or a word why it cannot be tried}}."""
    lines = list(HEAD)
    for fault, of in tallies.items():
        cells = [fault]
        for driver in DRIVERS:
            one = of.get(driver, "not tried")
            cells += ["-"] * 4 if isinstance(one, str) else one.cells
        lines.append("| " + " | ".join([
            *cells, one if isinstance(one, str) else one.text]) + " |")
    return lines
