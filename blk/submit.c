// SPDX-License-Identifier: GPL-2.0
/*
 * The disk: requests on their way to the device.
 *
 *	virtio_queue_rq(s)	the block layer has a request with a tag
 *	  virtblk_add_plain	header and descriptors, in the tag's slot
 *	  virtqueue_add		the tag is the head
 *	  virtqueue_notify	if the device asked for it
 *				... the device works ...
 *	virtblk_done		see blk/complete.c
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
 * request's tag; see blk/mem.c.
 */
#include <linux/slab.h>
#include "blk/command.h"
#include "blk/mem.h"
#include "blk/submit.h"
#include "compat/blk.h"
#include "trace/virtio_lite_trace.h"

/* Where the parts of a request lie, for the driver and for the device. */
struct virtblk_place {
	struct virtblk_slot *slot;
	dma_addr_t slot_dma;
	struct vring_desc *desc;
	dma_addr_t desc_dma;
};

/* All of it in the slot of the request's tag. */
static __always_inline struct virtblk_place
virtblk_slot_of(const struct virtblk_vq *vvq, const struct request *rq)
{
	size_t offset = rq->tag * sizeof(struct virtblk_slot);
	struct virtblk_place at;

	at.slot = (void *)vvq->slots + offset;
	at.slot_dma = vvq->slots_dma + offset;
	at.desc = at.slot->table;
	at.desc_dma = at.slot_dma + offsetof(struct virtblk_slot, table);
	return at;
}

/* The same, unless virtblk_take() borrowed a longer table. */
static __always_inline struct virtblk_place
virtblk_place_of(const struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_place at = virtblk_slot_of(vvq, rq);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (vbr->table) {
		size_t first = (vbr->table - 1) * vvq->block_desc;

		at.desc = vvq->blocks + first;
		at.desc_dma = vvq->blocks_dma + first * sizeof(*at.desc);
		virtqueue_set_desc(&vvq->vq, at.desc, 0, at.slot_dma,
				   sizeof(at.slot->header), VRING_DESC_F_NEXT);
	}
	return at;
}

/*
 * Hand a request over whose first @n descriptors are filled. The last one is
 * for the status byte, preset to what no device writes: one that stays silent
 * does not succeed. @packed is the format of the ring, a constant where it
 * counts.
 */
static __always_inline void virtblk_add_buf(struct virtblk_vq *vvq, bool packed,
					    struct request *rq,
					    struct virtblk_place at,
					    unsigned int n, u16 head)
{
	at.slot->status = VIRTIO_BLK_S_UNWRITTEN;
	vring_set_desc(&vvq->vq, packed, &at.desc[n], n + 1,
		       at.slot_dma + offsetof(struct virtblk_slot, status),
		       sizeof_field(struct virtblk_slot, status),
		       VRING_DESC_F_WRITE);
	n++;
	trace_virtblk_queue_rq(&vvq->vq, rq, n);
	__virtqueue_add(&vvq->vq, packed, at.desc, at.desc_dma, n, head, rq);
}

static __always_inline u64 virtblk_bvec_addr(const struct bio_vec *bv)
{
	return page_to_phys(bv->bv_page) + bv->bv_offset;
}

/* Where the data of a bio starts, which may be within its first vector. */
static __always_inline u64 virtblk_bio_addr(const struct bio *bio)
{
	return page_to_phys(mp_bvec_iter_page(bio->bi_io_vec, bio->bi_iter)) +
	       mp_bvec_iter_offset(bio->bi_io_vec, bio->bi_iter);
}

static __always_inline int __virtblk_add_segments(struct virtblk_vq *vvq,
						  bool packed,
						  struct request *rq,
						  struct vring_desc *desc,
						  u16 flags)
{
	const struct bio_vec *bv;
	struct bio *bio;
	u32 left, len;
	u64 addr;
	int n = 1;

	desc += n;
	__rq_for_each_bio(bio, rq) {
		left = bio->bi_iter.bi_size;
		if (unlikely(!left))
			continue;
		bv = __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter);
		addr = virtblk_bio_addr(bio);
		/* Not mp_bvec_iter_len(): the loop compares with @left anyway. */
		len = bv->bv_offset + bv->bv_len -
		      mp_bvec_iter_offset(bio->bi_io_vec, bio->bi_iter);
		while (len < left) {
			vring_set_desc(&vvq->vq, packed, desc++, ++n, addr, len,
				       flags);
			left -= len;
			bv++;
			addr = virtblk_bvec_addr(bv);
			len = bv->bv_len;
		}
		vring_set_desc(&vvq->vq, packed, desc++, ++n, addr, left, flags);
	}
	return n;
}

