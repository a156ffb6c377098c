/* SPDX-License-Identifier: GPL-2.0 */
/* Submission of requests. */
#ifndef _BLK_SUBMIT_H
#define _BLK_SUBMIT_H

#include "blk/blk.h"
#include "compat/blk.h"

blk_status_t virtio_queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd);
void virtio_queue_rqs(compat_rq_list *rqlist);
void virtio_commit_rqs(struct blk_mq_hw_ctx *hctx);

#endif /* _BLK_SUBMIT_H */
