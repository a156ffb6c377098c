# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the user chose for every boot: $CHOICES has a line for each choice, which
# is "all", a PCI address, or serial=TEXT. Also runs in an initramfs; see disk.sh.

CHOICES=/etc/virtio-lite/disks

# Whether there is a choice, and this boot is not to do without.
choices_apply()
{
	[ -s "$CHOICES" ] || return
	# As the kernel reads the name of a parameter.
	case " $(value /proc/cmdline) " in
	*' virtio'[_-]'lite=off '* | *' virtio'[_-]'lite=0 '*) return 1 ;;
	esac
}

# has_choice LINE: the last one may have been written without its end.
has_choice()
{
	while IFS= read -r _c || [ -n "$_c" ]; do
		[ "$_c" != "$1" ] || return 0
	done <"$CHOICES"
	return 1
} 2>/dev/null

# The serial number of the disk, if a driver shows one, without blanks behind.
serial_of()
{
	_disk=$(disk_of)
	[ -n "$_disk" ] || return 0
	without_blanks "$(value "/sys/block/$_disk/serial")"
}

# without_blanks TEXT: none behind it.
without_blanks()
{
	_s=$1
	while [ "${_s% }" != "$_s" ]; do
		_s=${_s% }
	done
	printf '%s\n' "$_s"
}

# Whether the function is chosen, by what can be known of it now.
is_chosen()
{
	has_choice all || has_choice "$bdf" && return
	_serial=$(serial_of)
	[ -n "$_serial" ] && has_choice "serial=$_serial"
}
