#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Module parameters have a description, refuse bad values, and have their effect.

. "${0%/*}/lib.sh"
need modinfo insmod rmmod nproc

# load [parameters]: load the module again
load()
{
	if [ -d /sys/module/virtio_lite ]; then
		rmmod virtio_lite || return 1
	fi
	insmod "$ko" "$@" && vbl_take_all
}

queues()
{
	find "$block/mq" -mindepth 1 -maxdepth 1 -type d | wc -l
}

need_disk
ko=$(module) || skip_all "no virtio_lite.ko to load"
at_exit 'load >/dev/null 2>&1'

for p in /sys/module/virtio_lite/parameters/*; do
	p=${p##*/}
	like "$p has a description" \
		"$(modinfo "$ko" | grep "^parm: *$p:")" 'parm:*(default: *)*'
	is "$p can be read" \
		"$(cat "/sys/module/virtio_lite/parameters/$p" >/dev/null &&
			echo yes)" yes
done

rmmod virtio_lite
for bad in num_queues=-1 num_queues=many num_queues=100000000000 \
	queue_depth=-1 queue_depth=deep queue_depth=65537 force_legacy=maybe; do
	fails "$bad is refused" insmod "$ko" $bad
	fails "$bad: no module" test -d /sys/module/virtio_lite
done

runs "num_queues=1" load num_queues=1
is "one queue" "$(queues)" 1
is "it shows" "$(cat /sys/module/virtio_lite/parameters/num_queues)" 1
runs "it reads" reads "$disk"

runs "num_queues=1000: no more than there are" load num_queues=1000
is "a queue per CPU" "$(queues)" "$(nproc)"

# If there are more than two, one is for the check of a late request.
for depth in 1 2 7; do
	runs "queue_depth=$depth" load queue_depth=$depth
	is "depth $depth" "$(cat "$block/queue/nr_requests")" \
		$((depth - (depth > 2)))
	runs "depth $depth: it reads" reads "$disk"
	has fio && runs "depth $depth: more at once than fits" fio --name=x \
		--filename="$disk" --rw=randwrite --bs=4k --direct=1 --size=4M \
		--ioengine=libaio --iodepth=32 --verify=crc32c --thread
done
runs "queue_depth=1024: no more than there is" load queue_depth=1024
is "the ring's depth" "$(cat "$block/queue/nr_requests")" 255

runs "force_legacy=1" load force_legacy=1
v=$(virtio_of "$bdf")
is "no VERSION_1" "$(cut -c 33 "$v/features")" 0
is "no FEATURES_OK" "$(cat "$v/status")" 0x00000007
runs "legacy: it reads" reads "$disk"
runs "without" load
is "VERSION_1 again" "$(cut -c 33 "$(virtio_of "$bdf")/features")" 1
finish
