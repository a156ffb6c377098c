# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Moves a disk between upstream's driver and virtio_lite, or leaves everything as
# it was.

refuse_other_driver()
{
	driver=$(driver_of)
	case $driver in
	'' | "$UPSTREAM" | "$LITE") ;;
	*) die "$bdf: $driver has it, which is neither $UPSTREAM nor $LITE;" \
		"unbind that first" ;;
	esac
}

refuse_if_used()
{
	lock_out_udev
	use=$(every_use | head -n 1)
	[ -z "$use" ] || die "$bdf: $use"
}

# has_it DRIVER: whether this driver has the function and shows its disk.
has_it()
{
	[ "$(driver_of)" = "$1" ] && [ -n "$(disk_of)" ]
}

# probe DRIVER: whether it takes the function.
probe()
{
	probe_any
	has_it "$1"
}

# move DRIVER: give the function to this driver.
move()
{
	before=$(driver_of)
	old=$(override)
	disk=$(disk_of)
	use=$(claimed)
	[ -z "$use" ] || die "$bdf: $use"
	# A terminal that closes in between leaves no half of it.
	trap '' HUP INT TERM
	set_override "$1" || die "$bdf: driver_override cannot be written"
	[ -z "$before" ] || say "$bdf: unbinding $before"
	leave
	exec 9<&-
	if [ -z "$(driver_of)" ]; then
		say "$bdf: binding $1"
		probe "$1" && return
	fi
	undo "$1"
}

# Back to the driver that had it, and the end.
undo()
{
	[ -d "$dev" ] || die "$bdf: the device was removed meanwhile"
	why="$1 did not take it"
	case $(driver_of) in
	"$1") why="$1 shows no disk" ;;
	?*) why="$(driver_of) has it still" ;;
	esac
	if [ "$(driver_of)" != "$before" ]; then
		leave
		# Whatever else may want it.
		set_override "$before"
		[ -z "$before" ] || probe "$before"
	fi
	set_override "$old"
	now=$(driver_of) name=$(disk_of)
	if [ "$now" != "$before" ] || [ -n "$disk" ] && [ -z "$name" ]; then
		die "$bdf: $why (see dmesg), nor does $before now: driver" \
			"${now:-none}, disk ${name:-none}"
	fi
	[ -n "$before" ] || die "$bdf: $why (see dmesg); it has no driver, as before"
	die "$bdf: $why (see dmesg); it is with $before again, disk ${name:-none}"
}

# What virtio_blk will call its next disk. It counts its own disks only, and
# loses the new one when somebody else's has that name.
next_upstream_name()
{
	for name in $(awk 'BEGIN {
		for (i = 0; i < 702; i++)
			printf "vd%s%c\n", i < 26 ? "" : \
				sprintf("%c", 96 + int(i / 26)), 97 + i % 26 }'); do
		[ "$(target "/sys/block/$name/device/driver")" = virtio_blk ] || {
			echo "$name"
			return
		}
	done
}

# Why the disk cannot go back to virtio_blk now, or nothing.
name_is_taken()
{
	next=$(next_upstream_name)
	[ ! -e "/sys/block/$next" ] || [ "$(disk_of)" = "$next" ] ||
		echo "virtio_blk would want the name $next, which is taken, and" \
			"lose the disk; give back $next first"
}

# need_lite: the module is there, or the end.
need_lite()
{
	[ ! -d $PCI/drivers/$LITE ] || return 0
	said=$(load_lite 2>&1)
	[ -d $PCI/drivers/$LITE ] ||
		die "$bdf: $(why_not_loaded "$said")$(no_headers);" \
			"load $MODULE.ko first"
}

# module_is_there RELEASE: whether this kernel has our module.
module_is_there()
{
	find "/lib/modules/$1" -name "$MODULE.ko*" 2>/dev/null | grep -q .
}

# What is missing to build the module here, or nothing.
no_headers()
{
	release=$(uname -r)
	[ -e "/lib/modules/$release/build" ] || module_is_there "$release" ||
		echo " (to build it, install linux-headers-$release)"
}

show()
{
	names=$(blocks | tr '\n' ' ')
	say "$bdf: driver $(driver_of), disk ${names:-none}"
}

take()
{
	if has_it $LITE; then
		show
		return
	fi
	refuse_other_driver
	refuse_if_used
	need_lite
	move $LITE
	show
}

back()
{
	modprobe virtio_pci 2>/dev/null
	[ -d $PCI/drivers/$UPSTREAM ] ||
		die "this kernel has no $UPSTREAM driver to give $bdf to"
	[ -d /sys/bus/virtio/drivers/virtio_blk ] || modprobe virtio_blk ||
		die "virtio_blk cannot be loaded; $bdf stays where it is"
	if ! has_it $UPSTREAM; then
		refuse_other_driver
		refuse_if_used
		why=$(name_is_taken)
		[ -z "$why" ] || die "$bdf: $why"
		move $UPSTREAM
	fi
	# Later probes of this function go by the usual rules again.
	set_override
	show
}
