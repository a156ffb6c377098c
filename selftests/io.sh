#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Data reads back as it was written: with small and large requests, direct and
# cached, one at a time and many at once.

. "${0%/*}/lib.sh"

# verify NAME FIO-OPTIONS...: write, then read all of it back; each block contains
# its own offset and a checksum.
verify()
{
	_name=$1
	shift
	# Data of an earlier job must not be taken for ours.
	seed=$((seed + 1))
	runs "$_name" fio --name=io --filename="$disk" --ioengine=libaio \
		--verify=crc32c --do_verify=1 --verify_fatal=1 \
		--randseed=$seed --thread --output-format=terse \
		--terse-version=3 "$@" || return 0
	# Fields 6 and 47 are the kilobytes read (to verify) and written.
	got=$(awk -F ';' '$1 == 3 { n += $6 } END { print n + 0 }' "$tmp/out")
	put=$(awk -F ';' '$1 == 3 { n += $47 } END { print n + 0 }' "$tmp/out")
	if [ "$put" -gt 0 ] && [ "$got" -ge "$put" ]; then
		ok "$_name: all of $put KiB were checked"
	else
		not_ok "$_name: all was checked" "wrote $put KiB, read $got KiB"
	fi
}

need_disk
seed=$$

random "$tmp/data" 3145728
runs "write" dd if="$tmp/data" of="$disk" bs=1M oflag=direct
is "read back, one megabyte at a time" \
	"$(dd if="$disk" bs=1M count=3 iflag=direct 2>/dev/null | sum)" \
	"$(sum "$tmp/data")"
is "read back, one sector at a time" \
	"$(dd if="$disk" bs=512 count=512 iflag=direct 2>/dev/null | sum)" \
	"$(head -c 262144 "$tmp/data" | sum)"

# The first and the last sector can be written, and none behind the last.
size=$(cat "$block/size")
head -c 512 /dev/urandom >"$tmp/sector"
runs "write the last sector" dd if="$tmp/sector" of="$disk" bs=512 \
	seek=$((size - 1)) oflag=direct
is "read the last sector" \
	"$(dd if="$disk" bs=512 skip=$((size - 1)) iflag=direct 2>/dev/null | sum)" \
	"$(sum "$tmp/sector")"
fails "there is nothing behind it" dd if="$tmp/sector" of="$disk" bs=512 \
	seek="$size" oflag=direct

# Through the page cache, so that the block layer merges pages.
runs "cached write" dd if="$tmp/data" of="$disk" bs=4096 seek=1024 conv=fsync
echo 3 >/proc/sys/vm/drop_caches
is "cached read" "$(dd if="$disk" bs=4096 skip=1024 count=768 2>/dev/null | sum)" \
	"$(sum "$tmp/data")"
runs "flush" blockdev --flushbufs "$disk"

if ! has fio; then
	skip "many at once" "no fio here"
	finish
fi
verify "one sector, one at a time" --rw=randwrite --bs=512 --size=512K \
	--direct=1 --iodepth=1
verify "4 KiB, 64 at once" --rw=randwrite --bs=4k --size=8M --direct=1 \
	--iodepth=64
verify "any size to 1 MiB, 16 at once" --rw=randwrite --bsrange=512-1M \
	--bs_unaligned=0 --blockalign=512 --size=32M --io_size=16M --direct=1 \
	--iodepth=16
verify "batches" --rw=randwrite --bs=4k --size=8M --direct=1 --iodepth=32 \
	--iodepth_batch=16 --iodepth_batch_complete_min=8
verify "through the page cache" --rw=randwrite --bs=4k --size=8M --direct=0 \
	--ioengine=psync --fsync=64
verify "two jobs, two CPUs" --rw=randwrite --bs=4k --size=4M --direct=1 \
	--iodepth=16 --numjobs=2 --offset_increment=8M

# Pages that are not adjacent in memory are written as one request with many
# segments.
events=/sys/kernel/tracing/events/virtio_lite/virtblk_queue_rq
if [ ! -d $events ] || ! mkdir /sys/kernel/tracing/instances/lite-io; then
	skip "requests of many segments" "no tracepoints of virtio_lite here, or no tracefs"
	finish
fi
at_exit "rmdir /sys/kernel/tracing/instances/lite-io"
trace=/sys/kernel/tracing/instances/lite-io
echo "descs > 100" >$trace/events/virtio_lite/virtblk_queue_rq/filter
echo 1 >$trace/events/virtio_lite/virtblk_queue_rq/enable
verify "pages in no order" --rw=randwrite --bs=4k --size=16M --direct=0 \
	--ioengine=psync --end_fsync=1 --invalidate=1
long=$(grep -c virtblk_queue_rq: $trace/trace)
echo 0 >$trace/events/virtio_lite/enable
if [ "$long" -gt 0 ]; then
	ok "$long of its requests had more than 100 descriptors"
else
	not_ok "some of its requests had more than 100 descriptors"
fi
finish
