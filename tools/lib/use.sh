# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Who uses a disk.
#
# The uses that a name finds are told first, for they can be named. The kernel
# has the last word: no table has what is mounted lazily or in secret.

# The name of the disk and of every partition of this function.
blocks()
{
	for b in "$dev"/virtio*/block/*; do
		[ -d "$b" ] || continue
		echo "${b##*/}"
		for p in "$b"/*/partition; do
			[ -e "$p" ] && basename "${p%/partition}"
		done
	done
}

# hex MAJOR:MINOR: as stat has it.
hex()
{
	printf '%x:%x' "${1%:*}" "${1#*:}"
}

# mounted NAME MAJOR:MINOR: where it is mounted, in any mount namespace. A line
# for each place here; or one of elsewhere, with the process that has it.
mounted()
{
	# The numbers find mounts by any name, also that of the root; the source
	# finds file systems with numbers of their own.
	grep -sH -e " $2 " -e " /dev/$1 " /proc/self/mountinfo \
		/proc/[0-9]*/mountinfo | awk -v n="$2" -v s="/dev/$1" '
		{ for (i = 7; i <= NF; i++) if ($i == "-") break
		  if ($3 != n && $(i + 2) != s) next
		  split($1, p, "/")
		  if (p[3] == "self") { here = 1; if (!seen[$5]++) print $5, p[3] }
		  else if (!here) { print $5, p[3]; exit } }'
}

# is_block FILE MAJOR:MINOR: whether it is a node of this device, by any name.
is_block()
{
	[ -b "$1" ] && [ "$(stat -L -c '%t:%T' "$1" 2>/dev/null)" = "$2" ]
}

# The process that has it open, or mapped.
opener()
{
	for f in /proc/[0-9]*/fd/*; do
		case $f in
		/proc/$$/*) continue ;;
		esac
		is_block "$f" "$2" && echo "$f" && return
	done
	in_ring "$1" && return
	grep -ls " /dev/$1\$" /proc/[0-9]*/maps | head -n 1
}

# in_ring NAME: the ring of io_uring in which it is registered, whether or not it
# is open beside that. The kernel tells what the file is called, and no numbers.
in_ring()
{
	find /proc/[0-9]*/fd -lname 'anon_inode:*io_uring*' 2>/dev/null |
		sed 's,/fd/,/fdinfo/,' | while read -r ring; do
			grep -lsE "^ *[0-9]+: (.*/)?$1\$" "$ring"
		done | grep -m 1 .
}

# Whether /proc has the processes of this whole system: those of the first PID
# namespace, whose number is always this one, or of a kernel without namespaces.
sees_all()
{
	case $(readlink /proc/1/ns/pid || readlink /proc/self/ns/pid) in
	'' | 'pid:[4026531836]') ;;
	*) false ;;
	esac
}

# Device mapper and RAID, further disks of btrfs, loop devices.
holders()
{
	for h in "/sys/class/block/$1/holders"/*; do
		[ -e "$h" ] && echo "$(stacked "${h##*/}"); stop that first"
	done
	for h in /sys/fs/btrfs/*/devices/"$1"; do
		[ -e "$h" ] || continue
		h=${h%/devices/*}
		echo "held by btrfs ${h##*/}; unmount that first"
	done
	for h in /sys/block/loop*/loop/backing_file; do
		[ -e "$h" ] && is_block "$(cat "$h")" "$(hex "$2")" &&
			echo "held by ${h#/sys/}; stop that first"
	done
}

# stacked NAME: what a device on top of it is, and where that is mounted.
stacked()
{
	what=
	case $(cat "/sys/class/block/$1/dm/uuid" 2>/dev/null) in
	LVM-*) what=LVM ;;
	CRYPT-*) what=crypt ;;
	mpath-*) what=multipath ;;
	?*) what='device mapper' ;;
	esac
	[ -z "$what" ] ||
		what=" ($what $(cat "/sys/class/block/$1/dm/name"))"
	[ ! -e "/sys/class/block/$1/md/level" ] ||
		what=" (RAID, $(cat "/sys/class/block/$1/md/level"))"
	echo "held by $1$what$(mounted "$1" "$(cat "/sys/class/block/$1/dev")" |
		sed 's/^\(.*\) .*/, mounted on \1/; q')"
}

# uses NAME: a line for each use of a disk or partition, and what ends it.
uses()
{
	numbers=$(cat "/sys/class/block/$1/dev")
	mounted "$1" "$numbers" | while read -r where whose; do
		case $whose in
		self) echo "mounted on $where; unmount it first" ;;
		*) echo "mounted on $where for process $whose" \
			"($(cat "/proc/$whose/comm")); unmount it there first" ;;
		esac
	done
	! grep -qs "^/dev/${1}[[:space:]]" /proc/swaps ||
		echo "used as swap; run swapoff first"
	holders "$1" "$numbers"
	pid=$(opener "$1" "$(hex "$numbers")")
	pid=${pid#/proc/} pid=${pid%%/*}
	[ -z "$pid" ] || echo "open in process $pid ($(cat "/proc/$pid/comm"));" \
		"end that first"
}

# every_use: the same for the disk and all its partitions, with their names. In a
# subshell without our own lock.
every_use()
(
	exec 9<&-
	for name in $(blocks); do
		uses "$name" | sed "s,^,/dev/$name is ,"
	done
)

# Reading the partitions again takes what an exclusive open takes of the disk and
# of each partition, and is refused while somebody has one of them. Every
# system has the command; a shell cannot open with O_EXCL.
claimed()
{
	for name in $(blocks); do
		[ -e "/sys/block/$name" ] || continue
		case $(LC_ALL=C blockdev --rereadpt "/dev/$name" 2>&1) in
		*busy*) echo "/dev/$name is in use by the kernel or by somebody it" \
			"does not name; stop that first" ;;
		esac
	done
}

# While we have this lock udev does not open the disk, and what it looks at now
# it has finished with.
lock_out_udev()
{
	name=$(disk_of)
	[ -n "$name" ] && command -v flock >/dev/null || return 0
	# A shell ends when the open below fails.
	(exec 9<"/dev/$name") 2>/dev/null ||
		die "$bdf: /dev/$name cannot be opened"
	exec 9<"/dev/$name"
	flock -w 30 9 || die "$bdf: /dev/$name is locked by somebody (flock);" \
		"end that first"
}
