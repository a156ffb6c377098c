// SPDX-License-Identifier: GPL-2.0
/*
 * Submission of requests.
 *
 *	virtio_queue_rq(s)	the block layer dispatches a request with a tag
 *	  virtblk_add_single	fills header and descriptors in the tag's slot
 *	  virtqueue_add		makes them available; the tag is the head
 *	  virtqueue_notify	kicks the device, if it needs a kick
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
 * Header, status and the table of these descriptors are in the slot of the
 * request's tag; see blk/mem.c.
 */
#include <linux/slab.h>
#include "blk/command.h"
#include "blk/log.h"
#include "blk/mem.h"
#include "blk/submit.h"
#include "blk/timeout.h"
#include "compat/blk.h"
#include "trace/virtio_lite_trace.h"

/* Addresses of a request's slot and table, for the driver and for the device. */
struct virtblk_place {
	struct virtblk_slot *slot;
	dma_addr_t slot_dma;
	struct vring_desc *desc;
	dma_addr_t desc_dma;
};

/* The place of a request whose table is in the slot of its @tag. */
static __always_inline struct virtblk_place
virtblk_slot_of(const struct virtblk_vq *vvq, unsigned int tag)
{
	size_t offset = tag * sizeof(struct virtblk_slot);
	struct virtblk_place at;

	at.slot = (void *)vvq->slots + offset;
	at.slot_dma = vvq->slots_dma + offset;
	at.desc = at.slot->table;
	at.desc_dma = at.slot_dma + offsetof(struct virtblk_slot, table);
	return at;
}

/* The place of a request whose table is in its slot, or borrowed from a pool. */
static __always_inline struct virtblk_place
virtblk_place_of(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_place at = virtblk_slot_of(vvq, rq->tag);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (vbr->blocks) {
		at.desc = virtblk_long_table(vvq, vbr->table, &at.desc_dma);
		virtqueue_set_desc(&vvq->vq, at.desc, 0, at.slot_dma,
				   sizeof(at.slot->header), VRING_DESC_F_NEXT);
	}
	return at;
}

static noinline void virtblk_traced_queue_rq(struct virtblk_vq *vvq,
					     struct request *rq, unsigned int n)
{
	trace_virtblk_queue_rq(&vvq->vq, rq, n, VIRTIO_BLK_S_UNWRITTEN);
}

/* Out of line: so many places have the tracepoint, and no register is saved. */
static __always_inline void virtblk_trace_queue_rq(struct virtblk_vq *vvq,
						   struct request *rq,
						   unsigned int n)
{
	if (tracepoint_enabled(virtblk_queue_rq))
		virtblk_traced_queue_rq(vvq, rq, n);
}

/*
 * Make a request available whose first @n descriptors are filled. One more is for
 * the status byte, preset to a value that no device writes: so a request without
 * an answer does not succeed. @packed is the format of the ring, a constant in
 * the hot path.
 */
static __always_inline void __virtblk_add_buf(struct virtblk_vq *vvq,
					      bool packed, bool indirect,
					      struct request *rq,
					      struct virtblk_place at,
					      unsigned int n, unsigned int head)
{
	at.slot->status = VIRTIO_BLK_S_UNWRITTEN;
	vring_set_desc(&vvq->vq, packed, &at.desc[n], n + 1,
		       at.slot_dma + offsetof(struct virtblk_slot, status),
		       sizeof_field(struct virtblk_slot, status),
		       VRING_DESC_F_WRITE);
	__virtqueue_add(&vvq->vq, packed, indirect, at.desc, at.desc_dma, n + 1,
			head, rq);
}

static __always_inline u64 virtblk_bvec_addr(const struct bio_vec *bv)
{
	return page_to_phys(bv->bv_page) + bv->bv_offset;
}

/* Address of a bio's data, which may start inside of its first vector. */
static __always_inline u64 virtblk_bio_addr(const struct bio *bio)
{
	return page_to_phys(mp_bvec_iter_page(bio->bi_io_vec, bio->bi_iter)) +
	       mp_bvec_iter_offset(bio->bi_io_vec, bio->bi_iter);
}

static __always_inline u32 virtblk_rw_type(const struct request *rq)
{
	static_assert((__force u32)REQ_OP_READ == VIRTIO_BLK_T_IN);
	static_assert((__force u32)REQ_OP_WRITE == VIRTIO_BLK_T_OUT);
	return (__force u32)req_op(rq);
}

