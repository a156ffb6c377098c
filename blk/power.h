/* SPDX-License-Identifier: GPL-2.0 */
/* Removal, sleep, shutdown, and resets from outside of the driver. */
#ifndef _BLK_POWER_H
#define _BLK_POWER_H

#include "blk/blk.h"

void virtblk_fail_all(struct virtblk *vblk);
void virtblk_disable_recovery(struct virtblk *vblk);
void virtblk_reset_prepare(struct virtio_device *vdev);
void virtblk_reset_done(struct virtio_device *vdev, int err);
void virtblk_flush_work(struct work_struct *work);
int virtblk_freeze(struct virtio_device *vdev, bool keeps);
int virtblk_restore(struct virtio_device *vdev, int err);
void virtblk_shutdown(struct virtio_device *vdev);

#endif /* _BLK_POWER_H */
