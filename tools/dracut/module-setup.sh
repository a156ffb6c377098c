#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # moddir, initdir and kernel are dracut's
# dracut: what takes the chosen disks over, in every initramfs that is made while
# there is a choice; and always what upstream's driver needs.

chosen()
{
	[ -s /etc/virtio-lite/disks ]
}

check()
{
	return 0
}

depends()
{
	echo base
}

installkernel()
{
	# An initramfs for this host has the drivers of the running system only.
	# While that is on ours, nothing could go back.
	hostonly='' instmods virtio_pci virtio_blk
	chosen || return 0
	hostonly='' instmods -c virtio_lite ||
		dwarn "virtio-lite: no virtio_lite.ko for Linux $kernel:" \
			"with that kernel all disks stay with its own driver"
	return 0
}

install()
{
	local part

	chosen || return 0
	inst_multiple readlink modprobe
	for part in disk.sh choice.sh boot.sh boot; do
		inst_simple "/usr/lib/virtio-lite/$part"
	done
	inst_simple /etc/virtio-lite/disks
	inst_rules 59-virtio-lite.rules
	inst_hook pre-udev 20 "$moddir/pre-udev.sh"
}