/*
 * Each vector of each bio is one segment, and one descriptor. The block layer's
 * own iterators ask of every vector what is true of the first and the last only.
 */
static noinline int virtblk_add_segments(struct virtblk_vq *vvq,
					 struct request *rq,
					 struct vring_desc *desc, u16 flags)
{
	if (vvq->vq.packed)
		return __virtblk_add_segments(vvq, true, rq, desc, flags);
	return __virtblk_add_segments(vvq, false, rq, desc, flags);
}

/*
 * The same where a descriptor may be too short for a vector (SIZE_MAX), or its
 * address is what virtblk_map() noted for each piece (ACCESS_PLATFORM).
 */
static int virtblk_add_pieces(struct virtblk_vq *vvq, struct request *rq,
			      struct vring_desc *desc, u16 flags)
{
	const dma_addr_t *mapped = vvq->mapped ? virtblk_mapped(vvq, rq) : NULL;
	struct virtblk_piece p = virtblk_no_piece(vvq, rq);
	int n = 1;

	while (virtblk_next_piece(&p))
		virtqueue_set_desc(&vvq->vq, desc, n++, mapped ? *mapped++ :
				   virtblk_bvec_addr(&p.bv), p.bv.bv_len, flags);
	return n;
}

static void virtblk_fill_rw_header(const struct virtblk_vq *vvq,
				   const struct request *rq,
				   struct virtio_blk_header *header)
{
	static_assert((__force u32)REQ_OP_READ == VIRTIO_BLK_T_IN);
	static_assert((__force u32)REQ_OP_WRITE == VIRTIO_BLK_T_OUT);
	virtblk_fill_header(&vvq->vq, header, (__force u32)req_op(rq),
			    blk_rq_pos(rq));
}

static u16 virtblk_data_flags(const struct request *rq)
{
	return req_op(rq) == REQ_OP_READ ? VRING_DESC_F_NEXT | VRING_DESC_F_WRITE :
					   VRING_DESC_F_NEXT;
}

static __always_inline bool virtblk_is_rw(enum req_op op)
{
	return op == REQ_OP_READ || op == REQ_OP_WRITE;
}

/*
 * Reads and writes of few segments, which is nearly all of them: nothing to
 * borrow, to map or to cut, so nothing can fail.
 */
static bool virtblk_is_plain(const struct virtblk_vq *vvq,
			     const struct request *rq)
{
	return virtblk_is_rw(req_op(rq)) &&
	       rq->nr_phys_segments <= vvq->slot_segments &&
	       blk_rq_bytes(rq) <= vvq->max_desc_len;
}

