// SPDX-License-Identifier: GPL-2.0
/*
 * The disk: requests on their way to the device and back.
 *
 *	virtio_queue_rq(s)	the block layer has a request with a tag
 *	  virtblk_prep		header and descriptors, in the tag's slot
 *	  virtqueue_add		the tag is the head
 *	  virtqueue_notify	if the device asked for it
 *				... the device works ...
 *	vp_interrupt
 *	  virtblk_done		takes all that came back, under no lock,
 *	    virtblk_complete	reads each status once,
 *				and ends all of them together
 *
 * A request as the device sees it (section 5.2.6):
 *
 *	+--------+--------+--------+ - - +--------+
 *	| header | data 0 | data 1 |     | status |	one descriptor each
 *	+--------+--------+--------+ - - +--------+
 *	 driver   driver writes (write),   device
 *	 writes   device writes (read)     writes
 *
 * Header, status and the table of these descriptors lie in the slot of the
 * request's tag; see virtio_blk_mem_lite.c.
 */
#include <linux/slab.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"
#include "trace/virtio_lite_trace.h"

/*
 * Requests on their way to the device
 */

static dma_addr_t virtblk_slot_dma(const struct virtblk_vq *vvq,
				   const struct request *rq)
{
	return vvq->slots_dma + rq->tag * sizeof(struct virtblk_slot);
}

/*
 * Descriptors for @len bytes from @addr, size_max permitting, from number @n
 * on. Returns the number of the next. @packed is the format of the ring, a
 * constant where it counts.
 */
static __always_inline int virtblk_add_data(const struct virtblk_vq *vvq,
					    bool packed,
					    struct vring_desc *desc, int n,
					    u64 addr, u32 len, u16 flags)
{
	while (unlikely(len > vvq->max_desc_len)) {
		__virtqueue_set_desc(&vvq->vq, packed, desc, n++, addr,
				     vvq->max_desc_len, flags);
		addr += vvq->max_desc_len;
		len -= vvq->max_desc_len;
	}
	__virtqueue_set_desc(&vvq->vq, packed, desc, n++, addr, len, flags);
	return n;
}

/*
 * The last descriptor: the status byte, preset to what no device writes. One
 * that stays silent does not succeed.
 */
static __always_inline int virtblk_add_status(struct virtblk_vq *vvq,
					      bool packed, struct request *rq,
					      struct vring_desc *desc, int n)
{
	vvq->slots[rq->tag].status = VIRTIO_BLK_S_UNWRITTEN;
	__virtqueue_set_desc(&vvq->vq, packed, desc, n++,
			     virtblk_slot_dma(vvq, rq) +
			     offsetof(struct virtblk_slot, status),
			     sizeof_field(struct virtblk_slot, status),
			     VRING_DESC_F_WRITE);
	return n;
}

/*
 * Each vector of each bio is one segment. The block layer's own iterators ask
 * of every vector what is true of the first and the last only.
 */
static noinline int virtblk_add_segments(struct virtblk_vq *vvq,
					 struct request *rq,
					 struct vring_desc *desc, u16 flags)
{
	const bool packed = vvq->vq.packed;
	const struct bio_vec *bv;
	u32 skip, left, len;
	struct bio *bio;
	int n = 1;

	__rq_for_each_bio(bio, rq) {
		bv = __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter);
		skip = bio->bi_iter.bi_bvec_done;
		for (left = bio->bi_iter.bi_size; left; left -= len) {
			len = min(bv->bv_len - skip, left);
			n = virtblk_add_data(vvq, packed, desc, n,
					     page_to_phys(bv->bv_page) +
					     bv->bv_offset + skip, len, flags);
			skip = 0;
			bv++;
		}
	}
	return n;
}

/* With ACCESS_PLATFORM: what virtblk_map() noted for each piece. */
static int virtblk_add_mapped(struct virtblk_vq *vvq, struct request *rq,
			      struct vring_desc *desc, u16 flags)
{
	const dma_addr_t *addr = virtblk_mapped(vvq, rq);
	struct req_iterator iter;
	struct bio_vec bv;
	u32 off, len;
	int n = 1;

