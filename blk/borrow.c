// SPDX-License-Identifier: GPL-2.0
/*
 * What a request borrows of its queue's memory (see blk/mem.c) besides its slot: a
 * long table, the addresses of its data, a bounce buffer. It returns them when the
 * device no longer owns the request.
 */
#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include "blk/borrow.h"
#include "compat/compat.h"

/* Returns a bitmap: which blocks are the first of @need adjacent free ones. */
static unsigned long virtblk_find_blocks(unsigned long free, unsigned int need)
{
	unsigned int have, step;

	for (have = 1; have < need; have += step) {
		step = min(have, need - have);
		free &= free >> step;
	}
	return free;
}

static unsigned int virtblk_need_blocks(const struct virtblk_pool *pool,
					unsigned int n)
{
	return n <= pool->block_desc ? 1 : DIV_ROUND_UP(n, pool->block_desc);
}

/* No table has as many blocks as there are bits. */
static unsigned long virtblk_blocks(unsigned int first, unsigned int n)
{
	return (BIT(n) - 1) << first;
}

static bool virtblk_has_blocks(struct virtblk_pool *pool, unsigned int n)
{
	/* Pairs with virtblk_alloc_pool(). */
	unsigned long free = atomic_long_read_acquire(&pool->free);

	return free && virtblk_find_blocks(free, virtblk_need_blocks(pool, n));
}

/**
 * virtblk_has_table() - are there free blocks for a long table
 * @vvq: the queue
 * @n: number of descriptors in the table
 *
 * Return: true if there are.
 */
bool virtblk_has_table(struct virtblk_vq *vvq, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vvq->pools); i++) {
		if (virtblk_has_blocks(&vvq->pools[i], n))
			return true;
	}
	return false;
}

static __always_inline void virtblk_lend(struct virtblk_req *vbr,
					 unsigned int table, unsigned int blocks)
{
	vbr->table = table;
	vbr->blocks = blocks;
	vbr->holds = true;
}

static bool virtblk_take_blocks(struct virtblk_vq *vvq, unsigned int i,
				struct virtblk_req *vbr, unsigned int n)
{
	struct virtblk_pool *pool = &vvq->pools[i];
	/* Pairs with virtblk_alloc_pool(): 0 until there is a pool. */
	long free = atomic_long_read_acquire(&pool->free);
	unsigned int need, first;
	unsigned long fit;

	if (!free)
		return false;
	need = virtblk_need_blocks(pool, n);
	do {
		fit = virtblk_find_blocks(free, need);
		if (!fit)
			return false;
		first = __ffs(fit);
	} while (!atomic_long_try_cmpxchg(&pool->free, &free, free &
					  ~virtblk_blocks(first, need)));
	virtblk_lend(vbr, i * BITS_PER_LONG + first, need);
	return true;
}

/* virtblk_take_table() if the first pool has no free block, or one is too short. */
static noinline bool __virtblk_take_table(struct virtblk_vq *vvq,
					  struct virtblk_req *vbr,
					  unsigned int n)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vvq->pools); i++) {
		if (virtblk_take_blocks(vvq, i, vbr, n))
			return true;
	}
	if (virtblk_next_pool(vvq)) {
		WRITE_ONCE(vvq->few_blocks, true);
		queue_work(system_unbound_wq, &vvq->vblk->pools_work);
	}
	return false;
}

/* Takes one block. Returns its index, or -1 if none is free. */
static __always_inline int virtblk_take_block(struct virtblk_pool *pool)
{
	long free = atomic_long_read(&pool->free);
	int first;

	do {
		if (!free)
			return -1;
		first = __ffs(free);
	} while (!atomic_long_try_cmpxchg(&pool->free, &free, free & (free - 1)));
	return first;
}

/**
 * virtblk_take_table() - borrow a long table for a request
 * @vvq: the queue
 * @vbr: the request, which keeps the table until virtblk_return_table()
 * @n: number of descriptors in the table
 *
 * Context: any; the caller needs no lock. Return: true; false if too few adjacent
 * blocks are free.
 */
