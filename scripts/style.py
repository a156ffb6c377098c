#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make style: everything about the sources that a program can judge."""

import os
import re
import shutil
import subprocess
import sys

from style import layout
from vbl import (TREE, BuildFailed, VblError, build_module, checkpatch,
                 kernel, pick_kernel)
from vbl.kernel import build_warnings
from vbl.tree import kernel_sources, sources

# Types of checkpatch that apply to the kernel's own tree only.
NOT_FOR_US = ("FILE_PATH_CHANGES", "LINUX_VERSION_CODE", "EMBEDDED_FILENAME")
# Types that ask for kernel macros and kernel types.
USERSPACE = ("ARRAY_SIZE", "VOLATILE", "MEMORY_BARRIER", "CAMELCASE",
             "PREFER_DEFINED_ATTRIBUTE_MACRO", "PREFER_KERNEL_TYPES",
             "MACRO_ARG_UNUSED", "MACRO_ARG_REUSE")
# More types that do not apply, by the longest matching start of the path.
EXEMPT = {
    "": (),
    # A missing type can only be made up by a typedef, a function whose
    # arguments differ by a macro.
    "include/compat/": ("NEW_TYPEDEFS", "MACRO_WITH_FLOW_CONTROL"),
    "selftests/": USERSPACE,
    "scripts/": USERSPACE,
    "scripts/fail_points/": (),
    "include/userspace/": USERSPACE,
    # One list of features, included several times with other meanings.
    "include/virtio_lite.h": ("COMPLEX_MACRO", "MACRO_ARG_UNUSED",
                              "LINE_SPACING"),
    # The same; the oldest kernel registers no bus that is const.
    "bus/features.c": ("MACRO_ARG_UNUSED", "LINE_SPACING"),
    "virtio_bus_lite.c": ("CONST_STRUCT",),
    # A macro that makes an attribute of a name uses the name twice.
    "blk/attrs.c": ("MACRO_ARG_REUSE",),
    # An export declares the name that it exports.
    "include/virtio_export.h": ("MULTISTATEMENT_MACRO_USE_DO_WHILE",),
    # Trace headers have a layout of their own.
    "include/trace/": ("PARENTHESIS_ALIGNMENT", "OPEN_ENDED_LINE"),
}
# Files that cannot carry a comment, or hold the licence itself.
NO_SPDX = re.compile(r"^(COPYING|VERSION$|LICENSES/|debian/(changelog|copyright|source/|.*\.docs$))|\.(svg|png|json|tsv|csv|patch)$")
# Inputs of a fuzzer.
INPUTS = "selftests/fuzz/corpus/"
TEXT = (".c", ".h", ".py", ".sh", ".md", ".rst", ".txt", ".ini", ".yml")


class Skip(Exception):
    """This check cannot run here; the text says why."""


def _read(name):
    with open(TREE / name, "rb") as f:
        return f.read()


def _run(argv, **kw):
    got = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, cwd=TREE, **kw)
    return got.returncode, got.stdout


def _scripts(word):
    """Files whose first line names this interpreter."""
    return [n for n in sources()
            if re.match(rb"#!.*\b" + word + rb"\b", _read(n)[:80])]


def check_spdx():
    """Every file says its licence in its first lines."""
    return [f"{n}: no SPDX-License-Identifier line in its beginning"
            for n in sources() if not NO_SPDX.search(n)
            and not n.startswith(INPUTS) and _read(n)
            and b"SPDX-License-Identifier:" not in _read(n)[:400]]


def check_features():
    """Documentation/features.md shows the features that are negotiated."""
    status, out = _run([sys.executable, "scripts/features.py", "--check"])
    return out.splitlines() if status else []


def check_layout():
    """Nothing is included or imported upwards, and there is no circle."""
    return layout.problems(TREE, sources())


