// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a disk's queues. Probe allocates nearly all of it, and no request
 * allocates memory; what it borrows of this, see blk/borrow.c.
 *
 *	slots[tag]	header, status and a short table, for each tag
 *	pools[0]	blocks, of which long tables consist: a request with many
 *			segments borrows as many adjacent ones as its table needs.
 *			There are enough for the longest table
 *	pools[1..]	more blocks, each allocated once requests had to wait
 *
 * If all pools have too few blocks, the queue waits until requests return some. It
 * never waits for memory: without requests all of the first pool is free.
 *
 * With ACCESS_PLATFORM slots and blocks are in coherent memory, which stays
 * mapped; only the data of a request is mapped and unmapped. Where the kernel would
 * copy all data to map it (swiotlb: guests with encrypted memory), short requests
 * are copied to bounce buffers of the queue instead, which stay mapped, too: that is
 * one copy for a read, where the kernel makes two, and no search for free memory.
 */
#include <linux/slab.h>
#include <linux/swiotlb.h>
#include "blk/mem.h"

/* Least number of descriptors in a block: enough for 128 KiB. */
#define BLOCK_DESC	36
/*
 * Bytes of the first pool, and of each further one: more if so many of the longest
 * tables need it.
 */
#define FIRST_BYTES	SZ_8K
#define FIRST_TABLES	1
#define MORE_BYTES	SZ_32K
#define MORE_TABLES	4

static dma_addr_t *virtblk_alloc_mapped(unsigned int n, int node)
{
	return kvzalloc_node(array_size(n, sizeof(dma_addr_t)), GFP_KERNEL,
			     node);
}

static int virtblk_alloc_pool(struct virtblk *vblk, struct virtblk_vq *vvq,
			      struct virtblk_pool *pool, int node)
{
	unsigned int n = virtblk_max_table(&vblk->limits);
	bool first = pool == vvq->pools;
	unsigned int tables = first ? FIRST_TABLES : MORE_TABLES;
	unsigned int each, nblocks, bytes;

	pool->block_desc = max_t(unsigned int, BLOCK_DESC,
				 DIV_ROUND_UP(n * tables, BITS_PER_LONG));
	bytes = pool->block_desc * sizeof(struct vring_desc);
	each = DIV_ROUND_UP(n, pool->block_desc);
	nblocks = max(each * tables, (first ? FIRST_BYTES : MORE_BYTES) / bytes);
	nblocks = min3(nblocks, each * vblk->nslots, (unsigned int)BITS_PER_LONG);
	if (virtio_mem_alloc(vblk->vdev, &pool->mem, nblocks * bytes, node,
			     false))
		return -ENOMEM;
	if (vvq->mapped) {
		pool->mapped = virtblk_alloc_mapped(nblocks * pool->block_desc,
						    node);
		if (!pool->mapped) {
			virtio_mem_free(vblk->vdev, &pool->mem);
			return -ENOMEM;
		}
	}
	/* Pairs with virtblk_init_mem(); this pool may be one more. */
	smp_store_release(&pool->nblocks, nblocks);
	/* Pairs with virtblk_take_blocks(). */
	atomic_long_set_release(&pool->free, GENMASK(nblocks - 1, 0));
	return 0;
}

/* Bounce buffers are as fast as they are many, but no request needs one. */
static void virtblk_alloc_bounce(struct virtblk *vblk, struct virtblk_vq *vvq,
				 int node)
{
	struct virtblk_pool *pool = &vvq->bounce;
	unsigned int n = min_t(unsigned int, vblk->nslots, BITS_PER_LONG);

	if (!is_swiotlb_force_bounce(vblk->vdev->dev.parent) ||
	    vvq->max_desc_len < VIRTBLK_BOUNCE ||
	    virtio_mem_alloc(vblk->vdev, &pool->mem, n * VIRTBLK_BOUNCE, node,
			     false))
		return;
	pool->block_desc = VIRTBLK_BOUNCE / sizeof(struct vring_desc);
	pool->nblocks = n;
	atomic_long_set(&pool->free, GENMASK(n - 1, 0));
}

