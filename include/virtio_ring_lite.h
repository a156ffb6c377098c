/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ring, split (section 2.7) or packed (section 2.8), as its two users see it.
 *
 *	driver                            device
 *	  virtqueue_add      --avail-->     takes heads
 *	  virtqueue_notify   --kick--->     wakes up
 *	  virtqueue_get_buf  <--used---     returns heads
 *
 * A buffer is a table of descriptors that the caller filled with
 * virtqueue_set_desc(). With INDIRECT_DESC the table itself is handed to the
 * device and the caller's tag is the ring slot: no list of free slots exists.
 * Without, the table is copied into free slots of the ring.
 *
 * Adding and getting share no lock and no cache line: adding is serialised by
 * the caller, getting by whoever owns the queue's interrupt.
 */
#ifndef _VIRTIO_RING_LITE_H
#define _VIRTIO_RING_LITE_H

#include "ring/packed.h"
#include "virtio_queue.h"

/**
 * vring_set_desc() - fill one descriptor of a table
 * @vq: the queue the table is for
 * @packed: vq->packed, best a constant
 * @desc: the descriptor
 * @next: number of the one behind it
 * @addr: address for the device
 * @len: bytes
 * @flags: VRING_DESC_F_NEXT unless it is the last, and VRING_DESC_F_WRITE if
 *	   the device writes there; all that it reads come first (GEN-FRAME-01)
 */
static __always_inline void vring_set_desc(const struct virtqueue *vq,
					   bool packed, struct vring_desc *desc,
					   unsigned int next, u64 addr, u32 len,
					   u16 flags)
{
	struct vring_packed_desc *p = (struct vring_packed_desc *)desc;

	if (packed) {
		/* PACK-INDIR-02: no NEXT in a table, its order is the chain */
		p->addr = cpu_to_le64(addr);
		p->len = cpu_to_le32(len);
		p->flags = cpu_to_le16(flags & VRING_DESC_F_WRITE);
		return;
	}
	desc->addr = vring64(vq, addr);
	desc->len = vring32(vq, len);
	desc->flags = vring16(vq, flags);
	desc->next = vring16(vq, next);
}

/* The same for descriptor @i of @table, where the format has to be looked up. */
static inline void virtqueue_set_desc(const struct virtqueue *vq,
				      struct vring_desc *table, unsigned int i,
				      u64 addr, u32 len, u16 flags)
{
	vring_set_desc(vq, vq->packed, &table[i], i + 1, addr, len, flags);
}

size_t vring_size(unsigned int num, unsigned int align, bool packed);
int vring_init(struct virtqueue *vq, unsigned int num, void *mem,
	       unsigned int align, int node);
void vring_reset(struct virtqueue *vq);
void vring_swap(struct virtqueue *vq, struct virtqueue *other);
void vring_free(struct virtqueue *vq);

bool virtqueue_has_free_slots(struct virtqueue *vq, unsigned int n);
u16 virtqueue_copy_chain(struct virtqueue *vq, const struct vring_desc *table,
			 unsigned int n);
void virtqueue_return_chain(struct virtqueue *vq, u16 head);

void *virtqueue_get_in_order(struct virtqueue *vq);
void virtqueue_suppress(struct virtqueue *vq);
void virtqueue_unsuppress(struct virtqueue *vq);

/**
 * virtqueue_has_room() - can a table of @n descriptors be added now
 * @vq: the queue; the caller holds its submission lock
 * @n: length of the table
 *
 * Always true with INDIRECT_DESC: the tag is the slot.
 */
static inline bool virtqueue_has_room(struct virtqueue *vq, unsigned int n)
{
	if (likely(vq->indirect))
		return true;
	return vq->packed ? virtqueue_packed_has_room(vq, n) :
			    virtqueue_has_free_slots(vq, n);
}

/**
 * __virtqueue_add() - virtqueue_add() where the format is known
 * @vq: the queue
 * @packed: vq->packed, best a constant
 * @table: see virtqueue_add(), as the following
 * @table_addr: for the device
 * @n: length
 * @tag: slot, or id
 * @token: to get back
 */
