# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Virtio disks as sysfs shows them: which there are, who drives them.
#
# Also runs in an initramfs, where there may be no programs but readlink and
# modprobe: everything else is the shell's own.
#
# Functions that look at one disk take it from $bdf and $dev, see at().

PCI=/sys/bus/pci
LITE=virtio-pci-lite
UPSTREAM=virtio-pci
MODULE=virtio_lite

# at BDF: the function that the others look at from here on.
at()
{
	bdf=$1
	dev=$PCI/devices/$1
}

# value FILE: its first line, or nothing. To echo, a backslash is no text.
value()
{
	_line=
	[ ! -r "$1" ] || IFS= read -r _line <"$1"
	printf '%s\n' "$_line"
} 2>/dev/null

# target LINK: the last part of where a link leads, or nothing.
target()
{
	[ -e "$1" ] || return 0
	_path=$(readlink "$1")
	echo "${_path##*/}"
}

# The name of every virtio disk's PCI function, in the order of their addresses.
functions()
{
	for _f in "$PCI"/devices/*; do
		[ ! -d "$_f" ] || ! is_disk "$_f" || echo "${_f##*/}"
	done
}

# is_disk FOLDER: whether this PCI function is a virtio disk. Sections 4.1.2 and
# 5.2 of virtio: what a transitional device is, its subsystem tells.
is_disk()
{
	[ "$(value "$1/vendor")" = 0x1af4 ] || return
	case $(value "$1/device") in
	0x1042) ;;
	0x1001) [ "$(value "$1/subsystem_device")" = 0x0002 ] ;;
	*) false ;;
	esac
}

# The PCI driver that has it, or nothing.
driver_of()
{
	target "$dev/driver"
}

# The folder of its virtio device, on either bus, or nothing.
virtio_of()
{
	for _v in "$dev"/virtio*; do
		[ -d "$_v" ] && echo "$_v" && return
	done
	return 0
}

# The name of its disk, or nothing.
disk_of()
{
	for _b in "$dev"/virtio*/block/*; do
		[ -d "$_b" ] && echo "${_b##*/}" && return
	done
	return 0
}

# What driver_override says, or nothing.
override()
{
	_o=$(value "$dev/driver_override")
	[ "$_o" = '(null)' ] || echo "$_o"
}

# set_override [DRIVER]: only this driver may have it; or any.
set_override()
{
	{ echo "$1" >"$dev/driver_override"; } 2>/dev/null
}

# leave: away from the driver that has it, if one has.
leave()
{
	[ -z "$(driver_of)" ] || echo "$bdf" >"$dev/driver/unbind"
} 2>/dev/null

# Whoever matches may take it. A failed probe is an error of the write; what
# counts is what is there afterwards.
probe_any()
{
	echo "$bdf" >$PCI/drivers_probe
} 2>/dev/null

# load_lite: load the module, for nobody yet. It would take every disk that has
# no driver, so those are kept for upstream's meanwhile.
load_lite()
{
	_free=
	for _f in $(functions); do
		at "$_f"
		[ -z "$(driver_of)$(override)" ] || continue
		set_override $UPSTREAM
		_free="$_free $_f"
	done
	modprobe $MODULE
	_loaded=$?
	for _f in $_free; do
		at "$_f"
		set_override
	done
	return $_loaded
}

# why_not_loaded TEXT: what modprobe said, in words that help.
why_not_loaded()
{
	_release=$(value /proc/sys/kernel/osrelease)
	case $1 in
	*[Nn]'ot found'* | *'No such file'*)
		echo "$MODULE.ko is not there for Linux $_release"
		;;
	*[Kk]ey* | *'not permitted'*)
		echo "the kernel refused $MODULE.ko, which is not signed with a key" \
			"that it trusts (Secure Boot)"
		;;
	*'Exec format'* | *'nvalid module format'*)
		echo "$MODULE.ko was built for another kernel than Linux $_release"
		;;
	*) echo "$MODULE.ko cannot be loaded: $1" ;;
	esac
}
