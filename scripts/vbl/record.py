# SPDX-License-Identifier: GPL-2.0
"""Writes the results of campaigns into Documentation/trust.md.

The long campaigns leave their figures in Documentation/trust.json, a row for
each campaign and kernel; the page has a table of them.
"""

import contextlib
import json
import re
import subprocess

from .errors import GuestDied, GuestHung, KernelComplained, VblError
from .kernel import pick_kernel
from .tree import TREE

PAGE = TREE / "Documentation" / "trust.md"
KEPT = TREE / "Documentation" / "trust.json"
CAMPAIGNS = ("| campaign | kernel | tried | lost | hangs | splats | seen | "
             "repeats it | tree |", "|---|---|--:|--:|--:|--:|---|---|---|")


def put(part, lines, page=None):
    """Replace what stands between the marks of a part of the page."""
    page = page or PAGE
    begin, end = f"<!-- {part}: made, not written -->", f"<!-- end: {part} -->"
    old = page.read_text()
    new, found = re.subn(re.escape(begin) + ".*?" + re.escape(end),
                         lambda m: "\n".join([begin, "", *lines, "", end]),
                         old, flags=re.S)
    if not found:
        raise ValueError(f"{page} has no marks for {part}")
    page.write_text(new)


# -- campaigns ---------------------------------------------------------------

def kept(path=None):
    """The rows that were noted so far."""
    path = path or KEPT
    return json.loads(path.read_text()) if path.exists() else []


def costs(error):
    """{"lost", "hangs", "splats"} of a campaign that ended with @error."""
    chain = []
    while error:
        chain.append(error)
        error = error.__cause__
    hung = any(isinstance(e, GuestHung) for e in chain)
    splat = any(isinstance(e, (GuestDied, KernelComplained)) for e in chain)
    return {"lost": int(bool(chain) and not hung and not splat),
            "hangs": int(hung), "splats": int(splat)}


def make(target, **words):
    """What a user types to run a campaign."""
    return " ".join([f"make {target}", *(
        f"{name}={value}" for name, value in words.items() if value)])


@contextlib.contextmanager
def noted(write, what, kernel, tried, command):
    """Keep the result of the campaign in this context, if @write.

    what    the campaign; a row is replaced by one of the same on this kernel
    kernel  its release, or what the user gave
    tried   how often, or how often it should have been if it ends early
    command what repeats it

    Yields a dictionary: tried, lost, hangs, splats that the campaign knows
    better (None: not checked by it), and "said", more in words.
    """
    more = {}
    try:
        yield more
    except VblError as e:
        more["said"] = "stopped: " + str(e).split("\n", 1)[0]
        if write:
            keep({"what": what, "tried": tried, **costs(e), **more}, kernel,
                 command)
        raise
    except KeyboardInterrupt:
        # A campaign that does not know how far it came has no figures.
        if write and "tried" in more:
            keep({"what": what, **costs(None), **more}, kernel, command)
        raise
    if write:
        keep({"what": what, "tried": tried, **costs(None), **more}, kernel,
             command)


def keep(row, kernel, command, path=None):
    """Put a row among those that are kept, and all of them into the page."""
    path = path or KEPT
    row = {**row, "kernel": pick_kernel(kernel).release, "command": command,
           "tree": commit()}
    rows = [r for r in kept(path) if (r["what"], r["kernel"])
            != (row["what"], row["kernel"])] + [row]
    rows.sort(key=lambda r: (r["what"], r["kernel"]))
    path.write_text(json.dumps(rows, indent=1) + "\n")
    put("campaigns", campaigns(rows))


def commit():
    """The tree that was tried."""
    got = subprocess.run(["git", "-C", str(TREE), "log", "-1", "--format=%h"],
                         capture_output=True, text=True)
    return got.stdout.strip() if got.returncode == 0 else "unknown"


def campaigns(rows):
    """Lines of the table of campaigns."""
    return [*CAMPAIGNS, *(
        "| " + " | ".join([
            r["what"], r["kernel"], str(r["tried"]),
            *("-" if r[n] is None else str(r[n])
              for n in ("lost", "hangs", "splats")),
            r.get("said", ""), f"`{r['command']}`", r["tree"]]) + " |"
        for r in rows)]
