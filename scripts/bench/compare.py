# SPDX-License-Identifier: GPL-2.0
"""What got worse between two results."""

import json

from vbl import SetupError

from .show import number

LIMIT = 0.02


def add_arguments(parser):
    """The options of bench.py compare."""
    parser.add_argument("old", help="bench.json to compare with")
    parser.add_argument("new", help="bench.json to judge")


def load(path):
    """A result, as bench.py run wrote it."""
    try:
        with open(path) as f:
            result = json.load(f)
        return {"kernels": [], **result} if result["format"] == 1 else \
            _refuse(path, "of another version")
    except OSError as e:
        _refuse(path, e.strerror)
    except (ValueError, TypeError, KeyError):
        _refuse(path, "not a result of make bench")


def _refuse(path, why):
    raise SetupError(f"{path}: {why}")


def series_of(release):
    """The series of a release: 6.12 of 6.12.117."""
    return ".".join(release.split(".")[:2])


def _by_id(result):
    """{(kernel series, id): (release, row)}, points of lines included."""
    out = {}
    for k in result["kernels"]:
        for r in k["rows"]:
            out[series_of(k["release"]), r["id"]] = k["release"], r
        for line in k.get("lines", []):
            for x, *figures in zip(line["x"], *line["y"].values()):
                row = dict(zip(line["y"], figures))
                out[series_of(k["release"]), f"{line['id']}={x}"] = (
                    k["release"], {"label": f"{line['label']} {x}",
                                   "ours": row["ours"], "more": False,
                                   "ratio": row["ours"] / row["upstream"]
                                   if row.get("upstream") else None,
                                   "within": line.get("within", LIMIT)})
    return out


def _figure(row, same):
    """What is compared: ours, or the ratio when the kernels differ or the
    host's speed is part of the figure."""
    if not same or row.get("low") is not None:
        return row["ratio"]
    return row["ours"]


def _worse(old, new, same):
    """How much worse @new is, or None if that cannot be told."""
    a, b = _figure(old, same), _figure(new, same)
    if a is None or b is None:
        return None
    if not a:
        return 1.0 if b > 0 else 0.0
    return (a - b if new["more"] else b - a) / a


def _apart(old, new):
    """Whether sampled figures differ by more than chance."""
    if new.get("low") is None or old.get("low") is None:
        return True
    return new["high"] < old["low"] or new["low"] > old["high"]


def compare(old, new, partly=False):
    """(lines to print, number of figures that got worse).

    partly  @new is known to lack figures that @old has
    """
    before, after = _by_id(old), _by_id(new)
    lines, bad = [], 0
    for key, (release, row) in after.items():
        if key not in before:
            continue
        same = before[key][0] == release
        change = _worse(before[key][1], row, same)
        if change is None or abs(change) <= LIMIT:
            continue
        a, b = (_figure(r, same) for r in (before[key][1], row))
        if not _apart(before[key][1], row) or \
                abs(change) <= row.get("within", LIMIT):
            word = "chance"
        else:
            word = "WORSE" if change > 0 else "better"
        bad += word == "WORSE"
        lines.append(f"{word:7} {change:+8.1%}  {key[0]:5} "
                     f"{number(a):>10} -> {number(b):>10}  {row['label']}")
    gone = [k for k in before if k not in after and not partly
            and k[0] in {s for s, _ in after}]
    lines += [f"gone              {s:5} {i}" for s, i in gone]
    return lines, bad


def show(lines, bad):
    """Print what changed."""
    print("\n".join(sorted(lines, reverse=True)
                    or [f"no figure changed by more than {LIMIT:.0%}"]))
    print(f"{bad} worse by more than {LIMIT:.0%}")


def run(args):
    """Print what changed; 1 if something got worse by more than 2 %."""
    old, new = load(args.old), load(args.new)
    if not _by_id(old).keys() & _by_id(new).keys():
        raise SetupError("the two results have no figure in common")
    lines, bad = compare(old, new)
    show(lines, bad)
    return 1 if bad else 0
