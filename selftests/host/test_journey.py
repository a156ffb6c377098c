# SPDX-License-Identifier: GPL-2.0
"""make journey, journey-diff and probe-story: what a reader has to see."""

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest
import vbl
from seeing import (clock, compare, events, journey, perfetto, probe,
                    registers, steps, svg, text)
from seeing.record import qemu_command

PROGRAM = vbl.TREE / "scripts/journey.py"

# What a direct write is made of, in the order in which it happens.
WRITE = """write(); vfs_write; file write; direct; submit_bio; bio queued;
blk_mq_submit_bio; request wanted; tag; request; queue_rq; started;
virtqueue_add; publish; kick decided; virtqueue_notify; notify; handle_vq; pop;
handle request; block backend; format node; qcow2 begins; qcow2 maps;
file node; thread pool; thread done; qcow2 done; rw_complete; req_complete;
used element; used index; virtio_notify; interrupt; vp_interrupt; virtblk_done;
status; request ends; bio ends; write() returns""".replace("\n", " ") \
    .split("; ")
# The driver's own events, each of which a reader of a journey needs.
OURS = ("virtblk_queue_rq", "virtqueue_add", "virtqueue_kick",
        "virtqueue_notify", "vp_interrupt", "virtblk_complete")


def newer():
    """The newer QEMU, or a skip."""
    try:
        return qemu_command("newer")
    except vbl.SetupError as e:
        pytest.skip(str(e))


def debian():
    return qemu_command("debian")


def has_in_order(got, wanted):
    """Which of the wanted steps are missing, or not in this order."""
    keys = [r.key for r in got.rows]
    at, missing = 0, []
    for key in wanted:
        if key in keys[at:]:
            at = keys.index(key, at) + 1
        else:
            missing.append(key)
    return missing


def check_write(got, driver):
    """A direct write has all that a reader looks for."""
    # A packed ring has no used index.
    wanted = [k for k in WRITE if k != "used index" or
              "packed" not in got.info["disk"]]
    assert not has_in_order(got, wanted), text.render(got)
    assert journey.out_of_order(got.rows) is None
    seen = {r.event.partition(":")[0] for r in got.rows}
    if driver == "lite":
        assert not set(OURS) - seen
        assert "op=WRITE sector=72 bytes=4096 descs=3" in str(got.rows)
    else:
        assert not set(OURS) & seen
    assert sum(r.event.startswith("qemu:") for r in got.rows) >= 14
    assert 0 < got.error_us < 2000


def check_strace(got):
    """strace saw the offset that the trace of QEMU told, where it is."""
    offset = next(r for r in got.rows if r.key == "qcow2 maps").says.split()[-1]
    note = got.notes[0]
    if "not installed" in note or "not permitted" in note:
        return
    assert note.startswith("strace of QEMU, same request again: pwrite64("), \
        note
    assert f", 4096, {offset}) = 4096" in note


def swapped(table, a, b):
    """The table with two steps exchanged."""
    out = list(table)
    i, j = (next(n for n, s in enumerate(out) if s.key == k) for k in (a, b))
    out[i], out[j] = out[j], out[i]
    return tuple(out)


def test_a_write_step_by_step(kernel, tmp_path):
    """The short one: what is printed, what is written, and its order."""
    got = journey.record("write", "lite", kernel)
    check_write(got, "lite")
    check_strace(got)

    # Any two neighbours of the table, exchanged, are noticed.
    rows = [r.key for r in got.rows if not r.loose]
    for a, b in zip(rows, rows[1:]):
        assert journey.out_of_order(got.rows, swapped(steps.STEPS, a, b)), \
            f"{a} and {b} could change places"

    shown = xml.fromstring(svg.render(got))
    words = "".join(shown.itertext())
    for key in WRITE:
        assert words.count(key) >= 2        # wide and narrow
    data = json.loads(perfetto.render(got))["traceEvents"]
    slices = [e for e in data if e["ph"] == "X"]
    assert [e["name"] for e in slices] == rows
    assert all(e["dur"] > 0 for e in slices)
    (tmp_path / "a.json").write_text(got.dumps())
    again = journey.Journey.load(tmp_path / "a.json")
    assert again == got
    shown, differ = compare.render(again, got)
    assert not differ and "No step differs." in shown


