# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Makes the choice of disks last, or takes it back.
#
# The choice is one file. An initramfs that is made while the file is there takes
# the disks over at boot; see initramfs/ and dracut/. A power cut at any point
# leaves a system that boots: the file is complete or not there, an initramfs
# is replaced as a whole, and either one does without the other.

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
	serial=?*) line=$1 ;;
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

# write_choices: standard input becomes the file, at once and for good.
write_choices()
{
	mkdir -p "${CHOICES%/*}" && cat >"$CHOICES.new" && chmod 644 "$CHOICES.new" &&
		sync || return
	if [ -s "$CHOICES.new" ]; then
		mv "$CHOICES.new" "$CHOICES"
	else
		rm -f "$CHOICES" "$CHOICES.new"
		rmdir "${CHOICES%/*}" 2>/dev/null
	fi
	sync
}

# rebuild_initramfs [KERNEL]: with what is chosen now, for all that have one.
rebuild_initramfs()
{
	if command -v update-initramfs >/dev/null; then
		update-initramfs -u -k "${1:-all}"
	elif command -v dracut >/dev/null; then
		if [ -n "$1" ]; then
			dracut --force --kver "$1"
		else
			dracut --force --regenerate-all
		fi
	else
		say "neither initramfs-tools nor dracut is here: only disks that are" \
			"not in use are taken, when udev sees them" >&2
	fi
}

# A module that cannot be loaded now cannot be loaded at boot either.
need_module_somewhere()
{
	release=$(uname -r)
	if [ -d "/lib/modules/$release" ]; then
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
	old=$(cat "$CHOICES" 2>/dev/null)
	write_choices || die "$CHOICES cannot be written"
	rebuild_initramfs && return
	[ -z "$old" ] || old="$old
"
	printf %s "$old" | write_choices
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
	persist_$way
}

persist_on()
{
	[ -n "$line" ] ||
		bad_usage "persist on needs a disk, serial=TEXT, or --all"
	need_module_somewhere
	{
		cat "$CHOICES" 2>/dev/null
		has_choice "$line" || echo "$line"
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
