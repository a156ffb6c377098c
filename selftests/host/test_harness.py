# SPDX-License-Identifier: GPL-2.0
"""The harness tested by itself: what it must notice, and what it must refuse.

These cases run on the kernel's own virtio_blk, so they pass or fail whatever
state our driver is in.
"""

import os
import subprocess
import time

import pytest
from vbl import (TREE, CommandFailed, Disk, Guest, GuestDied, GuestHung,
                 QemuFailed, SetupError, cache, ktap, pick_kernel, program,
                 qemu)


# -- results -----------------------------------------------------------------

def test_ktap_points():
    got = ktap.parse("KTAP version 1\n1..3\nok 1 - first\n"
                     "not ok 2 second # why not\nok 3 third # SKIP no disk\n")
    assert [p.outcome for p in got.points] == ["passed", "failed", "skipped"]
    assert [p.why for p in got.points] == ["", "why not", "no disk"]
    assert "second" in got.problem()


@pytest.mark.parametrize("why", ["'x' is not y", "[1]", "", "(no)"])
def test_ktap_reason_of_any_kind(why):
    """A point is seen whatever is said about it."""
    got, = ktap.parse(f"not ok 1 a # {why}\n").points
    assert (got.name, got.outcome, got.why) == ("a", "failed", why)


@pytest.mark.parametrize("text, word", [
    ("1..2\nok 1 one\n", "planned 2"),
    ("KTAP version 1\n", "no test point"),
    ("1..1\nok 1 a\nBail out! broken\n", "broken"),
    ("1..1\n    1..1\n    not ok 1 inner\nok 1 outer\n", "inner"),
])
def test_ktap_problems(text, word):
    assert word in ktap.parse(text).problem()


def test_ktap_all_skipped():
    got = ktap.parse("1..0 # SKIP no such device\n")
    assert got.problem() == "" and got.skipped == "no such device"


@pytest.mark.parametrize("line", [
    "[1.0] WARNING: CPU: 0 PID: 1 at x.c:1", "[1.0] BUG: unable to handle",
    "INFO: task sh:12 blocked for more than 120 seconds.", " Call Trace:",
    "WARNING: possible circular locking dependency detected",
])
def test_log_scan_sees(line):
    assert ktap.scan_log(f"fine\n{line}\nfine") != []


def test_log_scan_is_quiet():
    assert ktap.scan_log("virtio_blk virtio0: [vda] 8 512-byte blocks\n"
                         "debugfs: done, no bugs") == []


# -- options -----------------------------------------------------------------

@pytest.mark.parametrize("options, word", [
    ({"transport": "old"}, "transport"),
    ({"queues": 2}, "queues"),
    ({"transport": "legacy", "packed": True}, "packed"),
    ({"iommu_platform": True}, "iommu_platform"),
    ({"queue_size": 100}, "queue_size"),
    ({"kind": "nvme", "vectors": 0}, "vectors"),
    ({"kind": "floppy"}, "floppy"),
    ({"root_port": True, "bus": "pcie.0"}, "root_port"),
])
def test_disk_refuses(options, word):
    with pytest.raises(SetupError, match=word):
        Disk(**options)


@pytest.mark.parametrize("line, word", [
    ("disk sixe=1M", "sixe"), ("smp=two", "two"), ("colour=red", "colour"),
    ("iommu=maybe", "on or off"),
])
def test_program_asks_nonsense(tmp_path, line, word):
    path = tmp_path / "x.sh"
    path.write_text(f"#!/bin/sh\n# guest: {line}\n")
    with pytest.raises(SetupError, match=f"x.sh:2: .*{word}"):
        program.wants(path)


def test_program_asks(tmp_path):
    path = tmp_path / "x.sh"
    path.write_text("#!/bin/sh\n# guest: disk null size=1G packed=on\n"
                    "# guest: smp=4 append=\"a b\" driver=none fresh\n")
    got = program.wants(path)
    assert got.disks == (("null", "size=1G", "packed=on"),) and got.fresh
    assert dict(got.options) == {"smp": 4, "append": "a b", "driver": None}


