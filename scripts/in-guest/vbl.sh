# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Helpers for everything that runs in a guest; every guest command has them.

PCI=/sys/bus/pci

# vbl_load [params]: load the module, which claims every disk nobody owns.
vbl_load()
{
	if [ ! -e /virtio_lite.ko ]; then
		echo "vbl_load: no virtio_lite.ko in this guest" >&2
		return 1
	fi
	insmod /virtio_lite.ko "$@" && return
	# insmod says "Invalid argument"; the kernel says which, and why.
	dmesg | grep virtio_lite | tail -n 3 >&2
	return 1
}

# vbl_unload: remove the module; fails while a disk is in use.
vbl_unload()
{
	rmmod virtio_lite
}

# vbl_load_upstream: the kernel's own driver, for comparison.
vbl_load_upstream()
{
	modprobe virtio_pci 2>/dev/null
	modprobe virtio_blk
}

# vbl_disks: PCI addresses of all virtio block functions, in order.
vbl_disks()
{
	for _d in "$PCI"/devices/*; do
		read -r _vendor <"$_d/vendor"
		read -r _device <"$_d/device"
		case $_vendor:$_device in
		0x1af4:0x1001 | 0x1af4:0x1042)
			echo "${_d##*/}"
			;;
		esac
	done
}

# pci_driver BDF: the driver a PCI function is bound to, or nothing.
pci_driver()
{
	[ -e "$PCI/devices/$1/driver" ] || return 0
	_name=$(readlink "$PCI/devices/$1/driver")
	echo "${_name##*/}"
}

# virtio_of BDF: its virtioN device folder, on either virtio bus.
virtio_of()
{
	for _d in "$PCI/devices/$1"/virtio*; do
		[ -d "$_d" ] && echo "$_d" && return 0
	done
	return 1
}

# virtio_driver BDF: the driver of that virtioN device, or nothing.
virtio_driver()
{
	_v=$(virtio_of "$1") || return 0
	[ -e "$_v/driver" ] || return 0
	_name=$(readlink "$_v/driver")
	echo "${_name##*/}"
}

# disk_of BDF: the block device of a PCI function (vda), or failure.
disk_of()
{
	for _d in "$PCI/devices/$1"/virtio*/block/* \
		"$PCI/devices/$1"/nvme/nvme*/nvme*n*; do
		[ -d "$_d" ] && echo "${_d##*/}" && return 0
	done
	echo "disk_of: no disk at $1" >&2
	return 1
}

# vbl_disk [N]: the Nth virtio disk by PCI address, counted from 0, as /dev/X.
vbl_disk()
{
	_bdf=$(vbl_disks | sed -n "$((${1:-0} + 1))p")
	if [ -z "$_bdf" ]; then
		echo "vbl_disk: this guest has no disk number ${1:-0}" >&2
		return 1
	fi
	_name=$(disk_of "$_bdf") && echo "/dev/$_name"
}

# vbl_behind_port BDF: the function behind a PCIe root port.
vbl_behind_port()
{
	for _d in "$PCI/devices/$1"/*:*:*.*; do
		[ -e "$_d/vendor" ] && echo "${_d##*/}" && return 0
	done
	return 1
}

# take_over BDF: from whatever driver has it to virtio-pci-lite.
take_over()
{
	bind-lite "$1"
}

# give_back BDF: to the kernel's own virtio-pci and virtio_blk.
give_back()
{
	bind-lite "$1" --back
}

# vbl_take_all: every virtio disk that is not ours yet.
vbl_take_all()
{
	for _b in $(vbl_disks); do
		[ "$(pci_driver "$_b")" = virtio-pci-lite ] && continue
		take_over "$_b" || return 1
	done
}

# wait_for SECONDS COMMAND...: until the command succeeds; its output.
# A last resort, for conditions that announce themselves to nobody.
wait_for()
{
	_left=$1 _end=
	shift
	while ! _out=$("$@" 2>&1); do
		_now=$(date +%s)
		: "${_end:=$((_now + _left + 1))}"
		if [ "$_now" -ge "$_end" ]; then
			echo "wait_for: never came true: $*: $_out" >&2
			return 1
		fi
		usleep 20000 2>/dev/null || sleep 0.02
	done
	[ -z "$_out" ] || echo "$_out"
}

# vbl_tools: mount the tools image, whose libraries dynamic programs need.
vbl_tools()
{
	/lib/vbl/tool
}

# vbl_mark TEXT: a line in the kernel log.
vbl_mark()
{
	echo "vbl: $*" >/dev/kmsg
}
