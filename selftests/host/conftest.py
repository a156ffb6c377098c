# SPDX-License-Identifier: GPL-2.0
"""What every host-side case has: kernels, guests, images, and the tally.

Fixtures
    kernel      the test runs once for each kernel of the matrix ($K: one)
    boot        boot(disks=[...], ...) -> a started Guest of this test; its
                kernel log must be clean at the end (unless boot.dirty = True)
    image       image("64M", "qcow2") -> path of a fresh image
    line        QEMU's qtest socket, see scripts/faults/qtest.py
    programs    the pool of guests that test programs share
    stage       scripted devices in a guest, see conform.py
    scripted    one such device, see scripted.py
    several     several such devices at once, see late.py
    root        a system in a folder, without a guest, see root.py

Marks
    full        only with --full (make check-all)
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import vbl                          # noqa: E402
from faults import qtest            # noqa: E402
from vbl import kernel as vbl_kernel, ktap, program, qemu    # noqa: E402

os.environ.setdefault("VBL_CPU", qemu.QUICK_CPU)
pytest_plugins = ["conform", "scripted", "late", "root"]
RESULTS = {}            # node id -> passed, failed or skipped
NOTES = {}              # node id -> what $VBL_RESULTS gets of a test


# -- choosing what runs ------------------------------------------------------

def pytest_addoption(parser):
    parser.addoption("--full", action="store_true",
                     help="also run the cases marked full")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: only in make check-all")
    config.addinivalue_line("markers", "xdist_group: cases for one worker")


# pytest keeps a fixture only for the very same parameter object.
@functools.cache
def matrix():
    """The kernels to test: $K, or the newest of each series."""
    if os.environ.get("K"):
        return [vbl.pick_kernel(os.environ["K"])]
    return vbl_kernel.series()


def pytest_generate_tests(metafunc):
    if "program" in metafunc.fixturenames:
        cells = []
        for path in program.programs():
            want = program.wants(path)
            for k in matrix():
                if want.kernels and k.series not in want.kernels:
                    continue
                cells.append(pytest.param(
                    (path, want, k), id=f"{path.stem}-{k.series}",
                    marks=[pytest.mark.full] if want.full else []))
        # Programs that can share a guest run one after another.
        cells.sort(key=lambda c: repr(c.values[0][1].key(c.values[0][2])))
        metafunc.parametrize("program", cells)
    elif "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", matrix(), ids=lambda k: k.series,
                             indirect=True)


# These take long: they start first, so that no worker waits for them.
FIRST = ("test_unit.py", "test_bench.py", "test_fail.py", "test_cells.py",
         "test_programs.py", "test_fuzz.py")

# Files whose cases use one guest, or, as lessons do, the same names in /tmp: one
# after another.
ONE_WORKER = ("test_bench.py", "test_bind.py", "test_takeover.py",
              "test_tool.py", "test_choice.py", "test_lessons.py")

# Files with many cases, each of which runs on one kernel only: they take turns,
# so that every kernel sees half of them. --full runs all on all.
TAKE_TURNS = ("test_config.py", "test_life.py", "test_trust.py",
              "test_trust_soak.py", "test_trust_move.py",
              "test_trust_table.py", "test_recover.py",
              "test_features.py", "test_errors.py", "test_fail.py",
              "test_programs.py", "test_resize.py", "test_late.py",
              "test_lost.py", "test_differences.py", "test_messages.py",
              "test_journey.py", "test_tool.py", "test_choice.py",
              "test_interrupts.py", "test_shortage.py", "test_names.py",
              "test_memory.py", "test_probe.py", "test_udev.py", "test_samples.py")

# Of these the kinds of rings take turns, too.
RINGS_TOO = ("test_lost.py",)

# Their guests take long to make: all cases on one kernel, the oldest.
ONE_KERNEL = ("test_udev.py",)


def _other_turns(items):
    """Cases that are another kernel's turn."""
    cases, left_out = {}, []
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if item.path.name not in TAKE_TURNS:
            continue
        if "kernel" in params:
            series = params["kernel"].series
            name = item.nodeid.replace(f"[{series}", "[", 1)
            if item.path.name in RINGS_TOO:
                name = re.sub("split|packed", "", name)
            cases.setdefault(name, []).append(item)
        elif "program" in params:
            cases.setdefault(params["program"][0], []).append(item)
    for turn, same in enumerate(cases.values()):
        if same[0].path.name in ONE_KERNEL:
            turn = -1
        kept = same[turn % len(same)]
        left_out += [item for item in same if item is not kept]
    return left_out


