#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Match and probe: the PCI driver takes a PCI function by its id, the disk driver
# takes the device that it adds to the bus, and neither takes anything else.

. "${0%/*}/lib.sh"
need modinfo

need_disk
drivers=$PCI/drivers

runs "our PCI driver is registered" test -d $drivers/virtio-pci-lite
# Ids 1001 and 1042 only: a table with any other would take other devices.
is "no alias has udev load it by itself" \
	"$(modinfo "$(module)" | sed -n 's/^alias: *//p')" ""
others=0
for d in $drivers/virtio-pci-lite/0000:*; do
	case $(cat "$d/vendor"):$(cat "$d/device") in
	0x1af4:0x1001 | 0x1af4:0x1042) ;;
	*) others=$((others + 1)) ;;
	esac
done
is "it has nothing but disks" $others 0

# A PCI function has one device on the bus, and that has one disk with a name.
n=0
for d in $drivers/virtio-pci-lite/0000:*; do
	n=$((n + 1))
	b=${d##*/}
	v=$(virtio_of "$b")
	is "$b: a device on our bus" \
		"$(basename "$(readlink "$v/subsystem")")" virtio-lite
	is "$b: probed by our disk driver" "$(virtio_driver "$b")" \
		virtio_blk_lite
	like "$b: a disk" "$(disk_of "$b")" 'vd[a-z]*'
	is "$b: the module behind the PCI driver" \
		"$(basename "$(readlink "$d/driver/module")")" virtio_lite
	like "$b: the kernel log names it" \
		"$(dmesg | grep "virtio-pci-lite $b: $(disk_of "$b"): " | tail -n 1)" \
		"* sectors, * queue* of * requests"
done
is "as many devices as functions" \
	"$(find /sys/bus/virtio-lite/devices/ -mindepth 1 | wc -l)" $n
theirs=0
for d in /sys/bus/virtio/devices/*; do
	case $(readlink -f "$d") in */"$bdf"/*) theirs=$((theirs + 1)) ;; esac
done
is "upstream's bus has none of them" $theirs 0
if [ -r /sys/kernel/debug/devices_deferred ]; then
	is "nothing waits for a driver" \
		"$(grep -c virtio /sys/kernel/debug/devices_deferred)" 0
else
	skip "nothing waits for a driver" "no debugfs here"
fi

# The same by hand, one step after the other.
v=$(virtio_of "$bdf")
runs "unbind the disk driver alone" \
	sh -c "echo ${v##*/} >/sys/bus/virtio-lite/drivers/virtio_blk_lite/unbind"
fails "the disk is gone" test -e "$block"
runs "the function is still ours" test -d "$v"
is "the device is reset" "$(cat "$v/status")" 0x00000000
runs "bind it again" \
	sh -c "echo ${v##*/} >/sys/bus/virtio-lite/drivers/virtio_blk_lite/bind"
is "the same name again" "$(disk_of "$bdf")" "$name"
runs "the disk reads" reads "$disk"
finish
