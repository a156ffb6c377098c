/* SPDX-License-Identifier: GPL-2.0 */
/* Config changes of the device. */
#ifndef _BLK_CONFIG_H
#define _BLK_CONFIG_H

#include "blk/blk.h"

int virtblk_init_events(void);
void virtblk_exit_events(void);
void virtblk_set_capacity(struct virtblk *vblk, u64 capacity);
bool virtblk_config_changed(struct virtio_device *vdev);
void virtblk_config_work(struct work_struct *work);
void virtblk_disk_work(struct work_struct *work);

#endif /* _BLK_CONFIG_H */
