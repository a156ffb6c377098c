#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# This driver and upstream's drive one disk each, at the same time in one kernel.
#
# guest: disk
# guest: disk

. "${0%/*}/lib.sh"

need_disk 0
other=$bdf first=$name
need_disk 1
modprobe virtio_blk || skip_all "this kernel has no virtio_blk"

runs "the first disk goes to upstream" give_back "$other"
at_exit "take_over $other >/dev/null"
theirs=$(disk_of "$other")
is "one is theirs" "$(virtio_driver "$other")" virtio_blk
is "one is ours" "$(virtio_driver "$bdf")" virtio_blk_lite
is "theirs has the name that became free" "$theirs" "$first"
is "ours kept its name" "$(disk_of "$bdf")" "$name"
fails "numbers differ" test "$(cat "$block/dev")" = \
	"$(cat "/sys/block/$theirs/dev")"

# The driver does not choose a name that upstream's disk has.
runs "ours goes and comes back" sh -c "
	echo $bdf >$PCI/drivers/virtio-pci-lite/unbind &&
	echo $bdf >$PCI/drivers/virtio-pci-lite/bind"
is "the name after theirs" "$(disk_of "$bdf")" "$name"

random "$tmp/a" 4194304
random "$tmp/b" 4194304
dd if="$tmp/a" of="/dev/$name" bs=64k oflag=direct 2>/dev/null &
dd if="$tmp/b" of="/dev/$theirs" bs=64k oflag=direct 2>/dev/null
wait $!
is "our data" "$(dd if="/dev/$name" bs=1M count=4 iflag=direct 2>/dev/null |
	sum)" "$(sum "$tmp/a")"
is "their data" "$(dd if="/dev/$theirs" bs=1M count=4 iflag=direct \
	2>/dev/null | sum)" "$(sum "$tmp/b")"

runs "take theirs over" take_over "$other"
is "both are ours" "$(virtio_driver "$bdf") $(virtio_driver "$other")" \
	"virtio_blk_lite virtio_blk_lite"
is "their data with us" "$(dd if="/dev/$(disk_of "$other")" bs=1M count=4 \
	iflag=direct 2>/dev/null | sum)" "$(sum "$tmp/b")"

is "names as before" "$(disk_of "$other") $(disk_of "$bdf")" "$first $name"
finish
