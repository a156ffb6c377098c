// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a disk's queues: all of it is allocated at probe, so that sending
 * a request never has to ask for any.
 *
 *	slots[tag]	header, status and a short table, for every tag
 *	tables[]	long tables, a few per queue, lent to requests of many
 *			segments; with none left, the queue waits
 *
 * With ACCESS_PLATFORM slots and tables lie in coherent memory that stays
 * mapped, and only the data of a request is mapped and unmapped.
 */
#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "virtio_blk_lite.h"

static int virtblk_alloc_slots(struct virtblk *vblk, struct virtblk_vq *vvq,
			       int node)
{
	unsigned int depth = vblk->tag_set.queue_depth, tag;
	struct virtqueue *vq = &vvq->vq;

	if (virtio_mem_alloc(vblk->vdev, &vvq->mem[0],
			     depth * sizeof(*vvq->slots), node))
		return -ENOMEM;
	vvq->slots = vvq->mem[0].addr;
	vvq->slots_dma = vvq->mem[0].dma;

	/* The descriptor of the header is the same for every request. */
	for (tag = 0; tag < depth; tag++)
		virtqueue_set_desc(vq, vvq->slots[tag].table, 0,
				   vvq->slots_dma + tag * sizeof(*vvq->slots),
				   sizeof(struct virtio_blk_header),
				   VRING_DESC_F_NEXT);

	if (!virtio_has_feature(vblk->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return 0;
	vvq->mapped = kvzalloc_node(array3_size(depth, VIRTBLK_SLOT_DESC,
						sizeof(*vvq->mapped)),
				    GFP_KERNEL, node);
	return vvq->mapped ? 0 : -ENOMEM;
}

static int virtblk_alloc_tables(struct virtblk *vblk, struct virtblk_vq *vvq,
				size_t bytes, unsigned int per_mem, int node)
{
	const bool map = virtio_has_feature(vblk->vdev, VIRTIO_F_ACCESS_PLATFORM);
	struct virtblk_table *t;
	struct virtio_mem *mem;
	unsigned int i;

	vvq->tables = kcalloc_node(vvq->ntables, sizeof(*vvq->tables),
				   GFP_KERNEL, node);
	if (!vvq->tables)
		return -ENOMEM;

	for (i = 0; i < vvq->ntables; i++) {
		mem = &vvq->mem[1 + i / per_mem];
		if (i % per_mem == 0 &&
		    virtio_mem_alloc(vblk->vdev, mem, bytes * per_mem, node))
			return -ENOMEM;
		t = &vvq->tables[i];
		t->desc = mem->addr + i % per_mem * bytes;
		t->addr = mem->dma + i % per_mem * bytes;
		if (!map)
			continue;
		t->mapped = kvzalloc_node(bytes / sizeof(*t->desc) *
					  sizeof(*t->mapped), GFP_KERNEL, node);
		if (!t->mapped)
			return -ENOMEM;
	}
	vvq->free_tables = vvq->ntables ? GENMASK(vvq->ntables - 1, 0) : 0;
	return 0;
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
	const struct virtblk_limits *lim = &vblk->limits;
	unsigned int desc, per_mem = 1;
	size_t bytes = 0;
	int err;

	vvq->max_desc_len = lim->max_desc_len;
	vvq->slot_segments = (VIRTBLK_SLOT_DESC - VIRTBLK_EXTRA_DESC) /
			     lim->desc_per_segment;
	if (virtio_has_feature(vblk->vdev, VIRTIO_F_ACCESS_PLATFORM))
		vvq->slot_segments = 0;

	desc = lim->max_segments * lim->desc_per_segment + VIRTBLK_EXTRA_DESC;
	if (desc > VIRTBLK_SLOT_DESC) {
		bytes = roundup_pow_of_two(desc * sizeof(struct vring_desc));
		per_mem = max_t(unsigned int, PAGE_SIZE / bytes, 1);
		vvq->ntables = clamp_t(unsigned int,
				       VIRTBLK_TABLES_BYTES / bytes, 4,
				       BITS_PER_LONG);
		vvq->ntables = min(vvq->ntables, vblk->tag_set.queue_depth);
	}

	vvq->nmem = 1 + DIV_ROUND_UP(vvq->ntables, per_mem);
	vvq->mem = kcalloc_node(vvq->nmem, sizeof(*vvq->mem), GFP_KERNEL, node);
	if (!vvq->mem)
		return -ENOMEM;
	err = virtblk_alloc_slots(vblk, vvq, node);
	if (!err && vvq->ntables)
		err = virtblk_alloc_tables(vblk, vvq, bytes, per_mem, node);
	return err;
}

/**
 * virtblk_free_mem() - undo virtblk_alloc_mem()
 * @vblk: the disk
 * @vvq: the queue, which the device no longer knows
 */
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq)
{
	unsigned int i;

	for (i = 0; vvq->tables && i < vvq->ntables; i++)
		kvfree(vvq->tables[i].mapped);
	kfree(vvq->tables);
	kvfree(vvq->mapped);
	for (i = 0; vvq->mem && i < vvq->nmem; i++)
		virtio_mem_free(vblk->vdev, &vvq->mem[i]);
	kfree(vvq->mem);
	vvq->tables = NULL;
	vvq->mapped = NULL;
	vvq->mem = NULL;
}

/**
 * virtblk_take_table() - borrow a long table for a request
 * @vvq: the queue
 * @vbr: of the request; remembers it until virtblk_release()
 *
 * Context: any, no lock needed. Return: 0, or -EAGAIN if all are in use.
 */
int virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr)
{
	unsigned long mask;
	int i;

	while ((mask = READ_ONCE(vvq->free_tables))) {
		i = __ffs(mask);
		if (test_and_clear_bit(i, &vvq->free_tables)) {
			vbr->table = i + 1;
			vbr->holds = true;
			return 0;
		}
	}
	return -EAGAIN;
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

	if (vbr->table)
		return vvq->tables[vbr->table - 1].mapped;
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
	const dma_addr_t *mapped = virtblk_mapped(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);
	struct req_iterator iter;
	struct bio_vec bv;
	u32 off, len;

	rq_for_each_bvec(bv, rq, iter) {
		for (off = 0; off < bv.bv_len && vbr->nmapped; off += len) {
			len = min(bv.bv_len - off, vvq->max_desc_len);
			dma_unmap_page(dev, *mapped++, len, rq_dma_dir(rq));
			vbr->nmapped--;
		}
	}
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
	dma_addr_t *mapped = virtblk_mapped(vvq, rq);
	struct device *dev = virtblk_dma_dev(vvq);
	struct req_iterator iter;
	struct bio_vec bv;
	dma_addr_t addr;
	u32 off, len;

	rq_for_each_bvec(bv, rq, iter) {
		for (off = 0; off < bv.bv_len; off += len) {
			len = min(bv.bv_len - off, vvq->max_desc_len);
			addr = dma_map_page(dev, bv.bv_page, bv.bv_offset + off,
					    len, rq_dma_dir(rq));
			if (dma_mapping_error(dev, addr)) {
				virtblk_unmap(vvq, rq);
				return -EAGAIN;
			}
			mapped[vbr->nmapped++] = addr;
			vbr->holds = true;
		}
	}
	return 0;
}