def check_white_space():
    """No white space at the end of a line, one newline at the end."""
    bad = []
    for n in sources():
        if not n.endswith(TEXT) and b"\0" in _read(n)[:4096]:
            continue
        data = _read(n)
        if n.endswith((".svg", ".patch")) or n.startswith(INPUTS) or not data:
            continue
        for at, line in enumerate(data.split(b"\n"), 1):
            if line.endswith((b" ", b"\t", b"\r")):
                bad.append(f"{n}:{at}: white space at the end of the line")
        if not data.endswith(b"\n") or data.endswith(b"\n\n"):
            bad.append(f"{n}: must end in exactly one newline")
    return bad


def check_checkpatch():
    """checkpatch.pl --strict reports nothing."""
    files = [n for n in sources() if n.endswith((".c", ".h"))]
    if not files:
        raise Skip("no C sources yet")
    try:
        tool = checkpatch.find()
    except VblError as e:
        raise Skip(str(e)) from None
    if not shutil.which("perl"):
        raise Skip("perl is not installed")
    bad, groups = [], {}
    for n in files:
        place = max((p for p in EXEMPT if n.startswith(p)), key=len)
        groups.setdefault(place, []).append(n)
    for place, names in groups.items():
        out = _run(["perl", tool, "--no-tree", "--strict", "--terse",
                    "--no-summary", "--show-types", "--ignore",
                    ",".join(NOT_FOR_US + EXEMPT[place]), "--file", *names])[1]
        bad += out.splitlines()
    return bad


def check_build():
    """W=1 and sparse (C=2) report nothing, on any kernel."""
    if "Kbuild" not in kernel_sources():
        raise Skip("no Kbuild yet")
    if not shutil.which("sparse"):
        raise Skip("sparse is not installed; run scripts/setup")
    bad = []
    for k in [pick_kernel(os.environ["K"])] if os.environ.get("K") \
            else kernel.series():
        try:
            ko = build_module(k, ("W=1", "C=2"), quiet=True)
            log = (ko.parent / "build.log").read_text()
        except BuildFailed as e:
            log = str(e)
        bad += [f"{k.series}: {line}"
                for line in build_warnings(log).splitlines()]
    return bad


def check_python():
    """Python files compile, and pyflakes reports nothing."""
    bad, files = [], [n for n in sources() if n.endswith(".py")]
    for n in files:
        try:
            compile(_read(n), n, "exec")
        except SyntaxError as e:
            bad.append(f"{n}:{e.lineno}: {e.msg}")
    if shutil.which("pyflakes3"):
        bad += _run(["pyflakes3", *files])[1].splitlines()
    return bad


def check_shell():
    """Shell scripts parse."""
    bad = []
    for shell in (b"sh", b"bash"):
        for n in _scripts(shell):
            status, out = _run([shell.decode(), "-n", n])
            bad += out.splitlines() if status else []
    return bad


def check_shellcheck():
    """shellcheck reports nothing."""
    if not shutil.which("shellcheck"):
        raise Skip("shellcheck is not installed; run scripts/setup")
    files = _scripts(b"sh") + _scripts(b"bash")
    return _run(["shellcheck", "-f", "gcc", "-x", "-P", "SCRIPTDIR",
                 "-S", "warning", *files])[1].splitlines()


def main():
    """Run all checks; their tally is the last line."""
    tally = {"passed": 0, "failed": 0, "skipped": 0}
    checks = [(n[6:], f) for n, f in globals().items()
              if n.startswith("check_")]
    for name, check in checks:
        try:
            bad = check()
        except Skip as why:
            print(f"skip  {name}: {why}")
            tally["skipped"] += 1
            continue
        tally["failed" if bad else "passed"] += 1
        print(f"{'FAIL' if bad else 'ok':<5} {name}: {check.__doc__}",
              flush=True)
        for line in bad:
            print(f"      {line}")
    print(", ".join(f"{n} {word}" for word, n in tally.items()), flush=True)
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
