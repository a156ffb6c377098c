/* SPDX-License-Identifier: GPL-2.0 */
/* What a request borrows of its queue's memory. */
#ifndef _BLK_BORROW_H
#define _BLK_BORROW_H

#include "blk/mem.h"

/**
 * struct virtblk_piece - a piece of a request's data, for a walk through all
 * @bv: the piece: at most as long as one descriptor can be
 * @bio: the bio that it belongs to
 * @iter: start of the piece in @bio
 * @max: largest number of bytes in one descriptor
 */
struct virtblk_piece {
	struct bio_vec bv;
	struct bio *bio;
	struct bvec_iter iter;
	u32 max;
};

/**
 * virtblk_no_piece() - start a walk through the data of a request
 * @vvq: the queue
 * @rq: the request, which has data
 *
 * virtblk_next_piece() finds the first piece, and each further one.
 */
static inline struct virtblk_piece virtblk_no_piece(const struct virtblk_vq *vvq,
						    const struct request *rq)
{
	return (struct virtblk_piece) {
		.bio = rq->bio,
		.iter = rq->bio->bi_iter,
		.max = vvq->max_desc_len,
	};
}

bool virtblk_has_table(struct virtblk_vq *vvq, unsigned int n);
bool virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr,
			unsigned int n);
const struct vring_desc *virtblk_peek_table(struct virtblk_vq *vvq,
					    unsigned int table,
					    unsigned int blocks,
					    unsigned int *most);
int virtblk_map(struct virtblk_vq *vvq, struct request *rq);
dma_addr_t *virtblk_mapped(struct virtblk_vq *vvq, struct request *rq);
void virtblk_unmap(struct virtblk_vq *vvq, struct request *rq);
bool virtblk_next_piece(struct virtblk_piece *p);
void virtblk_restart_queue(struct virtblk_vq *vvq);
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq);
void virtblk_forget(struct virtblk_vq *vvq, struct request *rq);

/**
 * virtblk_release() - take back the table and the mappings of a request
 * @vvq: the queue
 * @rq: a request that the device does not own
 */
static inline void virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (unlikely(vbr->holds))
		__virtblk_release(vvq, rq);
}

#endif /* _BLK_BORROW_H */
