#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A file system on the disk is made, filled, synced, mounted again and checked.

. "${0%/*}/lib.sh"

need_disk
has mkfs.ext4 || mkfs.ext4 -V 2>/dev/null || skip_all "no mkfs.ext4 here"
modprobe ext4 2>/dev/null
mkdir -p "$tmp/mnt"
at_exit "umount $tmp/mnt 2>/dev/null"

runs "mkfs" mkfs.ext4 -q -F "$disk"
runs "mount" mount -t ext4 "$disk" "$tmp/mnt" || finish
mkdir "$tmp/mnt/files"
for i in 1 2 3 4 5 6 7 8; do
	random "$tmp/mnt/files/$i" $((i * 123457))
done
runs "many small files" sh -c "for i in \$(seq 200); do
	echo \$i >$tmp/mnt/files/small\$i || exit 1; done"
cat "$tmp"/mnt/files/* >"$tmp/before"
runs "sync" sync
rm -r "$tmp/mnt/files/8"
cp "$tmp/before" "$tmp/mnt/copy"
runs "fsync" dd if=/dev/zero of="$tmp/mnt/synced" bs=4k count=16 conv=fsync
runs "fstrim" fstrim "$tmp/mnt"
fails "no rmmod while mounted" rmmod virtio_lite
runs "unmount" umount "$tmp/mnt"

echo 3 >/proc/sys/vm/drop_caches
runs "e2fsck finds nothing" e2fsck -fn "$disk"
runs "mount again" mount -t ext4 -o ro "$disk" "$tmp/mnt"
is "data" "$(sum "$tmp/mnt/copy")" "$(sum "$tmp/before")"
fails "what was deleted is gone" test -e "$tmp/mnt/files/8"
runs "unmount again" umount "$tmp/mnt"
finish
