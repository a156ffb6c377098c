/* SPDX-License-Identifier: GPL-2.0 */
/* The queues of a disk. */
#ifndef _BLK_QUEUES_H
#define _BLK_QUEUES_H

#include "blk/blk.h"

unsigned int virtblk_ring_size(const struct virtblk *vblk);
int virtblk_init_queues(struct virtblk *vblk);
void virtblk_del_queues(struct virtblk *vblk);
void virtblk_pools_work(struct work_struct *work);
int virtblk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data,
		      unsigned int index);
void virtblk_map_queues(struct blk_mq_tag_set *set);
bool virtblk_queues_need_cpus(const struct virtblk *vblk);

#endif /* _BLK_QUEUES_H */