def test_unknown_kernel():
    with pytest.raises(SetupError, match="no such kernel"):
        pick_kernel("0.99")


def test_cache_is_atomic(tmp_path, monkeypatch):
    monkeypatch.setenv("VBL_CACHE", str(tmp_path))

    def broken(folder):
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError):
        cache.entry("thing", [1], broken)
    assert list((tmp_path / "thing").iterdir()) == []
    made = cache.entry("thing", [1], lambda f: (f / "a").write_text("x"))
    assert made == cache.entry("thing", [1], broken)
    assert made != cache.entry("thing", [2], lambda f: None)


# -- guests ------------------------------------------------------------------

@pytest.fixture(scope="module")
def guest():
    """One guest for all cases that leave it as it was."""
    with Guest(driver="upstream", disks=[Disk(size="32M")],
               timeout=0) as g:
        yield g


def test_commands(guest):
    assert guest.sh("echo a; echo b >&2") == "a\nb\n"
    assert len(guest.sh("head -c 100000 /dev/zero | tr '\\0' x")) == 100000
    with pytest.raises(CommandFailed) as failed:
        guest.sh("echo why; exit 3")
    assert failed.value.status == 3 and "why" in str(failed.value)
    data = bytes(range(256)) * 300
    guest.put("/tmp/blob", data)
    assert guest.get("/tmp/blob") == data


def test_answers_survive_noise(guest):
    """Kernel messages and a noisy console must not get into the answers."""
    noise = guest.start("while :; do echo noise >/dev/kmsg; "
                        "echo more >/dev/ttyS0; done")
    assert [guest.sh(f"echo {n}") for n in range(5)] == \
        [f"{n}\n" for n in range(5)]
    noise.kill()
    noise.wait(check=False)


def test_background(guest):
    job = guest.start("sleep 1; echo done")
    assert guest.sh("echo first") == "first\n"
    assert not job.done
    assert job.wait() == "done\n"


def test_log_is_cut(guest):
    guest.sh("echo before >/dev/kmsg")
    mark = guest.dmesg_mark("here & there")
    guest.sh("echo after >/dev/kmsg")
    assert "after" in guest.dmesg_since(mark)
    assert "before" not in guest.dmesg_since(mark)


def test_command_out_of_time(guest):
    began = time.monotonic()
    with pytest.raises(GuestHung, match="only this command") as hung:
        guest.sh("echo halfway; sleep 20", timeout=1)
    assert "halfway" in str(hung.value)
    assert time.monotonic() - began < 15
    assert guest.sh("echo alive") == "alive\n"


def test_tools(guest):
    guest.sh("vbl_tools && test -d /tools/bin")
    guest.sh("mkfs.ext4 -q /dev/vda && e2fsck -fn /dev/vda")
    guest.sh("fio --name=x --filename=/dev/vda --rw=randread --bs=4k "
             "--direct=1 --ioengine=libaio --iodepth=4 --number_ios=100 "
             "--size=4M")


def test_bind_lite_refuses(guest):
    bdf = guest.bdf(0)
    assert "load virtio_lite.ko" in guest.status(f"bind-lite {bdf}")[1]
    assert "no such PCI function" in guest.status("bind-lite 0000:00:15.0")[1]
    assert "not a virtio block disk" in guest.status("bind-lite 00:1e.0")[1]
    assert "unknown option --fast" in guest.status("bind-lite --fast")[1]
    guest.sh("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt")
    status, out = guest.status("bind-lite vda")
    assert status == 1 and "mounted on /mnt" in out
    guest.sh("umount /mnt && mkswap /dev/vda && swapon /dev/vda")
    assert "used as swap" in guest.status(f"bind-lite {bdf}")[1]
    guest.sh("swapoff /dev/vda && modprobe loop && "
             "losetup /dev/loop0 /dev/vda")
    assert "held by block/loop0" in guest.status(f"bind-lite {bdf}")[1]
    guest.sh("losetup -d /dev/loop0")
    assert "driver virtio-pci, disk vda" in \
        guest.sh(f"bind-lite {bdf} --back")


