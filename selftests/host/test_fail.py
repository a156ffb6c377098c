# SPDX-License-Identifier: GPL-2.0
"""Every call of the kernel that can fail, fails: nothing leaks or splats."""

import contextlib

import pytest
from device import USUAL, Device, scene
from vbl import Disk, build_module

PARAMS = "/sys/module/virtio_lite/parameters"

# For each kind of disk, the work done at probe differs. Short rings make few
# allocations that are all alike.
SHORT = {"size": "16M", "queue_size": 16}
DISKS = {
    "legacy": Disk(**SHORT, transport="legacy", num_queues=2),
    "modern": Disk(**SHORT, transport="modern", num_queues=2),
    "direct": Disk(**SHORT, transport="modern", indirect=False, num_queues=2,
                   vectors=2),
    "intx": Disk(**SHORT, transport="modern", vectors=0),
    "iommu": Disk(**SHORT, transport="modern", num_queues=2,
                  iommu_platform=True),
    "packed": Disk(**SHORT, transport="modern", packed=True, num_queues=2),
    "packed-direct": Disk(**SHORT, transport="modern", packed=True,
                          indirect=False, num_queues=2, vectors=2),
}
# No QEMU has a zoned disk without one on the host, so these are scripted.
ZONED = {"zoned": (), "zoned-packed": ("RING_PACKED",)}
LONG = [pytest.param(k, marks=pytest.mark.full)
        for k in ("legacy", "direct", "intx", "packed", "packed-direct",
                  *ZONED)]

# Fails call after call, first while the module loads and then, module loaded,
# while the disk is bound; each time unloads, or unbinds, what is left.
LOOP = r"""
bdf=$(vbl_disks)
pci=/sys/bus/pci
echo virtio-pci-lite >$pci/devices/$bdf/driver_override
[ -e $pci/devices/$bdf/driver ] && echo $bdf >$pci/devices/$bdf/driver/unbind
i=0 loads=0 disks=0
while :; do
	i=$((i + 1))
	if insmod /virtio_lite.ko fail_at=$i 2>/tmp/err; then
		loads=$((loads + 1))
		seen=$(cat @PARAMS@/fail_seen)
		if disk_of $bdf >/dev/null 2>&1; then
			disks=$((disks + 1))
			dd if=/dev/$(disk_of $bdf) of=/dev/null bs=64k count=16 \
				iflag=direct 2>/dev/null || exit 1
		fi
		rmmod virtio_lite || exit 1
		[ $seen -lt $i ] && break
	fi
done
[ ! -e /sys/bus/virtio-lite ] || exit 1
echo "points $((i - 1)) loads $loads disks $disks"
""".replace("@PARAMS@", PARAMS)

REBIND = r"""
bdf=$(vbl_disks)
pci=/sys/bus/pci
insmod /virtio_lite.ko || exit 1
i=0
while :; do
	i=$((i + 1))
	echo $bdf >$pci/devices/$bdf/driver/unbind || exit 1
	echo 0 >@PARAMS@/fail_seen
	echo $i >@PARAMS@/fail_at
	echo $bdf >$pci/drivers/virtio-pci-lite/bind 2>/dev/null
	seen=$(cat @PARAMS@/fail_seen)
	echo 0 >@PARAMS@/fail_at
	[ $seen -lt $i ] && break
	# A disk that failed comes back when nothing fails.
	[ -e $pci/devices/$bdf/driver ] &&
		echo $bdf >$pci/devices/$bdf/driver/unbind
	echo $bdf >$pci/drivers/virtio-pci-lite/bind || exit 1
	dd if=/dev/$(disk_of $bdf) of=/dev/null bs=64k count=16 iflag=direct \
		2>/dev/null || exit 1
done
rmmod virtio_lite || exit 1
echo "points $((i - 1))"
""".replace("@PARAMS@", PARAMS)


