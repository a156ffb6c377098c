// SPDX-License-Identifier: GPL-2.0
/*
 * A request is late: is it slow, or was its completion lost? Two things tell,
 * and neither costs a request that comes back in time anything:
 *
 *	scan	While a request is late, the headers of the tags that are not in
 *		flight are marked now and then. A mark that was overwritten by
 *		the next scan belongs to a request that was submitted later, and
 *		came back. It counts for its kind only: reads that come back say
 *		nothing of a flush.
 *	check	The device is asked: for a flush by another flush, for all else
 *		by a read of the same place into memory of the driver's own. Each
 *		queue has a tag for that which the block layer does not use, so
 *		that neither a frozen queue nor tags that are all in flight are
 *		in the way.
 *
 * What the device can write of this (headers, status) is evidence and no more:
 * a device that spoils it is reset sooner or later.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include "blk/evidence.h"
#include "blk/mem.h"

/* In a header: the tag was not in flight at the last scan. No device knows it. */
#define VIRTBLK_MARK	0xffffffff
/* The tag of the check: the block layer was told that it is reserved. */
#define VIRTBLK_CHECK_TAG	0

static enum virtblk_kind virtblk_kind_of_type(u32 type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return VIRTBLK_READ;
	case VIRTIO_BLK_T_OUT:
	case VIRTIO_BLK_T_ZONE_APPEND:
		return VIRTBLK_WRITE;
	case VIRTIO_BLK_T_FLUSH:
		return VIRTBLK_FLUSH;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_SECURE_ERASE:
		return VIRTBLK_DISCARD;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return VIRTBLK_ZEROES;
	default:
		return VIRTBLK_RARE;
	}
}

static enum virtblk_kind virtblk_kind(const struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return VIRTBLK_READ;
	case REQ_OP_WRITE:
	case REQ_OP_ZONE_APPEND:
		return VIRTBLK_WRITE;
	case REQ_OP_FLUSH:
		return VIRTBLK_FLUSH;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return VIRTBLK_DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return VIRTBLK_ZEROES;
	default:
		return VIRTBLK_RARE;
	}
}

static int virtblk_alloc_check(struct virtblk_vq *vvq)
{
	struct virtblk_req *vbr;
	struct request *rq;

	/* Never handed to the block layer: only its tag and its queue are used. */
	rq = kzalloc(sizeof(*rq) + sizeof(*vbr), GFP_KERNEL);
	if (!rq)
		return -ENOMEM;
	rq->q = vvq->vblk->disk->queue;
	rq->mq_hctx = vvq->hctx;
	rq->cmd_flags = (__force blk_opf_t)REQ_OP_DRV_IN;
	rq->tag = VIRTBLK_CHECK_TAG;
	vbr = blk_mq_rq_to_pdu(rq);
	vbr->holds = true;
	vvq->check = rq;
	return 0;
}

/**
 * virtblk_alloc_evidence() - memory for scans and checks
 * @vblk: the disk, with its queues and its tags
 *
 * A queue of few tags has none for checks: scans have to do. Return: 0 or
 * -ENOMEM; virtblk_free_evidence() undoes it, also when half done.
 */
int virtblk_alloc_evidence(struct virtblk *vblk)
{
	unsigned int depth = vblk->tag_set.queue_depth, i;
	struct virtblk_vq *vvq;

	if (virtio_mem_alloc(vblk->vdev, &vblk->check_mem, vblk->limits.logical,
			     NUMA_NO_NODE))
		return -ENOMEM;
	for (i = 0; i < vblk->nvqs; i++) {
		vvq = &vblk->vqs[i];
		vvq->marked = bitmap_zalloc(2 * ALIGN(depth, BITS_PER_LONG),
					    GFP_KERNEL);
		if (!vvq->marked)
			return -ENOMEM;
		if (vblk->tag_set.reserved_tags && virtblk_alloc_check(vvq))
			return -ENOMEM;
	}
	return 0;
}

/**
 * virtblk_free_evidence() - undo virtblk_alloc_evidence()
 * @vblk: the disk, whose device was reset
 */