def _together(item):
    """Name of the cases that one worker runs with @item, or None."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if "program" in params:
        _, want, kernel = params["program"]
        return f"guest-{vbl.cache.digest(repr(want.key(kernel)))[:4]}"
    if "cast" in params:
        return f"conformance-{params['cast']}"
    if "cell" in params:
        return f"cells-{params['cell'].kernel.series}"
    if item.path.name in ONE_WORKER:
        return f"{item.path.stem}-{params.get('kernel', '')}"
    return None


# Before xdist reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda i: i.path.name not in FIRST)
    for item in items:
        if _together(item):
            item.add_marker(pytest.mark.xdist_group(_together(item)))
    if config.getoption("--full"):
        return
    left_out = [i for i in items if i.get_closest_marker("full")]
    left_out += _other_turns([i for i in items if i not in left_out])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in left_out]


# -- guests and images -------------------------------------------------------

def _leaks(g):
    """Make the debug kernel scan for leaks; what it finds is a complaint."""
    if g.kernel.debug != "debug":
        return ""
    # The first scan also finds objects that are in use for a moment.
    return g.sh("for _ in 1 2; do echo scan >/sys/kernel/debug/kmemleak; done;"
                "cat /sys/kernel/debug/kmemleak", timeout=120, check=False)


class Boot:
    """Boots guests for one test, and ends and judges them after it."""

    def __init__(self):
        self.guests, self.dirty = [], False

    def __call__(self, **options):
        guest = vbl.Guest(**options)
        self.guests.append(guest)
        return guest.__enter__()

    def close(self):
        bad = []
        for g in self.guests:
            try:
                log = _leaks(g) + g.sh("dmesg", check=False) \
                    if g.running else g.console
            except vbl.VblError:
                log = g.console
            finally:
                g.kill()
            bad += ktap.scan_log(log + g.console)
        if bad and not self.dirty:
            pytest.fail("the kernel complained:\n" + "\n".join(bad),
                        pytrace=False)


@pytest.fixture(scope="module")
def kernel(request):
    return request.param


@pytest.fixture
def boot():
    b = Boot()
    yield b
    b.close()


@pytest.fixture
def line():
    one = qtest.Line()
    yield one
    one.close()


@pytest.fixture
def image():
    folder = Path(tempfile.mkdtemp(prefix="vbl-image-"))

    def make(size="64M", format="raw", name=None, *options):
        path = folder / (name or f"{len(list(folder.iterdir()))}.{format}")
        subprocess.run(["qemu-img", "create", "-q", "-f", format, *options,
                        str(path), str(size)], check=True)
        return path

    yield make
    shutil.rmtree(folder, ignore_errors=True)


class Pool:
    """At most one living guest, kept while the next program fits into it."""

    def __init__(self):
        self.guest = self.key = self.state = None

    STATE = ("lsmod | grep -c virtio_lite; for b in $(vbl_disks); do "
             "echo $b $(pci_driver $b) $(disk_of $b); done; cat /proc/mounts")

    def get(self, want, kernel):
        key = want.key(kernel)
        if self.guest and (want.fresh or key != self.key):
            self.drop()
        if not self.guest:
            self.guest, self.key = want.guest(kernel), key
            try:
                self.guest.__enter__()
            except BaseException:
                self.guest = None
                raise
            self.state = self.guest.sh(self.STATE)
        return self.guest

    def settle(self, fresh):
        """After a program: keep the guest only when it is as it was."""
        if self.guest and (fresh or self.guest.sh(self.STATE) != self.state):
            self.drop()

    def drop(self):
        if self.guest:
            self.guest.kill()
        self.guest = None


@pytest.fixture(scope="session")
def programs():
    pool = Pool()
    yield pool
    pool.drop()


# -- the tally ---------------------------------------------------------------

def pytest_runtest_logreport(report):
    rank = ["passed", "skipped", "failed"]
    before = RESULTS.get(report.nodeid, "passed")
    RESULTS[report.nodeid] = max(before, report.outcome, key=rank.index)
    _note(report)


def _note(report):
    """Append to the file $VBL_RESULTS what a test gave, once it is over."""
    path = os.environ.get("VBL_RESULTS")
    if not path or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    note = NOTES.setdefault(report.nodeid, {
        "test": report.nodeid.rpartition("/")[2], "outcome": "passed",
        "why": "", "seconds": 0})
    note["seconds"] = round(note["seconds"] + report.duration, 2)
    if report.outcome != "passed":
        # Of an exception the last line says most; a skip has its reason third.
        note["why"] = getattr(report, "wasxfail", None) or (
            report.longrepr[2] if isinstance(report.longrepr, tuple)
            else _crash(report))
        note["outcome"] = "failed" if report.failed else \
            "expected" if hasattr(report, "wasxfail") else "skipped"
    if report.when == "teardown":
        with open(path, "a") as f:
            f.write(json.dumps(NOTES.pop(report.nodeid)) + "\n")


def _crash(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else report.longreprtext)[:2000]


def pytest_collectreport(report):
    if report.failed:
        RESULTS[f"collect {report.nodeid}"] = "failed"


def pytest_terminal_summary(terminalreporter):
    points = [text for r in terminalreporter.getreports("passed")
              for name, text in r.user_properties if name == "skipped point"]
    if points:
        terminalreporter.section("test points skipped inside programs")
        for text in points:
            terminalreporter.line(text)


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and \
            session.config.option.keyword:
        print(f"\nno test is called {session.config.option.keyword!r}")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    if config.getoption("collectonly", False) or \
            config.getoption("help", False) or hasattr(config, "workerinput"):
        return
    count = {word: list(RESULTS.values()).count(word)
             for word in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, "
          f"{count['skipped']} skipped", flush=True)