bool virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr,
			unsigned int n)
{
	struct virtblk_pool *pool = vvq->pools;
	int first;

	if (likely(n <= pool->block_desc)) {
		first = virtblk_take_block(pool);
		if (likely(first >= 0)) {
			virtblk_lend(vbr, first, 1);
			return true;
		}
	}
	return __virtblk_take_table(vvq, vbr, n);
}

/**
 * virtblk_return_table() - undo virtblk_take_table()
 * @vvq: the queue
 * @vbr: the request, which the device does not own
 */
static void virtblk_return_table(struct virtblk_vq *vvq, struct virtblk_req *vbr)
{
	struct virtblk_pool *pool;
	unsigned int first;

	pool = virtblk_pool_of(vvq, vbr->table, &first);
	atomic_long_or(virtblk_blocks(first, vbr->blocks), &pool->free);
	vbr->blocks = 0;
}

/**
 * virtblk_peek_table() - find a long table that may be another one meanwhile
 * @vvq: the queue
 * @table: virtblk_req.table
 * @blocks: virtblk_req.blocks
 * @most: set to the number of descriptors there, 0 if there is no such table
 *
 * Return: its first descriptor.
 */
const struct vring_desc *virtblk_peek_table(struct virtblk_vq *vvq,
					    unsigned int table,
					    unsigned int blocks,
					    unsigned int *most)
{
	struct virtblk_pool *pool;
	unsigned int first;

	pool = virtblk_pool_of(vvq, table, &first);
	*most = first + blocks <= pool->nblocks ? blocks * pool->block_desc : 0;
	return virtblk_block(pool, first);
}

/**
 * virtblk_next_piece() - step to the next piece of a request's data
 * @p: the current piece; becomes the next one
 *
 * Return: false if the current piece was the last.
 */
bool virtblk_next_piece(struct virtblk_piece *p)
{
	bio_advance_iter_single(p->bio, &p->iter, p->bv.bv_len);
	while (!p->iter.bi_size) {
		p->bio = p->bio->bi_next;
		if (!p->bio)
			return false;
		p->iter = p->bio->bi_iter;
	}
	p->bv = mp_bvec_iter_bvec(p->bio->bi_io_vec, p->iter);
	p->bv.bv_len = min(p->bv.bv_len, p->max);
	return true;
}

static struct device *virtblk_dma_dev(struct virtblk_vq *vvq)
{
	return vvq->vblk->vdev->dev.parent;
}

/**
 * virtblk_mapped() - find the bus addresses of a request's data (ACCESS_PLATFORM)
 * @vvq: the queue
 * @rq: the request; it has borrowed its long table, if it needs one
 *
 * Return: array with an entry for each piece of the data.
 */
dma_addr_t *virtblk_mapped(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_pool *pool;
	unsigned int first;

	if (!vbr->blocks)
		return &vvq->mapped[rq->tag * VIRTBLK_SLOT_DESC];
	pool = virtblk_pool_of(vvq, vbr->table, &first);
	return &pool->mapped[first * pool->block_desc];
}

/* Copy the data of a request to its bounce buffer, or from there. */
static void virtblk_copy_bounce(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	char *buf = virtblk_block(&vvq->bounce, vbr->table);
	bool write = op_is_write(req_op(rq));
	struct req_iterator iter;
	struct bio_vec bv;
	char *data;

	rq_for_each_segment(bv, rq, iter) {
		data = bvec_kmap_local(&bv);
		memcpy(write ? buf : data, write ? data : buf, bv.bv_len);
		if (!write)
			flush_dcache_page(bv.bv_page);
		kunmap_local(data);
		buf += bv.bv_len;
	}
}

/* Copy short data to a bounce buffer. Returns false if that cannot be done. */
static bool virtblk_take_bounce(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	int i;

	if (vbr->blocks || blk_rq_bytes(rq) > VIRTBLK_BOUNCE)
		return false;
	i = virtblk_take_block(&vvq->bounce);
	if (i < 0)
		return false;
	vbr->table = i;
	vbr->nmapped = VIRTBLK_BOUNCED;
	vbr->holds = true;
	/* See virtblk_return_bounce(). */
	vbr->status = VIRTIO_BLK_S_UNWRITTEN;
	if (op_is_write(req_op(rq)))
		virtblk_copy_bounce(vvq, rq);
	return true;
}