	rq_for_each_bvec(bv, rq, iter) {
		for (off = 0; off < bv.bv_len; off += len) {
			len = min(bv.bv_len - off, vvq->max_desc_len);
			virtqueue_set_desc(&vvq->vq, desc, n++, *addr++, len,
					   flags);
		}
	}
	return n;
}

static void virtblk_fill_rw_header(const struct virtblk_vq *vvq,
				   const struct request *rq,
				   struct virtio_blk_header *header)
{
	/* The reserved word is 0 since the slot was allocated. */
	static_assert((__force u32)REQ_OP_READ == VIRTIO_BLK_T_IN);
	static_assert((__force u32)REQ_OP_WRITE == VIRTIO_BLK_T_OUT);
	header->type = vring32(&vvq->vq, (__force u32)req_op(rq));
	header->sector = vring64(&vvq->vq, blk_rq_pos(rq));
}

static u16 virtblk_data_flags(const struct request *rq)
{
	return req_op(rq) == REQ_OP_WRITE ? VRING_DESC_F_NEXT :
					    VRING_DESC_F_NEXT | VRING_DESC_F_WRITE;
}

/*
 * Reads and writes of few segments, which is nearly all of them: nothing to
 * borrow, nothing to map, so nothing can fail.
 */
static bool virtblk_is_plain(const struct virtblk_vq *vvq,
			     const struct request *rq)
{
	enum req_op op = req_op(rq);

	return (op == REQ_OP_READ || op == REQ_OP_WRITE) &&
	       rq->nr_phys_segments <= vvq->slot_segments;
}

static __always_inline void __virtblk_add_plain(struct virtblk_vq *vvq,
						bool packed, struct request *rq)
{
	struct virtblk_slot *slot = &vvq->slots[rq->tag];
	struct vring_desc *desc = slot->table;
	u16 flags = virtblk_data_flags(rq);
	const struct bio_vec *bv;
	int n;

	virtblk_fill_rw_header(vvq, rq, &slot->header);
	if (rq->nr_phys_segments == 1) {
		bv = __bvec_iter_bvec(rq->bio->bi_io_vec, rq->bio->bi_iter);
		n = virtblk_add_data(vvq, packed, desc, 1,
				     page_to_phys(bv->bv_page) + bv->bv_offset +
				     rq->bio->bi_iter.bi_bvec_done,
				     blk_rq_bytes(rq), flags);
		n = virtblk_add_status(vvq, packed, rq, desc, n);
	} else {
		n = virtblk_add_segments(vvq, rq, desc, flags);
		n = virtblk_add_status(vvq, packed, rq, desc, n);
	}
	trace_virtblk_queue_rq(&vvq->vq, rq, n);
	__virtqueue_add(&vvq->vq, packed, desc, virtblk_slot_dma(vvq, rq) +
			offsetof(struct virtblk_slot, table), n, rq->tag, rq);
}

/* The format of the ring is a branch: two straight ways behind it. */
static __always_inline void virtblk_add_plain(struct virtblk_vq *vvq,
					      struct request *rq)
{
	if (vvq->vq.packed)
		__virtblk_add_plain(vvq, true, rq);
	else
		__virtblk_add_plain(vvq, false, rq);
}

/*
 * Everything else. What it needs besides its slot is taken first, which can
 * fail, and given back by virtblk_release().
 */

/* Data of a request that comes without any lies behind its descriptors. */
static unsigned int virtblk_nr_desc(const struct virtblk_vq *vvq,
				    struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		return rq->nr_phys_segments * vvq->vblk->limits.desc_per_segment +
		       VIRTBLK_EXTRA_DESC;
	case REQ_OP_DISCARD:
		return VIRTBLK_PAYLOAD_DESC + blk_rq_nr_discard_segments(rq);
	default:
		return VIRTBLK_PAYLOAD_DESC;
	}
}

