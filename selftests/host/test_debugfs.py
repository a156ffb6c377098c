# SPDX-License-Identifier: GPL-2.0
"""/sys/kernel/debug/virtio_lite: a queue and its counters, seen by the guest."""

import re
import subprocess

import pytest
from seeing import ring_scene
from vbl import Disk, SetupError, build_module, pick_kernel

TOP = "/sys/kernel/debug/virtio_lite"


def fields(text):
    """The lines 'name: ...' of a queue, by name."""
    return dict(re.findall(r"^(\w[\w ]*): (.*)$", text, re.M))


def check_desc(text, desc, packed):
    """A line of @text shows this descriptor, which was read from outside."""
    names = "".join(f" {n}" for n in desc["names"])
    other = "id" if packed else "next"
    assert re.search(rf"\[ *{desc['slot']}\] addr 0x0*{desc['addr']:x} len +"
                     rf"{desc['len']} {other} {desc[other]} *{names}\b", text)


@pytest.mark.full
@pytest.mark.parametrize("options", [
    pytest.param({}, id="split"),
    pytest.param({"transport": "modern", "packed": True}, id="packed",
                 marks=pytest.mark.full),
    pytest.param({"transport": "legacy"}, id="legacy",
                 marks=pytest.mark.full),
    pytest.param({"indirect": False}, id="chains", marks=pytest.mark.full),
    pytest.param({"transport": "modern", "in_order": True}, id="in-order",
                 marks=pytest.mark.full)])
def test_inside_as_outside(kernel, options):
    """What the guest shows of a queue is what is in its memory."""
    with ring_scene.Scene(kernel, hold=2, options=options,
                          what="mixed") as scene:
        g = scene.guest
        scene.look("before")
        for _ in range(2):
            scene.hold()
        seen = scene.look("held").queues[0]
        queue = f"{TOP}/virtio0/queue0"
        text = g.sh(f"cat {queue}")
        say = fields(text)
        assert say["in flight"] == "2"
        assert say["ring"].split()[:2] == [
            "packed" if seen["packed"] else "split", str(seen["num"])]
        if seen["packed"]:
            for name in ("driver_event", "device_event"):
                e = seen[name]
                assert say[name] == (f"{e['flags']} slot {e['slot']} wrap "
                                     f"{e['wrap']}")
        else:
            a, u = seen["avail"], seen["used"]
            assert say["avail"] == (f"idx {a['idx']} flags {a['flags']} "
                                    f"used_event {a['used_event']}")
            assert say["used"] == (f"idx {u['idx']} flags {u['flags']} "
                                   f"avail_event {u['avail_event']}")
        assert len(seen["buffers"]) == 2
        for b in seen["buffers"]:
            h = b["header"]
            assert re.search(rf"head {b['head']} tag \d+: {h['name']} "
                             rf"\({h['type']}\) sector {h['sector']} status "
                             rf"{b['status']:#04x}", text), text
            if b["indirect"]:
                for d in b["table"]:
                    check_desc(text, d, seen["packed"])
        # Nothing but reading, by root.
        assert g.sh(f"stat -c %a {queue}").strip() == "400"
        assert g.status(f"echo 1 >{queue}")[0] != 0
        while scene.held:
            scene.release(0)[1].wait()
        assert "in flight: 0" in g.sh(f"cat {queue}")


def rows(text):
    """{row: [a number for each queue]} of the counters."""
    return {name.strip(): [int(n) for n in numbers.split()]
            for name, numbers in re.findall(r"^(\S.*?) {2,}([\d ]+)$", text,
                                            re.M)}


def interrupts(g):
    """Interrupts of the queues so far."""
    return sum(int(n) for row in g.sh("grep -- '-req' /proc/interrupts")
               .splitlines() for n in row.split()[1:3])