# A resize that lacks something says so, and leaves the disk as it was.
RESIZE = r"""
bdf=$(vbl_disks)
insmod /virtio_lite.ko || exit 1
disk=$(disk_of $bdf)
cd /sys/block/$disk || exit 1
size=$(cat ring_size)
i=0
while :; do
	i=$((i + 1))
	echo 0 >@PARAMS@/fail_seen
	echo $i >@PARAMS@/fail_at
	done=0
	echo $size >ring_size 2>/tmp/err && done=1
	seen=$(cat @PARAMS@/fail_seen)
	echo 0 >@PARAMS@/fail_at
	[ $seen -lt $i ] && break
	[ $done = 0 ] && grep -q "allocate memory" /tmp/err || exit 1
	dd if=/dev/$disk of=/dev/null bs=64k count=16 iflag=direct \
		2>/dev/null || exit 1
done
[ $done = 1 ] && [ $(cat errors/resets) = 0 ] || exit 1
cd / && rmmod virtio_lite || exit 1
echo "points $((i - 1))"
""".replace("@PARAMS@", PARAMS)


# A disk that wakes up without something makes do with other interrupts, or is
# dead; it says which, and can be bound again.
SLEEP = r"""
bdf=$(vbl_disks)
pci=/sys/bus/pci
insmod /virtio_lite.ko || exit 1
echo devices >/sys/power/pm_test
echo 0 >/sys/module/suspend/parameters/pm_test_delay
reads()
{
	# One that is dead may end at its first sector.
	[ $(dd if=/dev/$(disk_of $bdf) bs=64k count=16 iflag=direct \
		2>/dev/null | wc -c) = 1048576 ]
}
i=0 lived=0 dead=0
while :; do
	i=$((i + 1))
	echo 0 >@PARAMS@/fail_seen
	echo $i >@PARAMS@/fail_at
	echo freeze >/sys/power/state
	seen=$(cat @PARAMS@/fail_seen)
	echo 0 >@PARAMS@/fail_at
	[ $seen -lt $i ] && break
	if reads; then
		lived=$((lived + 1))
	else
		dead=$((dead + 1))
		[ $(dmesg | grep -c ": the disk is dead") -ge $dead ] || exit 1
	fi
	# Also a dead one sleeps.
	echo freeze >/sys/power/state || exit 1
	echo $bdf >$pci/devices/$bdf/driver/unbind || exit 1
	echo $bdf >$pci/drivers/virtio-pci-lite/bind || exit 1
	reads || exit 1
done
reads && rmmod virtio_lite || exit 1
echo "points $((i - 1)) lived $lived"
""".replace("@PARAMS@", PARAMS)


@pytest.fixture
def a_disk():
    """a_disk(kind): options of a guest that has it."""
    with contextlib.ExitStack() as running:
        def make(kind):
            if kind in DISKS:
                return {"disks": [DISKS[kind]], "iommu": kind == "iommu"}
            why_not = scene.qemu()[1]
            if why_not:
                pytest.skip(why_not)
            dev = running.enter_context(Device(
                USUAL + ("BLK_MQ", "BLK_ZONED", "RING_RESET", *ZONED[kind]),
                size=20 << 20, queues=2, queue_size=32, zones={}))
            return {"devices": [dev.qemu], "share_mem": True, "disks": [],
                    "qemu": scene.command()}

        yield make


@pytest.mark.parametrize("kind", [
    "modern", pytest.param("iommu", marks=pytest.mark.full), *LONG])
def test_every_failure_unwinds(kernel, boot, a_disk, kind):
    if kind in ZONED and kernel.series == "6.1":
        pytest.skip("the block layer of 6.1 does not order writes to a zone")
    ko = build_module(kernel, ("FAIL_POINTS=1",))
    g = boot(kernel=kernel, driver=None, ko=ko, tools=False, **a_disk(kind))
    points, scenes = {}, {"load": LOOP, "bind": REBIND, "sleep": SLEEP}
    if kind != "legacy":
        scenes["resize"] = RESIZE
    for name, script in scenes.items():
        words = g.sh(script, timeout=120).split()
        points[name] = int(words[words.index("points") + 1])
        if name == "sleep":
            lived = int(words[words.index("lived") + 1])
        print(f"{name}: {points[name]} of {points[name]} failure points "
              f"visited")
    # Loading registers bus, drivers and numbers on top of what binding does.
    assert points["load"] > points["bind"] >= 10
    # The function itself; interrupts, for which there are others.
    assert points["sleep"] - lived >= 1 and points["sleep"] >= 2
    # Of each queue: what keeps it, its ring, and its tokens at least.
    assert kind == "legacy" or points["resize"] >= 3
