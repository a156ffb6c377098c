// SPDX-License-Identifier: GPL-2.0
/*
 * The packed ring: section 2.8 of virtio 1.4. The functions that every request
 * calls are inline in ring/packed.h; the others are here.
 *
 *	desc[num]	a ring of descriptors, which both sides write in turn
 *	driver event	when the driver wants an interrupt
 *	device event	when the device wants a notification
 *
 * A buffer's id is the caller's tag. Without INDIRECT_DESC link[id] is the number
 * of slots in its chain (PACK-CHAIN-I01).
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "ring/packed.h"
#include "virtio_export.h"
#include "trace/virtio_lite_trace.h"

static size_t vring_packed_desc_size(unsigned int num)
{
	return num * sizeof(struct vring_packed_desc);
}

/**
 * vring_packed_size() - size of a packed ring in bytes
 * @num: number of descriptors
 */
size_t vring_packed_size(unsigned int num)
{
	return vring_packed_desc_size(num) + 2 * sizeof(struct vring_packed_event);
}

/**
 * vring_packed_init() - vring_init() of a packed ring
 * @vq: the queue; num and desc are set
 * @node: NUMA node for the memory that only the driver uses
 *
 * Return: 0 or -ENOMEM; vring_free() undoes it.
 */
int vring_packed_init(struct virtqueue *vq, int node)
{
	void *events = (void *)vq->desc + vring_packed_desc_size(vq->num);

	vq->driver_event = events;
	vq->device_event = vq->driver_event + 1;
	if (!vq->indirect) {
		vq->link = kvzalloc_node(array_size(vq->num, sizeof(*vq->link)),
					 GFP_KERNEL, node);
		if (!vq->link)
			return -ENOMEM;
	}
	return 0;
}

/**
 * vring_packed_reset() - vring_reset() of a packed ring
 * @vq: the queue; it is not enabled in the device
 *
 * All memory is zero and both sides are on the first lap (PACK-WRAP-I01,
 * PACK-WRAP-I02).
 */
void vring_packed_reset(struct virtqueue *vq)
{
	memset(vq->desc, 0, vring_packed_size(vq->num));
	vq->avail_pos.desc = vring_packed(vq);
	vq->avail_pos.left = vq->num;
	vq->avail_pos.lap = (u32)VRING_PACKED_DESC_F_AVAIL << VRING_PACKED_FLAGS_SHIFT;
	vq->used_pos = vq->avail_pos;
	vq->used_pos.lap = VRING_PACKED_NEXT_LAP;
	vq->kicked_idx = vring_packed_next(vq);
	vq->slots_added = 0;
	vq->slots_done = 0;
	if (!vq->event_idx)
		return;
	/* Ask for an interrupt at the first descriptor that is used. */
	vq->driver_event->off_wrap = cpu_to_le16(VRING_PACKED_EVENT_WRAP);
	vq->driver_event->flags = cpu_to_le16(VRING_PACKED_EVENT_DESC);
}

/**
 * virtqueue_packed_has_room() - virtqueue_has_room() without INDIRECT_DESC
 * @vq: the queue; the caller holds its submission lock
 * @n: number of slots (PACK-SG-05)
 */
bool virtqueue_packed_has_room(struct virtqueue *vq, unsigned int n)
{
	/* Pairs with virtqueue_packed_return_chain(). */
	u16 done = smp_load_acquire(&vq->slots_done);
	u16 taken = vq->slots_added - done;

	/* A device that breaks the protocol can make taken larger than num. */
	return taken + n <= vq->num;
}
EXPORT_SYMBOL_LITE(virtqueue_packed_has_room);

/**
 * virtqueue_packed_add_chain() - virtqueue_add() without INDIRECT_DESC
 * @vq: the queue; the caller holds its submission lock
 * @table: descriptors to copy to the next slots
 * @n: length of @table; the caller checked virtqueue_packed_has_room()
 * @id: id of the buffer
 * @token: see virtqueue_add()
 *
 * The flags of the first descriptor are written last: they make the chain
 * available (PACK-SG-06).
 */
