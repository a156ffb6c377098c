# SPDX-License-Identifier: GPL-2.0
"""Another kernel takes over, without the firmware having reset anything."""

import subprocess
from pathlib import Path

import pytest
from faults.load import Busy, verify
from vbl import Disk, build_module, initramfs, ktap

# Nobody but our driver touches the disk, also where upstream's is built in.
ALONE = "initcall_blacklist=virtio_pci_driver_init"
PIECE = "bs=64k count=16 iflag=direct skip=1000 2>/dev/null | sha256sum"


@pytest.fixture
def carried(kernel, tmp_path):
    """Guest(files=...) for another kernel like the first, and a tool for it."""
    tool = tmp_path / "kexec"
    subprocess.run(["gcc", "-O2", "-static", "-o", tool,
                    Path(__file__).with_name("kexec.c")], check=True)
    initrd = initramfs.initrd(kernel, build_module(kernel), folder=tmp_path)
    return {"/kexec": tool, "/vmlinuz": kernel.image, "/initrd": initrd}


def prepare(g, how, more=""):
    """Load the other kernel; what is written now will have to be there."""
    # Room for a crash kernel is the first one's affair.
    g.sh(f"/kexec {how} /vmlinuz /initrd \"$(sed 's/crashkernel=[^ ]*//' "
         f"/proc/cmdline) {ALONE} {more}\"", timeout=60)
    g.sh(f"dd if=/dev/urandom of=/dev/{g.dev()} bs=64k count=16 seek=1000 "
         "oflag=direct 2>&1")
    return g.sh(f"dd if=/dev/{g.dev()} {PIECE}")


def status(g):
    """The device status; nobody may have the device."""
    # QEMU's own layouts: BAR4 + 0x14, and BAR0 + 18 of a legacy device.
    return int(g.sh(f"""
        set -- $(cat /sys/bus/pci/devices/{g.bdf(0)}/resource)
        if [ $((${{13}})) != 0 ]; then devmem $((${{13}} + 0x14)) 8
        else echo 0x$(dd if=/dev/port bs=1 count=1 skip=$(($1 + 18)) \
            2>/dev/null | xxd -p); fi"""), 0)


def works(g, data, params=""):
    """The next kernel has the disk, with all that was written."""
    g.sh(f"vbl_load {params} && vbl_take_all", timeout=60)
    assert g.sh(f"dd if=/dev/{g.dev()} {PIECE}") == data
    verify(g, g.dev(), "--size=8M")
    assert not ktap.scan_log(g.sh("dmesg"))


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {"transport": "modern"}, {"transport": "modern", "packed": True},
    {"transport": "legacy"}, {"vectors": 0}],
    ids=lambda o: "-".join(map(str, o.values())))
def test_kexec(boot, kernel, carried, options):
    """Under load: devices are shut down, and write nowhere any more."""
    g = boot(kernel=kernel, mem=1024, files=carried,
             disks=[Disk(size="128M", **options)])
    data = prepare(g, "load")
    Busy(g, g.dev(), "--iodepth=64")
    g.next_boot("/kexec go")
    assert not status(g), "the old kernel left the device running"
    works(g, data)


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {"transport": "modern"}, {"transport": "modern", "packed": True},
    {"transport": "legacy"}, {"vectors": 0}],
    ids=lambda o: "-".join(map(str, o.values())))
def test_crash_kernel(boot, kernel, carried, options):
    """Under load: nothing is shut down, and the device still runs."""
    g = boot(kernel=kernel, mem=1024, files=carried,
             append="crashkernel=320M", disks=[Disk(size="128M", **options)])
    boot.dirty = True           # of the first kernel
    data = prepare(g, "crash", "nr_cpus=1 reset_devices")
    Busy(g, g.dev(), "--iodepth=64")
    g.next_boot("echo c >/proc/sysrq-trigger")
    assert g.status("test -e /proc/vmcore")[0] == 0, "no crash kernel"
    assert status(g) & 4, "somebody has reset it"
    works(g, data)


@pytest.mark.full
def test_crash_kernel_queues(boot, kernel, carried):
    """One queue, however many the device, the CPUs and the user offer."""
    g = boot(kernel=kernel, mem=1024, files=carried,
             append="crashkernel=320M", disks=[Disk(size="128M", num_queues=4)])
    boot.dirty = True           # of the first kernel
    # The second CPU is possible, and stays off.
    data = prepare(g, "crash", "maxcpus=1 irqpoll reset_devices")
    g.next_boot("echo c >/proc/sysrq-trigger")
    assert g.status("test -e /proc/vmcore")[0] == 0, "no crash kernel"
    works(g, data, "poll_queues=2")
    assert g.sh(f"ls /sys/block/{g.dev()}/mq").split() == ["0"]
