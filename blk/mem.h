/* SPDX-License-Identifier: GPL-2.0 */
/* Memory of the queues. */
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

/* The first pool that was not allocated yet, or NULL. */
static inline struct virtblk_pool *virtblk_next_pool(struct virtblk_vq *vvq)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vvq->pools); i++) {
		if (!READ_ONCE(vvq->pools[i].nblocks))
			return &vvq->pools[i];
	}
	return NULL;
}

int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node);
void virtblk_init_mem(const struct virtblk *vblk, struct virtblk_vq *vvq);
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq);
bool virtblk_add_pool(struct virtblk *vblk, struct virtblk_vq *vvq, int node);

#endif /* _BLK_MEM_H */
