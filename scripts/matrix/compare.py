# SPDX-License-Identifier: GPL-2.0
"""What is new between two runs of the matrix."""

import json
from pathlib import Path

from vbl import SetupError

LIMIT = 0.02


def load(path):
    """What make matrix left in a folder, or in its matrix.json."""
    path = Path(path)
    path = path / "matrix.json" if path.is_dir() else path
    try:
        cells = json.loads(path.read_text())
        kernels = _names(c["release"] for c in cells)
        qemus = _names(c["qemu"] for c in cells)
        for c in cells:
            for r in c["results"]:
                _ = r["test"], r["outcome"], r["why"]
            for f in c["figures"]:
                _ = f["name"], f["instructions"]
        return {(kernels[c["release"]], qemus[c["qemu"]], c["driver"],
                 c["part"]): c for c in cells}
    except OSError as e:
        raise SetupError(f"{path}: {e.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise SetupError(f"{path}: not a result of make matrix") from None


def series(release):
    """6.12 of 6.12.117: an update is what one compares."""
    return ".".join(release.split(".")[:2])


def _names(releases):
    """{release: its series}; two of a series in one run keep their releases."""
    releases = set(releases)
    return {r: r if sum(series(o) == series(r) for o in releases) > 1
            else series(r) for r in releases}


def compare(old, new):
    """(lines, whether anything got worse)."""
    words = {w: [] for w in ("newly fails", "flaps", "flaps again",
                             "newly passes", "gone", "slower", "faster",
                             "only in OLD", "only in NEW")}
    words["only in OLD"] = [_where(k) for k in old if k not in new]
    words["only in NEW"] = [_where(k) for k in new if k not in old]
    for key, cell in new.items():
        before = old.get(key)
        if not before:
            continue
        where = _where(key)
        was = {_name(r, before): r for r in before["results"]}
        now = {_name(r, cell): r for r in cell["results"]}
        for name, r in now.items():
            word = _word(was.get(name), r)
            if word:
                words[word].append(f"{where}: {name}: "
                                   + " / ".join(r.get("tries", [r["why"]])))
        words["gone"] += [f"{where}: {name}" for name in was
                          if name not in now]
        words["gone"] += [f"{where}: {name}: skipped: {r['why']}"
                          for name, r in now.items()
                          if r["outcome"] == "skipped" and name in was
                          and was[name]["outcome"] != "skipped"]
        for word, text in _figures(before["figures"], cell["figures"]):
            words[word].append(f"{where}: {text}")
    lines = [f"{word:13} {text}" for word, found in words.items()
             for text in found]
    worse = any(words[w] for w in ("newly fails", "flaps", "slower"))
    return lines, worse


def _where(key):
    kernel, qemu, *rest = key
    return " ".join([kernel, f"qemu-{qemu}", *rest])


def _name(result, cell):
    """A test's name without the kernel in it."""
    return result["test"].replace(f"-{series(cell['release'])}", "") \
        .replace(cell["release"], "K")


def _word(was, now):
    if now["outcome"] == "flaps":
        return "flaps again" if was and was["outcome"] == "flaps" else "flaps"
    if now["outcome"] == "failed":
        return None if was and was["outcome"] == "failed" else "newly fails"
    # One may know that it can fail: here it did not.
    if now["outcome"] == "expected" and was and was["outcome"] == "passed":
        return "newly fails"
    if was and was["outcome"] in ("failed", "expected") and \
            now["outcome"] == "passed":
        return "newly passes"
    return None


def _figures(old, new):
    was = {f["name"]: f["instructions"] for f in old}
    for f in new:
        if f["name"] in was and was[f["name"]]:
            change = f["instructions"] / was[f["name"]] - 1
            if abs(change) > LIMIT:
                yield ("slower" if change > 0 else "faster",
                       f"{f['name']}: {was[f['name']]:.0f} -> "
                       f"{f['instructions']:.0f} instructions "
                       f"({change:+.1%})")
