/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A split (section 2.7) or packed (section 2.8) ring, as the transport and the
 * disk driver use it.
 *
 *	driver                            device
 *	  virtqueue_add      --avail-->     takes buffers
 *	  virtqueue_notify   --kick--->     wakes up
 *	  virtqueue_get_buf  <--used---     returns buffers
 *
 * A buffer is a table of descriptors that the caller filled with
 * virtqueue_set_desc(). With INDIRECT_DESC the device reads this table, and the
 * ring slot (the head) is the caller's tag, so there is no list of free slots.
 * Without INDIRECT_DESC the table is copied into free slots of the ring.
 *
 * Submission (virtqueue_add) and completion (virtqueue_get_buf) share no lock
 * and no cache line. The caller's submission lock serialises the first; only the
 * owner of the queue's completion does the second.
 */
#ifndef _VIRTIO_RING_LITE_H
#define _VIRTIO_RING_LITE_H

#include "ring/packed.h"
#include "virtio_queue.h"

/**
 * vring_set_desc() - fill one descriptor of a table
 * @vq: the queue the table is for
 * @packed: vq->packed; a constant makes the code shorter
 * @desc: the descriptor
 * @next: number of the next descriptor in the table
 * @addr: address for the device
 * @len: number of bytes
 * @flags: VRING_DESC_F_NEXT unless it is the last descriptor, and
 *	   VRING_DESC_F_WRITE if the device writes to @addr; descriptors that the
 *	   device reads come before those (GEN-FRAME-01)
 */
static __always_inline void vring_set_desc(const struct virtqueue *vq,
					   bool packed, struct vring_desc *desc,
					   unsigned int next, u64 addr, u32 len,
					   u16 flags)
{
	struct vring_packed_desc *p = (struct vring_packed_desc *)desc;

	if (packed) {
		/* PACK-INDIR-02: a table has no NEXT, its order is the chain */
		p->addr = cpu_to_le64(addr);
		p->len = cpu_to_le32(len);
		p->id = 0;
		p->flags = cpu_to_le16(flags & VRING_DESC_F_WRITE);
		return;
	}
	desc->addr = vring64(vq, addr);
	desc->len = vring32(vq, len);
	desc->flags = vring16(vq, flags);
	desc->next = vring16(vq, next);
}

/* vring_set_desc() for descriptor @i of @table, in the format of @vq. */
static inline void virtqueue_set_desc(const struct virtqueue *vq,
				      struct vring_desc *table, unsigned int i,
				      u64 addr, u32 len, u16 flags)
{
	vring_set_desc(vq, vq->packed, &table[i], i + 1, addr, len, flags);
}

/* All of a descriptor behind its address, as one word in memory. */
static inline u64 *vring_desc_rest(struct vring_desc *desc)
{
	return (u64 *)&desc->len;
}

/**
 * virtqueue_prepare_rest() - prepare what virtqueue_fill_desc() writes
 * @vq: the queue
 * @next: see vring_set_desc()
 * @flags: see vring_set_desc()
 *
 * Return: all of the descriptor behind its address, with a length of 0.
 */
static inline u64 virtqueue_prepare_rest(const struct virtqueue *vq,
					 unsigned int next, u16 flags)
{
	struct vring_desc desc = {};

	vring_set_desc(vq, vq->packed, &desc, next, 0, 0, flags);
	return *vring_desc_rest(&desc);
}

/* Whether what is in the ring has the CPU's byte order; a constant if that is LE. */
static __always_inline bool vring_is_native(const struct virtqueue *vq)
{
	return (__force u16)vring16(vq, 1) == 1;
}

/**
 * virtqueue_fill_desc() - vring_set_desc() with two stores, in either format
 * @vq: the queue the table is for
 * @desc: the descriptor
 * @addr: address for the device
 * @len: number of bytes
 * @rest: from virtqueue_prepare_rest()
 */
static __always_inline void virtqueue_fill_desc(const struct virtqueue *vq,
						struct vring_desc *desc,
						u64 addr, unsigned long len,
						u64 rest)
{
	/* Not always vring32(): that would drop bits that are 0. */
	u64 first = vring_is_native(vq) ? len : (__force u32)vring32(vq, len);

	/* The length is first in memory, whatever half of a word that is. */
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		first <<= 32;
	desc->addr = vring64(vq, addr);
	*vring_desc_rest(desc) = rest + first;
}

/**
 * virtqueue_next_rest() - virtqueue_prepare_rest() of the descriptor that follows
 * @vq: the queue the table is for
 * @packed: vq->packed; a constant makes the code shorter
 * @rest: of this descriptor
 *
 * Return: the same flags, and the number of the next descriptor but one.
 */