void virtblk_free_evidence(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		bitmap_free(vblk->vqs[i].marked);
		kfree(vblk->vqs[i].check);
		vblk->vqs[i].marked = NULL;
		vblk->vqs[i].check = NULL;
	}
	virtio_mem_free(vblk->vdev, &vblk->check_mem);
}

/* Under the submission lock: no tag gets into the ring meanwhile. */
static void virtblk_scan_queue(struct virtblk_vq *vvq)
{
	unsigned int depth = vvq->vblk->tag_set.queue_depth, i;
	unsigned long *marked = vvq->marked;
	unsigned long *in_flight = marked + BITS_TO_LONGS(depth);
	const struct virtqueue *vq = &vvq->vq;
	struct virtio_blk_header *header;
	const struct request *rq;
	enum virtblk_kind kind;
	u32 type;

	bitmap_zero(in_flight, depth);
	for (i = 0; i < vq->num; i++) {
		rq = READ_ONCE(vq->token[i]);
		if (rq)
			__set_bit(rq->tag, in_flight);
	}
	for (i = 0; i < depth; i++) {
		header = &vvq->slots[i].header;
		if (test_bit(i, in_flight)) {
			__clear_bit(i, marked);
			continue;
		}
		type = vring32_cpu(vq, READ_ONCE(header->type));
		if (type == VIRTBLK_MARK)
			continue;
		kind = virtblk_kind_of_type(type);
		vvq->vblk->came_back[kind]++;
		if (__test_and_set_bit(i, marked))
			vvq->vblk->younger[kind]++;
		WRITE_ONCE(header->type, vring32(vq, VIRTBLK_MARK));
	}
}

/**
 * virtblk_scan() - see what came back since the last scan
 * @vblk: the disk; the caller is its time-out handler
 *
 * Once in a second is enough. Context: may sleep.
 */
void virtblk_scan(struct virtblk *vblk)
{
	/* The last one was after all that is late by now was submitted. */
	unsigned int least = min_t(unsigned int, HZ, vblk->disk->queue->rq_timeout);
	unsigned int i;

	if (vblk->scanned && time_before(jiffies, vblk->scanned + least))
		return;
	for (i = 0; i < vblk->nvqs; i++) {
		spin_lock(&vblk->vqs[i].lock);
		virtblk_scan_queue(&vblk->vqs[i]);
		spin_unlock(&vblk->vqs[i].lock);
		cond_resched();
	}
	vblk->scanned = jiffies;
}

/**
 * virtblk_note_late() - from now on evidence counts for a request
 * @vblk: the disk, just scanned
 * @rq: is late for the first time, and in flight
 */
void virtblk_note_late(struct virtblk *vblk, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	enum virtblk_kind kind = virtblk_kind(rq);

	vbr->submitted = rq->deadline - rq->timeout;
	vbr->quiet_since = vbr->submitted;
	vbr->younger = vblk->younger[kind];
	vbr->came_back = vblk->came_back[kind];
	vbr->checked = false;
	vbr->late = true;
	vbr->holds = true;
}

/**
 * virtblk_is_quiet() - does nothing of a request's kind come back
 * @vblk: the disk, just scanned
 * @rq: is late
 * @limit: for so long, in jiffies
 */
bool virtblk_is_quiet(struct virtblk *vblk, struct request *rq,
		      unsigned long limit)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u16 came_back = vblk->came_back[virtblk_kind(rq)];

	if (vbr->came_back != came_back) {
		vbr->came_back = came_back;
		vbr->quiet_since = jiffies;
	}
	return (u32)jiffies - vbr->quiet_since >= limit;
}

/**
 * virtblk_younger_came_back() - did one of its kind that was submitted later
 * @vblk: the disk, just scanned
 * @rq: is late
 */
bool virtblk_younger_came_back(struct virtblk *vblk, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return vbr->younger != (u16)vblk->younger[virtblk_kind(rq)];
}

