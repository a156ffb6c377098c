/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The packed ring (section 2.8): one area instead of three. The driver and the
 * device write the same descriptors in turn. Two flags in a descriptor say which
 * side owns it. Their meaning changes with each pass through the ring, which is
 * called a lap here; "lap" below is the wrap counter (section 2.8.1).
 *
 *	available	AVAIL == lap, USED != lap	the device owns it
 *	used		AVAIL == lap, USED == lap	the driver owns it again
 *
 * Only ring/ and virtio_ring_lite.h include this file. Other code does not see
 * which format a ring has.
 */
#ifndef _RING_PACKED_H
#define _RING_PACKED_H

#include "virtio_queue.h"

int vring_packed_init(struct virtqueue *vq, int node);
void vring_packed_reset(struct virtqueue *vq);
size_t vring_packed_size(unsigned int num);

bool virtqueue_packed_has_room(struct virtqueue *vq, unsigned int n);
void virtqueue_packed_add_chain(struct virtqueue *vq,
				const struct vring_desc *table, unsigned int n,
				u16 id, void *token);

bool vring_packed_wants_kick(const struct virtqueue *vq, u32 when);

void virtqueue_packed_return_chain(struct virtqueue *vq, u16 id);
u16 virtqueue_packed_batch(struct virtqueue *vq);

static inline struct vring_packed_desc *vring_packed(const struct virtqueue *vq)
{
	return (struct vring_packed_desc *)vq->desc;
}

/* At the end of a lap both flags change their meaning. */
#define VRING_PACKED_NEXT_LAP \
	((u32)VRING_PACKED_DESC_F_BOTH << VRING_PACKED_FLAGS_SHIFT)

static __always_inline void vring_packed_step(const struct virtqueue *vq,
					      struct vring_packed_pos *pos)
{
	pos->desc++;
	if (unlikely(!--pos->left)) {
		pos->desc = vring_packed(vq);
		pos->left = vq->num;
		pos->lap ^= VRING_PACKED_NEXT_LAP;
	}
}

static __always_inline u16 vring_packed_slot(const struct virtqueue *vq,
					     const struct vring_packed_pos *pos)
{
	return vq->num - pos->left;
}

/* Make a descriptor available: id and flags in one store. */
static __always_inline void vring_packed_hand_over(struct vring_packed_desc *desc,
						   u32 id, u16 flags, u32 lap)
{
	__le32 *id_flags = (__le32 *)&desc->id;

	WRITE_ONCE(*id_flags, cpu_to_le32((lap | id) |
					  (u32)flags << VRING_PACKED_FLAGS_SHIFT));
}

/*
 * virtqueue_add() with INDIRECT_DESC. The flags are written last: they make the
 * descriptor available (PACK-FLAGS-01).
 */
static __always_inline void virtqueue_packed_add(struct virtqueue *vq,
						 u64 table_addr,
						 unsigned int n,
						 unsigned int id, void *token)
{
	struct vring_packed_desc *desc = vq->avail_pos.desc;

	vq->token[id] = token;
	desc->addr = cpu_to_le64(table_addr);
	desc->len = cpu_to_le32(n * sizeof(*desc));
	vring_wmb(vq);
	vring_packed_hand_over(desc, id, VRING_DESC_F_INDIRECT, vq->avail_pos.lap);
	vring_packed_step(vq, &vq->avail_pos);
}

/* Slot and wrap bit of the next descriptor, in the format of off_wrap. */
static __always_inline u16 vring_packed_next(const struct virtqueue *vq)
{
	/* The wrap bit is 1 on the laps on which an available AVAIL is 1. */
	u16 wrap = vq->avail_pos.lap >> 8 & VRING_PACKED_EVENT_WRAP;

	return vring_packed_slot(vq, &vq->avail_pos) | wrap;
}

bool virtqueue_packed_recheck_kick(const struct virtqueue *vq);

/*
 * virtqueue_kick_prepare(). virtqueue_add() has made the buffers available
 * (PACK-KICK-01, PACK-KICK-I01).
 */
static __always_inline bool virtqueue_packed_kick_prepare(struct virtqueue *vq)
{
	u16 next = vring_packed_next(vq);
	bool kick;
	u32 when;

	vring_mb(vq);
	/* One load, because off_wrap and flags belong together. */
	when = le32_to_cpu(READ_ONCE(*(const __le32 *)vq->device_event));
	/* An idle device asks for a kick at the first slot that is filled. */
	kick = likely(when == (VRING_PACKED_EVENT_DESC << VRING_PACKED_FLAGS_SHIFT |
			       vq->kicked_idx) && next != vq->kicked_idx) ||
	       vring_packed_wants_kick(vq, when);
	/* As with a split ring: does the device have other work? */
	if (kick && vq->num - data_race(vq->used_pos.left) !=
		    (vq->kicked_idx & ~VRING_PACKED_EVENT_WRAP))
		kick = virtqueue_packed_recheck_kick(vq);
	WRITE_ONCE(vq->kicked_idx, next);
	if (tracepoint_enabled(virtqueue_kick))
		virtqueue_trace_kick(vq, vring_packed_slot(vq, &vq->avail_pos),
				     kick);
	return kick;
}

/* Read id and flags of the next descriptor, in one load. */
static __always_inline u32 vring_packed_peek(const struct virtqueue *vq)
{
	return le32_to_cpu(READ_ONCE(*(const __le32 *)&vq->used_pos.desc->id));
}

/* Do these flags say that the device used the descriptor? */
static __always_inline bool vring_packed_is_used(const struct virtqueue *vq,
						 u32 id_flags)
{
	return (id_flags & VRING_PACKED_NEXT_LAP) == vq->used_pos.lap;
}

/* virtqueue_get_buf(): a buffer has one used descriptor. */
static __always_inline void *virtqueue_packed_get_buf(struct virtqueue *vq,
						      bool indirect)
{
	u32 id_flags = vring_packed_peek(vq);
	u16 id = id_flags;
	void *token;

	if (!vring_packed_is_used(vq, id_flags))
		return NULL;
	vring_rmb(vq);
	token = vring_take_token(vq, id);
	if (unlikely(!token))
		return NULL;
	if (indirect)
		vring_packed_step(vq, &vq->used_pos);
	else
		virtqueue_packed_return_chain(vq, id);
	return token;
}

#endif /* _RING_PACKED_H */