/*
 * Fill one descriptor for each vector of each bio. The block layer's iterators
 * check every vector for what only the first and the last need, so they are not
 * used here.
 */
static __always_inline int virtblk_add_segments(struct virtblk_vq *vvq,
						bool packed,
						struct request *rq,
						struct vring_desc *table)
{
	u64 addr, rest = vvq->rw_rest[virtblk_rw_type(rq)];
	struct vring_desc *desc = &table[1];
	const struct bio_vec *bv;
	struct bio *bio;
	unsigned long left, len;

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
			virtqueue_fill_desc(&vvq->vq, desc++, addr, len, rest);
			rest = virtqueue_next_rest(&vvq->vq, packed, rest);
			left -= len;
			bv++;
			addr = virtblk_bvec_addr(bv);
			len = bv->bv_len;
		}
		virtqueue_fill_desc(&vvq->vq, desc++, addr, left, rest);
		rest = virtqueue_next_rest(&vvq->vq, packed, rest);
	}
	return desc - table;
}

/*
 * The same if a vector may need several descriptors (SIZE_MAX), or if
 * virtblk_map() has mapped each piece (ACCESS_PLATFORM).
 */
static int virtblk_add_pieces(struct virtblk_vq *vvq, struct request *rq,
			      struct vring_desc *desc)
{
	u16 flags = req_op(rq) == REQ_OP_READ ? VRING_DESC_F_NEXT | VRING_DESC_F_WRITE :
						VRING_DESC_F_NEXT;
	const dma_addr_t *mapped = vvq->mapped ? virtblk_mapped(vvq, rq) : NULL;
	struct virtblk_piece p = virtblk_no_piece(vvq, rq);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	int n = 1;

	if (vbr->nmapped == VIRTBLK_BOUNCED) {
		virtqueue_set_desc(&vvq->vq, desc, n++, vvq->bounce.mem.dma +
				   vbr->table * VIRTBLK_BOUNCE,
				   blk_rq_bytes(rq), flags);
		return n;
	}
	while (virtblk_next_piece(&p))
		virtqueue_set_desc(&vvq->vq, desc, n++, mapped ? *mapped++ :
				   virtblk_bvec_addr(&p.bv), p.bv.bv_len, flags);
	return n;
}

static __always_inline bool virtblk_is_rw(enum req_op op)
{
	return op == REQ_OP_READ || op == REQ_OP_WRITE;
}

/*
 * A read or a write of a single segment, as nearly all requests are. The block
 * layer makes no segment longer than one descriptor can be.
 */
static __always_inline bool virtblk_is_single(const struct request *rq)
{
	return virtblk_is_rw(req_op(rq)) && rq->nr_phys_segments == 1;
}

/*
 * The short path: the queue's state is VIRTBLK_VQ_SHORT. Nothing is borrowed,
 * mapped or split, and the tag is the head, so nothing can fail.
 */
static __always_inline void virtblk_add_single(struct virtblk_vq *vvq,
					       bool packed, struct request *rq)
{
	struct virtblk_place at;
	unsigned int tag;
	u32 op;

	/* Before the rest, when only few registers have to be saved for it. */
	virtblk_trace_queue_rq(vvq, rq, VIRTBLK_PAYLOAD_DESC);
	tag = rq->tag;
	at = virtblk_slot_of(vvq, tag);
	op = virtblk_rw_type(rq);
	virtblk_fill_header(&vvq->vq, &at.slot->header, op, blk_rq_pos(rq));
	virtqueue_fill_desc(&vvq->vq, &at.desc[1], virtblk_bio_addr(rq->bio),
			    blk_rq_bytes(rq), vvq->rw_rest[op]);
	__virtblk_add_buf(vvq, packed, true, rq, at, 2, tag);
}

/*
 * Reads and writes with few segments: they too borrow, map and split nothing.
 */
static bool virtblk_is_plain(const struct virtblk_vq *vvq,
			     const struct request *rq)
{
	return virtblk_is_rw(req_op(rq)) &&
	       rq->nr_phys_segments <= vvq->slot_segments &&
	       blk_rq_bytes(rq) <= vvq->max_desc_len;
}

/*
 * All other requests. virtblk_take() borrows and maps what they need besides
 * their slot, which can fail; virtblk_release() takes it back.
 */

/* Largest length of a request's table in descriptors, with ranges behind them. */
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

