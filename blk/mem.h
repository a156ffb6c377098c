/* SPDX-License-Identifier: GPL-2.0 */
/* Memory of the queues, and what a request borrows of it. */
#ifndef _BLK_MEM_H
#define _BLK_MEM_H

#include "blk/blk.h"

static inline dma_addr_t virtblk_slot_dma(const struct virtblk_vq *vvq,
					  const struct request *rq)
{
	return vvq->slots_dma + rq->tag * sizeof(struct virtblk_slot);
}

/**
 * virtblk_fill_header() - write the header of a request
 * @vq: its queue
 * @header: in its slot
 * @type: VIRTIO_BLK_T_
 * @sector: or 0
 *
 * All of it: the device may have written to it. BLK-REQ-I03: the reserved word
 * is 0, which costs no store of its own.
 */
static __always_inline void virtblk_fill_header(const struct virtqueue *vq,
						struct virtio_blk_header *header,
						u32 type, u64 sector)
{
	u64 words = type;

	/* The type comes first in memory also where the high half does. */
	if (IS_ENABLED(CONFIG_CPU_BIG_ENDIAN) && !vq->little_endian)
		words <<= 32;
	header->type_reserved = vring64(vq, words);
	header->sector = vring64(vq, sector);
}

/**
 * struct virtblk_piece - a walk through the data of a request
 * @bv: the piece: no longer than what a descriptor can cover
 * @bio: which it is of
 * @iter: where in @bio it starts
 * @max: bytes of a descriptor
 */
struct virtblk_piece {
	struct bio_vec bv;
	struct bio *bio;
	struct bvec_iter iter;
	u32 max;
};

/**
 * virtblk_no_piece() - start a walk; virtblk_next_piece() finds the first
 * @vvq: the queue
 * @rq: the request, which has data
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

int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node);
void virtblk_init_mem(const struct virtblk *vblk, struct virtblk_vq *vvq);
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq);
bool virtblk_has_table(const struct virtblk_vq *vvq, unsigned int n);
int virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr,
		       unsigned int n);
void virtblk_return_table(struct virtblk_vq *vvq, struct virtblk_req *vbr);
int virtblk_map(struct virtblk_vq *vvq, struct request *rq);
dma_addr_t *virtblk_mapped(struct virtblk_vq *vvq, struct request *rq);
void virtblk_unmap(struct virtblk_vq *vvq, struct request *rq);
bool virtblk_next_piece(struct virtblk_piece *p);
void virtblk_restart_queue(struct virtblk_vq *vvq);
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq);
void virtblk_forget(struct virtblk_vq *vvq, struct request *rq);

/**
 * virtblk_release() - take back what a request borrowed, if anything
 * @vvq: the queue
 * @rq: a request that the device does not own
 */
static inline void virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (unlikely(vbr->holds))
		__virtblk_release(vvq, rq);
}

#endif /* _BLK_MEM_H */
