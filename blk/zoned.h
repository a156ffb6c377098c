/* SPDX-License-Identifier: GPL-2.0 */
/* Host-managed zones. */
#ifndef _BLK_ZONED_H
#define _BLK_ZONED_H

#include "blk/blk.h"
#include "compat/blk.h"

int virtblk_accept_zones(struct virtio_device *vdev, u64 *features);
int virtblk_read_zones(struct virtio_device *vdev, struct virtblk_limits *lim);
bool virtblk_zones_fit(struct virtblk *vblk, u64 capacity);
int virtblk_check_zones(struct virtblk *vblk);
int virtblk_report_zones(struct gendisk *disk, sector_t sector,
			 unsigned int nr_zones, const struct compat_report *to);

#endif /* _BLK_ZONED_H */