/* Ring slots without INDIRECT_DESC: one descriptor covers the ranges. */
static unsigned int virtblk_nr_slots(const struct virtblk_vq *vvq,
				     struct request *rq)
{
	return req_op(rq) == REQ_OP_DISCARD ? VIRTBLK_PAYLOAD_DESC :
	       virtblk_nr_desc(vvq, rq);
}

static __always_inline bool virtblk_has_room(struct virtblk_vq *vvq,
					     struct request *rq)
{
	/* Nearly always; then the number of slots need not be known. */
	return likely(vvq->vq.indirect) ||
	       virtqueue_has_room(&vvq->vq, virtblk_nr_slots(vvq, rq));
}

/*
 * The data of a request cannot be mapped: other requests hold the room, and give
 * it back when they complete. By the time-out that is waited for here, a completion
 * that was lost has been found, too. What does not fit then never will.
 */
static blk_status_t virtblk_wait_for_map(struct virtblk_vq *vvq,
					 struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u32 most = virtblk_lost_timeout(rq);

	if (!vbr->unmapped) {
		vbr->unmapped = true;
		vbr->holds = true;
		vbr->submitted = jiffies;
	}
	if ((u32)jiffies - vbr->submitted < most)
		return BLK_STS_RESOURCE;
	virtblk_err_ratelimited(vvq->vblk, "for %u seconds there was no room to map %u bytes for the device: the request fails\n",
				most / HZ, blk_rq_bytes(rq));
	return BLK_STS_IOERR;
}

/*
 * Returns BLK_STS_OK; BLK_STS_DEV_RESOURCE, which the block layer never sees, if
 * other requests of this queue have borrowed the blocks; else the status for the
 * block layer.
 */
static noinline blk_status_t virtblk_take(struct virtblk_vq *vvq,
					  struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	unsigned int n = virtblk_nr_desc(vvq, rq);
	enum req_op op = req_op(rq);
	bool data = virtblk_is_rw(op);

	if (!data) {
		switch (op) {
		case REQ_OP_FLUSH:
		case REQ_OP_WRITE_ZEROES:
			return BLK_STS_OK;
		case REQ_OP_DRV_IN:
			vbr->holds = true;
			return BLK_STS_OK;
		case REQ_OP_ZONE_APPEND:
			/* Completion has to read the sector that was written. */
			vbr->holds = true;
			data = true;
			break;
		case REQ_OP_DISCARD:
			break;
		default:
			return virtblk_check_command(vvq, rq);
		}
	}

	if (n > VIRTBLK_SLOT_DESC && !virtblk_take_table(vvq, vbr, n))
		return BLK_STS_DEV_RESOURCE;
	if (data && vvq->mapped) {
		if (virtblk_map(vvq, rq))
			return virtblk_wait_for_map(vvq, rq);
		vbr->unmapped = false;
	}
	return BLK_STS_OK;
}

/* Fill the ranges of a discard or write zeroes. Returns their length in bytes. */
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

/* Let write zeroes deallocate sectors, if the device can (section 5.2.6). */
static u32 virtblk_zeroes_flags(const struct virtblk_vq *vvq,
				const struct request *rq)
{
	if ((rq->cmd_flags & REQ_NOUNMAP) ||
	    !READ_ONCE(vvq->vblk->limits.zeroes_unmap))
		return 0;
	return VIRTIO_BLK_RANGE_UNMAP;
}

/*
 * Discard and write zeroes: the data are ranges, which are behind the descriptors
 * in the table. The sector in the header is 0.
 */
static noinline void virtblk_add_ranges(struct virtblk_vq *vvq,
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
	virtqueue_fill_desc(&vvq->vq, &at.desc[1], at.desc_dma +
			    VIRTBLK_PAYLOAD_DESC * sizeof(*at.desc),
			    virtblk_fill_ranges(rq, ranges, flags),
			    vvq->rw_rest[VIRTIO_BLK_T_OUT]);
	virtblk_trace_queue_rq(vvq, rq, VIRTBLK_PAYLOAD_DESC);
	__virtblk_add_buf(vvq, vvq->vq.packed, vvq->vq.indirect, rq, at, 2,
			  virtqueue_head(&vvq->vq, rq->tag));
}

static __always_inline void __virtblk_add_rw(struct virtblk_vq *vvq, bool packed,
					     struct request *rq)
{
	struct virtblk_place at = virtblk_place_of(vvq, rq);
	int n;