/*
 * Returns BLK_STS_OK; BLK_STS_DEV_RESOURCE, which stays in this file, if other
 * requests of this queue hold what is needed; or what to tell the block layer.
 */
static blk_status_t virtblk_take(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (virtblk_nr_desc(vvq, rq) > VIRTBLK_SLOT_DESC &&
	    virtblk_take_table(vvq, vbr) < 0)
		return BLK_STS_DEV_RESOURCE;

	switch (req_op(rq)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		if (vvq->mapped && virtblk_map(vvq, rq))
			return BLK_STS_RESOURCE;
		return BLK_STS_OK;
	case REQ_OP_DRV_IN:
		vbr->holds = true;
		return BLK_STS_OK;
	case REQ_OP_FLUSH:
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		return BLK_STS_OK;
	default:
		return BLK_STS_NOTSUPP;
	}
}

/* Discard, write zeroes: the data is a list of ranges. Returns its length. */
static unsigned int virtblk_fill_ranges(struct request *rq,
					struct virtio_blk_range *range,
					u32 flags)
{
	unsigned int n = 1, i = 0;
	struct bio *bio;

	if (req_op(rq) == REQ_OP_DISCARD)
		n = blk_rq_nr_discard_segments(rq);
	if (n == 1) {
		range->sector = cpu_to_le64(blk_rq_pos(rq));
		range->num_sectors = cpu_to_le32(blk_rq_sectors(rq));
		range->flags = cpu_to_le32(flags);
		return sizeof(*range);
	}
	/* Each bio is a range; the block layer counted them in @n. */
	__rq_for_each_bio(bio, rq) {
		if (i == n)
			break;
		range[i].sector = cpu_to_le64(bio->bi_iter.bi_sector);
		range[i].num_sectors = cpu_to_le32(bio_sectors(bio));
		range[i++].flags = cpu_to_le32(flags);
	}
	return i * sizeof(*range);
}

/* Requests without data of the block layer; their sector is 0 (BLK-REQ-I02). */
static int virtblk_add_command(struct virtblk_vq *vvq, struct request *rq,
			       struct vring_desc *desc, dma_addr_t desc_dma)
{
	struct virtio_blk_header *header = &vvq->slots[rq->tag].header;
	void *payload = &desc[VIRTBLK_PAYLOAD_DESC];
	u16 flags = VRING_DESC_F_NEXT;
	unsigned int len = 0;
	u32 type;

	switch (req_op(rq)) {
	case REQ_OP_DISCARD:
		type = VIRTIO_BLK_T_DISCARD;
		len = virtblk_fill_ranges(rq, payload, 0);
		break;
	case REQ_OP_WRITE_ZEROES:
		type = VIRTIO_BLK_T_WRITE_ZEROES;
		len = virtblk_fill_ranges(rq, payload,
					  rq->cmd_flags & REQ_NOUNMAP ? 0 :
					  VIRTIO_BLK_RANGE_UNMAP);
		break;
	case REQ_OP_DRV_IN:
		type = VIRTIO_BLK_T_GET_ID;
		len = VIRTIO_BLK_ID_LEN;
		memset(payload, 0, len);
		flags |= VRING_DESC_F_WRITE;
		break;
	default:
		type = VIRTIO_BLK_T_FLUSH;
	}
	header->type = vring32(&vvq->vq, type);
	header->sector = vring64(&vvq->vq, 0);
	if (!len)
		return 1;
	return virtblk_add_data(vvq, vvq->vq.packed, desc, 1, desc_dma +
				VIRTBLK_PAYLOAD_DESC * sizeof(*desc), len, flags);
}

