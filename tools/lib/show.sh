# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# list, status and check: what there is, and whether it could be moved.

# feature_bits: the negotiated bits, as a text of digits for bit 0 and up.
feature_bits()
{
	_v=$(virtio_of)
	[ -z "$_v" ] || value "$_v/features"
}

# The names of virtio 1.4 for these bits, with commas in between.
feature_names()
{
	feature_bits | awk '
	BEGIN {
		n = split("barrier size_max seg_max - geometry ro blk_size scsi - " \
			"flush topology config_wce mq discard write_zeroes lifetime " \
			"secure_erase zoned - - - - - - notify_on_empty - - " \
			"any_layout indirect event_idx - - version_1 access_platform " \
			"packed in_order order_platform sr_iov notification_data " \
			"notif_config_data ring_reset admin_vq - suspend", name, " ")
	}
	{
		for (i = 1; i <= length($0); i++) {
			if (substr($0, i, 1) != 1)
				continue
			if (i > n || name[i] == "-")
				name[i] = "bit_" (i - 1)
			out = out (out ? "," : "") name[i]
		}
		print out
	}'
}

# Bit 32 is VERSION_1: without it the registers and the rings are legacy.
transport_of()
{
	_bits=$(feature_bits)
	case $_bits in
	'') ;;
	????????????????????????????????1*) echo modern ;;
	*) echo legacy ;;
	esac
}

count()
{
	_n=0
	for _e; do
		[ ! -e "$_e" ] || _n=$((_n + 1))
	done
	echo $_n
}

queues_of()
{
	_disk=$(disk_of)
	[ -z "$_disk" ] || count "/sys/block/$_disk/mq"/*
}

vectors_of()
{
	_n=$(count "$dev"/msi_irqs/*)
	case $_n:$(driver_of) in
	*:) ;;
	0:*) echo INTx ;;
	*) echo "$_n" ;;
	esac
}

# The driver of the disk, not only of its PCI function.
disk_driver()
{
	_v=$(virtio_of)
	_d=
	[ -z "$_v" ] || _d=$(target "$_v/driver")
	[ -n "$_d" ] || _d=$(driver_of)
	echo "${_d:-none}"
}

# The first use, without what ends it.
short_use()
{
	# All is read: some would report a broken pipe.
	every_use | sed '1!d; s/;[^;]*$//; s,^/dev/\([^ ]*\) is ,\1 ,'
}

list()
{
	[ -z "$1" ] || find_disk "$1"
	found=$(functions)
	[ -n "$found" ] || {
		say "there is no virtio disk"
		return
	}
	{
		echo "DISK|ADDRESS|DRIVER|TRANSPORT|QUEUES|VECTORS|IN USE|FEATURES"
		for f in ${1:+"$bdf"} ${1:-$found}; do
			[ -d "$PCI/devices/$f" ] || continue
			at "$f"
			name=$(disk_of) transport=$(transport_of) queues=$(queues_of)
			vectors=$(vectors_of) use=$(short_use) features=$(feature_names)
			echo "${name:--}|$bdf|$(disk_driver)|${transport:--}|${queues:--}" \
				"|${vectors:--}|${use:--}|${features:--}"
		done
	} | awk -F ' *[|]' '
	{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i
		if (length($i) > width[i]) width[i] = length($i) } }
	END { for (r = 1; r <= NR; r++) { line = ""
		for (i = 1; i < NF; i++)
			line = line sprintf("%-" width[i] "s  ", cell[r, i])
		print line cell[r, NF] } }'
	[ "$(id -u)" = 0 ] || say "only root sees which processes have a disk open"
}

# What the module is, and whether it is there for this kernel.
module_line()
{
	release=$(uname -r)
	version=$(value /sys/module/$MODULE/version)
	if [ -d /sys/module/$MODULE ]; then
		echo "loaded, version ${version:-unknown}"
	elif module_is_there "$release"; then
		echo "not loaded, version $(modinfo -F version $MODULE) is there for" \
			"Linux $release"
	else
		echo "not there for Linux $release"
	fi
}

# detail LABEL TEXT: a line of status, if there is something to say.
detail()
{
	[ -z "$2" ] || printf '  %-12s %s\n' "$1:" "$2"
}

full_status()
{
	name=$(disk_of)
	sys=/sys/block/$name
	echo "$bdf: ${name:-no disk}"
	detail driver "$(disk_driver) on $(driver_of)"
	detail transport "$(transport_of)"
	detail features "$(feature_names)"
	detail vectors "$(vectors_of)"
	detail chosen "$(! is_chosen || echo "virtio_lite at every boot")"
	[ -n "$name" ] || return 0
	detail size "$(($(value "$sys/size") / 2048)) MB"
	detail serial "$(serial_of)"
	detail queues "$(queues_of), $(value "$sys/queue/nr_requests") requests each"
	detail 'ring size' "$(value "$sys/ring_size")"
	detail cache "$(value "$sys/cache_type")"
	errors=
	for e in "$sys"/errors/*; do
		[ ! -e "$e" ] || errors="$errors${errors:+, }${e##*/} $(value "$e")"
	done
	detail errors "$errors"
	every_use | while read -r use; do
		detail 'in use' "${use%;*}"
	done
}

status()
{
	if [ -n "$1" ]; then
		find_disk "$1"
		full_status
		return
	fi
	echo "module: $(module_line)"
	echo "chosen for every boot: $(choices_in_words)"
	for f in $(functions); do
		at "$f"
		full_status
	done
}

# can_move: whether it could; says so.
can_move()
{
	name=$(disk_of)
	to=$LITE
	[ "$(driver_of)" != $LITE ] || to=$UPSTREAM
	case $(driver_of) in
	'' | "$UPSTREAM" | "$LITE") ;;
	*)
		echo "$bdf ${name:--}: stays: $(driver_of) has it"
		return 1
		;;
	esac
	why=$(every_use)
	[ -n "$why" ] || why=$(lock_out_udev; claimed)
	[ -n "$why" ] || [ $to = $LITE ] || why=$(name_is_taken)
	if [ -n "$why" ]; then
		echo "$why" | sed "s,^,$bdf ${name:--}: stays: ,"
		return 1
	fi
	echo "$bdf ${name:--}: can be moved to $to"
}

check()
{
	need_root "see who uses a disk"
	need_all_processes
	if [ -n "$1" ]; then
		find_disk "$1"
		can_move
		return
	fi
	safe=0
	for f in $(functions); do
		at "$f"
		can_move || safe=1
	done
	return $safe
}
