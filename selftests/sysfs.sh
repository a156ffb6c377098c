#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The attributes in sysfs: of the device on its bus, and of the disk.
#
# guest: disk serial=abc
# guest: disk serial=exactly-twenty-bytes config_wce=off
# guest: disk config_wce=off write_cache=off

. "${0%/*}/lib.sh"
need nproc basename

# serial BDF: the serial number, exactly as the file has it.
serial()
{
	cat "/sys/block/$(disk_of "$1")/serial"
}

# bit FEATURES N
bit()
{
	printf '%s' "$1" | cut -c $(($2 + 1))
}

need_disk
v=$(virtio_of "$bdf") || exit 1

is "the device is on its bus" "$(basename "$(readlink "$v/subsystem")")" $bus
is "its driver drives it" "$(basename "$(readlink "$v/driver")")" $blk_driver
is "its driver drives its parent" "$(pci_driver "$bdf")" $pci_driver
is "the driver lists it" \
	"$(readlink -f "/sys/bus/$bus/drivers/$blk_driver/${v##*/}")" \
	"$(readlink -f "$v")"
is "the bus lists it" "$(readlink -f "/sys/bus/$bus/devices/${v##*/}")" \
	"$(readlink -f "$v")"
is "it is a block device" "$(cat "$v/device")" 0x0002
is "vendor" "$(cat "$v/vendor")" 0x1af4
is "modalias" "$(cat "$v/modalias")" $bus:d00000002v00001AF4
is "uevent has the same" "$(grep MODALIAS "$v/uevent")" \
	"MODALIAS=$(cat "$v/modalias")"

# ACKNOWLEDGE, DRIVER, DRIVER_OK and, except on legacy, FEATURES_OK
features=$(cat "$v/features")
# 128 of them in newer kernels' own bus.
is "64 feature bits, or 128" "$(printf '%s' "$features" | tr -d 01)":$((
	${#features} % 64)) :0
if [ "$(bit "$features" 32)" = 1 ]; then
	is "status" "$(cat "$v/status")" 0x0000000f
else
	is "status" "$(cat "$v/status")" 0x00000007
fi
[ -z "${VBL_HARNESS-}" ] ||
	is "packed ring not taken" "$(bit "$features" 34)" 0

is "the disk belongs to the device" "$(readlink -f "$block/device")" \
	"$(readlink -f "$v")"
is "minors" "$(cat "$block/range")" 16
is "its node has its numbers" \
	"$(printf '%d:%d' "0x$(stat -c %t "$disk")" "0x$(stat -c %T "$disk")")" \
	"$(cat "$block/dev")"
is "its major number has a name" \
	"$(awk -v m="$(cut -d : -f 1 "$block/dev")" \
		'/Block/ { b = 1 } b && $1 == m { print $2 }' /proc/devices)" \
	"virtblk${ours:+_lite}"
is "rotational, as with upstream's driver" "$(cat "$block/queue/rotational")" 1
is "no entropy" "$(cat "$block/queue/add_random")" 0
is "not removable" "$(cat "$block/removable")" 0
# What a disk is like is known of those that the harness made.
if [ -n "${VBL_HARNESS-}" ]; then
	is "serial" "$(serial "$bdf")" abc
else
	skip "serial" "only the harness knows which serial number it gave the disk"
fi
is "node size" "$(blockdev --getsize64 "$disk")" \
	$(($(cat "$block/size") * 512))

# Limits follow from the device; QEMU allows 254 segments in a ring of 256.
if [ -n "${VBL_HARNESS-}" ]; then
	is "logical block" "$(cat "$block/queue/logical_block_size")" 512
	is "segments" "$(cat "$block/queue/max_segments")" 254
	is "requests" "$(cat "$block/queue/nr_requests")" 255
	queues=0
	for q in "$block"/mq/*; do
		[ -d "$q" ] && queues=$((queues + 1))
	done
	is "a queue per CPU" $queues "$(nproc)"
else
	skip "limits" "only the harness knows what its disk allows"
fi
if [ -e "$block/ring_size" ]; then
	like "descriptors" "$(cat "$block/ring_size")" "[1-9]*"
	is "descriptors: for all to see" "$(stat -c %a "$block/ring_size")" 644
	[ -z "${VBL_HARNESS-}" ] ||
		is "descriptors: QEMU's 256" "$(cat "$block/ring_size")" 256
else
	skip "descriptors" "$blk_driver has no ring_size"
fi

# The cache mode can be switched, and the block layer uses the new one.
if [ "$(stat -c %a "$block/cache_type")" != 644 ]; then
	skip "cache" "this device does not allow to switch it"
	finish
fi
is "cache: write back" "$(cat "$block/cache_type")" "write back"
is "block layer: write back" "$(cat "$block/queue/write_cache")" "write back"
runs "switch it off" sh -c "echo 'write through' >$block/cache_type"
is "cache: write through" "$(cat "$block/cache_type")" "write through"
is "block layer: write through" "$(cat "$block/queue/write_cache")" \
	"write through"
runs "a write" dd if=/dev/zero of="$disk" bs=4k count=1 oflag=direct conv=fsync
runs "switch it on" sh -c "echo 'write back' >$block/cache_type"
is "cache: write back again" "$(cat "$block/cache_type")" "write back"
is "block layer: write back again" "$(cat "$block/queue/write_cache")" \
	"write back"
fails "no other mode" sh -c "echo nonsense >$block/cache_type"

# Disks with special options.
if [ -n "${VBL_HARNESS-}" ] && second=$(lite_bdf 1) && third=$(lite_bdf 2)
then
	is "serial of 20 bytes" "$(serial "$second")" exactly-twenty-bytes
	cache=/sys/block/$(disk_of "$second")/cache_type
	is "fixed cache: write back" "$(cat "$cache")" "write back"
	is "fixed cache: cannot be written" "$(stat -c %a "$cache")" 444
	is "no serial" "$(serial "$third")" ""
	is "no cache: write through" \
		"$(cat "/sys/block/$(disk_of "$third")/cache_type")" \
		"write through"
else
	skip "serial of 20 bytes" "needs three disks that the harness made"
fi
finish