def test_counters(boot, kernel):
    """Counts since the file was opened: of requests, kicks, interrupts, batches
    and times. Nothing is counted while nobody looks."""
    g = boot(kernel=kernel, disks=[Disk(num_queues=2)])
    dev = g.dev()
    write = (f"dd if=/dev/zero of=/dev/{dev} bs=4k count=%d oflag=direct "
             "2>/dev/null")
    g.sh(write % 10)
    assert "enabled=1" not in g.sh(
        "cd /sys/kernel/tracing/events/virtio_lite 2>/dev/null && "
        "grep -H 1 */enable | sed s/:/=/ || true")
    before = interrupts(g)
    out = g.sh(f"exec 3<{TOP}/virtio0/counters; cat <&3; echo ===; "
               f"{write % 40}; cat <&3; echo ===; {write % 24}; cat <&3")
    first, second, third = (rows(t) for t in out.split("===\n"))
    assert first["queue"] == [0, 1]
    assert sum(first["requests"]) == 0
    for got, n in ((second, 40), (third, 64)):
        assert sum(got["requests"]) == sum(got["completions"]) == n
        for q in (0, 1):
            assert got["kicks"][q] + got["kicks saved"][q] == \
                got["requests"][q]
            assert got["kicks"][q] <= got["kick decisions"][q]
        times = [sum(v) for k, v in got.items() if k.startswith("us ")]
        assert sum(times) == n
        batch = sum(sum(v) for k, v in got.items() if k.startswith("batch "))
        assert 0 < batch <= sum(got["interrupts"])
    assert sum(third["interrupts"]) == interrupts(g) - before
    # Several may look, and each has its own.
    assert sum(rows(g.sh(f"cat {TOP}/virtio0/counters"))["requests"]) == 0


def debug_kernel():
    """The kernel with KASAN and lockdep, or a reason to skip."""
    try:
        return pick_kernel("debug")
    except SetupError:
        pytest.skip("there is no debug kernel; scripts/setup --help")


@pytest.mark.full
@pytest.mark.parametrize("options", [{}, {"packed": True}],
                         ids=["split", "packed"])
def test_looking_at_what_changes(boot, options):
    """All files are read in circles, while the disk works, gets other rings, is
    reset and unbound, and the module goes, under KASAN and lockdep."""
    g = boot(kernel=debug_kernel(), timeout=0,
             disks=[Disk(transport="modern", num_queues=2, root_port=True,
                         **options)])
    bdf, dev = g.bdf(0), g.dev()
    pci = "/sys/bus/pci"
    g.sh("touch /tmp/go")
    readers = [g.start(
        f"n=0; while [ -e /tmp/go ]; do for f in {TOP}/*/{files}; do "
        "cat $f >/dev/null 2>&1 && n=$((n+1)); done; done; echo $n")
        for files in ("queue*", "*", "counters")]
    load = g.start(f"while [ -e /tmp/go ]; do [ ! -b /dev/{dev} ] || dd if=/dev/"
                   f"{dev} of=/dev/null bs=64k count=64 iflag=direct "
                   "2>/dev/null; done; true")
    change = (
        f"for s in 128 64 256; do [ ! -w /sys/block/{dev}/ring_size ] || "
        f"echo $s >/sys/block/{dev}/ring_size; done; "
        f"[ ! -e {pci}/devices/{bdf}/reset ] || echo 1 >{pci}/devices/{bdf}"
        f"/reset; echo {bdf} >{pci}/devices/{bdf}/driver/unbind; "
        f"echo {bdf} >{pci}/drivers/virtio-pci-lite/bind; "
        f"wait_for 60 test -b /dev/{dev}")
    g.sh(f"for i in 1 2 3 4 5; do {change}; done", timeout=300)
    g.sh("rm /tmp/go")
    for job in readers:
        assert int(job.wait(timeout=60).split()[-1]) > 20
    load.wait(timeout=60)
    g.sh(f"dd if=/dev/{dev} of=/dev/null bs=64k count=16 iflag=direct "
         "2>/dev/null; vbl_unload")
    assert g.status(f"[ -e {TOP} ]")[0] != 0


@pytest.mark.full
def test_without_debugfs(kernel, tmp_path):
    """A kernel without CONFIG_DEBUG_FS: the module builds, and has none."""
    off = tmp_path / "off.h"
    off.write_text("#undef CONFIG_DEBUG_FS\n")
    ko = build_module(kernel, ["CONFIG_DEBUG_FS=", f"KCFLAGS=-include {off}"])
    names = subprocess.run(["nm", ko], capture_output=True, text=True,
                           check=True).stdout
    assert "virtblk_probe" in names and "debugfs" not in names
    assert "vring_show" not in names