/* The caller holds the submission lock, and has what virtblk_take() took. */
static noinline void virtblk_add_other(struct virtblk_vq *vvq,
				       struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_slot *slot = &vvq->slots[rq->tag];
	struct vring_desc *desc = slot->table;
	dma_addr_t desc_dma = virtblk_slot_dma(vvq, rq) +
			      offsetof(struct virtblk_slot, table);
	enum req_op op = req_op(rq);
	int n;

	if (vbr->table) {
		desc = vvq->tables[vbr->table - 1].desc;
		desc_dma = vvq->tables[vbr->table - 1].addr;
		virtqueue_set_desc(&vvq->vq, desc, 0, virtblk_slot_dma(vvq, rq),
				   sizeof(slot->header), VRING_DESC_F_NEXT);
	}

	if (op == REQ_OP_READ || op == REQ_OP_WRITE) {
		virtblk_fill_rw_header(vvq, rq, &slot->header);
		if (vvq->mapped)
			n = virtblk_add_mapped(vvq, rq, desc, virtblk_data_flags(rq));
		else
			n = virtblk_add_segments(vvq, rq, desc, virtblk_data_flags(rq));
	} else {
		n = virtblk_add_command(vvq, rq, desc, desc_dma);
	}
	n = virtblk_add_status(vvq, vvq->vq.packed, rq, desc, n);
	trace_virtblk_queue_rq(&vvq->vq, rq, n);
	virtqueue_add(&vvq->vq, desc, desc_dma, n, rq->tag, rq);
}

/* Something came back that virtblk_wait_for_room() may be waiting for. */
static void virtblk_wake(struct virtblk_vq *vvq)
{
	/* Pairs with virtblk_wait_for_room(). */
	smp_mb();
	if (likely(!READ_ONCE(vvq->waiting)))
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

	vbr->holds = false;
	vbr->late = false;
	if (vbr->nmapped)
		virtblk_unmap(vvq, rq);
	if (vbr->table) {
		set_bit(vbr->table - 1, &vvq->free_tables);
		vbr->table = 0;
		virtblk_wake(vvq);
	}
}

/*
 * No ring slots or no table: the block layer keeps the request, and the queue
 * stands still until virtblk_done() brings some back. It may just have.
 */
static blk_status_t virtblk_wait_for_room(struct virtblk_vq *vvq,
					  unsigned int need)
{
	bool room;

	spin_lock(&vvq->lock);
	WRITE_ONCE(vvq->waiting, true);
	blk_mq_stop_hw_queue(vvq->hctx);
	/* Pairs with virtblk_wake(): one of the two sees the other. */
	smp_mb();
	room = virtqueue_has_room(&vvq->vq, need) &&
	       (!vvq->ntables || READ_ONCE(vvq->free_tables));
	spin_unlock(&vvq->lock);
	if (room)
		blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	/* Not DEV_RESOURCE: batches end without the restart that it expects. */
	return BLK_STS_RESOURCE;
}

static blk_status_t virtio_queue_rq(struct blk_mq_hw_ctx *hctx,
				    const struct blk_mq_queue_data *bd)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	struct request *rq = bd->rq;
	blk_status_t sts;
	bool kick = false, plain;

	if (unlikely(vvq->dead))
		return BLK_STS_IOERR;
	plain = virtblk_is_plain(vvq, rq);
	if (unlikely(!plain)) {
		sts = virtblk_take(vvq, rq);
		if (sts)
			goto out_release;
	}
	blk_mq_start_request(rq);

	spin_lock(&vvq->lock);
	if (unlikely(!vvq->vq.indirect &&
		     !virtqueue_has_room(&vvq->vq, virtblk_nr_desc(vvq, rq)))) {
		spin_unlock(&vvq->lock);
		sts = BLK_STS_DEV_RESOURCE;
		goto out_release;
	}
	if (likely(plain))
		virtblk_add_plain(vvq, rq);
	else
		virtblk_add_other(vvq, rq);
	if (likely(bd->last))
		kick = virtqueue_kick_prepare(&vvq->vq);
	else
		virtqueue_publish(&vvq->vq);
	spin_unlock(&vvq->lock);

	if (kick)
		virtqueue_notify(&vvq->vq);
	return BLK_STS_OK;

out_release:
	virtblk_release(vvq, rq);
	if (sts == BLK_STS_DEV_RESOURCE)
		sts = virtblk_wait_for_room(vvq, virtblk_nr_desc(vvq, rq));
	return sts;
}

