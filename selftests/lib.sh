# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The library of every program in this folder: KTAP output, and a disk to use.
#
#	. "${0%/*}/lib.sh"
#	need_disk
#	is "capacity" "$(blockdev --getsize64 "$disk")" 67108864
#	finish
#
# Each point is one line of output, followed by the reason if it failed.  A program
# that ends without "finish" has failed, whatever its points say.
# Exit status: 0 passed, 1 failed, 4 skipped.

here=$(cd "$(dirname "$0")" && pwd)
for _f in /lib/vbl.sh "$here/vbl.sh"; do
	# shellcheck source=../scripts/in-guest/vbl.sh
	[ -e "$_f" ] && . "$_f" && break
done
PATH=$PATH:$here

# The driver that is tested: ours, or upstream's with VBL_DRIVER=upstream.
case ${VBL_DRIVER:-lite} in
upstream) ours='' pci_driver=virtio-pci blk_driver=virtio_blk bus=virtio ;;
*) ours=yes pci_driver=virtio-pci-lite blk_driver=virtio_blk_lite
	bus=virtio-lite ;;
esac

points=0 failures=0 skips=0 finished='' undo=''
tmp=$(mktemp -d)

leave()
{
	_status=$?
	trap - EXIT
	eval "$undo"
	rm -rf "$tmp"
	if [ -z "$finished" ]; then
		echo "Bail out! ended early with status $_status"
		exit 1
	fi
	exit $_status
}
trap leave EXIT
trap 'exit 1' INT TERM
echo "KTAP version 1"

# at_exit COMMAND: run it at the end, also if that is early; the last one first.
at_exit()
{
	undo="$1
$undo"
}

# say TEXT: diagnostics, one or many lines.
say()
{
	printf '%s\n' "$*" | sed 's/^/# /'
}

ok()
{
	points=$((points + 1))
	echo "ok $points $1"
}

not_ok()
{
	points=$((points + 1))
	failures=$((failures + 1))
	echo "not ok $points $1"
	shift
	[ $# = 0 ] || say "$@"
}

# skip POINT REASON
skip()
{
	points=$((points + 1))
	skips=$((skips + 1))
	echo "ok $points $1 # SKIP $2"
}

# skip_all REASON: end the program, because it can test nothing here.
skip_all()
{
	echo "1..0 # SKIP $*"
	finished=yes
	exit 4
}

# is POINT IS SHALL-BE
is()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got '$2' instead of '$3'"
	fi
}

# like POINT TEXT PATTERN: a shell pattern matches the whole text.
like()
{
	# shellcheck disable=SC2254
	case $2 in
	$3) ok "$1" ;;
	*) not_ok "$1" "got '$2' instead of $3" ;;
	esac
}

# runs POINT COMMAND...: the command ends with status 0.
runs()
{
	_name=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then
		ok "$_name"
	else
		not_ok "$_name" "exit status $?: $*
$(tail -n 20 "$tmp/out")"
		return 1
	fi
}

# fails POINT COMMAND...: the command ends with another status.
fails()
{
	_name=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then
		not_ok "$_name" "exit status 0: $*
$(tail -n 20 "$tmp/out")"
	else
		ok "$_name"
	fi
}

finish()
{
	echo "1..$points"
	finished=yes
	[ $failures = 0 ] || exit 1
	[ $skips -lt $points ] || exit 4
	exit 0
}

# The shell of a small guest prefers its built-in commands to these.
real()
{
	_p=$(which "$1" 2>/dev/null) || _p="env $1"
	shift
	$_p "$@"
}

blkdiscard()
{
	real blkdiscard "$@"
}

fallocate()
{
	real fallocate "$@"
}

# has COMMAND: the command exists, and works.
has()
{
	command -v "$1" >/dev/null 2>&1 && "$1" --version >/dev/null 2>&1
}

