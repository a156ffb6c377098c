/* SPDX-License-Identifier: GPL-2.0 */
/* The device's configuration, read and validated. */
#ifndef _BLK_LIMITS_H
#define _BLK_LIMITS_H

#include "blk/blk.h"

int virtblk_accept(struct virtio_device *vdev, u64 *features);
int virtblk_read_limits(struct virtio_device *vdev,
			struct virtblk_limits *lim);
u64 virtblk_read_capacity(struct virtio_device *vdev);

#endif /* _BLK_LIMITS_H */
