# SPDX-License-Identifier: GPL-2.0
"""One figure of the table, and the verdict on it."""

import dataclasses
import random
import statistics

PASS, FAIL, OPEN, INFO = "PASS", "FAIL", "OPEN", ""
RESAMPLES = 2000
# Equal, where figures are counted: a batch more or less at either end.
SAME = 1.005


@dataclasses.dataclass
class Row:
    """Ours beside upstream's.

    target     what the ratio, ours by upstream's, may be at most; or None
    low, high  95 % interval of the ratio, where it was sampled
    more       a larger figure is the better one; then the ratio must not be
               less than the target
    other      what we are compared with, when it is not upstream
    within     how far the figure may wander without anybody being at fault
    """

    id: str
    label: str
    unit: str
    ours: float
    upstream: float
    target: float = None
    low: float = None
    high: float = None
    more: bool = False
    other: str = "upstream"
    note: str = ""
    within: float = 0.02
    ratio: float = None
    verdict: str = INFO

    def __post_init__(self):
        if self.ratio is None and self.upstream:
            self.ratio = self.ours / self.upstream
        if self.verdict == INFO and self.target is not None:
            self.verdict = self._judge()

    def _judge(self):
        if self.ratio is None:
            # Nothing on the other side: then nothing is what we may have.
            return FAIL if self.ours > 0 else PASS
        if self.low is None:
            ok = self.ratio >= self.target if self.more else \
                self.ratio <= self.target
            return PASS if ok else FAIL
        # A sampled figure fails only when the samples say so.
        worst, best = (self.low, self.high) if self.more else \
            (-self.high, -self.low)
        target = self.target if self.more else -self.target
        if worst >= target:
            return PASS
        return FAIL if best < target else OPEN


def interval(ratios, seed=1):
    """(low, high): bootstrap interval, 95 %, of the median of @ratios."""
    dice = random.Random(seed)
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios)))
                     for _ in range(RESAMPLES))
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40 - 1]


def sampled(ident, label, unit, ours, upstream, **more):
    """A row from pairs of samples that were taken one after the other."""
    ratios = [a / b for a, b in zip(ours, upstream) if b]
    low, high = interval(ratios)
    return Row(ident, label, unit, statistics.median(ours),
               statistics.median(upstream), ratio=statistics.median(ratios),
               low=low, high=high, **more)
