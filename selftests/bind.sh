#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A disk is unbound and bound through sysfs, idle and in use; then it is given to
# the kernel's own driver and back.

. "${0%/*}/lib.sh"

unbind()
{
	echo "$bdf" >$PCI/drivers/$pci_driver/unbind
}

bind()
{
	echo "$bdf" >$PCI/drivers/$pci_driver/bind
}

first()
{
	dd if="/dev/$(disk_of "$bdf")" bs=1M count=2 iflag=direct 2>/dev/null |
		sum
}

need_disk
random "$tmp/data" 2097152
runs "data" dd if="$tmp/data" of="$disk" bs=1M oflag=direct
data=$(sum "$tmp/data")

runs "unbind" unbind
fails "the disk is gone" test -e "$block"
fails "so is its device" virtio_of "$bdf"
runs "bind" bind
is "the same name" "$(disk_of "$bdf")" "$name"
is "the same data" "$(first)" "$data"
runs "20 times" sh -c "for i in \$(seq 20); do
	echo $bdf >$PCI/drivers/$pci_driver/unbind || exit 1
	echo $bdf >$PCI/drivers/$pci_driver/bind || exit 1
	done"
is "still the same name" "$(disk_of "$bdf")" "$name"
is "still the same data" "$(first)" "$data"

# In use: a writer gets errors and ends; nothing hangs.
if has fio; then
	for round in 1 2 3; do
		runs "$round: busy" busy "$disk"
		runs "$round: unbind under it" unbind
		runs "$round: its writer ends by itself" \
			wait_for 60 sh -c "! kill -0 $busy_pid 2>/dev/null"
		wait "$busy_pid"
		fails "$round: and was told" test $? = 0
		runs "$round: bind" bind
		is "$round: the same name" "$(disk_of "$bdf")" "$name"
	done
	is "the same data afterwards" "$(first)" "$data"
else
	skip "unbind in use" "no fio here"
fi

# Open, but idle: the disk keeps its name until it is closed.
exec 9<"$disk"
runs "unbind an open disk" unbind
is "reading gives nothing" "$(dd bs=4k count=1 <&9 2>/dev/null | wc -c)" 0
runs "bind it" bind
like "it is there" "$(disk_of "$bdf")" "vd?"
is "its data too" "$(first)" "$data"
exec 9<&-
runs "unbind it again" unbind
runs "bind it again" bind
is "the first name is free again" "$(disk_of "$bdf")" "$name"

# The PCI function is removed and found again, as with hot-unplug.
runs "remove the function" sh -c "echo 1 >$PCI/devices/$bdf/remove"
runs "find it again" sh -c "echo 1 >$PCI/rescan"
[ -z "$ours" ] || [ "$(pci_driver "$bdf")" = virtio-pci-lite ] ||
	take_over "$bdf" >/dev/null
is "its driver again" "$(pci_driver "$bdf")" "$pci_driver"
is "data of the function found" "$(first)" "$data"

if [ -z "$ours" ]; then
	skip "give back" "this is the kernel's own driver"
	finish
fi
if ! modprobe -n virtio_blk 2>/dev/null && ! modprobe virtio_blk; then
	skip "give back" "this kernel has no virtio_blk"
	finish
fi
for round in 1 2 3 4 5; do
	runs "$round: give back" give_back "$bdf"
	is "$round: upstream's" "$(pci_driver "$bdf") $(virtio_driver "$bdf")" \
		"virtio-pci virtio_blk"
	is "$round: data with upstream" "$(first)" "$data"
	random "$tmp/data" 2097152
	data=$(sum "$tmp/data")
	runs "$round: upstream writes" dd if="$tmp/data" \
		of="/dev/$(disk_of "$bdf")" bs=1M oflag=direct
	runs "$round: take over" take_over "$bdf"
	is "$round: ours" "$(pci_driver "$bdf") $(virtio_driver "$bdf")" \
		"virtio-pci-lite virtio_blk_lite"
	is "$round: data with ours" "$(first)" "$data"
done
finish