/* The caller holds the submission lock; there is room in the ring. */
static void virtblk_add_check(struct virtblk_vq *vvq, struct request *rq)
{
	size_t offset = VIRTBLK_CHECK_TAG * sizeof(struct virtblk_slot);
	struct virtblk_slot *slot = &vvq->slots[VIRTBLK_CHECK_TAG];
	dma_addr_t slot_dma = vvq->slots_dma + offset;
	const struct virtblk *vblk = vvq->vblk;
	bool flush = req_op(rq) == REQ_OP_FLUSH;
	u32 type = flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN;
	u64 sector = flush ? 0 : blk_rq_pos(rq);
	struct virtqueue *vq = &vvq->vq;
	unsigned int n = 0;

	/* A question to the device itself is about no place. */
	if (sector >= get_capacity(vblk->disk))
		sector = 0;
	virtblk_fill_header(vq, &slot->header, type, sector);
	slot->status = VIRTIO_BLK_S_UNWRITTEN;
	virtqueue_set_desc(vq, slot->table, n++, slot_dma, sizeof(slot->header),
			   VRING_DESC_F_NEXT);
	if (!flush)
		virtqueue_set_desc(vq, slot->table, n++, vblk->check_mem.dma,
				   vblk->check_mem.size,
				   VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	virtqueue_set_desc(vq, slot->table, n++,
			   slot_dma + offsetof(struct virtblk_slot, status),
			   sizeof(slot->status), VRING_DESC_F_WRITE);
	virtqueue_add(vq, slot->table,
		      slot_dma + offsetof(struct virtblk_slot, table), n,
		      VIRTBLK_CHECK_TAG, vvq->check);
}

static bool virtblk_send_check(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	bool room;

	spin_lock(&vvq->lock);
	room = virtqueue_has_room(&vvq->vq, VIRTBLK_PAYLOAD_DESC);
	if (room) {
		vvq->check_for = rq;
		vvq->check_submitted = vbr->submitted;
		vvq->check_sent = jiffies;
		WRITE_ONCE(vvq->check_state, VIRTBLK_CHECK_SENT);
		virtblk_add_check(vvq, rq);
		virtqueue_kick_prepare(&vvq->vq);
	}
	spin_unlock(&vvq->lock);
	if (room)
		virtqueue_notify(&vvq->vq);
	return room;
}

/**
 * virtblk_check() - does the device answer another request of the same kind
 * @vvq: the queue; the caller is the time-out handler
 * @rq: is late
 *
 * Sends the check where none is under way, and takes the answer of the last
 * one. Context: may sleep. Return: true if it was answered.
 */
bool virtblk_check(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u8 state = READ_ONCE(vvq->check_state);

	if (vbr->checked || !vvq->check)
		return vbr->checked;
	if (state == VIRTBLK_CHECK_ANSWERED) {
		vbr->checked = vvq->check_for == rq &&
			       vvq->check_submitted == vbr->submitted;
		/* Of another one, which had its time to take the answer. */
		if (vbr->checked ||
		    time_after(jiffies, vvq->check_sent + rq->q->rq_timeout))
			state = VIRTBLK_CHECK_NONE;
		WRITE_ONCE(vvq->check_state, state);
	}
	if (!vbr->checked && state == VIRTBLK_CHECK_NONE)
		virtblk_send_check(vvq, rq);
	return vbr->checked;
}

/**
 * virtblk_check_in_flight() - may the device still write to a check's memory
 * @vvq: the queue
 */
bool virtblk_check_in_flight(struct virtblk_vq *vvq)
{
	return READ_ONCE(vvq->check_state) == VIRTBLK_CHECK_SENT &&
	       READ_ONCE(vvq->slots[VIRTBLK_CHECK_TAG].status) ==
	       VIRTIO_BLK_S_UNWRITTEN;
}

/**
 * virtblk_forget_evidence() - the ring starts anew
 * @vvq: a queue that the device does not know
 */
void virtblk_forget_evidence(struct virtblk_vq *vvq)
{
	if (vvq->marked)
		bitmap_zero(vvq->marked, vvq->vblk->tag_set.queue_depth);
	vvq->check_state = VIRTBLK_CHECK_NONE;
}
