#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The tracepoints show the steps of a write and of a probe in order.

. "${0%/*}/lib.sh"

# events: names of the events in the trace, in order, on one line
events()
{
	sed -n 's/.*: \([a-z_]*\): virtio[0-9].*/\1/p
		s/.*: \(virtio_pci_probe\): .*/\1/p' "$trace/trace" | tr '\n' ' '
}

# field EVENT NAME: of the first such event
field()
{
	sed -n "s/.* $1: .*\\b$2=\\([^ ]*\\).*/\\1/p" "$trace/trace" | head -n 1
}

start()
{
	: >"$trace/trace"
	echo 1 >"$trace/events/virtio_lite/enable"
}

stop()
{
	echo 0 >"$trace/events/virtio_lite/enable"
}

need_disk
[ -d /sys/kernel/tracing/events/virtio_lite ] ||
	skip_all "no tracepoints of virtio_lite here, or no tracefs"
trace=/sys/kernel/tracing/instances/lite-trace
mkdir $trace || skip_all "no instances of tracing"
at_exit "rmdir $trace"
# A clock that all CPUs share, so that the order of events is right.
echo mono >$trace/trace_clock

sync
start
dd if=/dev/zero of="$disk" bs=4096 seek=3 count=1 oflag=direct 2>/dev/null
stop
is "a write" "$(events)" "virtblk_queue_rq virtqueue_add virtqueue_kick \
virtqueue_notify vp_interrupt virtblk_complete "
is "its operation" "$(field virtblk_queue_rq op)" WRITE
is "its sector" "$(field virtblk_queue_rq sector)" 24
is "its bytes" "$(field virtblk_queue_rq bytes)" 4096
is "header, data, status" "$(field virtblk_queue_rq descs)" 3
is "the tag is the head" "$(field virtqueue_add head)" \
	"$(field virtblk_queue_rq tag)"
is "the same descriptors" "$(field virtqueue_add descs)" 3
is "an idle device wants a kick" "$(field virtqueue_kick kick)" 1
is "the same tag comes back" "$(field virtblk_complete tag)" \
	"$(field virtblk_queue_rq tag)"
is "its status" "$(field virtblk_complete status)" 0

start
dd if="$disk" of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null
stop
is "a read" "$(events)" "virtblk_queue_rq virtqueue_add virtqueue_kick \
virtqueue_notify vp_interrupt virtblk_complete "
is "operation of the read" "$(field virtblk_queue_rq op)" READ

start
dd if=/dev/zero of="$disk" bs=4096 count=1 conv=fsync 2>/dev/null
stop
is "a flush follows the write" \
	"$(sed -n 's/.* virtblk_queue_rq: .*op=\([A-Z]*\).*/\1/p' $trace/trace |
		tail -n 2 | tr '\n' ' ')" "WRITE FLUSH "
is "and has no sector" \
	"$(sed -n 's/.* virtblk_queue_rq: .*op=FLUSH\(.*\)bytes.*/\1/p' \
		$trace/trace | tail -n 1)" " "

# The first probe too: the module is loaded, and takes nothing yet.
rmmod virtio_lite
echo 0 >$PCI/drivers_autoprobe
at_exit "echo 1 >$PCI/drivers_autoprobe"
insmod "$(module)"
is "no disk is taken" "$(pci_driver "$bdf")" ""
start
echo 1 >$PCI/drivers_autoprobe
echo "$bdf" >$PCI/drivers_probe
stop
is "a probe" "$(events | grep -o 'virtio_[a-z_]* \|virtblk_probe ' |
	tr -d '\n')" "virtio_pci_probe virtio_register virtio_match \
virtio_negotiate virtblk_probe virtio_ready "
is "the function" \
	"$(sed -n 's/.* virtio_pci_probe: \([^ ]*\) .*/\1/p' $trace/trace)" "$bdf"
is "who was asked" "$(field virtio_match driver)" virtio_blk_lite
is "the answer" "$(field virtio_match match)" 1
like "bits that are accepted, by name" \
	"$(sed -n 's/.*virtio_negotiate: .*accepted=\(.*\)/\1/p' $trace/trace)" \
	"*BLK_FLUSH|*INDIRECT_DESC|EVENT_IDX*"
like "bits that are offered, by name" \
	"$(sed -n 's/.*virtio_negotiate: .*offered=\(.*\) accepted.*/\1/p' $trace/trace)" \
	"*BLK_FLUSH|*INDIRECT_DESC|EVENT_IDX*"
like "how far the status came" "$(field virtio_ready status)" "0x?"
is "nothing changed" "$(grep -c config_changed $trace/trace)" 0
like "reading partitions comes after it" "$(events)" \
	"*virtio_ready *virtblk_queue_rq *"
finish