static __always_inline void __virtblk_add_plain(struct virtblk_vq *vvq,
						bool packed, struct request *rq)
{
	struct virtblk_place at = virtblk_slot_of(vvq, rq);
	u16 flags = virtblk_data_flags(rq);
	int n;

	virtblk_fill_rw_header(vvq, rq, &at.slot->header);
	if (rq->nr_phys_segments == 1) {
		vring_set_desc(&vvq->vq, packed, &at.desc[1], 2,
			       virtblk_bio_addr(rq->bio), blk_rq_bytes(rq),
			       flags);
		virtblk_add_buf(vvq, packed, rq, at, 2, rq->tag);
	} else {
		n = virtblk_add_segments(vvq, rq, at.desc, flags);
		virtblk_add_buf(vvq, packed, rq, at, n, rq->tag);
	}
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

/* How long the table of a request can get, with the data of a discard. */
static unsigned int virtblk_nr_desc(const struct virtblk_vq *vvq,
				    struct request *rq)
{
	enum req_op op = req_op(rq);

	if (virtblk_is_rw(op) || op == REQ_OP_ZONE_APPEND)
		return rq->nr_phys_segments * vvq->vblk->limits.desc_per_segment +
		       VIRTBLK_EXTRA_DESC;
	if (op == REQ_OP_DISCARD)
		return VIRTBLK_PAYLOAD_DESC + blk_rq_nr_discard_segments(rq);
	return VIRTBLK_PAYLOAD_DESC;
}

/* The same in the ring: one descriptor covers all ranges of a discard. */
static unsigned int virtblk_nr_slots(const struct virtblk_vq *vvq,
				     struct request *rq)
{
	return req_op(rq) == REQ_OP_DISCARD ? VIRTBLK_PAYLOAD_DESC :
	       virtblk_nr_desc(vvq, rq);
}

/*
 * Returns BLK_STS_OK; BLK_STS_DEV_RESOURCE, which stays in this file, if other
 * requests of this queue hold what is needed; or what to tell the block layer.
 */
static noinline blk_status_t __virtblk_take(struct virtblk_vq *vvq,
					    struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	unsigned int n = virtblk_nr_desc(vvq, rq);
	enum req_op op = req_op(rq);
	bool data = virtblk_is_rw(op);

	if (!data) {
		switch (op) {
		case REQ_OP_WRITE_ZEROES:
			return BLK_STS_OK;
		case REQ_OP_DRV_IN:
			vbr->holds = true;
			return BLK_STS_OK;
		case REQ_OP_ZONE_APPEND:
			/* Where it went has to be read when it comes back. */
			vbr->holds = true;
			data = true;
			break;
		case REQ_OP_DISCARD:
			break;
		default:
			return virtblk_check_command(vvq, rq);
		}
	}

	if (n > VIRTBLK_SLOT_DESC && virtblk_take_table(vvq, vbr, n) < 0)
		return BLK_STS_DEV_RESOURCE;
	if (data && vvq->mapped && virtblk_map(vvq, rq))
		return BLK_STS_RESOURCE;
	return BLK_STS_OK;
}

static __always_inline blk_status_t virtblk_take(struct virtblk_vq *vvq,
						 struct request *rq)
{
	/* Somebody waits for these, one after the other. */
	if (req_op(rq) == REQ_OP_FLUSH)
		return BLK_STS_OK;
	return __virtblk_take(vvq, rq);
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

/* The device may give the space back, if it says that it can (section 5.2.6). */
static u32 virtblk_zeroes_flags(const struct virtblk_vq *vvq,
				const struct request *rq)
{
	if ((rq->cmd_flags & REQ_NOUNMAP) ||
	    !READ_ONCE(vvq->vblk->limits.zeroes_unmap))
		return 0;
	return VIRTIO_BLK_RANGE_UNMAP;
}

/* Nothing but a header (BLK-REQ-I02: its sector is 0) and a status. */
static noinline void virtblk_add_flush(struct virtblk_vq *vvq,
				       struct request *rq)
{
	struct virtblk_place at = virtblk_slot_of(vvq, rq);
	u16 head = virtqueue_head(&vvq->vq, rq->tag);

	virtblk_fill_header(&vvq->vq, &at.slot->header, VIRTIO_BLK_T_FLUSH, 0);
	if (vvq->vq.packed)
		virtblk_add_buf(vvq, true, rq, at, 1, head);
	else
		virtblk_add_buf(vvq, false, rq, at, 1, head);
}

/*
 * Requests whose data are ranges, which lie behind their descriptors; their
 * sector is 0 too.
 */
static __always_inline void __virtblk_add_ranges(struct virtblk_vq *vvq,
						 bool packed,
						 struct request *rq)
{
	struct virtblk_place at = virtblk_place_of(vvq, rq);
	void *ranges = &at.desc[VIRTBLK_PAYLOAD_DESC];
	u32 type = VIRTIO_BLK_T_DISCARD, flags = 0;

	if (req_op(rq) == REQ_OP_WRITE_ZEROES) {
		type = VIRTIO_BLK_T_WRITE_ZEROES;
		flags = virtblk_zeroes_flags(vvq, rq);
	}
	virtblk_fill_header(&vvq->vq, &at.slot->header, type, 0);
	vring_set_desc(&vvq->vq, packed, &at.desc[1], 2, at.desc_dma +
		       VIRTBLK_PAYLOAD_DESC * sizeof(*at.desc),
		       virtblk_fill_ranges(rq, ranges, flags),
		       VRING_DESC_F_NEXT);
	virtblk_add_buf(vvq, packed, rq, at, 2,
			virtqueue_head(&vvq->vq, rq->tag));
}

static noinline void virtblk_add_ranges(struct virtblk_vq *vvq,
					struct request *rq)
{
	if (vvq->vq.packed)
		__virtblk_add_ranges(vvq, true, rq);
	else
		__virtblk_add_ranges(vvq, false, rq);
}

static __always_inline void __virtblk_add_long(struct virtblk_vq *vvq,
					       bool packed, struct request *rq)
{
	struct virtblk_place at = virtblk_place_of(vvq, rq);
	u16 flags = virtblk_data_flags(rq);
	int n;

	virtblk_fill_rw_header(vvq, rq, &at.slot->header);
	if (vvq->mapped || blk_rq_bytes(rq) > vvq->max_desc_len)
		n = virtblk_add_pieces(vvq, rq, at.desc, flags);
	else
		n = __virtblk_add_segments(vvq, packed, rq, at.desc, flags);
	virtblk_add_buf(vvq, packed, rq, at, n,
			virtqueue_head(&vvq->vq, rq->tag));
}

static noinline void virtblk_add_long(struct virtblk_vq *vvq,
				      struct request *rq)
{
	if (vvq->vq.packed)
		__virtblk_add_long(vvq, true, rq);
	else
		__virtblk_add_long(vvq, false, rq);
}

/* A write whose place the device chooses, and tells behind the data. */
static noinline void virtblk_add_append(struct virtblk_vq *vvq,
					struct request *rq)
{
	struct virtblk_place at = virtblk_place_of(vvq, rq);
	u16 flags = virtblk_data_flags(rq);
	int n;

	virtblk_fill_header(&vvq->vq, &at.slot->header,
			    VIRTIO_BLK_T_ZONE_APPEND, blk_rq_pos(rq));
	if (vvq->mapped || blk_rq_bytes(rq) > vvq->max_desc_len)
		n = virtblk_add_pieces(vvq, rq, at.desc, flags);
	else
		n = virtblk_add_segments(vvq, rq, at.desc, flags);
	n = virtblk_add_append_tail(vvq, rq, at.desc, n);
	trace_virtblk_queue_rq(&vvq->vq, rq, n);
	virtqueue_add(&vvq->vq, at.desc, at.desc_dma, n, rq->tag, rq);
}

/* What user space or the driver asks, of the device itself or of its zones. */
static noinline void virtblk_add_rare(struct virtblk_vq *vvq,
				      struct request *rq)
{
	virtblk_add_buf(vvq, vvq->vq.packed, rq, virtblk_slot_of(vvq, rq),
			virtblk_add_command(vvq, rq),
			virtqueue_head(&vvq->vq, rq->tag));
}

/*
 * The caller holds the submission lock, and has what virtblk_take() took. Each
 * way is a function of its own, so that the short ones pay for nothing else.
 */
static void virtblk_add_other(struct virtblk_vq *vvq, struct request *rq)
{
	enum req_op op = req_op(rq);

	if (virtblk_is_rw(op))
		virtblk_add_long(vvq, rq);
	else if (op == REQ_OP_FLUSH)
		virtblk_add_flush(vvq, rq);
	else if (op == REQ_OP_DISCARD || op == REQ_OP_WRITE_ZEROES)
		virtblk_add_ranges(vvq, rq);
	else if (op == REQ_OP_ZONE_APPEND)
		virtblk_add_append(vvq, rq);
	else
		virtblk_add_rare(vvq, rq);
}

/*
 * No ring slots or no table: the block layer keeps the request, and the queue
 * stands still until virtblk_done() brings some back. It may just have.
 */
static blk_status_t virtblk_wait_for_room(struct virtblk_vq *vvq,
					  struct request *rq)
{
	unsigned int n = virtblk_nr_desc(vvq, rq);
	bool room;

	spin_lock(&vvq->lock);
	blk_mq_stop_hw_queue(vvq->hctx);
	/* In this order: who sees that it waits can start it. */
	smp_store_release(&vvq->waiting, true);
	/* Pairs with virtblk_restart_queue(): one of the two sees the other. */
	smp_mb();
	room = virtqueue_has_room(&vvq->vq, virtblk_nr_slots(vvq, rq)) &&
	       (n <= VIRTBLK_SLOT_DESC || virtblk_has_table(vvq, n));
	spin_unlock(&vvq->lock);
	if (room)
		blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	/* Not DEV_RESOURCE: batches end without the restart that it expects. */
	return BLK_STS_RESOURCE;
}

/* The queue is being reset, or it is dead. */
static noinline blk_status_t virtblk_refuse(struct virtblk_vq *vvq,
					    struct request *rq)
{
	if (READ_ONCE(vvq->state) != VIRTBLK_VQ_DEAD)
		return BLK_STS_RESOURCE;
	virtblk_forget(vvq, rq);
	return BLK_STS_IOERR;
}

/**
 * virtio_queue_rq() - ->queue_rq: send a request to the device
 * @hctx: the hardware queue
 * @bd: the request, and whether others follow at once
 *
 * Context: what the block layer calls it in; may not sleep. Return: BLK_STS_OK;
 * BLK_STS_RESOURCE if the request has to come again later; BLK_STS_IOERR if the
 * disk is dead; BLK_STS_NOTSUPP for what the device cannot do.
 */
blk_status_t virtio_queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	struct request *rq = bd->rq;
	blk_status_t sts;
	bool kick = false, plain;

	if (unlikely(vvq->state))
		return virtblk_refuse(vvq, rq);
	plain = virtblk_is_plain(vvq, rq);
	if (unlikely(!plain)) {
		sts = virtblk_take(vvq, rq);
		if (sts)
			goto out_release;
	}
	blk_mq_start_request(rq);

	spin_lock(&vvq->lock);
	if (unlikely(!vvq->vq.indirect &&
		     !virtqueue_has_room(&vvq->vq, virtblk_nr_slots(vvq, rq)))) {
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
	spin_unlock(&vvq->lock);

	if (kick)
		virtqueue_notify(&vvq->vq);
	return BLK_STS_OK;

out_release:
	virtblk_release(vvq, rq);
	if (sts == BLK_STS_DEV_RESOURCE)
		return virtblk_wait_for_room(vvq, rq);
	if (sts != BLK_STS_RESOURCE)
		virtblk_forget(vvq, rq);
	return sts;
}

/* Wake the device for what was added, if it asked for that. */
static void virtblk_commit(struct virtblk_vq *vvq)
	__releases(&vvq->lock)
{
	bool kick = virtqueue_kick_prepare(&vvq->vq);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

/**
 * virtio_commit_rqs() - ->commit_rqs: notify the device of what was added
 * @hctx: the hardware queue
 *
 * The block layer announced more requests than it had.
 */
void virtio_commit_rqs(struct blk_mq_hw_ctx *hctx)
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

	/* Not past a request that waits for what this one would take. */
	if (unlikely(!plain &&
		     (READ_ONCE(vvq->waiting) || virtblk_take(vvq, rq)))) {
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

/**
 * virtio_queue_rqs() - ->queue_rqs: send a plugged batch to the device
 * @rqlist: requests, all for one disk
 *
 * Takes one lock and makes one decision about a kick for each queue. What is
 * left in @rqlist comes again through virtio_queue_rq(), which can wait.
 */
void virtio_queue_rqs(compat_rq_list *rqlist)
{
	compat_rq_list list = compat_rq_list_take(rqlist);
	struct request *rq = compat_rq_list_pop(&list);
	struct blk_mq_hw_ctx *hctx;
	struct virtblk_vq *vvq;
	bool take, added;

	while (rq) {
		hctx = rq->mq_hctx;
		vvq = hctx->driver_data;
		take = vvq->vq.indirect && !vvq->state;
		added = false;
		spin_lock(&vvq->lock);
		do {
			if (likely(take && virtblk_queue_one(vvq, rq)))
				added = true;
			else
				compat_rq_list_add_tail(rqlist, rq);
			rq = compat_rq_list_pop(&list);
		} while (rq && rq->mq_hctx == hctx);
		if (likely(added))
			virtblk_commit(vvq);
		else
			spin_unlock(&vvq->lock);
	}
}
