/* SPDX-License-Identifier: GPL-2.0 */
/* Memory of the queues, and the part of it that a request borrows. */
#ifndef _BLK_MEM_H
#define _BLK_MEM_H

#include "blk/blk.h"

static inline dma_addr_t virtblk_slot_dma(const struct virtblk_vq *vvq,
					  const struct request *rq)
{
	return vvq->slots_dma + rq->tag * sizeof(struct virtblk_slot);
}

/* The pool of a long table; *first is set to its first block there. */
static inline struct virtblk_pool *virtblk_pool_of(struct virtblk_vq *vvq,
						   unsigned int table,
						   unsigned int *first)
{
	*first = table % BITS_PER_LONG;
	return &vvq->pools[table / BITS_PER_LONG];
}

/* The first descriptor of a block. */
static inline void *virtblk_block(const struct virtblk_pool *pool,
				  unsigned int i)
{
	return (struct vring_desc *)pool->mem.addr + i * pool->block_desc;
}

/**
 * virtblk_long_table() - find a long table
 * @vvq: the queue
 * @table: virtblk_req.table
 * @dma: set to the address for the device
 *
 * Return: its first descriptor.
 */
static inline struct vring_desc *virtblk_long_table(struct virtblk_vq *vvq,
						    unsigned int table,
						    dma_addr_t *dma)
{
	struct virtblk_pool *pool;
	unsigned int first;
	void *desc;

	pool = virtblk_pool_of(vvq, table, &first);
	desc = virtblk_block(pool, first);
	*dma = pool->mem.dma + (desc - pool->mem.addr);
	return desc;
}

/**
 * virtblk_fill_header() - write the header of a request
 * @vq: the queue of the request
 * @header: the header, in the request's slot
 * @type: VIRTIO_BLK_T_
 * @sector: first sector, or 0
 *
 * Every byte is written, because the device may have changed any. The reserved
 * word is 0 (BLK-REQ-I03), and shares a store with the type.
 */
static __always_inline void virtblk_fill_header(const struct virtqueue *vq,
						struct virtio_blk_header *header,
						u32 type, u64 sector)
{
	u64 words = type;

	/* The type is first in memory, so it is the high half if that comes first. */
	if (IS_ENABLED(CONFIG_CPU_BIG_ENDIAN) && !vq->little_endian)
		words <<= 32;
	header->type_reserved = vring64(vq, words);
	header->sector = vring64(vq, sector);
}

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

int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node);
void virtblk_init_mem(const struct virtblk *vblk, struct virtblk_vq *vvq);
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq);
void virtblk_pools_work(struct work_struct *work);
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

#endif /* _BLK_MEM_H */
