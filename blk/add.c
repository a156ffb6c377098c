// SPDX-License-Identifier: GPL-2.0
/*
 * Adding of requests that do not go the short path of blk/submit.c.
 *
 * virtblk_take() borrows and maps what such a request needs besides its slot, which
 * can fail; virtblk_release() takes it back. Then a function for its operation fills
 * its descriptors, and makes them available.
 */
#include "blk/add.h"
#include "blk/command.h"
#include "blk/log.h"
#include "blk/timeout.h"
#include "compat/blk.h"

/**
 * virtblk_traced_queue_rq() - the tracepoint of a request that is sent
 * @vvq: the queue
 * @rq: the request
 * @n: number of its descriptors
 */
void virtblk_traced_queue_rq(struct virtblk_vq *vvq, struct request *rq,
			     unsigned int n)
{
	trace_virtblk_queue_rq(&vvq->vq, rq, n, VIRTIO_BLK_S_UNWRITTEN);
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

static __always_inline u64 virtblk_bvec_addr(const struct bio_vec *bv)
{
	return page_to_phys(bv->bv_page) + bv->bv_offset;
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
	struct virtblk_piece p = virtblk_no_piece(vvq, rq);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	const dma_addr_t *mapped;
	int n = 1;

	if (vbr->nmapped == VIRTBLK_BOUNCED) {
		virtqueue_set_desc(&vvq->vq, desc, n++, vvq->bounce.mem.dma +
				   vbr->table * VIRTBLK_BOUNCE,
				   blk_rq_bytes(rq), flags);
		return n;
	}
	mapped = vvq->mapped ? virtblk_mapped(vvq, rq) : NULL;
	while (virtblk_next_piece(&p))
		virtqueue_set_desc(&vvq->vq, desc, n++, mapped ? *mapped++ :
				   virtblk_bvec_addr(&p.bv), p.bv.bv_len, flags);
	return n;
}

/**
 * virtblk_nr_desc() - the largest length that a request's table can have
 * @vvq: the queue
 * @rq: the request
 *
 * Return: a number of descriptors; the ranges of a discard, which are behind its
 * descriptors, count as one each.
 */
unsigned int virtblk_nr_desc(const struct virtblk_vq *vvq, struct request *rq)
{
	enum req_op op = req_op(rq);

	if (virtblk_is_rw(op) || op == REQ_OP_ZONE_APPEND)
		return rq->nr_phys_segments * vvq->vblk->limits.desc_per_segment +
		       VIRTBLK_EXTRA_DESC;
	if (op == REQ_OP_DISCARD)
		return VIRTBLK_PAYLOAD_DESC + blk_rq_nr_discard_segments(rq);
	return VIRTBLK_PAYLOAD_DESC;
}

/**
 * virtblk_nr_slots() - the ring slots that a request needs without INDIRECT_DESC
 * @vvq: the queue
 * @rq: the request
 *
 * Return: their number; one descriptor covers all ranges of a discard.
 */
unsigned int virtblk_nr_slots(const struct virtblk_vq *vvq, struct request *rq)
{
	return req_op(rq) == REQ_OP_DISCARD ? VIRTBLK_PAYLOAD_DESC :
	       virtblk_nr_desc(vvq, rq);
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

/**
 * virtblk_take() - borrow and map what a request needs besides its slot
 * @vvq: the queue
 * @rq: the request, which is not plain
 *
 * Context: as ->queue_rq; no lock. After an error virtblk_release() takes back
 * what was taken.
 *
 * Return: BLK_STS_OK; BLK_STS_DEV_RESOURCE, which the block layer never sees, if
 * other requests of this queue have borrowed the blocks; else the status for the
 * block layer.
 */
blk_status_t virtblk_take(struct virtblk_vq *vvq, struct request *rq)
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

/**
 * virtblk_add_ranges() - add a discard or write zeroes
 * @vvq: the queue, whose submission lock is held
 * @rq: the request
 *
 * The data are ranges, which are behind the descriptors in the table. The sector in
 * the header is 0 (BLK-REQ-I02).
 */
void virtblk_add_ranges(struct virtblk_vq *vvq, struct request *rq)
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

/**
 * virtblk_add_rw() - add a read or a write of several segments
 * @vvq: the queue, whose submission lock is held
 * @rq: the request
 */
void virtblk_add_rw(struct virtblk_vq *vvq, struct request *rq)
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

/**
 * virtblk_add_rare() - add a zone append, a rare request or a flush
 * @vvq: the queue, whose submission lock is held
 * @rq: the request
 *
 * Rare requests are those of blk/command.c; nearly all flushes go the short path.
 */
void virtblk_add_rare(struct virtblk_vq *vvq, struct request *rq)
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