@pytest.mark.full
@pytest.mark.parametrize("driver", ["lite", "upstream"])
@pytest.mark.parametrize("qemu", [debian, newer], ids=["debian", "newer"])
def test_write(kernel, driver, qemu):
    got = journey.record("write", driver, kernel, qemu())
    check_write(got, driver)
    check_strace(got)


def ops(got):
    """What each request was, such as WS or FF."""
    return [r.facts["rwbs"] for r in got.rows if r.key == "started"
            for _ in range(r.count)]


@pytest.mark.full
@pytest.mark.parametrize("driver", ["lite", "upstream"])
@pytest.mark.parametrize("qemu", [debian, newer], ids=["debian", "newer"])
def test_buffered(kernel, driver, qemu):
    """write() ends in memory; fsync has data, journal and flushes written."""
    got = journey.record("buffered", driver, kernel, qemu())
    assert not has_in_order(got, [
        "write()", "buffered", "page found", "write() returns early",
        "fsync()", "fsync of the file", "writepages", "bio queued", "notify",
        "handle_vq", "file node", "virtblk_done", "fsync() returns"])
    assert not has_in_order(got, ["fsync()", "journal", "journal commit record",
                                  "journal done", "fsync() returns"])
    assert journey.out_of_order(got.rows) is None
    done = ops(got)
    flush = [n for n, op in enumerate(done) if op.startswith("F")]
    writes = [n for n, op in enumerate(done) if op.startswith("W")]
    # Data and the journal's blocks, a flush, the commit record, a flush.
    assert len(writes) >= 3 and len(flush) >= 2, done
    assert writes[1] < flush[0] < writes[-1] < flush[-1], done


@pytest.mark.full
@pytest.mark.parametrize("disk", [
    {"packed": True}, {"transport": "legacy"}, {"ioeventfd": False},
    {"iothread": True}, {"event_idx": False}],
    ids=lambda d: "-".join(map(str, *d.items())))
def test_disk(kernel, disk):
    got = journey.record("write", "lite", kernel, newer(), disk)
    check_write(got, "lite")
    if "ioeventfd" in disk:
        assert not has_in_order(got, ["notify", "exit", "handle_vq"])
        # The doorbell of the queue whose number is written.
        row = next(r for r in got.rows if r.key == "exit")
        at, queue = re.search("(0x[0-9a-f]+) = (0x[0-9a-f]+)",
                              row.event).groups()
        assert int(at, 16) == 4 * int(queue, 16)


@pytest.mark.full
@pytest.mark.parametrize("what, wanted, op", [
    ("read", "read(); vfs_read; file read; direct; handle request; qcow2 maps;"
     " thread pool; used element; status; read() returns", "R"),
    ("flush", "fsync(); flush asked; bio queued; queue_rq; virtqueue_add; "
     "notify; handle_vq; pop; thread pool; req_complete; status; "
     "fsync() returns", "F"),
    ("discard", "ioctl(); vfs_ioctl; bio queued; queue_rq; "
     "notify; handle_vq; pop; req_complete; status; ioctl() returns", "D")])
def test_what(kernel, what, wanted, op):
    got = journey.record(what, "lite", kernel, newer())
    assert not has_in_order(got, wanted.split("; ")), text.render(got)
    assert journey.out_of_order(got.rows) is None
    assert ops(got)[0].startswith(op)
    flushes = [r for r in got.rows if "op=FLUSH" in r.event]
    assert all("sector=" not in r.event for r in flushes)
    assert bool(flushes) == (what == "flush")