static __always_inline void __virtqueue_add(struct virtqueue *vq, bool packed,
					    const struct vring_desc *table,
					    u64 table_addr, unsigned int n,
					    u16 tag, void *token)
{
	u16 head = tag;

	/* Available at once, so what it stands for comes first. */
	if (packed) {
		if (likely(vq->indirect))
			virtqueue_packed_add(vq, table_addr, n, tag, token);
		else
			virtqueue_packed_add_chain(vq, table, n, tag, token);
	} else {
		if (likely(vq->indirect)) {
			/* Its flag is INDIRECT since vring_reset(). */
			vq->desc[head].addr = vring64(vq, table_addr);
			vq->desc[head].len = vring32(vq, n * sizeof(*table));
		} else {
			head = virtqueue_copy_chain(vq, table, n);
		}
		vq->token[head] = token;
		vq->avail->ring[vq->avail_idx++ & vq->mask] = vring16(vq, head);
		/* All of it has to be there before the index (SPLIT-IDX-01). */
		vring_wmb(vq);
		WRITE_ONCE(vq->avail->idx, vring16(vq, vq->avail_idx));
	}
	if (tracepoint_enabled(virtqueue_add))
		virtqueue_trace_add(vq, head, n);
}

/**
 * virtqueue_next_slot() - where the next buffer will be, its head with IN_ORDER
 * @vq: the queue; the caller holds its submission lock
 */
static inline u16 virtqueue_next_slot(const struct virtqueue *vq)
{
	return vq->packed ? vring_packed_slot(vq, &vq->avail_pos) :
			    vq->avail_idx & vq->mask;
}

/**
 * virtqueue_head() - the head of the next buffer
 * @vq: the queue; the caller holds its submission lock
 * @tag: of the caller
 *
 * Return: @tag; with IN_ORDER, slots in the order of the ring (SPLIT-DESC-I01).
 */
static __always_inline u16 virtqueue_head(const struct virtqueue *vq, u16 tag)
{
	return unlikely(vq->in_order) ? virtqueue_next_slot(vq) : tag;
}

/**
 * virtqueue_add() - make a buffer available
 * @vq: the queue; the caller holds its submission lock
 * @table: @n descriptors filled by virtqueue_set_desc(); stays unchanged until
 *	   the buffer comes back
 * @table_addr: where the device finds @table; unused without INDIRECT_DESC
 * @n: length of @table; at most the size of the ring (SPLIT-INDIR-03)
 * @tag: of the caller, below the size of the ring, not in flight on this queue;
 *	 with IN_ORDER only the number of buffers in flight is bounded so
 * @token: what virtqueue_get_buf() shall return; not NULL
 *
 * A device that is awake takes it at once; one that sleeps has to be kicked,
 * see virtqueue_kick_prepare(). virtqueue_has_room() was asked before.
 * Context: any.
 */
static inline void virtqueue_add(struct virtqueue *vq,
				 const struct vring_desc *table, u64 table_addr,
				 unsigned int n, u16 tag, void *token)
{
	__virtqueue_add(vq, vq->packed, table, table_addr, n,
			virtqueue_head(vq, tag), token);
}

static __always_inline bool vring_split_wants_kick(const struct virtqueue *vq,
						   u16 new, u16 old)
{
	u16 event;

	if (unlikely(!vq->event_idx))
		return !(vring16_cpu(vq, READ_ONCE(vq->used->flags)) &
			 VRING_USED_F_NO_NOTIFY);
	/* Section 2.7.10: was @event passed on the way to @new? */
	event = vring16_cpu(vq, READ_ONCE(*vq->avail_event));
	return (u16)(new - event - 1) < (u16)(new - old);
}

bool virtqueue_split_recheck_kick(const struct virtqueue *vq);

static __always_inline bool virtqueue_split_kick_prepare(struct virtqueue *vq)
{
	bool kick;

	/* Or the device goes to sleep while we see it awake (SPLIT-KICK-01). */
	vring_mb(vq);
	kick = vring_split_wants_kick(vq, vq->avail_idx, vq->kicked_idx);
	/* A guess, without the interrupt's knowledge: has it much other work? */
	if (kick && (u16)(vq->kicked_idx - data_race(vq->used_idx)) >= VRING_RECHECK_MIN)
		kick = virtqueue_split_recheck_kick(vq);
	vq->kicked_idx = vq->avail_idx;
	if (tracepoint_enabled(virtqueue_kick))
		virtqueue_trace_kick(vq, vq->avail_idx, kick);
	return kick;
}

/**
 * virtqueue_kick_prepare() - does the device have to be told what was added
 * @vq: the queue; the caller holds its submission lock
 *
 * Return: true if virtqueue_notify() has to be called, best after dropping the
 * lock, since a notification may leave the guest.
 */
static __always_inline bool virtqueue_kick_prepare(struct virtqueue *vq)
{
	return vq->packed ? virtqueue_packed_kick_prepare(vq) :
			    virtqueue_split_kick_prepare(vq);
}