	virtblk_fill_header(&vvq->vq, &at.slot->header, virtblk_rw_type(rq),
			    blk_rq_pos(rq));
	if (vvq->mapped || blk_rq_bytes(rq) > vvq->max_desc_len)
		n = virtblk_add_pieces(vvq, rq, at.desc);
	else
		n = virtblk_add_segments(vvq, packed, rq, at.desc);
	virtblk_trace_queue_rq(vvq, rq, n + 1);
	__virtblk_add_buf(vvq, packed, vvq->vq.indirect, rq, at, n,
			  virtqueue_head(&vvq->vq, rq->tag));
}

/* Reads and writes of several segments. */
static noinline void virtblk_add_rw(struct virtblk_vq *vvq, struct request *rq)
{
	if (vvq->vq.packed)
		__virtblk_add_rw(vvq, true, rq);
	else
		__virtblk_add_rw(vvq, false, rq);
}

/* Zone append: the device chooses the sector, and writes it behind the data. */
static int virtblk_add_append(struct virtblk_vq *vvq, struct request *rq,
			      struct virtblk_place at)
{
	virtblk_fill_header(&vvq->vq, &at.slot->header,
			    VIRTIO_BLK_T_ZONE_APPEND, blk_rq_pos(rq));
	return virtblk_add_pieces(vvq, rq, at.desc);
}

/* A flush has only a header, whose sector is 0 (BLK-REQ-I02), and a status. */
static void virtblk_fill_flush_header(const struct virtblk_vq *vvq,
				      struct virtio_blk_header *header)
{
	virtblk_fill_header(&vvq->vq, header, VIRTIO_BLK_T_FLUSH, 0);
}

/*
 * Zone append, rare requests (see blk/command.c), and flushes that do not go the
 * short path.
 */
static noinline void virtblk_add_rare(struct virtblk_vq *vvq,
				      struct request *rq)
{
	struct virtblk_place at = virtblk_place_of(vvq, rq);
	int n = 1;

	if (req_op(rq) == REQ_OP_FLUSH)
		virtblk_fill_flush_header(vvq, &at.slot->header);
	else if (req_op(rq) == REQ_OP_ZONE_APPEND)
		n = virtblk_add_append(vvq, rq, at);
	else
		n = virtblk_add_command(vvq, rq);
	n = virtblk_add_status(vvq, rq, at.desc, n);
	virtblk_trace_queue_rq(vvq, rq, n);
	virtqueue_add(&vvq->vq, at.desc, at.desc_dma, n, rq->tag, rq);
}

/*
 * Add a request that does not go the short path. The caller holds the submission
 * lock, and has called virtblk_take() unless it is plain. Each operation has a
 * function of its own, so that the short ones save no registers for the others.
 */
static __always_inline void virtblk_add_other(struct virtblk_vq *vvq, struct request *rq)
{
	enum req_op op = req_op(rq);

	if (virtblk_is_rw(op))
		virtblk_add_rw(vvq, rq);
	else if (op == REQ_OP_DISCARD || op == REQ_OP_WRITE_ZEROES)
		virtblk_add_ranges(vvq, rq);
	else
		virtblk_add_rare(vvq, rq);
}

/*
 * There are too few ring slots or blocks: stop the queue until completion returns
 * some; the block layer keeps the request. Some may have been returned just now,
 * so check again after the stop.
 */
static blk_status_t virtblk_wait_for_room(struct virtblk_vq *vvq,
					  struct request *rq)
{
	unsigned int n = virtblk_nr_desc(vvq, rq);
	bool room;

	spin_lock(&vvq->lock);
	blk_mq_stop_hw_queue(vvq->hctx);
	/* The stop comes first: whoever sees @waiting starts the queue. */
	smp_store_release(&vvq->waiting, true);
	/* Pairs with virtblk_restart_queue(): one of the two sees the other. */
	smp_mb();
	room = virtblk_has_room(vvq, rq) &&
	       (n <= VIRTBLK_SLOT_DESC || virtblk_has_table(vvq, n));
	spin_unlock(&vvq->lock);
	if (room)
		blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	/* Not DEV_RESOURCE: requests that end in a batch do not restart the queue. */
	return BLK_STS_RESOURCE;
}

/* The queue is quiesced for a reset, or it is dead. */
static noinline blk_status_t virtblk_refuse(struct virtblk_vq *vvq,
					    struct request *rq)
{
	if (READ_ONCE(vvq->state) != VIRTBLK_VQ_DEAD)
		return BLK_STS_RESOURCE;
	virtblk_forget(vvq, rq);
	return BLK_STS_IOERR;
}