@pytest.mark.full
def test_batch(kernel):
    """Eight requests, fewer kicks."""
    got = journey.record("batch", "lite", kernel, newer())
    times = {r.key: r.count for r in got.rows}
    assert times["descriptors"] == times["pop"] == times["status"] == 8
    assert times["notify"] < 8
    assert not has_in_order(got, ["io_submit()", "request", "queue_rq",
                                  "publish", "notify", "pop"])


@pytest.mark.full
def test_diff(tmp_path):
    """Two drivers side by side: the first difference is marked."""
    kernel = vbl.default_kernel()
    for driver in ("lite", "upstream"):
        got = journey.record("write", driver, kernel, newer())
        (tmp_path / f"{driver}.json").write_text(got.dumps())
    done = subprocess.run([sys.executable, str(PROGRAM), "diff",
                           str(tmp_path / "lite.json"),
                           str(tmp_path / "upstream.json")],
                          capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count(">>") == 1
    assert "the first difference" in done.stdout
    assert "get_buf" in done.stdout


# -- no guest ----------------------------------------------------------------

def _trace(n, ahead=5.0, rate=1.0):
    """@n requests as both sides would write them; QEMU's clock is ahead, and
    goes at this rate."""
    guest, host = [], []
    for i in range(n):
        at, sector = 10 + i / 100, 8 * i
        for us, what in ((0, f"block_rq_issue: 254,0 R 4096 () {sector} + 8 "
                          "be,0,4 [dd]"),
                         (40, "virtqueue_notify: virtio0 queue=0 value=0x0"),
                         (900, "vp_interrupt: virtio0 queue=0 irq=25 shared=0"),
                         (990, f"block_rq_complete: 254,0 R () {sector} + 8 "
                          "be,0,4 [0]")):
            guest.append(f"   dd-7   [000] .....  {at + us / 1e6:.6f}: {what}")
        for us, what in ((100 + i, "virtio_queue_notify vdev 0x1 n 0 vq 0x2"),
                         (200, "virtio_blk_handle_read vdev 0x1 req 0x3 "
                          f"sector {sector} nsectors 8"),
                         (700, "virtio_blk_req_complete vdev 0x1 req 0x3 "
                          "status 0"),
                         (800 - i, "virtio_notify vdev 0x1 vq 0x2")):
            t = (at + us / 1e6) * rate + ahead
            host.append(f"99@{int(t)}.{round(t % 1 * 1e6):06d}:{what}")
    return events.guest("\n".join(guest)), \
        events.host({0: "\n".join(host)})


def test_clock():
    """The requests bound the difference of the clocks, the nearest ones best."""
    many = clock.measure(*_trace(20), "254,0", 10.1)
    assert many.requests == 20 and many.error < 200e-6
    assert abs(many.to_guest(15.1) - 10.1) <= many.error
    # An emulated CPU may have measured its clock wrongly.
    slow = clock.measure(*_trace(20, rate=1.02), "254,0", 10.1)
    assert abs(slow.to_guest(10.1 * 1.02 + 5) - 10.1) <= slow.error < 200e-6
    with pytest.raises(vbl.VblError, match="seen on both sides"):
        clock.measure(_trace(3)[0], [], "254,0", 10)


def _late(n, late):
    """_trace(), where QEMU seems to raise so many of the interrupts late."""
    guest, host = _trace(n)
    for e in [e for e in host if e.name == "virtio_notify"][:late]:
        e.at += 0.001
    return guest, host


def test_clock_on_a_busy_host():
    """Requests that contradict the others are left out and counted; where they
    are the most, there is no clock."""
    few = clock.measure(*_late(20, 3), "254,0", 10.1)
    assert (few.agree, few.requests) == (17, 20) and few.error < 200e-6
    assert abs(few.to_guest(15.1) - 10.1) <= few.error
    # QEMU's clock is set while it is looked at: what is near counts.
    guest, host = _trace(20)
    for e in host:
        e.at += 0.5 if e.at > 15.125 else 0
    jump = clock.measure(guest, host, "254,0", 10.05)
    assert (jump.agree, jump.requests) == (13, 20)
    assert abs(jump.to_guest(15.05) - 10.05) <= jump.error < 200e-6
    for n, late in ((20, 20), (3, 3)):
        with pytest.raises(clock.Contradiction, match="only 0 of"):
            clock.measure(*_late(n, late), "254,0", 10.1)


def test_recorded_again(monkeypatch):
    """A journey whose clocks contradict each other is made again, and says so."""
    told = []

    def one(*_args, **_options):
        told.append(1)
        if len(told) % 3:
            raise clock.Contradiction("they contradict each other")
        return journey.Journey({}, [], 1.0, 20, 20)

    monkeypatch.setattr(journey, "_record", one)
    assert journey.record("write").notes == \
        2 * ["recorded again: they contradict each other"]
    with pytest.raises(clock.Contradiction):
        journey.record("write", tries=2)


def test_both_logs_read_alike():
    """The logs of an old and a new QEMU give the same events."""
    old = "7@1795853503.209052:thread_pool_submit pool 0x5 req 0x6 opaque 0x7"
    new = ("2026-11-28T08:11:43.209052Z thread_pool_submit_aio pool 0x5 "
           "req 0x6 opaque 0x7")
    a, b = events.host({0: old})[0], events.host({7: new})[0]
    assert dataclasses.asdict(a) == {**dataclasses.asdict(b), "at": a.at}
    assert abs(a.at - b.at) < 1e-6


def test_table():
    """Each step is in a lane that there is, and once in the table."""
    keys = [s.key for s in steps.STEPS]
    assert len(keys) == len(set(keys))
    assert {s.lane for s in steps.STEPS} == {lane[0] for lane in steps.LANES}
    for what in steps.WHATS.values():
        assert {what.begin, what.end} <= set(keys)


def test_parts_of_a_sentence_without_values():
    step = steps.Step("x", "ring", "e", "a head[ {head}: {n} descriptors]")
    assert journey.says(step, {"head": 3, "n": 2}) == \
        "a head 3: 2 descriptors"
    assert journey.says(step, {"head": 3}) == "a head"


@pytest.mark.parametrize("argv, says", [
    (["run", "--disk", "colour=red"], "DISK=colour=red"),
    (["run", "--disk", "packed=on,transport=legacy"], "needs a modern"),
    (["run", "--qemu", "nosuch"], "nosuch not found"),
    (["diff", "/dev/null", "/dev/null"], "not a journey"),
    (["probe", "features", "--disk", "packed=on"], "no DISK=")])
def test_refused(argv, says):
    """One line, and nothing is done."""
    done = subprocess.run([sys.executable, str(PROGRAM), *argv],
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_register_names():
    """Registers have the names of the specification, in both layouts."""
    def access(name, addr, what="write", value=0xb):
        return events.Event(0, "qemu", f"memory_region_ops_{what}", "", f"cpu "
                            f"0 mr 0x1 addr {addr:#x} value {value:#x} size 1 "
                            f"name '{name}'", {})

    got = registers.from_qemu([
        access("virtio-pci-common-virtio-blk", 0xfe000014),
        access("virtio-pci-device-virtio-blk", 0xfe002014, "read", 512),
        access("virtio-pci", 0xc012), access("serial", 0x3f8)], 4)
    assert [str(a).split() for a in got] == [
        ["common", "device_status", "<-", "0xb",
         "ACKNOWLEDGE|DRIVER|FEATURES_OK"],
        ["config", "blk_size", "->", "0x200"],
        ["legacy", "device_status", "<-", "0xb",
         "ACKNOWLEDGE|DRIVER|FEATURES_OK"]]


# -- probe-story -------------------------------------------------------------

TWICE = ("__device_attach()", "bus_for_each_drv()", "really_probe()")


def statuses(story):
    """What was written to the status register, in order."""
    return [a.value for a in story.accesses
            if a.write and a.name == "device_status"]


def order_of(story, *names):
    """The calls begin in this order."""
    at = 0
    found = [c.name for c in story.calls]
    for name in names:
        assert name in found[at:], f"{name} is missing after {found[:at][-3:]}"
        at = found.index(name, at) + 1


@pytest.mark.full
def test_bind_is_told(kernel):
    """Both buses, who was asked and what they said, each bit by name."""
    story = probe.record("bind", "lite", kernel, newer())
    order_of(story, "__device_attach()", "bus_for_each_drv()",
             "pci_bus_match()", "really_probe()", "virtio_pci_probe()",
             "register_virtio_device()", "device_add()", "bus_for_each_drv()",
             "virtio_dev_match()", "really_probe()", "virtio_dev_probe()",
             "virtblk_probe()")
    answers = [c.answer for c in story.calls if c.name == "pci_bus_match()"]
    assert answers[0].startswith("no") and answers[-1].startswith("yes")
    match = next(c for c in story.calls if c.name == "virtio_dev_match()")
    assert match.answer.startswith("yes: driver virtio_blk_lite")
    # Reset (of the bus, and of negotiation), then step by step to DRIVER_OK.
    assert [s for s in statuses(story) if s] == [1, 3, 0xb, 0xf]
    shown = probe.render(story)
    assert re.search(r"BLK_FLUSH +taken +a write cache can be emptied", shown)
    assert story.holder == "virtio-pci-lite"


# Debian's kernels from 6.12 on have virtio_pci built in, so upstream's module
# has nothing to find, and takes what is plugged in.
@pytest.mark.full
@pytest.mark.parametrize("what, driver", [("insmod", "lite"),
                                          ("bind", "upstream"),
                                          ("plug", "upstream")])
@pytest.mark.parametrize("transport", ["modern", "legacy"])
def test_probe(kernel, what, driver, transport):
    story = probe.record(what, driver, kernel, newer(),
                         {"transport": transport})
    names = [c.name for c in story.calls]
    assert names.count("really_probe()") >= 2
    assert "virtio_dev_match()" in names or driver == "upstream"
    done = [s for s in statuses(story) if s]
    assert done[-1] & 4, done
    offered, accepted = registers.features(story.accesses)
    assert offered and accepted and not accepted & ~offered
    assert bool(accepted >> 32 & 1) == (transport == "modern")
    assert story.holder == probe.DRIVERS[driver][0]
    assert {a.where for a in story.accesses} >= (
        {"common", "config"} if transport == "modern" else {"legacy"})


@pytest.mark.full
def test_another_driver_has_it(kernel):
    story = probe.record("other", "lite", kernel, newer())
    assert story.holder == "virtio-pci"
    calls = {c.name: c.answer for c in story.calls}
    assert "really_probe()" not in calls
    assert "has a driver" in calls["__driver_probe_device()"]
    assert not statuses(story)


@pytest.mark.full
def test_driver_override(kernel):
    story = probe.record("override", "lite", kernel, newer())
    answers = [c.answer for c in story.calls if c.name == "pci_bus_match()"]
    assert answers and all(a.startswith("no") for a in answers)
    assert not story.holder


@pytest.mark.full
@pytest.mark.parametrize("driver", ["lite", "upstream"])
def test_features_refused(kernel, driver):
    """FEATURES_OK does not stay set: the story says so, and that it ended."""
    newer()
    story = probe.record("features", driver, kernel)
    done = statuses(story)
    assert any(s & 8 for s in done) and not any(s & 4 for s in done)
    assert done[-1] & 128
    shown = probe.render(story)
    assert re.search(r"UNUSED +refused", shown)
    if driver == "lite":
        assert "offered to find drivers that accept bits" in shown
        assert "device refuses features" in shown
