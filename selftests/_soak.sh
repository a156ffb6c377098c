#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The guest's part of soak.py: disks are removed and added again under load.
#
#	_soak.sh keep DEV		write data that has to stay
#	_soak.sh load DEV		write and read elsewhere, until the disk is gone
#	_soak.sh is_kept DEV		is the data of "keep" still there
#	_soak.sh is_busy DEV		wait until "load" writes
#	_soak.sh rebind BDF N SEED	N unbinds and binds under load
#	_soak.sh reload BDF N SEED DRIVER	N rmmods and insmods, after writes
#
# DRIVER is lite or upstream.
# The program ends with a message at the first error.

# shellcheck source=../scripts/in-guest/vbl.sh
. /lib/vbl.sh

kept=/tmp/kept. acked=/tmp/acked. why=/tmp/why.

fail()
{
	echo "_soak.sh: $*" >&2
	exit 1
}

# Nothing else writes to the first megabyte.
keep()
{
	head -c 1048576 /dev/urandom >$kept"$1"
	dd if=$kept"$1" of="/dev/$1" bs=64k oflag=direct conv=fsync 2>/dev/null
}

is_kept()
{
	dd if="/dev/$1" bs=64k count=16 iflag=direct 2>/dev/null |
		cmp - $kept"$1"
}

# Two writers and two readers, which end when the disk is gone. A writer (ack.c)
# first finds all that it had written and flushed before. The readers use the file
# that is open here, because the name may be the next disk's already.
load()
{
	exec 5<"/dev/$1" || return
	for area in 1 2; do
		safe=$(tail -n 1 $acked$area 2>/dev/null | cut -d' ' -f2)
		: >$acked$area
		echo "$area ${safe:-0}" >>$acked$area
		/bin/ack "/dev/$1" $acked$area $area 4 "${safe:-0}" $area \
			2>$why$area &
		(
			while dd if=/proc/self/fd/5 of=/dev/null bs=16k \
				skip=$((area * 512)) iflag=direct 2>/dev/null; do :; done
		) &
	done
	wait
	! grep "is not at" $why*
}

# is_busy DEV: wait until the load writes, and has missed nothing.
is_busy()
{
	wait_for 60 sh -c "grep -q 'is not at' $why* || [ \$(awk '{ print \$5 }' \
		/sys/block/$1/stat) -gt ${2-$(writes "$1")} ]" &&
		! grep "is not at" $why*
}

writes()
{
	awk '{ print $5 }' "/sys/block/$1/stat"
}

# A number below $1, from the seed.
below()
{
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	number=$((seed / 65536 % $1))
}

rebind()
{
	bdf=$1 n=$2 seed=$3 i=0
	driver=$(readlink -f "$PCI/devices/$bdf/driver")
	dev=$(disk_of "$bdf") || exit 1
	keep "$dev" || fail "cannot write $dev"
	while [ $i -lt "$n" ]; do
		i=$((i + 1))
		before=$(writes "$dev")
		load "$dev" &
		load=$!
		is_busy "$dev" "$before" || fail "$i: the load does not write"
		below 30000
		usleep $number
		echo "$bdf" >"$driver/unbind" || fail "unbind $i"
		wait $load || fail "unbind $i: data lost"
		echo "$bdf" >"$driver/bind" || fail "bind $i"
		[ "$(disk_of "$bdf")" = "$dev" ] || fail "bind $i: other name"
		is_kept "$dev" || fail "bind $i: data lost"
	done
}

reload()
{
	bdf=$1 n=$2 seed=$3 i=0
	case $4 in
	lite) module=virtio_lite get=vbl_load ;;
	*) module=virtio_blk get=vbl_load_upstream ;;
	esac
	dev=$(disk_of "$bdf") || exit 1
	keep "$dev" || fail "cannot write $dev"
	while [ $i -lt "$n" ]; do
		i=$((i + 1))
		head -c 262144 /dev/urandom >/tmp/new
		dd if=/tmp/new of="/dev/$dev" bs=4k seek=512 2>/dev/null ||
			fail "write $i"
		below 10000
		usleep $number
		rmmod $module || fail "rmmod $i"
		[ "$4" != lite ] || [ ! -e /sys/bus/virtio-lite ] ||
			fail "rmmod $i left its bus"
		$get || fail "insmod $i"
		[ "$(disk_of "$bdf")" = "$dev" ] || fail "insmod $i: no $dev"
		is_kept "$dev" || fail "insmod $i: data lost"
		dd if="/dev/$dev" bs=4k skip=512 count=64 iflag=direct \
			2>/dev/null | cmp - /tmp/new || fail "insmod $i: writes lost"
	done
}

"$@"