/*
 * Release the submission lock, and then kick the device if it needs a kick, which
 * may exit to the host and take long. @packed is the format of the ring, a constant.
 */
static __always_inline void virtblk_commit(struct virtblk_vq *vvq, bool packed,
					   bool last)
	__releases(&vvq->lock)
{
	bool kick = likely(last) && __virtqueue_kick_prepare(&vvq->vq, packed);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

/* The same for either format. */
static __always_inline void virtblk_commit_any(struct virtblk_vq *vvq, bool last)
	__releases(&vvq->lock)
{
	bool kick = last && virtqueue_kick_prepare(&vvq->vq);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

static __always_inline blk_status_t __virtblk_queue_flush(struct virtblk_vq *vvq,
							  bool packed,
							  struct request *rq,
							  bool last)
{
	struct virtblk_place at;

	blk_mq_start_request(rq);
	spin_lock(&vvq->lock);
	virtblk_trace_queue_rq(vvq, rq, VIRTBLK_EXTRA_DESC);
	at = virtblk_slot_of(vvq, rq->tag);
	virtblk_fill_flush_header(vvq, &at.slot->header);
	__virtblk_add_buf(vvq, packed, true, rq, at, 1, rq->tag);
	virtblk_commit(vvq, packed, last);
	return BLK_STS_OK;
}

/* virtio_queue_rq() of a flush, for which tasks wait, on the short path. */
static noinline blk_status_t virtblk_queue_flush(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	if (vvq->vq.packed)
		return __virtblk_queue_flush(vvq, true, rq, last);
	return __virtblk_queue_flush(vvq, false, rq, last);
}

/* virtio_queue_rq() of a request that does not go the short path. */
static noinline blk_status_t virtblk_queue_other(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	bool plain = virtblk_is_plain(vvq, rq);
	blk_status_t sts;

	if (vvq->state > VIRTBLK_VQ_RUNNING)
		return virtblk_refuse(vvq, rq);
	if (!plain) {
		sts = virtblk_take(vvq, rq);
		if (sts)
			goto out_release;
	}
	blk_mq_start_request(rq);

	spin_lock(&vvq->lock);
	if (!virtblk_has_room(vvq, rq)) {
		spin_unlock(&vvq->lock);
		sts = BLK_STS_DEV_RESOURCE;
		goto out_release;
	}
	virtblk_add_other(vvq, rq);
	virtblk_commit_any(vvq, last);
	return BLK_STS_OK;

out_release:
	virtblk_release(vvq, rq);
	if (sts == BLK_STS_DEV_RESOURCE)
		return virtblk_wait_for_room(vvq, rq);
	if (sts != BLK_STS_RESOURCE)
		virtblk_forget(vvq, rq);
	return sts;
}

static __always_inline blk_status_t __virtblk_queue_single(struct virtblk_vq *vvq,
							   bool packed,
							   struct request *rq,
							   bool last)
{
	blk_mq_start_request(rq);
	spin_lock(&vvq->lock);
	virtblk_add_single(vvq, packed, rq);
	virtblk_commit(vvq, packed, last);
	return BLK_STS_OK;
}

/*
 * virtio_queue_rq() on the short path. Each format has a function of its own, so
 * that few registers have to be saved.
 */
static noinline blk_status_t virtblk_queue_split(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	return __virtblk_queue_single(vvq, false, rq, last);
}

static noinline blk_status_t virtblk_queue_packed(struct virtblk_vq *vvq,
						  struct request *rq, bool last)
{
	return __virtblk_queue_single(vvq, true, rq, last);
}

/**
 * virtio_queue_rq() - ->queue_rq: send a request to the device
 * @hctx: the hardware queue
 * @bd: the request, and whether it is the last one for now
 *
 * Context: as any ->queue_rq; may not sleep. Return: BLK_STS_OK; BLK_STS_RESOURCE
 * if the block layer has to dispatch the request again later; BLK_STS_IOERR if
 * the disk is dead; BLK_STS_NOTSUPP if the device cannot do it.
 */
blk_status_t virtio_queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	struct request *rq = bd->rq;

	if (unlikely(vvq->state != VIRTBLK_VQ_SHORT))
		return virtblk_queue_other(vvq, rq, bd->last);
	if (unlikely(!virtblk_is_single(rq))) {
		if (req_op(rq) == REQ_OP_FLUSH)
			return virtblk_queue_flush(vvq, rq, bd->last);
		return virtblk_queue_other(vvq, rq, bd->last);
	}
	if (vvq->vq.packed)
		return virtblk_queue_packed(vvq, rq, bd->last);
	return virtblk_queue_split(vvq, rq, bd->last);
}

/**
 * virtio_commit_rqs() - ->commit_rqs: kick the device for requests that were added
 * @hctx: the hardware queue
 *
 * The block layer calls this if no request followed one that was not the last.
 */
void virtio_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct virtblk_vq *vvq = hctx->driver_data;

	spin_lock(&vvq->lock);
	virtblk_commit_any(vvq, true);
}

