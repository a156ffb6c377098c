/* SPDX-License-Identifier: GPL-2.0 */
/* Adding of requests: their place, and what both ways of submission do. */
#ifndef _BLK_ADD_H
#define _BLK_ADD_H

#include "blk/borrow.h"
#include "trace/virtio_lite_trace.h"

void virtblk_traced_queue_rq(struct virtblk_vq *vvq, struct request *rq,
			     unsigned int n);
unsigned int virtblk_nr_desc(const struct virtblk_vq *vvq, struct request *rq);
unsigned int virtblk_nr_slots(const struct virtblk_vq *vvq, struct request *rq);
blk_status_t virtblk_take(struct virtblk_vq *vvq, struct request *rq);
void virtblk_add_ranges(struct virtblk_vq *vvq, struct request *rq);
void virtblk_add_rw(struct virtblk_vq *vvq, struct request *rq);
void virtblk_add_rare(struct virtblk_vq *vvq, struct request *rq);

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

static __always_inline bool virtblk_is_rw(enum req_op op)
{
	return op == REQ_OP_READ || op == REQ_OP_WRITE;
}

/* A flush has only a header, whose sector is 0 (BLK-REQ-I02), and a status. */
static inline void virtblk_fill_flush_header(const struct virtblk_vq *vvq,
					     struct virtio_blk_header *header)
{
	virtblk_fill_header(&vvq->vq, header, VIRTIO_BLK_T_FLUSH, 0);
}

static __always_inline bool virtblk_has_room(struct virtblk_vq *vvq,
					     struct request *rq)
{
	/* Nearly always; then the number of slots need not be known. */
	return likely(vvq->vq.indirect) ||
	       virtqueue_has_room(&vvq->vq, virtblk_nr_slots(vvq, rq));
}

/*
 * Add a request that does not go the short path. The caller holds the submission
 * lock, and has called virtblk_take() unless it is plain. Each operation has a
 * function of its own, so that the short ones save no registers for the others.
 */
static __always_inline void virtblk_add_other(struct virtblk_vq *vvq,
					      struct request *rq)
{
	enum req_op op = req_op(rq);

	if (virtblk_is_rw(op))
		virtblk_add_rw(vvq, rq);
	else if (op == REQ_OP_DISCARD || op == REQ_OP_WRITE_ZEROES)
		virtblk_add_ranges(vvq, rq);
	else
		virtblk_add_rare(vvq, rq);
}

#endif /* _BLK_ADD_H */
