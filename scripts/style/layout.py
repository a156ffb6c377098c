# SPDX-License-Identifier: GPL-2.0
"""Who may include or import whom: the table, and the check of it.

A part is a set of files. A file may use its own part (unless the part is
alone), and the parts that its row names, which stand below it. A header in the
folder of another part is private; only those in include/ are shared. Files that
use each other, directly or through others, are a circle, which is an error in
every folder.
"""

import ast
import dataclasses
import os
import re
from fnmatch import fnmatchcase


@dataclasses.dataclass(frozen=True)
class Part:
    """Files, as folders/ and patterns of paths, and the parts they may use.

    alone   its files do not use each other
    """

    files: tuple
    uses: tuple = ()
    alone: bool = False


# The module. A folder and the file at the top that it belongs to are one part.
C_PARTS = {
    "spec": Part(("include/virtio_spec.h", "include/virtio_features.h")),
    "limits": Part(("include/virtio_blk_limits.h",), ("spec",)),
    "device": Part(("include/virtio_lite.h",), ("spec",)),
    "queue": Part(("include/virtio_queue.h",), ("spec",)),
    "compat": Part(("include/compat/",), ("limits",)),
    "trace": Part(("include/trace/",), ("device", "queue", "spec")),
    "export": Part(("include/virtio_export.h",)),
    "ring": Part(("include/virtio_ring_lite.h", "virtio_ring_lite.c",
                  "ring/"), ("queue", "spec", "compat", "trace", "export")),
    "bus": Part(("virtio_bus_lite.c", "bus/"),
                ("device", "spec", "compat", "trace", "export")),
    "pci": Part(("virtio_pci_lite.c", "pci/"),
                ("device", "queue", "ring", "spec", "compat", "trace")),
    "blk": Part(("virtio_blk_lite.c", "blk/"),
                ("device", "queue", "ring", "spec", "limits", "compat",
                 "trace")),
    "main": Part(("virtio_main_lite.c",), ("device", "spec", "trace")),
    # Drivers in modules of their own, and what they include.
    "driver": Part(("include/virtio_driver.h",), ("device", "ring")),
    "samples": Part(("samples/",), ("driver",)),
    # Stands for the kernel where the ring is compiled for user space.
    "userspace": Part(("include/userspace/",)),
}
# Headers of a folder that belong to a header in include/, for speed.
PUBLISHED = {"ring/packed.h": "include/virtio_ring_lite.h"}
# Made by the build.
GENERATED = ("include/compat/found.h",)
# Folders in which an include is searched, after the folder of the file.
INCLUDE = ("include", "", "include/userspace", "selftests/unit")

PACKAGES = ("bench",
            "conformance",
            "device",
            "dropin",
            "faults",
            "fuzz",
            "matrix",
            "others",
            "ports",
            "seeing",
            "lessons",
            "style",
            "trust",
            "vbl")
PY_PARTS = {
    "vbl": Part(("scripts/vbl/",)),
    "style": Part(("scripts/style/",), ("vbl",)),
    "conformance": Part(("scripts/conformance/",), ("vbl",)),
    "bench": Part(("scripts/bench/",), ("vbl",)),
    "matrix": Part(("scripts/matrix/",), ("vbl",)),
    "others": Part(("scripts/others/",), ("vbl",)),
    "ports": Part(("scripts/ports/",), ("vbl",)),
    "device": Part(("scripts/device/",), ("vbl",)),
    "faults": Part(("scripts/faults/",), ("vbl",)),
    "dropin": Part(("scripts/dropin/",), ("faults", "vbl")),
    "fuzz": Part(("scripts/fuzz/",), ("device", "vbl")),
    "seeing": Part(("scripts/seeing/",), ("bench", "device", "vbl")),
    "lessons": Part(("scripts/lessons/",), ("vbl",)),
    "trust": Part(("scripts/trust/",), ("device", "faults", "fuzz", "vbl")),
    "programs": Part(("scripts/*.py",), PACKAGES, alone=True),
    "tests": Part(("selftests/host/test_*.py",),
                  ("fixtures", "programs", *PACKAGES), alone=True),
    "fixtures": Part(("selftests/host/*.py",), PACKAGES),
}
# Folders in which an import is searched, after the folder of the file.
IMPORT = ("scripts", "selftests/host")
# The only file that may change sys.path.
ADDS_PATH = "selftests/host/conftest.py"


def problems(top, names):
    """What is wrong in the tree @top, of which @names are the files."""
    names = set(names)
    bad = python(top, names, PY_PARTS)
    # The table is of a module that is laid out in folders.
    if "virtio_main_lite.c" in names:
        bad = module(top, names, C_PARTS) + bad
    return bad


def part_of(name, parts):
    """The first part that has the file, as (name, Part), or (None, None)."""
    for part, row in parts.items():
        if any(_matches(name, pattern) for pattern in row.files):
            return part, row
    return None, None


def _matches(name, pattern):
    """A folder has all that is below it; a star ends at a slash."""
    if pattern.endswith("/"):
        return name.startswith(pattern)
    return name.count("/") == pattern.count("/") and \
        fnmatchcase(name, pattern)


def _read(top, name):
    with open(os.path.join(top, name), encoding="utf-8") as f:
        return f.read()


def _search(where, names):
    return next((n for n in map(os.path.normpath, where) if n in names), None)


# -- C -----------------------------------------------------------------------

