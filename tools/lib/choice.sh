# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the user chose for every boot: $CHOICES has a line for each choice, which
# is "all", a PCI address, or serial=TEXT. Also runs in an initramfs; see disk.sh.

CHOICES=${CHOICES:-/etc/virtio-lite/disks}

# Whether there is a choice, and this boot is not to do without.
choices_apply()
{
	[ -s "$CHOICES" ] || return
	case " $(value /proc/cmdline) " in
	*' virtio_lite=off '*) return 1 ;;
	esac
}

# has_choice LINE
has_choice()
{
	while IFS= read -r _c; do
		[ "$_c" != "$1" ] || return 0
	done <"$CHOICES"
	return 1
} 2>/dev/null

# Whether some disk is chosen by what only a driver can read.
choice_needs_serial()
{
	while IFS= read -r _c; do
		case $_c in
		serial=*) return 0 ;;
		esac
	done <"$CHOICES"
	return 1
}

# The serial number of the disk, if a driver shows one, without blanks behind.
serial_of()
{
	_disk=$(disk_of)
	[ -n "$_disk" ] || return 0
	_s=$(value "/sys/block/$_disk/serial")
	while [ "${_s% }" != "$_s" ]; do
		_s=${_s% }
	done
	echo "$_s"
}

# Whether the function is chosen, by what can be known of it now.
is_chosen()
{
	has_choice all || has_choice "$bdf" && return
	_serial=$(serial_of)
	[ -n "$_serial" ] && has_choice "serial=$_serial"
}
