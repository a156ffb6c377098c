/* SPDX-License-Identifier: GPL-2.0 */
/* Completion of requests. */
#ifndef _BLK_COMPLETE_H
#define _BLK_COMPLETE_H

#include "blk/blk.h"

irqreturn_t virtblk_done(struct virtqueue *vq);
irqreturn_t virtblk_done_other(struct virtqueue *vq);
irqreturn_t virtblk_done_polled(struct virtqueue *vq);
int virtblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob);
void virtblk_hold_completion(struct virtblk_vq *vvq);
void virtblk_release_completion(struct virtblk_vq *vvq);
void virtblk_request_done(struct request *rq);

#endif /* _BLK_COMPLETE_H */