# Disks are overwritten, so outside of the harness the user has to name them.
lite_bdfs()
{
	for _b in $(vbl_disks); do
		[ "$(pci_driver "$_b")" = "$pci_driver" ] || continue
		disk_of "$_b" >/dev/null 2>&1 || continue
		case " ${VBL_DISKS-} " in
		"  ") [ -e /lib/vbl.sh ] && echo "$_b" ;;
		*" $_b "*) echo "$_b" ;;
		esac
	done
}

# lite_bdf [N]: address of the Nth disk of the tested driver, counted from 0.
lite_bdf()
{
	_bdf=$(lite_bdfs | sed -n "$((${1:-0} + 1))p")
	[ -n "$_bdf" ] && echo "$_bdf"
}

# lite_disk [N]: the same as /dev/vdX.
lite_disk()
{
	_bdf=$(lite_bdf "${1:-0}") && echo "/dev/$(disk_of "$_bdf")"
}

# need COMMAND...: without them nothing here can be tested.
need()
{
	for _c; do
		command -v "$_c" >/dev/null 2>&1 || skip_all "no $_c here"
	done
}

# need_disk [N]: set $bdf, $disk, $name and $block, or end the program.
need_disk()
{
	bdf=$(lite_bdf "${1:-0}") ||
		skip_all "needs $((${1:-0} + 1)) disk(s) of $pci_driver" \
			"(by hand: VBL_DISKS=\"address...\" names those" \
			"whose contents may go)"
	name=$(disk_of "$bdf") || exit 1
	# shellcheck disable=SC2034
	disk=/dev/$name block=/sys/block/$name
}

# module: path of virtio_lite.ko.
module()
{
	for _f in /virtio_lite.ko "$here/../virtio_lite.ko" \
		"$(modinfo -n virtio_lite 2>/dev/null)"; do
		[ -e "$_f" ] && echo "$_f" && return
	done
	return 1
}

# reads DISK [dd operands]: direct reads work.
reads()
{
	_d=$1
	shift
	dd if="$_d" of=/dev/null bs=64k count=16 iflag=direct "$@" 2>&1
}

# random FILE BYTES
random()
{
	head -c "$2" /dev/urandom >"$1"
}

# sum [FILE]: checksum of a file or of the input
sum()
{
	sha256sum "$@" | cut -d ' ' -f 1
}

# busy DISK [fio options]: writes and checks in the background, to not_busy.
busy()
{
	busy_disk=${1#/dev/}
	shift
	fio --name=busy --filename="/dev/$busy_disk" --allow_file_create=0 \
		--rw=randwrite --bs=4k \
		--ioengine=libaio --iodepth=16 --direct=1 --size=8M \
		--offset=16M --verify=crc32c --verify_backlog=256 \
		--verify_fatal=1 --time_based --runtime=600 --thread \
		--output="$tmp/busy" "$@" >"$tmp/busy.err" 2>&1 &
	busy_pid=$!
	at_exit "kill -9 $busy_pid 2>/dev/null"
	keeps_busy
}

# keeps_busy: wait until the disk has completed some more writes.
keeps_busy()
{
	_more=$(($(writes "$busy_disk") + 50))
	wait_for 60 sh -c "[ \$(awk '{ print \$5 }' \
		/sys/block/$busy_disk/stat) -gt $_more ]"
}

# writes DISK: number of writes that the disk has completed.
writes()
{
	awk '{ print $5 }' "/sys/block/${1#/dev/}/stat"
}

# not_busy: stop the load; fails unless all of its data was right.
not_busy()
{
	# fio ends with 128 on a signal, and reports errors in its output.
	kill -INT "$busy_pid" 2>/dev/null
	wait "$busy_pid"
	if grep -q ': err= *0:' "$tmp/busy" && ! grep -q verify: "$tmp/busy.err"
	then
		return 0
	fi
	cat "$tmp/busy.err" "$tmp/busy"
	return 1
}

# What all programs use; the kernel's sysfs for whatever they look at.
need awk blockdev cut dd dmesg grep head readlink sed sha256sum stat tr
[ -d "$PCI/devices" ] || skip_all "no PCI here, or no sysfs"
