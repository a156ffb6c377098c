# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Gives chosen disks to virtio_lite without anybody watching: before the root is
# mounted, and when a disk is plugged in. Whatever fails, upstream's driver gets
# the disk, and a line in the kernel log says why. Also runs in an initramfs; see
# disk.sh.

# There once it was said that the module cannot be loaded. From the initramfs on.
NOTED=/run/virtio-lite.noted

# note LEVEL TEXT...: a line in the kernel log. 3 shows on a quiet console.
note()
{
	_level=$1
	shift
	echo "<$_level>virtio-lite: $*" >/dev/kmsg
} 2>/dev/null

# Whether our driver has the function, and the disk on it.
is_taken()
{
	[ "$(driver_of)" = $LITE ] &&
		[ "$(target "$(virtio_of)/driver")" = virtio_blk_lite ]
}

# Away from whoever has it, to upstream's.
return_disk()
{
	set_override $UPSTREAM
	leave
	probe_any
	set_override
}

# take_chosen: to our driver, or back.
take_chosen()
{
	! is_taken || return 0
	case $(driver_of) in
	'' | "$UPSTREAM" | "$LITE") ;;
	*)
		note 4 "$bdf: $(driver_of) has it, and keeps it"
		return 1
		;;
	esac
	set_override $LITE
	leave
	probe_any
	if [ "$(driver_of)" = $UPSTREAM ]; then
		# Its probe was on its way before.
		leave
		probe_any
	fi
	if is_taken; then
		note 6 "$bdf: $(disk_of) is with virtio_lite, as chosen"
		return 0
	fi
	return_disk
	note 3 "$bdf: virtio_lite does not take it: with $(driver_of) again"
	return 1
}

# load_or_note: load the module, or say why not, once in this boot.
load_or_note()
{
	[ ! -d $PCI/drivers/$LITE ] || return 0
	unset MODPROBE_OPTIONS
	_said=$(load_lite 2>&1) && [ -d $PCI/drivers/$LITE ] && return
	[ ! -e $NOTED ] || return
	note 3 "disks stay with the kernel's own driver: $(why_not_loaded "$_said")"
	: >$NOTED
	return 1
}

# all_chosen: whether every disk is, so that nobody needs upstream's driver.
all_chosen()
{
	for _f in $(functions); do
		at "$_f"
		has_choice all || has_choice "$bdf" || return
	done
}

# boot: what is chosen, before udev loads any driver.
boot()
{
	choices_apply || return 0
	[ -n "$(functions)" ] || return 0
	# First on the bus: a disk that is plugged in later is not ours by chance.
	modprobe -q virtio_pci
	load_or_note || return 0
	# Upstream's driver counts its own disks, and loses one whose name is
	# taken. So it names them all, and those that are chosen keep their names.
	all_chosen || modprobe -q virtio_blk
	for f in $(functions); do
		at "$f"
		! is_chosen || take_chosen
	done
}

# plug BDF: the same for one disk of a running system, for udev.
plug()
{
	choices_apply || return 0
	at "$1"
	[ -d "$dev" ] && is_disk "$dev" && ! is_taken || return 0
	load_or_note || return 0
	# Waits for a probe that is under way.
	probe_any
	if has_choice all || has_choice "$bdf"; then
		plug_chosen
		return 0
	fi
	modprobe -q virtio_blk
	if is_chosen; then
		plug_chosen
	elif [ "$(driver_of)" = $UPSTREAM ] && [ -z "$(disk_of)" ]; then
		note 4 "$bdf: virtio_blk does not take it, as a name of its disks is" \
			"taken: it goes to virtio_lite"
		take_chosen
	fi
	return 0
}

plug_chosen()
{
	_use=$(every_use)
	[ -n "$_use" ] || _use=$(claimed)
	if [ -n "$_use" ]; then
		note 4 "$bdf: chosen for virtio_lite, but stays with" \
			"$(driver_of): $_use"
		return
	fi
	take_chosen
}
