/* SPDX-License-Identifier: GPL-2.0 */
/* Rare requests: secure erase, queries, zones. */
#ifndef _BLK_COMMAND_H
#define _BLK_COMMAND_H

#include "blk/blk.h"

blk_status_t virtblk_check_command(struct virtblk_vq *vvq, struct request *rq);
unsigned int virtblk_add_command(struct virtblk_vq *vvq, struct request *rq);
int virtblk_add_status(struct virtblk_vq *vvq, struct request *rq,
		       struct vring_desc *desc, int n);
void virtblk_end_command(struct virtblk_vq *vvq, struct request *rq);
int virtblk_execute_query(struct virtblk *vblk, struct virtblk_query *query);
int virtblk_get_id(struct virtblk *vblk, char *id);

static inline struct virtblk_query *virtblk_query_of(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return vbr->query;
}

/* Unlike IS_ALIGNED(), this takes an alignment that is not a power of 2. */
static inline bool virtblk_is_aligned(u64 sectors, u32 align)
{
	u32 rest;

	div_u64_rem(sectors, align, &rest);
	return !rest;
}

#endif /* _BLK_COMMAND_H */
