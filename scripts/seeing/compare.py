# SPDX-License-Identifier: GPL-2.0
"""Two journeys side by side: which steps differ, the first one marked.

Times are shown, but not compared: a step differs if only one journey has it,
if it stands elsewhere, or if what it tells is another: an operation, a number
of descriptors, whether a kick was wanted, a status.
"""

import difflib

WIDE = 58


def _facts(r):
    return " ".join(f"{k}={v}" for k, v in sorted(r.facts.items()))


def pairs(old, new):
    """[(row or None, row or None)], in order, rows of the same step beside
    each other."""
    a, b = [r for r in old.rows if not r.loose], \
        [r for r in new.rows if not r.loose]
    out = []
    match = difflib.SequenceMatcher(None, [r.key for r in a],
                                    [r.key for r in b], autojunk=False)
    for kind, a1, a2, b1, b2 in match.get_opcodes():
        if kind == "equal":
            out += zip(a[a1:a2], b[b1:b2])
        else:
            out += [(r, None) for r in a[a1:a2]]
            out += [(None, r) for r in b[b1:b2]]
    return out


def _mark(a, b):
    """How a pair differs: nothing, only on one side, or in what it tells."""
    if a is None:
        return "+"
    if b is None:
        return "-"
    # Values that only one driver's events tell are no difference.
    both = a.facts.keys() & b.facts.keys()
    if a.count != b.count or any(a.facts[k] != b.facts[k] for k in both):
        return "~"
    return " "


def _cell(r):
    if not r:
        return ""
    times = f" x{r.count}" if r.count > 1 else ""
    text = f"{r.at:8.0f} {r.key}{times} {_facts(r)}".rstrip()
    return text if len(text) < WIDE else text[:WIDE - 5] + "..."


def render(old, new):
    """(text, whether there is a difference)."""
    out = [f"old: {old.title}", f"new: {new.title}", ""]
    out.append(f"    {'us  old':<{WIDE}}us  new")
    first, differ = True, 0
    for a, b in pairs(old, new):
        mark = _mark(a, b)
        lead = f"  {mark} "
        if mark != " ":
            differ += 1
            if first:
                lead = f">>{mark} "
                first = False
        out.append(f"{lead}{_cell(a):<{WIDE}}{_cell(b)}".rstrip())
        if lead.startswith(">>"):
            out.append("    ^ the first difference: " + _explain(a, b))
    out.append("")
    out.append("+ only the new one has it, - only the old one, ~ both have it "
               "and it tells something else.")
    out.append("No step differs." if not differ else "One step differs."
               if differ == 1 else f"{differ} steps differ.")
    return "\n".join(out) + "\n", bool(differ)


def _explain(a, b):
    if a is None:
        return f"the old journey does not have {b.key!r} here: {b.says}"
    if b is None:
        return f"the new journey does not have {a.key!r} here: {a.says}"
    told = [f"{k}={a.facts[k]} became {k}={b.facts[k]}"
            for k in sorted(a.facts.keys() & b.facts.keys())
            if a.facts[k] != b.facts[k]]
    if a.count != b.count:
        told.append(f"{a.count} times became {b.count} times")
    return f"{a.key!r}: " + ", ".join(told)
