/* SPDX-License-Identifier: GPL-2.0 */
/* The write cache of the device. */
#ifndef _BLK_CACHE_H
#define _BLK_CACHE_H

#include "blk/blk.h"

bool virtblk_read_writeback(struct virtio_device *vdev);
void virtblk_cache_work(struct work_struct *work);
extern struct device_attribute virtblk_cache_type_attr;

#endif /* _BLK_CACHE_H */