/* Show the device what was added, and wake it if it asked for that. */
static void virtblk_commit(struct virtblk_vq *vvq)
	__releases(&vvq->lock)
{
	bool kick = virtqueue_kick_prepare(&vvq->vq);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

/* The block layer promised more than it had: kick for what was sent. */
static void virtio_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct virtblk_vq *vvq = hctx->driver_data;

	spin_lock(&vvq->lock);
	virtblk_commit(vvq);
}

/* One of a batch; the caller holds the submission lock. */
static __always_inline bool virtblk_queue_one(struct virtblk_vq *vvq,
					      struct request *rq)
{
	bool plain = virtblk_is_plain(vvq, rq);

	if (unlikely(!plain && virtblk_take(vvq, rq))) {
		virtblk_release(vvq, rq);
		return false;
	}
	compat_rq_enter(rq);
	blk_mq_start_request(rq);
	if (likely(plain))
		virtblk_add_plain(vvq, rq);
	else
		virtblk_add_other(vvq, rq);
	return true;
}

/*
 * A plugged batch, all for one disk: one lock, one look at whether to kick.
 * What is left in @rqlist comes again through virtio_queue_rq(), which knows
 * how to wait.
 */
static void virtio_queue_rqs(compat_rq_list *rqlist)
{
	compat_rq_list list = compat_rq_list_take(rqlist);
	struct request *rq = compat_rq_list_pop(&list);
	struct blk_mq_hw_ctx *hctx;
	struct virtblk_vq *vvq;
	bool take;

	while (rq) {
		hctx = rq->mq_hctx;
		vvq = hctx->driver_data;
		take = vvq->vq.indirect && !vvq->dead;
		spin_lock(&vvq->lock);
		do {
			if (unlikely(!take || !virtblk_queue_one(vvq, rq)))
				compat_rq_list_add_tail(rqlist, rq);
			rq = compat_rq_list_pop(&list);
		} while (rq && rq->mq_hctx == hctx);
		virtblk_commit(vvq);
	}
}

/*
 * Requests on their way back
 */

static blk_status_t virtblk_result(u8 status)
{
	switch (status) {
	case VIRTIO_BLK_S_OK:
		return BLK_STS_OK;
	case VIRTIO_BLK_S_UNSUPP:
		return BLK_STS_NOTSUPP;
	default:
		return BLK_STS_IOERR;
	}
}

/* ->complete: a request that does not end in a batch. */
static void virtblk_request_done(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	switch (vbr->fate) {
	case VIRTBLK_REPLAY:
		vbr->fate = VIRTBLK_FINISH;
		blk_mq_requeue_request(rq, false);
		break;
	case VIRTBLK_FAIL:
		vbr->fate = VIRTBLK_FINISH;
		blk_mq_end_request(rq, BLK_STS_IOERR);
		break;
	default:
		blk_mq_end_request(rq, virtblk_result(vbr->status));
	}
}

/* A request that borrowed something, or that asked something for us. */
static noinline void virtblk_complete_holder(struct virtblk_vq *vvq,
					     struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (req_op(rq) == REQ_OP_DRV_IN)
		memcpy(vbr->answer,
		       &vvq->slots[rq->tag].table[VIRTBLK_PAYLOAD_DESC],
		       VIRTIO_BLK_ID_LEN);
	__virtblk_release(vvq, rq);
}

/*
 * A request came back from the device. Returns false if the device said so
 * but did not answer: it may still be working on it.
 */
static __always_inline bool virtblk_complete(struct virtblk_vq *vvq,
					     struct request *rq,
					     struct io_comp_batch *iob)
{
	u8 status = READ_ONCE(vvq->slots[rq->tag].status);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	trace_virtblk_complete(&vvq->vq, rq, status);
	if (unlikely(status == VIRTIO_BLK_S_UNWRITTEN))
		return false;

	vbr->status = status;
	if (unlikely(vbr->holds))
		virtblk_complete_holder(vvq, rq);