void virtqueue_packed_add_chain(struct virtqueue *vq,
				const struct vring_desc *table, unsigned int n,
				u16 id, void *token)
{
	const struct vring_packed_desc *from = (const void *)table;
	struct vring_packed_desc *first = vq->avail_pos.desc;
	u32 first_lap = vq->avail_pos.lap;
	struct vring_packed_desc *desc;
	unsigned int i;
	u16 flags;

	/* A token says that link[id] is valid, so link[id] is written first. */
	vq->link[id] = n;
	vq->token[id] = token;
	for (i = 0; i < n; i++) {
		desc = vq->avail_pos.desc;
		desc->addr = from[i].addr;
		desc->len = from[i].len;
		flags = le16_to_cpu(from[i].flags) | VRING_DESC_F_NEXT;
		if (i == n - 1)
			flags &= ~VRING_DESC_F_NEXT;
		if (i)
			vring_packed_hand_over(desc, id, flags, vq->avail_pos.lap);
		vring_packed_step(vq, &vq->avail_pos);
	}
	vq->slots_added += n;
	vring_wmb(vq);
	vring_packed_hand_over(first, id, le16_to_cpu(from[0].flags) |
			       (n > 1 ? VRING_DESC_F_NEXT : 0), first_lap);
}

/**
 * virtqueue_packed_return_chain() - virtqueue_get_buf() without INDIRECT_DESC
 * @vq: the queue; the caller owns its completion
 * @id: id of the buffer that was reaped
 *
 * The device wrote one used descriptor and skipped the rest of the chain.
 */
void virtqueue_packed_return_chain(struct virtqueue *vq, u16 id)
{
	u16 n = vq->link[id], i;

	for (i = 0; i < n; i++)
		vring_packed_step(vq, &vq->used_pos);
	/* Pairs with virtqueue_packed_has_room(). */
	smp_store_release(&vq->slots_done, vq->slots_done + n);
}
EXPORT_SYMBOL_LITE(virtqueue_packed_return_chain);

/**
 * virtqueue_packed_batch() - how many buffers the next used descriptor completes
 * @vq: the queue, with IN_ORDER; the caller owns its completion
 *
 * PACK-INORD-I01: it is in the slot of the first of them, and has the id of the
 * last. An id is a slot number. Return: 0 if no descriptor is used, or if the
 * device broke the protocol.
 */
u16 virtqueue_packed_batch(struct virtqueue *vq)
{
	u32 id_flags = vring_packed_peek(vq);
	u16 id = id_flags, slot = vring_packed_slot(vq, &vq->used_pos);

	if (!vring_packed_is_used(vq, id_flags))
		return 0;
	vring_rmb(vq);
	if (id >= vq->num) {
		virtqueue_break(vq, "used id", id);
		return 0;
	}
	return (id >= slot ? id : id + vq->num) - slot + 1;
}

/**
 * vring_packed_wants_kick() - does the device event ask for a kick
 * @vq: the queue; the caller holds its submission lock
 * @when: the device event: flags in the upper 16 bits, off_wrap in the lower
 *
 * Return: true if the device wants a kick for one of the slots that were filled
 * since the last decision.
 */
bool vring_packed_wants_kick(const struct virtqueue *vq, u32 when)
{
	u16 flags = when >> VRING_PACKED_FLAGS_SHIFT & VRING_PACKED_EVENT_FLAGS;
	u16 event = when & (VRING_PACKED_EVENT_WRAP - 1);
	u16 next = vring_packed_next(vq), added = next - vq->kicked_idx;

	if (!added)
		return false;
	if (flags != VRING_PACKED_EVENT_DESC || !vq->event_idx)
		return flags != VRING_PACKED_EVENT_DISABLE;
	/* Another wrap bit: the event's slot belongs to the previous lap. */
	if ((when ^ next) & VRING_PACKED_EVENT_WRAP)
		event -= vq->num;
	/* Likewise the first slot that was filled. */
	if ((vq->kicked_idx ^ next) & VRING_PACKED_EVENT_WRAP)
		added += VRING_PACKED_EVENT_WRAP + vq->num;
	next &= ~VRING_PACKED_EVENT_WRAP;
	return (u16)(next - event - 1) < added;
}

/**
 * virtqueue_packed_recheck_kick() - virtqueue_split_recheck_kick() of a packed ring
 * @vq: the queue; the caller holds its submission lock
 *
 * Return: true if the device still needs a kick.
 */
bool virtqueue_packed_recheck_kick(const struct virtqueue *vq)
{
	const __le32 *asks = (const __le32 *)vq->device_event;
	unsigned int kicked = vq->kicked_idx & ~VRING_PACKED_EVENT_WRAP;
	/* used_pos belongs to completion, so this is an estimate. */
	unsigned int used = vq->num - data_race(vq->used_pos.left), i;
	__le32 first;

	/* The slots in flight, without those that were just added. */
	if ((kicked >= used ? 0 : vq->num) + kicked - used < VRING_RECHECK_MIN)
		return true;
	first = READ_ONCE(*asks);

	for (i = 0; i < VRING_RECHECKS && READ_ONCE(*asks) == first; i++)
		cpu_relax();
	return vring_packed_wants_kick(vq, le32_to_cpu(READ_ONCE(*asks)));
}