def test_poweroff(boot):
    g = boot(driver="upstream")
    g.poweroff()
    assert not g.alive


def test_answer_comes_with_a_reply(boot):
    """A command that ends while QMP is asked is not waited for once more."""
    g = boot(driver=None)
    job = g.start("echo here")
    while not g.process.answers:
        g.qmp("query-status")
    began = time.monotonic()
    assert job.wait() == "here\n"
    assert time.monotonic() - began < 20


def test_panic_is_death(boot):
    boot.dirty = True
    g = boot(driver="upstream")
    with pytest.raises(GuestDied, match="sysrq triggered crash"):
        g.sh("echo c >/proc/sysrq-trigger")


@pytest.mark.parametrize("release, again", [("7.2.0", True), ("8.1.0", False)])
def test_boots_again(monkeypatch, tmp_path, release, again):
    """A guest that dies while it boots is booted again, with a word about it, if
    its emulator is known for that."""
    real = qemu.binary()[0]
    wrapper = tmp_path / "qemu"
    wrapper.write_text(f"""#!/bin/sh
case "$*" in
*--version*) echo "QEMU emulator version {release}"; exit;;
*help*) exec {real} "$@";;
esac
mkdir {tmp_path}/mark 2>/dev/null && exec timeout -s KILL 2 {real} "$@"
exec {real} "$@"
""")
    wrapper.chmod(0o755)
    monkeypatch.setenv("VBL_ACCEL", "tcg")
    guest = Guest(driver=None, qemu=str(wrapper))
    if not again:
        with pytest.raises(GuestDied, match="went away during boot"), guest:
            pass
        return
    with pytest.warns(UserWarning, match="Booting again"), guest as g:
        assert g.sh("echo here") == "here\n"


def test_guest_out_of_time(boot):
    with pytest.raises(GuestHung, match="lived longer"):
        g = boot(driver="upstream", timeout=3)
        g.sh("sleep 100", timeout=90)


def test_qemu_refuses(boot):
    with pytest.raises(QemuFailed, match="no-such-device"):
        boot(driver="upstream", devices=["-device no-such-device"])


@pytest.mark.parametrize("transport", ["legacy", "transitional", "modern"])
def test_disks(boot, transport):
    """Transports, interrupts and slots in combination."""
    g = boot(driver="upstream", disks=[
        Disk(transport=transport, serial=transport, vectors=0),
        Disk(transport=transport, num_queues=2, indirect=False,
             event_idx=False, queue_size=64),
        Disk("null", size="1G", transport=transport, iothread=True),
        Disk(transport=transport, root_port=True, blkdebug={}),
        Disk(transport=transport, throttle={"iops-total": 1000},
             logical_block_size=4096, physical_block_size=4096),
        Disk(kind="nvme"),
    ])
    names = [g.dev(n) for n in range(6)]
    assert names[5].startswith("nvme") and len(set(names)) == 6
    assert g.sh(f"cat /sys/block/{names[0]}/serial") == transport
    assert g.sh(f"cat /sys/block/{names[2]}/size") == f"{2 << 20}\n"
    assert g.sh("cat /sys/block/%s/queue/logical_block_size" % names[4]) \
        == "4096\n"
    for name in names:
        g.sh(f"dd if=/dev/{name} of=/dev/null bs=64k count=8 iflag=direct")
    # Feature bit 32 (VERSION_1) is what tells a modern device.
    bits = g.sh(f"cat $(virtio_of {g.bdf(0)})/features")
    assert bits[32] == ("0" if transport == "legacy" else "1")


