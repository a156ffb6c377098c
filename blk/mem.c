// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a disk's queues. Probe allocates all of it, so no request allocates
 * memory.
 *
 *	slots[tag]	header, status and a short table, for each tag
 *	blocks[]	parts of long tables: a request with many segments borrows
 *			as many adjacent blocks as its table needs; if there are
 *			too few, the queue waits
 *
 * With ACCESS_PLATFORM slots and blocks are in coherent memory, which stays
 * mapped; only the data of a request is mapped and unmapped.
 */
#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "blk/mem.h"
#include "compat/compat.h"

static int virtblk_alloc_slots(struct virtblk *vblk, struct virtblk_vq *vvq,
			       int node)
{
	unsigned int depth = vblk->tag_set.queue_depth;

	if (virtio_mem_alloc(vblk->vdev, &vvq->mem[0],
			     depth * sizeof(*vvq->slots), node, false))
		return -ENOMEM;
	vvq->slots = vvq->mem[0].addr;
	vvq->slots_dma = vvq->mem[0].dma;
	return 0;
}

/* Allocate blocks for tables of up to @n descriptors. */
static int virtblk_alloc_blocks(struct virtblk *vblk, struct virtblk_vq *vvq,
				unsigned int n, int node)
{
	unsigned int depth = vblk->tag_set.queue_depth, each, most;

	vvq->block_desc = max_t(unsigned int, VIRTBLK_BLOCK_DESC,
				DIV_ROUND_UP(n * VIRTBLK_LONG_TABLES,
					     BITS_PER_LONG));
	each = DIV_ROUND_UP(n, vvq->block_desc);
	most = max_t(unsigned int, each * VIRTBLK_LONG_TABLES,
		     VIRTBLK_BLOCKS_BYTES /
		     (vvq->block_desc * sizeof(*vvq->blocks)));
	vvq->nblocks = min3(most, each * depth, (unsigned int)BITS_PER_LONG);
	if (virtio_mem_alloc(vblk->vdev, &vvq->mem[1], vvq->nblocks *
			     vvq->block_desc * sizeof(*vvq->blocks), node,
			     false))
		return -ENOMEM;
	vvq->blocks = vvq->mem[1].addr;
	vvq->blocks_dma = vvq->mem[1].dma;
	atomic_long_set(&vvq->free_blocks, GENMASK(vvq->nblocks - 1, 0));
	return 0;
}

/**
 * virtblk_init_mem() - initialise the memory that a queue shares with the device
 * @vblk: the disk
 * @vvq: the queue; none of its requests is in flight, all statuses were read
 *
 * The device may have changed any of this memory, and a request does not write
 * all of it: so it is initialised again after each reset.
 */
void virtblk_init_mem(const struct virtblk *vblk, struct virtblk_vq *vvq)
{
	unsigned int tag, i;

	for (i = 0; i < ARRAY_SIZE(vvq->mem); i++) {
		if (vvq->mem[i].addr)
			memset(vvq->mem[i].addr, 0, vvq->mem[i].size);
	}
	/* Each request of a tag has the same descriptor for its header. */
	for (tag = 0; tag < vblk->tag_set.queue_depth; tag++)
		virtqueue_set_desc(&vvq->vq, vvq->slots[tag].table, 0,
				   vvq->slots_dma + tag * sizeof(*vvq->slots),
				   sizeof(struct virtio_blk_header),
				   VRING_DESC_F_NEXT);
}

/**
 * virtblk_alloc_mem() - allocate slots and blocks of a queue
 * @vblk: the disk; its limits and queue depth are final
 * @vvq: the queue; its ring is set up
 * @node: preferred NUMA node
 *
 * Return: 0 or -ENOMEM; virtblk_free_mem() undoes it, also after an error.
 */
