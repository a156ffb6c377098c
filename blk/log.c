// SPDX-License-Identifier: GPL-2.0
/*
 * Messages of a disk: in front of each are the driver and the PCI address, as with
 * dev_err(), and the disk's name.
 */
#include <linux/device.h>
#include "blk/log.h"

/**
 * virtblk_log() - write a message about a disk into the kernel's log
 * @vblk: the disk; it has its name
 * @level: LOGLEVEL_; with VIRTBLK_LIMITED there are only so many in some time, as
 *	   a device could fill the log with them
 * @format: the message, for printf()
 *
 * Context: any.
 */
void virtblk_log(const struct virtblk *vblk, int level, const char *format, ...)
{
	struct virtio_device *vdev = vblk->vdev;
	const struct device *dev = vdev->dev.parent;
	const char *name = vblk->disk->disk_name;
	struct ratelimit_state *limit;
	struct va_format message;
	va_list args;

	if (level & VIRTBLK_LIMITED) {
		level &= ~VIRTBLK_LIMITED;
		limit = level <= LOGLEVEL_WARNING ? &vdev->errors_limit :
						    &vdev->infos_limit;
		if (!___ratelimit(limit, name))
			return;
	}
	va_start(args, format);
	message.fmt = format;
	message.va = &args;
	dev_printk_emit(level, dev, "%s %s: %s: %pV", dev_driver_string(dev),
			dev_name(dev), name, &message);
	va_end(args);
}