def test_modern_only_features(boot):
    g = boot(driver="upstream", iommu=True, disks=[
        Disk(transport="modern", packed=True),
        Disk(transport="modern", iommu_platform=True, ats=True),
    ])
    assert g.sh(f"cat $(virtio_of {g.bdf(0)})/features")[34] == "1"
    assert g.sh(f"cat $(virtio_of {g.bdf(1)})/features")[33] == "1"
    for n in range(2):
        g.sh(f"dd if=/dev/{g.dev(n)} of=/dev/null bs=64k count=8 iflag=direct")


def test_hotplug_and_resize(boot):
    late = Disk(hotplug=True, transport="modern", num_queues=2, packed=True,
                write_cache=True, serial="007", logical_block_size=4096,
                physical_block_size=4096)
    g = boot(driver="upstream", disks=[Disk(), late])
    g.plug(late)
    name = g.sh(f"wait_for 10 disk_of $(wait_for 10 vbl_behind_port "
                f"0000:00:{late.port_slot:02x}.0)").strip()
    g.sh(f"dd if=/dev/{name} of=/dev/null bs=64k count=8 iflag=direct")
    assert g.sh(f"cat /sys/block/{name}/serial") == "007"
    g.unplug(late)
    assert g.sh(f"test -e /sys/block/{name}; echo $?") == "1\n"
    g.qmp("block_resize", node_name=g.disks[0].node, size=128 << 20)
    g.sh("wait_for 10 grep -q 262144 /sys/block/vda/size")


def test_stuck_request(boot):
    """A write held inside QEMU stays there until it is let go."""
    g = boot(driver="upstream", disks=[Disk(blkdebug={})])
    g.qemu_io(g.disks[0], "break pwritev A")
    job = g.start("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct")
    g.sh("wait_for 10 sh -c 'grep -q \" 1$\" /sys/block/vda/inflight'")
    assert not job.done
    g.qemu_io(g.disks[0], "resume A")
    job.wait()


def test_each_kernel(boot, kernel):
    g = boot(kernel=kernel, driver="upstream", disks=[Disk(serial="one")])
    assert g.sh("uname -r").strip() == kernel.release
    assert g.dev() == "vda"
    assert g.sh("pci_driver 0000:00:04.0") == "virtio-pci\n"
    assert g.sh("virtio_driver 0000:00:04.0") == "virtio_blk\n"


def test_suspend(boot, kernel):
    g = boot(kernel=kernel, driver="upstream", disks=[Disk()], suspend=True)
    job = g.start("echo +2 >/sys/class/rtc/rtc0/wakealarm; "
                  "echo mem >/sys/power/state")
    g.wait_event("SUSPEND")
    g.wait_event("WAKEUP")
    job.wait()
    g.sh("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct")


def test_migration(boot, image, tmp_path):
    disk, uri = image(), f"unix:{tmp_path}/m"
    there = {"driver": "upstream", "tools": False}
    a = boot(disks=[Disk(disk)], **there)
    b = boot(disks=[Disk(disk)], incoming=uri, **there)
    job = a.start("sleep 2; md5sum /dev/vda")
    a.qmp("migrate-set-capabilities", capabilities=[
        {"capability": "events", "state": True}])
    a.qmp("migrate", uri=uri)
    a.wait_event("MIGRATION", status="completed")
    b.adopt(a)
    b.wait_event("RESUME")
    assert job.wait().endswith("/dev/vda\n")


# -- set-up ------------------------------------------------------------------

def test_setup_without_root(tmp_path):
    """Nothing is installed, and the user learns what would be."""
    for name, body in (("dpkg-query", "exit 1"), ("id", "echo 1000"),
                       ("apt-get", "echo called >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    got = subprocess.run([TREE / "scripts/setup"], text=True,
                         capture_output=True,
                         env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert got.returncode == 1 and "sudo" in got.stderr
    assert "qemu-system-x86" in got.stderr and "called" not in got.stderr


def test_setup_refuses():
    got = subprocess.run([TREE / "scripts/setup", "--fast"], text=True,
                         capture_output=True)
    assert got.returncode == 2 and "--fast" in got.stderr