/*
 * Copy what the device read, and return the buffer. Only if the request came back,
 * and succeeded: or the data of another one is still there.
 */
static void virtblk_return_bounce(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (!op_is_write(req_op(rq)) && vbr->status == VIRTIO_BLK_S_OK)
		virtblk_copy_bounce(vvq, rq);
	vbr->nmapped = 0;
	atomic_long_or(BIT(vbr->table), &vvq->bounce.free);
}

/**
 * virtblk_unmap() - unmap the data of a request (ACCESS_PLATFORM)
 * @vvq: the queue
 * @rq: a request that the device does not own
 *
 * The addresses are the driver's own copy, because the device may have changed
 * those in the table.
 */
void virtblk_unmap(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_piece p = virtblk_no_piece(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);
	const dma_addr_t *mapped;

	if (vbr->nmapped == VIRTBLK_BOUNCED) {
		virtblk_return_bounce(vvq, rq);
		return;
	}
	mapped = virtblk_mapped(vvq, rq);
	for (; vbr->nmapped && virtblk_next_piece(&p); vbr->nmapped--)
		dma_unmap_page(dev, *mapped++, p.bv.bv_len, rq_dma_dir(rq));
}

/**
 * virtblk_map() - map the data of a request for the device (ACCESS_PLATFORM)
 * @vvq: the queue
 * @rq: the request; it has borrowed its long table, if it needs one
 *
 * Each piece is mapped alone, because a bounce buffer is limited in size.
 *
 * Return: 0; -EAGAIN, with nothing mapped, if a piece cannot be mapped now.
 */
int virtblk_map(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_piece p = virtblk_no_piece(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);
	dma_addr_t *mapped, addr;

	if (virtblk_take_bounce(vvq, rq))
		return 0;
	mapped = virtblk_mapped(vvq, rq);
	while (virtblk_next_piece(&p)) {
		addr = dma_map_page(dev, p.bv.bv_page, p.bv.bv_offset,
				    p.bv.bv_len, rq_dma_dir(rq));
		if (dma_mapping_error(dev, addr)) {
			virtblk_unmap(vvq, rq);
			return -EAGAIN;
		}
		mapped[vbr->nmapped++] = addr;
		vbr->holds = true;
	}
	return 0;
}

/**
 * virtblk_restart_queue() - start a queue that waits for a table or ring slots
 * @vvq: the queue, some of whose blocks or ring slots were just returned
 */
void virtblk_restart_queue(struct virtblk_vq *vvq)
{
	/* Pairs with virtblk_wait_for_room(). */
	smp_mb();
	/* Pairs with it too: a queue whose @waiting is set was stopped before. */
	if (likely(!smp_load_acquire(&vvq->waiting)))
		return;
	/*
	 * Before it looks whether the queue is stopped: or this could overwrite
	 * the @waiting of a stop that it did not see.
	 */
	smp_store_mb(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
}

/**
 * __virtblk_release() - virtblk_release() of a request whose @holds is set
 * @vvq: the queue
 * @rq: the request, which the device does not own
 */
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	/* These three stay valid until virtblk_forget(). */
	vbr->holds = vbr->late || vbr->replays || vbr->unmapped;
	if (vbr->nmapped)
		virtblk_unmap(vvq, rq);
	if (vbr->blocks) {
		virtblk_return_table(vvq, vbr);
		virtblk_restart_queue(vvq);
	}
}

/**
 * virtblk_forget() - clear the driver's data of a request that ends
 * @vvq: the queue
 * @rq: a request that the device does not own
 */
void virtblk_forget(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	__virtblk_release(vvq, rq);
	vbr->late = false;
	vbr->fail = false;
	vbr->unmapped = false;
	vbr->replays = 0;
	vbr->holds = false;
}