int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node)
{
	const bool map = virtio_has_feature(vblk->vdev, VIRTIO_F_ACCESS_PLATFORM);
	const struct virtblk_limits *lim = &vblk->limits;
	unsigned int n, depth = vblk->tag_set.queue_depth;

	vvq->max_desc_len = lim->max_desc_len;
	vvq->slot_segments = map || vvq->vq.in_order ? 0 :
			     VIRTBLK_SLOT_DESC - VIRTBLK_EXTRA_DESC;
	if (virtblk_alloc_slots(vblk, vvq, node))
		return -ENOMEM;
	n = virtblk_max_chain(lim);
	if (n > VIRTBLK_SLOT_DESC && virtblk_alloc_blocks(vblk, vvq, n, node))
		return -ENOMEM;
	virtblk_init_mem(vblk, vvq);
	if (!map)
		return 0;
	n = depth * VIRTBLK_SLOT_DESC + vvq->nblocks * vvq->block_desc;
	vvq->mapped = kvzalloc_node(array_size(n, sizeof(*vvq->mapped)),
				    GFP_KERNEL, node);
	return vvq->mapped ? 0 : -ENOMEM;
}

/**
 * virtblk_free_mem() - undo virtblk_alloc_mem()
 * @vblk: the disk
 * @vvq: the queue, which the device does not own
 */
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq)
{
	unsigned int i;

	kvfree(vvq->mapped);
	for (i = 0; i < ARRAY_SIZE(vvq->mem); i++)
		virtio_mem_free(vblk->vdev, &vvq->mem[i]);
	vvq->mapped = NULL;
	vvq->nblocks = 0;
}

/* Returns the first of @need adjacent free blocks, or BITS_PER_LONG. */
static unsigned int virtblk_find_blocks(unsigned long free, unsigned int need)
{
	unsigned long start = free;
	unsigned int i;

	for (i = 1; i < need; i++)
		start &= free >> i;
	return start ? __ffs(start) : BITS_PER_LONG;
}

static unsigned int virtblk_need_blocks(const struct virtblk_vq *vvq,
					unsigned int n)
{
	return n <= vvq->block_desc ? 1 : DIV_ROUND_UP(n, vvq->block_desc);
}

/**
 * virtblk_has_table() - are there free blocks for a long table
 * @vvq: the queue
 * @n: number of descriptors in the table
 *
 * Return: true if there are.
 */
bool virtblk_has_table(const struct virtblk_vq *vvq, unsigned int n)
{
	return virtblk_find_blocks(atomic_long_read(&vvq->free_blocks),
				   virtblk_need_blocks(vvq, n)) < BITS_PER_LONG;
}

/**
 * virtblk_take_table() - borrow a long table for a request
 * @vvq: the queue
 * @vbr: the request, which keeps the table until virtblk_return_table()
 * @n: number of descriptors in the table
 *
 * Context: any; the caller needs no lock. Return: 0, or -EAGAIN if too few
 * adjacent blocks are free.
 */
int virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr,
		       unsigned int n)
{
	unsigned int need = virtblk_need_blocks(vvq, n), first;
	long free = atomic_long_read(&vvq->free_blocks);

	do {
		first = virtblk_find_blocks(free, need);
		if (first == BITS_PER_LONG)
			return -EAGAIN;
	} while (!atomic_long_try_cmpxchg(&vvq->free_blocks, &free, free &
					  ~((BIT(need) - 1) << first)));
	vbr->table = first + 1;
	vbr->blocks = need;
	vbr->holds = true;
	return 0;
}

/**
 * virtblk_return_table() - undo virtblk_take_table()
 * @vvq: the queue
 * @vbr: the request, which the device does not own
 */
void virtblk_return_table(struct virtblk_vq *vvq, struct virtblk_req *vbr)
{
	unsigned int first = vbr->table - 1;

	vbr->table = 0;
	atomic_long_or((BIT(vbr->blocks) - 1) << first, &vvq->free_blocks);
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

	unsigned int depth = vvq->vblk->tag_set.queue_depth;

	if (vbr->table)
		return &vvq->mapped[depth * VIRTBLK_SLOT_DESC +
				    (vbr->table - 1) * vvq->block_desc];
	return &vvq->mapped[rq->tag * VIRTBLK_SLOT_DESC];
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
	const dma_addr_t *mapped = virtblk_mapped(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);

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
	dma_addr_t *mapped = virtblk_mapped(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);
	dma_addr_t addr;

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
	WRITE_ONCE(vvq->waiting, false);
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
	if (vbr->table) {
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
