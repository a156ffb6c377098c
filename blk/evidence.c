// SPDX-License-Identifier: GPL-2.0
/*
 * A request is late: is it slow, or was its completion lost? The driver collects
 * evidence in two ways, at no cost for requests that come back in time:
 *
 *	scan	While a request is late, each scan marks the headers of the tags
 *		that are not in flight. If the next scan finds a mark overwritten
 *		on such a tag, a request was submitted after the first scan and
 *		came back. It counts for its kind only: reads that come back say
 *		nothing about a flush.
 *	check	The driver sends a request of its own: another flush if the late
 *		request is a flush, else a read of the same sectors into its own
 *		memory. It has a slot of its own in each queue, and a tag that the
 *		block layer does not know: so it works with a frozen queue, or when
 *		all other tags are in flight.
 *
 * The device can overwrite headers and status, so they are untrusted. A device
 * that does so only changes when it is reset.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include "blk/evidence.h"
#include "blk/mem.h"

/* Mark in a header: the tag was not in flight at the last scan. */
#define VIRTBLK_MARK	0xffffffff

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

/* Tag of the check: the slot of the last one, behind those of the block layer. */
static unsigned int virtblk_check_tag(const struct virtblk *vblk)
{
	return vblk->nslots - 1;
}

static int virtblk_alloc_check(struct virtblk_vq *vvq)
{
	struct virtblk_req *vbr;
	struct request *rq;

	/* A token for the ring: the block layer never sees this request. */
	rq = kzalloc(sizeof(*rq) + sizeof(*vbr), GFP_KERNEL);
	if (!rq)
		return -ENOMEM;
	rq->q = vvq->vblk->disk->queue;
	rq->mq_hctx = vvq->hctx;
	rq->cmd_flags = (__force blk_opf_t)REQ_OP_DRV_IN;
	rq->tag = virtblk_check_tag(vvq->vblk);
	vbr = blk_mq_rq_to_pdu(rq);
	vbr->holds = true;
	vvq->check = rq;
	return 0;
}

/**
 * virtblk_alloc_evidence() - allocate memory for scans and checks
 * @vblk: the disk; its queues and tags are allocated
 *
 * A queue with few slots has none for the check, only scans; so has one whose
 * descriptors are too short for the block that a check reads. Return: 0 or
 * -ENOMEM; virtblk_free_evidence() undoes it, also after an error.
 */
int virtblk_alloc_evidence(struct virtblk *vblk)
{
	bool check = vblk->nslots > vblk->tag_set.queue_depth &&
		     vblk->limits.logical <= vblk->limits.max_desc_len;
	struct virtblk_vq *vvq;
	unsigned int i;

	if (virtio_mem_alloc(vblk->vdev, &vblk->check_mem, vblk->limits.logical,
			     NUMA_NO_NODE, true))
		return -ENOMEM;
	for (i = 0; i < vblk->nvqs; i++) {
		vvq = &vblk->vqs[i];
		vvq->marked = bitmap_zalloc(2 * ALIGN(vblk->nslots, BITS_PER_LONG),
					    GFP_KERNEL);
		if (!vvq->marked)
			return -ENOMEM;
		if (check && virtblk_alloc_check(vvq))
			return -ENOMEM;
	}
	return 0;
}

/**
 * virtblk_free_evidence() - undo virtblk_alloc_evidence()
 * @vblk: the disk, whose device was reset, or that was never live; nobody reaps
 *	  its rings
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

/* The caller holds the submission lock, so no tag is added to the ring. */
static void virtblk_scan_queue(struct virtblk_vq *vvq)
{
	unsigned int nslots = vvq->vblk->nslots, i;
	unsigned long *marked = vvq->marked;
	unsigned long *in_flight = marked + BITS_TO_LONGS(nslots);
	const struct virtqueue *vq = &vvq->vq;
	struct virtio_blk_header *header;
	const struct request *rq;
	enum virtblk_kind kind;
	unsigned int tag;
	u32 type;

	bitmap_zero(in_flight, nslots);
	for (i = 0; i < vq->num; i++) {
		rq = READ_ONCE(vq->token[i]);
		if (!rq)
			continue;
		/* It may come back meanwhile, and has no tag then, which is -1. */
		tag = READ_ONCE(rq->tag);
		if (tag < nslots)
			__set_bit(tag, in_flight);
	}
	for (i = 0; i < nslots; i++) {
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
 * virtblk_scan() - count the requests that came back since the last scan
 * @vblk: the disk
 *
 * At most one scan per second, or per time-out if that is shorter. Context: the
 * time-out handler; may sleep.
 */
void virtblk_scan(struct virtblk *vblk)
{
	/* A request that is late now was submitted before a scan this recent. */
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
 * virtblk_note_late() - start to count evidence for a request
 * @vblk: the disk, just after virtblk_scan()
 * @rq: the request, which is in flight, and late for the first time
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
 * virtblk_is_quiet() - has no request of the same kind come back for some time
 * @vblk: the disk, just after virtblk_scan()
 * @rq: the late request
 * @limit: length of that time, in jiffies
 *
 * Return: true if none has.
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
 * virtblk_younger_came_back() - has a later request of the same kind come back
 * @vblk: the disk, just after virtblk_scan()
 * @rq: the late request
 *
 * Return: true if one that was submitted later has.
 */
bool virtblk_younger_came_back(struct virtblk *vblk, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return vbr->younger != (u16)vblk->younger[virtblk_kind(rq)];
}

/* The caller holds the submission lock; there is room in the ring. */
static void virtblk_add_check(struct virtblk_vq *vvq, struct request *rq)
{
	const struct virtblk *vblk = vvq->vblk;
	unsigned int tag = virtblk_check_tag(vblk);
	struct virtblk_slot *slot = &vvq->slots[tag];
	dma_addr_t slot_dma = vvq->slots_dma + tag * sizeof(*slot);
	bool flush = req_op(rq) == REQ_OP_FLUSH;
	u32 type = flush ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_IN;
	u64 sector = flush ? 0 : blk_rq_pos(rq);
	struct virtqueue *vq = &vvq->vq;
	unsigned int n = 0;

	/* A late query may have no sector on the disk. */
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
		      slot_dma + offsetof(struct virtblk_slot, table), n, tag,
		      vvq->check);
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
 * virtblk_check() - has the device answered the check of a late request
 * @vvq: the queue
 * @rq: the late request
 *
 * This evaluates the last check, and sends one if none is in flight. Context: the
 * time-out handler; may sleep. Return: true if a check for @rq was answered.
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
		/* Another request had a whole time-out to use this answer. */
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
 *
 * Return: true if it may.
 */
bool virtblk_check_in_flight(struct virtblk_vq *vvq)
{
	unsigned int tag = virtblk_check_tag(vvq->vblk);

	return READ_ONCE(vvq->check_state) == VIRTBLK_CHECK_SENT &&
	       READ_ONCE(vvq->slots[tag].status) == VIRTIO_BLK_S_UNWRITTEN;
}

/**
 * virtblk_forget_evidence() - forget the marks and the check of a queue
 * @vvq: the queue, which is not enabled in the device
 */
void virtblk_forget_evidence(struct virtblk_vq *vvq)
{
	if (vvq->marked)
		bitmap_zero(vvq->marked, vvq->vblk->nslots);
	vvq->check_state = VIRTBLK_CHECK_NONE;
}
