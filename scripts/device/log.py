# SPDX-License-Identifier: GPL-2.0
"""What happened to a device, in order, and what of it broke a rule."""

import collections
import time


class Log:
    """Entries (number, seconds, what, detail...) in the order they happened."""

    def __init__(self, limit=200000):
        self.entries = collections.deque(maxlen=limit)
        self.count, self.began = 0, time.monotonic()

    def add(self, what, *detail):
        """One more entry; returns its number."""
        self.count += 1
        self.entries.append((self.count, time.monotonic() - self.began, what,
                             *detail))
        return self.count

    def clear(self):
        """Forget what was."""
        self.entries.clear()

    def find(self, what, *detail):
        """Entries of a kind whose first details are these."""
        return [e for e in self.entries
                if e[2] == what and e[3:3 + len(detail)] == detail]

    def tail(self, n=60):
        """The last entries as text."""
        return "\n".join(
            f"{e[0]:6} {e[1]:9.4f} {e[2]:10} "
            + " ".join(f"{x:#x}" if isinstance(x, int) else str(x)
                       for x in e[3:]) for e in list(self.entries)[-n:])


class Breach:
    """A rule that the driver broke."""

    def __init__(self, ident, text, at):
        self.ident, self.text, self.at = ident, text, at

    def __repr__(self):
        return f"{self.ident}: {self.text} (log entry {self.at})"


class Rules:
    """Counts how often each requirement could be judged, and how it went."""

    def __init__(self, log):
        self.log, self.on = log, True
        self.forget()

    def forget(self):
        """From here on, as if nothing had been seen."""
        self.seen, self.breaches = collections.Counter(), []

    def rule(self, idents, good, text="", *values):
        """Judge requirements by their ids (one string, separated by spaces).

        @text may have places for @values, which are only filled in when the
        rule was broken. Returns @good.
        """
        if not self.on:
            return good
        for ident in idents.split():
            self.seen[ident] += 1
            if not good and len(self.breaches) < 1000:
                told = text.format(*values)
                at = self.log.add("BREACH", ident, told)
                self.breaches.append(Breach(ident, told, at))
        return good

    def saw(self, *idents):
        """Note that the driver made use of what it may do."""
        if self.on:
            self.seen.update(idents)

    def broken(self):
        """The ids of the rules that were broken."""
        return sorted({b.ident for b in self.breaches})

    def report(self):
        """Breaches as text, the first of each kind and how many there were."""
        count = collections.Counter(b.ident for b in self.breaches)
        out = []
        for b in self.breaches:
            if b.ident in count:
                out.append(f"{b} x{count.pop(b.ident)}")
        return "\n".join(out)