def includes(top, name, names):
    """(line, what it says, the file or None) of each #include "..."."""
    for at, line in enumerate(_read(top, name).splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if found:
            yield at, found[1], _search(
                [os.path.join(folder, found[1]) for folder in
                 (os.path.dirname(name), *INCLUDE)], {*names, *GENERATED})


def _private(name, target, parts):
    """Whether @target is a header in the folder of another part."""
    return not target.startswith("include/") and \
        PUBLISHED.get(target) != name and \
        part_of(name, parts)[0] != part_of(target, parts)[0]


def module(top, names, parts):
    """The table for #include, and circles."""
    bad, graph = [], {}
    for name in sorted(n for n in names if n.endswith((".c", ".h"))):
        ours = not name.startswith(("scripts/", "selftests/"))
        part, row = part_of(name, parts)
        if ours and not row:
            bad.append(f"{name}:1: belongs to no part of the layout")
            continue
        for at, word, target in includes(top, name, names):
            if target is None:
                if ours:
                    bad.append(f"{name}:{at}: {word} is not in the tree")
                continue
            graph.setdefault(name, {}).setdefault(target, at)
            if not ours:
                continue
            of = part_of(target, parts)[0]
            if of != part and of not in row.uses:
                bad.append(f"{name}:{at}: {part} may not include {target}, "
                           f"which is of {of}")
            elif _private(name, target, parts):
                bad.append(f"{name}:{at}: {target} is private to {of}")
    return bad + circles(graph, lambda n: n.rpartition(".")[0])


# -- Python ------------------------------------------------------------------

def _module(where, dotted, names):
    """The file of a module below one of the folders, or None."""
    path = dotted.replace(".", "/")
    return _search([f"{folder}/{path}{end}" for folder in where
                      for end in ("/__init__.py", ".py")], names)


def _nodes(top, name):
    """The syntax tree of a file, flat; make style tells of bad syntax."""
    try:
        return list(ast.walk(ast.parse(_read(top, name))))
    except SyntaxError:
        return []


def imports(top, name, names):
    """(line, file) of each module of ours that a file imports, also where
    that is within a function."""
    here = os.path.dirname(name)
    # A package is found from below scripts/ only.
    roots = IMPORT if os.path.dirname(here) == "scripts" else (here, *IMPORT)
    for node in _nodes(top, name):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # import a.b runs a too.
                words = alias.name.split(".")
                for n in range(len(words)):
                    yield node.lineno, _module(roots, ".".join(words[:n + 1]),
                                               names)
        elif isinstance(node, ast.ImportFrom):
            base, dotted = roots, node.module or ""
            if node.level:
                folder = here
                for _ in range(node.level - 1):
                    folder = os.path.dirname(folder)
                base = (folder,)
            for alias in node.names:
                yield node.lineno, _module(
                    base, f"{dotted}.{alias.name}".strip("."), names) or \
                    _module(base, dotted, names)


def _changes_path(top, name):
    """Lines that name sys.path."""
    return [node.lineno for node in _nodes(top, name)
            if isinstance(node, ast.Attribute) and node.attr == "path" and
            isinstance(node.value, ast.Name) and node.value.id == "sys"]


def python(top, names, parts):
    """The table for imports, and circles."""
    bad, graph = [], {}
    for name in sorted(n for n in names if n.endswith(".py")):
        part, row = part_of(name, parts)
        if not row:
            bad.append(f"{name}:1: belongs to no part of the layout")
            continue
        if name != ADDS_PATH:
            bad += [f"{name}:{at}: only {ADDS_PATH} changes sys.path"
                    for at in _changes_path(top, name)]
        for at, target in imports(top, name, names):
            if target in (None, name):
                continue
            graph.setdefault(name, {}).setdefault(target, at)
            of = part_of(target, parts)[0]
            if of == part and row.alone:
                bad.append(f"{name}:{at}: {part} may not import each other: "
                           f"{target}")
            elif of not in (part, *row.uses):
                bad.append(f"{name}:{at}: {part} may not import {target}, "
                           f"which is of {of}")
    return bad + circles(graph, lambda n: n)


# -- circles -----------------------------------------------------------------

def circles(graph, node_of):
    """A line for each group of files that use each other.

    graph       {file: {file that it uses: line}}
    node_of     what a file is a part of: X.c and X.h are one
    """
    edges, seen_at = {}, {}
    for name, targets in graph.items():
        for target, at in targets.items():
            a, b = node_of(name), node_of(target)
            if a != b:
                edges.setdefault(a, set()).add(b)
                seen_at.setdefault((a, b), f"{name}:{at}")
    reach = {a: _reached(a, edges) for a in edges}
    bad, done = [], set()
    for a in sorted(edges):
        if a in done or a not in reach[a]:
            continue
        way = _way(a, edges)
        done |= {b for b in reach[a] if a in reach.get(b, ())}
        first = seen_at[way[0], way[1]]
        bad.append(f"{first}: a circle: " + ", ".join(
            f"{seen_at[one, two]} uses {two}"
            for one, two in zip(way, way[1:])))
    return bad


def _reached(start, edges):
    found, todo = set(), [start]
    while todo:
        for b in edges.get(todo.pop(), ()):
            if b not in found:
                found.add(b)
                todo.append(b)
    return found


def _way(start, edges):
    """The shortest way from @start back to it."""
    before, todo = {}, [start]
    for a in todo:
        for b in sorted(edges.get(a, ())):
            if b not in before:
                before[b] = a
                todo.append(b)
            if b == start:
                way = [start, a]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return way[::-1]
    return []