/* Look once at how far the device has come, and whether it can have. */
static __always_inline bool vring_split_more_used(struct virtqueue *vq)
{
	u16 end = vring16_cpu(vq, READ_ONCE(vq->used->idx));

	if (end == vq->used_idx || unlikely(vq->broken))
		return false;
	if (unlikely((u16)(end - vq->used_idx) > vq->num)) {
		virtqueue_break(vq, "used index", end);
		return false;
	}
	/* The elements were written before the index (section 2.7.14). */
	vring_rmb(vq);
	vq->used_end = end;
	return true;
}

/**
 * __virtqueue_get_buf() - virtqueue_get_buf() where the format is known
 * @vq: the queue; the caller owns its interrupt
 * @packed: vq->packed, best a constant
 */
static __always_inline void *__virtqueue_get_buf(struct virtqueue *vq,
						 bool packed)
{
	void *token;
	u32 id;

	if (packed)
		return virtqueue_packed_get_buf(vq);

	if (vq->used_idx == vq->used_end && !vring_split_more_used(vq))
		return NULL;
	id = vring32_cpu(vq, READ_ONCE(vq->used->ring[vq->used_idx & vq->mask].id));
	token = vring_take_token(vq, id);
	if (unlikely(!token))
		return NULL;
	vq->used_idx++;
	if (unlikely(!vq->indirect))
		virtqueue_return_chain(vq, id);
	return token;
}

/**
 * virtqueue_get_buf() - take one buffer that the device has done with
 * @vq: the queue; the caller owns its interrupt
 *
 * Return: the token given to virtqueue_add(); NULL if there is none, or if the
 * device wrote what it must not: vq->broken tells, and no buffer comes from the
 * queue any more before the device is reset and vring_reset().
 */
static inline void *virtqueue_get_buf(struct virtqueue *vq)
{
	if (unlikely(vq->in_order))
		return virtqueue_get_in_order(vq);
	return __virtqueue_get_buf(vq, vq->packed);
}

/**
 * virtqueue_is_used() - may virtqueue_get_buf() have something to say
 * @vq: the queue; the caller need not own its completion
 */
static inline bool virtqueue_is_used(const struct virtqueue *vq)
{
	if (vq->packed)
		return vring_packed_is_used(vq, vring_packed_peek(vq));
	return vring16_cpu(vq, READ_ONCE(vq->used->idx)) != READ_ONCE(vq->used_idx);
}

/**
 * virtqueue_disable_cb() - ask for no interrupts while getting buffers
 * @vq: the queue; the caller owns its interrupt
 *
 * Nothing to do with EVENT_IDX: none comes until the event moves
 * (SPLIT-UNOTIF-03).
 */
static inline void virtqueue_disable_cb(struct virtqueue *vq)
{
	if (unlikely(!vq->event_idx))
		virtqueue_suppress(vq);
}

/**
 * __virtqueue_enable_cb() - virtqueue_enable_cb() where the format is known
 * @vq: the queue; the caller owns its interrupt
 * @packed: vq->packed, best a constant
 */
static __always_inline bool __virtqueue_enable_cb(struct virtqueue *vq,
						  bool packed)
{
	if (unlikely(!vq->event_idx))
		virtqueue_unsuppress(vq);
	else if (packed)
		WRITE_ONCE(vq->driver_event->off_wrap,
			   cpu_to_le16(vring_packed_slot(vq, &vq->used_pos) |
				       (vq->used_pos.lap >> VRING_PACKED_FLAGS_SHIFT &
					VRING_PACKED_EVENT_WRAP)));
	else
		WRITE_ONCE(*vq->used_event, vring16(vq, vq->used_idx));
	vring_mb(vq);
	if (packed)
		return !vring_packed_is_used(vq, vring_packed_peek(vq));
	return vring16_cpu(vq, READ_ONCE(vq->used->idx)) == vq->used_idx ||
	       vq->broken;
}

/**
 * virtqueue_enable_cb() - ask for an interrupt at the next used buffer
 * @vq: the queue; the caller owns its interrupt
 *
 * Return: false if buffers were used meanwhile, for which no interrupt may
 * come: get them first (SPLIT-RECV-I01).
 */
static inline bool virtqueue_enable_cb(struct virtqueue *vq)
{
	return __virtqueue_enable_cb(vq, vq->packed);
}

#endif /* _VIRTIO_RING_LITE_H */
