// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a disk's queues: all of it is allocated at probe, so that sending
 * a request never has to ask for any.
 *
 *	slots[tag]	header, status and a short table, for every tag
 *	blocks[]	some per queue, lent to requests of many segments: as
 *			many in a row as make their table; with too few left,
 *			the queue waits
 *
 * With ACCESS_PLATFORM slots and blocks lie in coherent memory that stays
 * mapped, and only the data of a request is mapped and unmapped.
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
			     depth * sizeof(*vvq->slots), node))
		return -ENOMEM;
	vvq->slots = vvq->mem[0].addr;
	vvq->slots_dma = vvq->mem[0].dma;
	return 0;
}

/* Blocks for tables of up to @n descriptors. */
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
			     vvq->block_desc * sizeof(*vvq->blocks), node))
		return -ENOMEM;
	vvq->blocks = vvq->mem[1].addr;
	vvq->blocks_dma = vvq->mem[1].dma;
	atomic_long_set(&vvq->free_blocks, GENMASK(vvq->nblocks - 1, 0));
	return 0;
}

/**
 * virtblk_init_mem() - write the memory that a queue shares with the device anew
 * @vblk: the disk
 * @vvq: the queue, which has nothing in flight, and whose answers were read
 *
 * Requests do not write all of it, and the device can write all of it at any
 * time: so after each reset it has to become what it was at first.
 */
void virtblk_init_mem(const struct virtblk *vblk, struct virtblk_vq *vvq)
{
	unsigned int tag, i;

	for (i = 0; i < ARRAY_SIZE(vvq->mem); i++) {
		if (vvq->mem[i].addr)
			memset(vvq->mem[i].addr, 0, vvq->mem[i].size);
	}
	/* The descriptor of the header is the same for every request. */
	for (tag = 0; tag < vblk->tag_set.queue_depth; tag++)
		virtqueue_set_desc(&vvq->vq, vvq->slots[tag].table, 0,
				   vvq->slots_dma + tag * sizeof(*vvq->slots),
				   sizeof(struct virtio_blk_header),
				   VRING_DESC_F_NEXT);
}

/**
 * virtblk_alloc_mem() - slots and tables of a queue
 * @vblk: the disk; limits and depth are final
 * @vvq: the queue; its ring is set up
 * @node: NUMA node to put them on
 *
 * Return: 0 or -ENOMEM; virtblk_free_mem() undoes it, also when half done.
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
 * @vvq: the queue, which the device no longer knows
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

/* The first of @need free blocks in a row, or BITS_PER_LONG. */
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
 * virtblk_has_table() - could a long table be borrowed now
 * @vvq: the queue
 * @n: its descriptors
 */
bool virtblk_has_table(const struct virtblk_vq *vvq, unsigned int n)
{
	return virtblk_find_blocks(atomic_long_read(&vvq->free_blocks),
				   virtblk_need_blocks(vvq, n)) < BITS_PER_LONG;
}

/**
 * virtblk_take_table() - borrow a long table for a request
 * @vvq: the queue
 * @vbr: of the request; remembers it until virtblk_return_table()
 * @n: descriptors needed
 *
 * Context: any, no lock needed. Return: 0, or -EAGAIN if too little is free.
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
 * @vbr: of the request, which the device does not own
 */
void virtblk_return_table(struct virtblk_vq *vvq, struct virtblk_req *vbr)
{
	unsigned int first = vbr->table - 1;

	vbr->table = 0;
	atomic_long_or((BIT(vbr->blocks) - 1) << first, &vvq->free_blocks);
}

/**
 * virtblk_next_piece() - go on to the next piece of a request's data
 * @p: where the walk is
 *
 * Return: false behind the last piece.
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
 * virtblk_mapped() - where the driver keeps the addresses it gave to the device
 * @vvq: the queue
 * @rq: the request; its table is chosen
 *
 * Return: room for an address for each bvec.
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
 * virtblk_unmap() - take the data of a request back (ACCESS_PLATFORM)
 * @vvq: the queue
 * @rq: a request that the device has done with
 *
 * The addresses come from the driver's own copy: what stands in the table by
 * now is the device's word.
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
 * virtblk_map() - let the device reach the data of a request (ACCESS_PLATFORM)
 * @vvq: the queue
 * @rq: the request; its table is chosen
 *
 * In pieces of a descriptor: bounce buffers take no more at once.
 *
 * Return: 0; -EAGAIN if there is no room to map it now, with nothing mapped.
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
 * virtblk_restart_queue() - something came back that a request may be waiting for
 * @vvq: the queue
 */
void virtblk_restart_queue(struct virtblk_vq *vvq)
{
	/* Pairs with virtblk_wait_for_room(). */
	smp_mb();
	/* And so does this: a queue that waits was stopped before. */
	if (likely(!smp_load_acquire(&vvq->waiting)))
		return;
	WRITE_ONCE(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
}

/**
 * __virtblk_release() - take back what a request borrowed
 * @vvq: the queue
 * @rq: a request that holds something, and that the device does not own
 */
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	/* What is left is known until virtblk_forget(). */
	vbr->holds = vbr->late || vbr->replays;
	if (vbr->nmapped)
		virtblk_unmap(vvq, rq);
	if (vbr->table) {
		virtblk_return_table(vvq, vbr);
		virtblk_restart_queue(vvq);
	}
}

/**
 * virtblk_forget() - a request ends: nothing of it is remembered
 * @vvq: the queue
 * @rq: a request that the device does not own
 */
void virtblk_forget(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	__virtblk_release(vvq, rq);
	vbr->late = false;
	vbr->fail = false;
	vbr->replays = 0;
	vbr->holds = false;
}