	if (unlikely(blk_should_fake_timeout(rq->q)))
		return true;
	if (!blk_mq_complete_request_remote(rq) &&
	    !blk_mq_add_to_batch(rq, iob, status != VIRTIO_BLK_S_OK,
				 blk_mq_end_request_batch))
		virtblk_request_done(rq);
	return true;
}

/* Take all that came back; @packed is the format of the ring, a constant. */
static __always_inline irqreturn_t __virtblk_done(struct virtblk_vq *vvq,
						  bool packed,
						  struct io_comp_batch *iob)
{
	struct virtqueue *vq = &vvq->vq;
	irqreturn_t ret = IRQ_NONE;
	struct request *rq;

	virtqueue_disable_cb(vq);
	do {
		while ((rq = __virtqueue_get_buf(vq, packed))) {
			ret = IRQ_HANDLED;
			if (unlikely(!virtblk_complete(vvq, rq, iob)))
				virtqueue_break(vq, "used id, of a request without status",
						rq->tag);
		}
	} while (!__virtqueue_enable_cb(vq, packed));
	return ret;
}

/**
 * virtblk_done() - take everything that the device has done with
 * @vq: a queue whose interrupt the caller owns, or whose queue is quiesced and
 *	whose interrupts are synchronised
 *
 * Context: hard interrupt, no lock. Return: IRQ_NONE if there was nothing.
 */
irqreturn_t virtblk_done(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	DEFINE_IO_COMP_BATCH(iob);
	irqreturn_t ret;

	if (vq->packed)
		ret = __virtblk_done(vvq, true, &iob);
	else
		ret = __virtblk_done(vvq, false, &iob);
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	if (ret == IRQ_HANDLED)
		vq->harvests++;
	if (unlikely(!vq->indirect))
		virtblk_wake(vvq);
	if (unlikely(vq->broken))
		virtblk_recover(vvq->vblk, "the device broke the protocol",
				&vvq->vblk->counts.protocol);
	return ret;
}

/*
 * What the block layer asks of its hardware queues
 */

static int virtblk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data,
			     unsigned int index)
{
	struct virtblk *vblk = data;

	vblk->vqs[index].hctx = hctx;
	hctx->driver_data = &vblk->vqs[index];
	return 0;
}

/* A CPU uses the queue whose interrupt comes to it. */
static void virtblk_map_queues(struct blk_mq_tag_set *set)
{
	struct blk_mq_queue_map *map = &set->map[HCTX_TYPE_DEFAULT];
	struct virtblk *vblk = set->driver_data;
	struct virtio_device *vdev = vblk->vdev;
	const struct cpumask *mask;
	unsigned int i, cpu;

	blk_mq_map_queues(map);
	for (i = 0; i < map->nr_queues; i++) {
		mask = vdev->transport->queue_affinity(vdev, i);
		if (!mask)
			return;
		for_each_cpu(cpu, mask)
			map->mq_map[cpu] = map->queue_offset + i;
	}
}

const struct blk_mq_ops virtblk_mq_ops = {
	.queue_rq = virtio_queue_rq,
	.queue_rqs = virtio_queue_rqs,
	.commit_rqs = virtio_commit_rqs,
	.complete = virtblk_request_done,
	.timeout = virtblk_timeout,
	.init_hctx = virtblk_init_hctx,
	.map_queues = virtblk_map_queues,
};

/**
 * virtblk_get_id() - ask the device for its serial number
 * @vblk: a live disk
 * @id: VIRTIO_BLK_ID_LEN bytes; may come back without a NUL
 *
 * Context: may sleep. Return: 0 or an error.
 */
int virtblk_get_id(struct virtblk *vblk, char *id)
{
	struct virtblk_req *vbr;
	struct request *rq;
	int err;

	rq = blk_mq_alloc_request(vblk->disk->queue, REQ_OP_DRV_IN, 0);
	if (IS_ERR(rq))
		return PTR_ERR(rq);
	vbr = blk_mq_rq_to_pdu(rq);
	vbr->answer = id;
	err = blk_status_to_errno(blk_execute_rq(rq, false));
	blk_mq_free_request(rq);
	return err;
}