static void virtblk_free_pool(struct virtblk *vblk, struct virtblk_pool *pool)
{
	kvfree(pool->mapped);
	virtio_mem_free(vblk->vdev, &pool->mem);
	pool->mapped = NULL;
	pool->nblocks = 0;
	atomic_long_set(&pool->free, 0);
}

/**
 * virtblk_add_pool() - allocate one more pool of blocks, if there may be more
 * @vblk: the disk
 * @vvq: the queue, which may be in use; others do not add a pool to it
 * @node: preferred NUMA node
 *
 * Return: true if there is one more.
 */
bool virtblk_add_pool(struct virtblk *vblk, struct virtblk_vq *vvq, int node)
{
	struct virtblk_pool *pool = virtblk_next_pool(vvq);

	return pool && !virtblk_alloc_pool(vblk, vvq, pool, node);
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

	for (i = 0; i < ARRAY_SIZE(vvq->pools); i++) {
		/* Others than the first may be allocated just now. */
		if (smp_load_acquire(&vvq->pools[i].nblocks))
			memset(vvq->pools[i].mem.addr, 0, vvq->pools[i].mem.size);
	}
	memset(vvq->mem.addr, 0, vvq->mem.size);
	/* Each request of a tag has the same descriptor for its header. */
	for (tag = 0; tag < vblk->nslots; tag++)
		virtqueue_set_desc(&vvq->vq, vvq->slots[tag].table, 0,
				   vvq->slots_dma + tag * sizeof(*vvq->slots),
				   sizeof(struct virtio_blk_header),
				   VRING_DESC_F_NEXT);
}

/**
 * virtblk_alloc_mem() - allocate slots and the first pool of a queue
 * @vblk: the disk; its limits and the number of slots are final
 * @vvq: the queue; its ring is set up
 * @node: preferred NUMA node
 *
 * Return: 0 or -ENOMEM; virtblk_free_mem() undoes it, also after an error.
 */
int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node)
{
	const bool map = virtio_has_feature(vblk->vdev, VIRTIO_F_ACCESS_PLATFORM);

	vvq->max_desc_len = vblk->limits.max_desc_len;
	vvq->slot_segments = map || vvq->vq.in_order ? 0 :
			     VIRTBLK_SLOT_DESC - VIRTBLK_EXTRA_DESC;
	vvq->running = vvq->slot_segments && vvq->vq.indirect &&
		       vblk->limits.desc_per_segment == 1 ? VIRTBLK_VQ_SHORT :
						    VIRTBLK_VQ_RUNNING;
	vvq->state = vvq->running;
	vvq->rw_rest[VIRTIO_BLK_T_IN] =
		virtqueue_prepare_rest(&vvq->vq, 2, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	vvq->rw_rest[VIRTIO_BLK_T_OUT] =
		virtqueue_prepare_rest(&vvq->vq, 2, VRING_DESC_F_NEXT);
	if (virtio_mem_alloc(vblk->vdev, &vvq->mem,
			     vblk->nslots * sizeof(*vvq->slots), node, false))
		return -ENOMEM;
	vvq->slots = vvq->mem.addr;
	vvq->slots_dma = vvq->mem.dma;
	if (map) {
		vvq->mapped = virtblk_alloc_mapped(vblk->nslots * VIRTBLK_SLOT_DESC,
						   node);
		if (!vvq->mapped)
			return -ENOMEM;
		virtblk_alloc_bounce(vblk, vvq, node);
	}
	if (virtblk_max_table(&vblk->limits) > VIRTBLK_SLOT_DESC &&
	    virtblk_alloc_pool(vblk, vvq, vvq->pools, node))
		return -ENOMEM;
	virtblk_init_mem(vblk, vvq);
	return 0;
}

/**
 * virtblk_free_mem() - undo virtblk_alloc_mem() and virtblk_pools_work()
 * @vblk: the disk; pools_work does not run
 * @vvq: the queue, which the device does not own
 */
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vvq->pools); i++)
		virtblk_free_pool(vblk, &vvq->pools[i]);
	virtblk_free_pool(vblk, &vvq->bounce);
	kvfree(vvq->mapped);
	vvq->mapped = NULL;
	virtio_mem_free(vblk->vdev, &vvq->mem);
}