/*
 * Add a request of a batch that does not go the short path; the caller holds the
 * submission lock. What has to go through virtio_queue_rq() is added to @left.
 */
static noinline void virtblk_add_of_batch(struct virtblk_vq *vvq,
					  struct request *rq,
					  compat_rq_list *left)
{
	bool plain = virtblk_is_plain(vvq, rq);

	/* Do not overtake a request that waits for blocks. */
	if (!plain && (READ_ONCE(vvq->waiting) || virtblk_take(vvq, rq))) {
		virtblk_release(vvq, rq);
		compat_rq_list_add_tail(left, rq);
		return;
	}
	compat_rq_enter(rq);
	blk_mq_start_request(rq);
	virtblk_add_other(vvq, rq);
}

/*
 * Send a request and those that follow it in a list, up to the first for another
 * queue, which is returned. What has to go through virtio_queue_rq() is added to
 * @left. @packed is the format of the ring, and @direct says that single segments
 * go the short path; both are constants.
 */
static __always_inline struct request *
virtblk_queue_batch(struct virtblk_vq *vvq, bool packed, bool direct,
		    struct request *rq, compat_rq_list *left)
{
	struct blk_mq_hw_ctx *hctx = rq->mq_hctx;
	struct request *next;

	spin_lock(&vvq->lock);
	do {
		/* Once it is sent, @rq may come back at any time. */
		next = rq->rq_next;
		if (likely(direct && virtblk_is_single(rq))) {
			compat_rq_enter(rq);
			blk_mq_start_request(rq);
			virtblk_add_single(vvq, packed, rq);
		} else {
			virtblk_add_of_batch(vvq, rq, left);
		}
		rq = next;
	} while (rq && rq->mq_hctx == hctx);
	if (direct)
		virtblk_commit(vvq, packed, true);
	else
		virtblk_commit_any(vvq, true);
	return rq;
}

/*
 * The same for a queue whose requests do not go the short path. Without
 * INDIRECT_DESC each may have to wait, and so may all of a queue that is quiesced,
 * whose ring is not touched.
 */
static noinline struct request *
virtblk_queue_batch_other(struct virtblk_vq *vvq, struct request *rq,
			  compat_rq_list *left)
{
	struct blk_mq_hw_ctx *hctx = rq->mq_hctx;
	struct request *next;

	if (vvq->state > VIRTBLK_VQ_RUNNING || !vvq->vq.indirect) {
		do {
			next = rq->rq_next;
			compat_rq_list_add_tail(left, rq);
			rq = next;
		} while (rq && rq->mq_hctx == hctx);
		return rq;
	}
	return virtblk_queue_batch(vvq, vvq->vq.packed, false, rq, left);
}

/**
 * virtio_queue_rqs() - ->queue_rqs: send a plugged batch to the device
 * @rqlist: requests, all of one disk
 *
 * For each queue this takes the submission lock once, and kicks at most once. The
 * block layer sends requests that are left in @rqlist through virtio_queue_rq(),
 * which can wait.
 */
void virtio_queue_rqs(compat_rq_list *rqlist)
{
	struct request *rq = compat_rq_list_take(rqlist);
	struct virtblk_vq *vvq;

	while (rq) {
		vvq = rq->mq_hctx->driver_data;
		if (unlikely(vvq->state != VIRTBLK_VQ_SHORT))
			rq = virtblk_queue_batch_other(vvq, rq, rqlist);
		else if (vvq->vq.packed)
			rq = virtblk_queue_batch(vvq, true, true, rq, rqlist);
		else
			rq = virtblk_queue_batch(vvq, false, true, rq, rqlist);
	}
}
