# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Makes the choice of disks last, or takes it back.
#
# The choice is one file. An initramfs that is made while the file is there takes
# the disks over at boot; see initramfs/ and dracut/. A power cut at any point
# leaves a system that boots: the file is complete or not there, an initramfs
# is replaced as a whole, and either one does without the other.

# Held by whoever changes the choice or renews an initramfs.
LOCK=/run/virtio-lite.lock

choices_in_words()
{
	if [ -s "$CHOICES" ]; then
		tr '\n' ' ' <"$CHOICES"
		echo
	else
		echo "none"
	fi
}

# choice_of WORD: the line that stands for what a user typed.
choice_of()
{
	case $1 in
	--all) line=all ;;
	*'
'*) bad_usage "a choice is one line" ;;
	serial=*[!\ ]*)
		line=$(without_blanks "$1")
		serial_is_there "${line#serial=}" || [ "$way" = off ] ||
			say "no disk has the serial number ${line#serial=} now" >&2
		;;
	-*) bad_usage "unknown option $1" ;;
	*)
		line=$1
		case $line in
		??:??.?) line=0000:$line ;;
		esac
		# A disk may be gone by the time its choice is taken back.
		[ "$way" = off ] && has_choice "$line" && return
		find_disk "$1"
		line=$bdf
		;;
	esac
}

# serial_is_there TEXT: whether a disk has this serial number.
serial_is_there()
(
	for f in $(functions); do
		at "$f"
		[ "$(serial_of)" != "$1" ] || return 0
	done
	return 1
)

# one_at_a_time: wait until nobody else is at it.
one_at_a_time()
{
	command -v flock >/dev/null || return 0
	# A shell ends when the open below fails.
	(exec 8>"$LOCK") 2>/dev/null || return 0
	exec 8>"$LOCK"
	flock -n 8 && return
	say "waiting for another $me to end" >&2
	flock 8
}

# write_choices: standard input becomes the file, at once and for good.
write_choices()
{
	mkdir -p "${CHOICES%/*}" && cat >"$CHOICES.new" &&
		chmod 644 "$CHOICES.new" && sync && replace_choices
	wrote=$?
	rm -f "$CHOICES.new" 2>/dev/null
	rmdir "${CHOICES%/*}" 2>/dev/null
	sync
	return $wrote
}

replace_choices()
{
	if [ -s "$CHOICES.new" ]; then
		mv "$CHOICES.new" "$CHOICES"
	else
		rm -f "$CHOICES"
	fi
}

# The kernels that have an initramfs, the newest first.
kernels()
{
	for image in /boot/initrd.img-*; do
		release=${image#/boot/initrd.img-}
		# Else it is a copy that somebody keeps.
		[ ! -d "/lib/modules/$release" ] || echo "$release"
	done | sort -rV
}

# renew KERNEL: its initramfs, with what is chosen now. Added to $renewed when it
# is another one, also when a boot loader's part of it failed.
renew()
{
	image=/boot/initrd.img-$1
	was=$(stat -c '%i %z' "$image")
	make_image "$1"
	result=$?
	if [ "$(stat -c '%i %z' "$image")" != "$was" ]; then
		renewed="$renewed $1"
	elif [ $result = 0 ]; then
		say "$image is as it was: /boot is read-only, or" \
			"update-initramfs.conf(5) says no" >&2
		result=1
	fi
	sync
	return $result
}

# make_image KERNEL. Told to replace $image, dracut before 112 writes over it, and
# removes it when there is no room.
make_image()
{
	if command -v update-initramfs >/dev/null; then
		update-initramfs -u -k "$1"
	elif ! dracut --force "$image.new" "$1" || ! mv -f "$image.new" "$image"; then
		rm -f "$image.new"
		return 1
	fi
}

# renew_all: for all kernels that have one.
renew_all()
{
	renewed=
	if ! command -v update-initramfs >/dev/null &&
		! command -v dracut >/dev/null; then
		say "neither initramfs-tools nor dracut is here: only disks that are" \
			"not in use are taken, when udev sees them" >&2
		return
	fi
	for kernel in $(kernels); do
		renew "$kernel" || return
	done
	[ -n "$renewed" ] || say "no kernel has an initramfs in /boot: only disks" \
		"that are not in use are taken, when udev sees them" >&2
}

# refresh [KERNEL]: for the packages. One that fails is no reason to leave others.
refresh()
{
	need_root "renew an initramfs"
	one_at_a_time
	failed=0
	for kernel in ${1:-$(kernels)}; do
		renew "$kernel" || failed=1
	done
	return $failed
}

# A module that cannot be loaded now cannot be loaded at boot either.
need_module_somewhere()
{
	release=$(uname -r)
	if [ -d "/lib/modules/$release" ] && [ -d $PCI ]; then
		[ -d $PCI/drivers/$LITE ] && return
		said=$(load_lite 2>&1)
		[ -d $PCI/drivers/$LITE ] ||
			die "$(why_not_loaded "$said")$(no_headers); nothing is changed"
		return
	fi
	# Within another system's tree, such as an image that is being made.
	module_is_there '' ||
		die "there is no $MODULE.ko for any kernel here; nothing is changed"
}

# set_choices: standard input is what is chosen from now on.
set_choices()
{
	# They end the tool that runs, and then what it did is undone.
	trap : HUP INT TERM
	old=$(cat "$CHOICES" 2>/dev/null)
	write_choices || die "$CHOICES cannot be written; nothing is changed"
	renew_all && return
	[ -z "$old" ] || old="$old
"
	printf %s "$old" | write_choices ||
		die "the initramfs cannot be made (see above), and $CHOICES cannot be" \
			"written"
	changed=$renewed renewed=
	for kernel in $changed; do
		renew "$kernel"
	done
	[ "$renewed" = "$changed" ] ||
		die "the initramfs cannot be made (see above), and has the new choice" \
			"for some kernel: free some room, then say persist once more"
	die "the initramfs cannot be made (see above); the choice is as it was"
}

persist()
{
	way=$1
	case $way in
	'')
		echo "chosen for every boot: $(choices_in_words)"
		return
		;;
	on | off) shift ;;
	*) bad_usage "persist $1: on or off" ;;
	esac
	[ $# -le 1 ] || die "only one choice at a time: $1, $2"
	line=
	[ $# = 0 ] || choice_of "$1"
	need_root "make a choice last"
	one_at_a_time
	trap : HUP INT TERM
	persist_$way
}

persist_on()
{
	[ -n "$line" ] ||
		bad_usage "persist on needs a disk, serial=TEXT, or --all"
	need_module_somewhere
	{
		# Ends the last line, too.
		grep '' "$CHOICES" 2>/dev/null
		has_choice "$line" || printf '%s\n' "$line"
	} | set_choices || exit
	say "chosen for every boot: $(choices_in_words)"
	say "in force from the next boot on; virtio_lite=off on the kernel's command" \
		"line does without it"
}

persist_off()
{
	if [ -z "$line" ]; then
		printf '' | set_choices || exit
	else
		has_choice "$line" || die "$line is not chosen: $(choices_in_words)"
		grep -vxF -e "$line" "$CHOICES" | set_choices || exit
	fi
	say "chosen for every boot: $(choices_in_words)"
}
