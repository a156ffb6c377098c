#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # moddir, initdir and kernel are dracut's
# dracut: what takes the chosen disks over, in every initramfs that is made while
# there is a choice.

check()
{
	[ -s /etc/virtio-lite/disks ] || return 255
}

depends()
{
	echo base
}

installkernel()
{
	# Also where upstream's driver has the disks of this system.
	hostonly='' instmods virtio_pci virtio_blk
	hostonly='' instmods -c virtio_lite ||
		dwarn "virtio-lite: no virtio_lite.ko for Linux $kernel:" \
			"with that kernel all disks stay with its own driver"
	return 0
}

install()
{
	local part

	inst_multiple readlink modprobe
	for part in disk.sh choice.sh boot.sh boot; do
		inst_simple "/usr/lib/virtio-lite/$part"
	done
	inst_simple /etc/virtio-lite/disks
	inst_rules 59-virtio-lite.rules
	inst_hook pre-udev 20 "$moddir/pre-udev.sh"
}