static __always_inline u64 virtqueue_next_rest(const struct virtqueue *vq,
					       bool packed, u64 rest)
{
	struct vring_desc desc;

	if (packed)
		return rest;
	/* The number is last in memory: nothing is above it. */
	if (vring_is_native(vq) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return rest + (1ULL << 48);
	*vring_desc_rest(&desc) = rest;
	desc.next = vring16(vq, vring16_cpu(vq, desc.next) + 1);
	return *vring_desc_rest(&desc);
}

struct seq_file;
void vring_show(struct seq_file *m, const struct virtqueue *vq);
void vring_show_desc(struct seq_file *m, const struct virtqueue *vq,
		     unsigned int i, const struct vring_desc *desc);

size_t vring_size(unsigned int num, unsigned int align, bool packed);
int vring_init(struct virtqueue *vq, unsigned int num, void *mem,
	       unsigned int align, int node);
void vring_reset(struct virtqueue *vq);
void vring_swap(struct virtqueue *vq, struct virtqueue *other);
void vring_free(struct virtqueue *vq);

void virtqueue_add(struct virtqueue *vq, const struct vring_desc *table,
		   u64 table_addr, unsigned int n, u16 tag, void *token);
bool virtqueue_kick_prepare(struct virtqueue *vq);

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
 * With INDIRECT_DESC there is room for each tag, because the tag is the slot.
 */
static inline bool virtqueue_has_room(struct virtqueue *vq, unsigned int n)
{
	if (likely(vq->indirect))
		return true;
	return vq->packed ? virtqueue_packed_has_room(vq, n) :
			    virtqueue_has_free_slots(vq, n);
}

/**
 * __virtqueue_add() - virtqueue_add() inline, where the format is known
 * @vq: the queue
 * @packed: vq->packed; a constant makes the code shorter
 * @indirect: vq->indirect, likewise
 * @table: see virtqueue_add()
 * @table_addr: see virtqueue_add()
 * @n: see virtqueue_add()
 * @tag: the head, from virtqueue_head()
 * @token: see virtqueue_add()
 */
static __always_inline void __virtqueue_add(struct virtqueue *vq, bool packed,
					    bool indirect,
					    const struct vring_desc *table,
					    u64 table_addr, unsigned int n,
					    unsigned int tag, void *token)
{
	struct vring_avail *avail;
	struct vring_desc *desc;
	unsigned int head = tag;
	u16 idx;

	/*
	 * The device may return the buffer as soon as it is available, so the
	 * token is stored before that.
	 */
	if (packed) {
		if (likely(indirect))
			virtqueue_packed_add(vq, table_addr, n, tag, token);
		else
			virtqueue_packed_add_chain(vq, table, n, tag, token);
	} else {
		if (likely(indirect)) {
			/* vring_reset() set its flags to INDIRECT. */
			desc = &vq->desc[head];
			desc->addr = vring64(vq, table_addr);
			desc->len = vring32(vq, n * sizeof(*table));
		} else {
			head = virtqueue_copy_chain(vq, table, n);
		}
		vq->token[head] = token;
		avail = vq->avail;
		idx = vq->avail_idx;
		avail->ring[idx & vq->mask] = vring16(vq, head);
		vq->avail_idx = ++idx;
		/* The index is written after all else (SPLIT-IDX-01). */
		vring_wmb(vq);
		WRITE_ONCE(avail->idx, vring16(vq, idx));
	}
	if (tracepoint_enabled(virtqueue_add))
		virtqueue_trace_add(vq, head, n);
}

/**
 * virtqueue_next_slot() - slot of the next buffer; with IN_ORDER its head
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
 * @tag: the caller's tag
 *
 * Return: @tag; with IN_ORDER the next slot of the ring (SPLIT-DESC-I01).
 */
static __always_inline u16 virtqueue_head(const struct virtqueue *vq, u16 tag)
{
	return unlikely(vq->in_order) ? virtqueue_next_slot(vq) : tag;
}

static __always_inline bool vring_split_wants_kick(const struct virtqueue *vq,
						   u16 new, u16 old)
{
	u16 event;

	if (unlikely(!vq->event_idx))
		return new != old && !(vring16_cpu(vq, READ_ONCE(vq->used->flags)) &
				       VRING_USED_F_NO_NOTIFY);
	/* Section 2.7.10: did the index pass @event on its way to @new? */
	event = vring16_cpu(vq, READ_ONCE(*vq->avail_event));
	return (u16)(new - event - 1) < (u16)(new - old);
}

bool virtqueue_split_recheck_kick(const struct virtqueue *vq);

static __always_inline bool virtqueue_split_kick_prepare(struct virtqueue *vq)
{
	u16 new = vq->avail_idx, old = vq->kicked_idx;
	bool kick;

	/*
	 * SPLIT-KICK-01: publish the index before reading the event, or the
	 * device sees an old index and sleeps, and no kick is sent.
	 */
	vring_mb(vq);
	kick = vring_split_wants_kick(vq, new, old);
	/*
	 * Does the device have other work? used_idx belongs to completion, so
	 * this is an estimate.
	 */
	if (kick && old != data_race(vq->used_idx))
		kick = virtqueue_split_recheck_kick(vq);
	vq->kicked_idx = new;
	if (tracepoint_enabled(virtqueue_kick))
		virtqueue_trace_kick(vq, new, kick);
	return kick;
}

/* virtqueue_kick_prepare() inline, where the format is known, a constant. */
static __always_inline bool __virtqueue_kick_prepare(struct virtqueue *vq,
						     bool packed)
{
	return packed ? virtqueue_packed_kick_prepare(vq) :
			virtqueue_split_kick_prepare(vq);
}

/* Read the device's used index once, check it, and store it in used_end. */
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
 * @vq: the queue, without IN_ORDER; the caller owns its completion
 * @packed: vq->packed; a constant makes the code shorter
 * @indirect: vq->indirect, likewise
 */
static __always_inline void *__virtqueue_get_buf(struct virtqueue *vq,
						 bool packed, bool indirect)
{
	void *token;
	u32 id;

	if (packed)
		return virtqueue_packed_get_buf(vq, indirect);

	if (vq->used_idx == vq->used_end && !vring_split_more_used(vq))
		return NULL;
	id = vring32_cpu(vq, READ_ONCE(vq->used->ring[vq->used_idx & vq->mask].id));
	token = vring_take_token(vq, id);
	if (unlikely(!token))
		return NULL;
	vq->used_idx++;
	if (!indirect)
		virtqueue_return_chain(vq, id);
	return token;
}

/**
 * virtqueue_get_buf() - reap one used buffer
 * @vq: the queue; the caller owns its completion
 *
 * Return: the token given to virtqueue_add(); NULL if no buffer is used, or if
 * the device broke the protocol. In the second case vq->broken is set, and the
 * queue returns no buffer until the device is reset and vring_reset() is called.
 */
static inline void *virtqueue_get_buf(struct virtqueue *vq)
{
	if (unlikely(vq->in_order))
		return virtqueue_get_in_order(vq);
	return __virtqueue_get_buf(vq, vq->packed, vq->indirect);
}

/**
 * virtqueue_used_len() - how much the device says it wrote to a buffer
 * @vq: the queue; the caller owns its completion, and has just reaped the buffer
 * @n: length of its table
 *
 * Return: bytes, as the device wrote it: the caller bounds it. A disk has no use
 * for it: its requests have a status. With IN_ORDER only the last buffer of a
 * batch has a length.
 */
static inline u32 virtqueue_used_len(const struct virtqueue *vq, unsigned int n)
{
	unsigned int slot, slots = vq->indirect ? 1 : n;

	if (!vq->packed)
		return vring32_cpu(vq, READ_ONCE(vq->used->ring[(u16)(vq->used_idx - 1) &
								vq->mask].len));
	/* The flag that says that the length is valid: QEMU never sets it. */
	slot = vring_packed_slot(vq, &vq->used_pos) + vq->num - slots;
	return le32_to_cpu(READ_ONCE(vring_packed(vq)[slot % vq->num].len));
}

/**
 * virtqueue_is_used() - might virtqueue_get_buf() return a buffer
 * @vq: the queue; the caller need not own its completion
 */
static inline bool virtqueue_is_used(const struct virtqueue *vq)
{
	if (vq->packed)
		return vring_packed_is_used(vq, vring_packed_peek(vq));
	return vring16_cpu(vq, READ_ONCE(vq->used->idx)) != READ_ONCE(vq->used_idx);
}

/**
 * virtqueue_disable_cb() - tell the device that no interrupt is wanted
 * @vq: the queue; the caller owns its completion
 *
 * With EVENT_IDX there is nothing to do: the device sends no interrupt until
 * virtqueue_enable_cb() moves the event (SPLIT-UNOTIF-03).
 */
static inline void virtqueue_disable_cb(struct virtqueue *vq)
{
	if (unlikely(!vq->event_idx))
		virtqueue_suppress(vq);
}

/**
 * __virtqueue_enable_cb() - virtqueue_enable_cb() where the format is known
 * @vq: the queue; the caller owns its completion
 * @packed: vq->packed; a constant makes the code shorter
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
 * @vq: the queue; the caller owns its completion
 *
 * Return: false if the device used buffers meanwhile, for which it may send no
 * interrupt: the caller has to reap them and try again (SPLIT-RECV-I01).
 */
static inline bool virtqueue_enable_cb(struct virtqueue *vq)
{
	return __virtqueue_enable_cb(vq, vq->packed);
}

#endif /* _VIRTIO_RING_LITE_H */
