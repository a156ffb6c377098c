#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module is unloaded and loaded again; nothing of it is left in between.

. "${0%/*}/lib.sh"
need insmod rmmod

# Print what is left of the module while it is not loaded.
traces()
{
	[ -d /sys/module/virtio_lite ] && echo module
	[ -d /sys/bus/virtio-lite ] && echo bus
	[ -d $PCI/drivers/virtio-pci-lite ] && echo driver
	[ -d /sys/kernel/tracing/events/virtio_lite ] && echo events
	grep -s virtblk_lite /proc/devices
	grep -s virtio_lite /proc/slabinfo
	ls -d "/sys/class/bdi/$numbers" 2>/dev/null
	# shellcheck disable=SC2013
	for irq in $(cat $PCI/devices/"$bdf"/msi_irqs/* 2>/dev/null); do
		echo "interrupt $irq"
	done
	grep -s virtio-pci-lite /proc/ioports /proc/iomem
}

# load: load the module, and find the disk again, whose name may have changed
load()
{
	insmod "$ko" && vbl_take_all && disk=/dev/$(disk_of "$bdf")
}

need_disk
ko=$(module) || skip_all "no virtio_lite.ko to load"
numbers=$(cat "$block/dev")
random "$tmp/data" 1048576
runs "data" dd if="$tmp/data" of="$disk" bs=1M oflag=direct
data=$(sum "$tmp/data")

exec 9<"$disk"
fails "not while a disk is open" rmmod virtio_lite
exec 9<&-
runs "the disk still reads" reads "$disk"

runs "rmmod" rmmod virtio_lite
is "nothing stays" "$(traces)" ""
fails "not twice" rmmod virtio_lite
runs "insmod" load
is "the same driver" "$(pci_driver "$bdf")" virtio-pci-lite

for i in 1 2 3 4 5; do
	runs "$i: without I/O" sh -c "rmmod virtio_lite && insmod $ko"
done
disk=/dev/$(disk_of "$bdf")
for i in 1 2 3 4 5; do
	if has fio; then
		runs "$i: I/O" fio --name=x --filename="$disk" --rw=randrw \
			--bs=4k --direct=1 --ioengine=libaio --iodepth=16 \
			--size=8M --io_size=2M --offset=16M --thread
	else
		runs "$i: I/O" reads "$disk"
	fi
	runs "$i: rmmod after it" rmmod virtio_lite
	is "$i: nothing stays" "$(traces)" ""
	runs "$i: insmod" load
	is "$i: data" "$(dd if="$disk" bs=1M count=1 iflag=direct 2>/dev/null |
		sum)" "$data"
done

# Data that was written just before the unload has to be there afterwards.
random "$tmp/late" 1048576
dd if="$tmp/late" of="$disk" bs=64k 2>/dev/null
runs "rmmod after a cached write" rmmod virtio_lite
runs "insmod after it" load
is "the late data" "$(dd if="$disk" bs=1M count=1 iflag=direct 2>/dev/null |
	sum)" "$(sum "$tmp/late")"
finish
