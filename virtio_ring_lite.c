// SPDX-License-Identifier: GPL-2.0
/*
 * The split ring (section 2.7 of virtio 1.4), and the functions that choose
 * between it and the packed ring (ring/packed.c).
 *
 * The driver and the device share three areas of memory:
 *
 *	desc[num]	descriptors: address, length, flags
 *	avail		heads of the buffers that the driver makes available
 *	used		heads of the buffers that the device used, in any order
 *
 * A request with INDIRECT_DESC, tag 5:
 *
 *	avail.ring[avail_idx % num] = 5
 *	desc[5] = { table, 16 * n, INDIRECT }
 *	            table[0] header, table[1..] data, table[n-1] status
 *
 * A hostile host can write to all three, so the driver never reads from desc or
 * avail. It reads each id and index in used once, and checks it against token[],
 * which the device cannot reach.
 *
 * The rest is in ring/:
 *
 *	packed.c	the packed ring; what a request needs is inline, in packed.h
 *	queue.c		what both have: the doorbell, protocol errors of the device
 *	show.c		a ring, decoded, for people
 *
 * None of it uses PCI or the block layer: selftests/unit compiles it in user space
 * too.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include "virtio_export.h"
#include "virtio_ring_lite.h"
#include "trace/virtio_lite_trace.h"

/* The end of a chain in virtqueue.link; no slot has this number. */
#define VRING_LINK_END	0xffff

static size_t vring_avail_end(unsigned int num)
{
	/* descriptors; flags, idx, ring[num], used_event (section 2.7.6) */
	return num * sizeof(struct vring_desc) + (3 + num) * sizeof(virtio16_t);
}

/**
 * vring_size() - size of a ring in bytes
 * @num: number of descriptors
 * @align: alignment of the used ring: 4096 for a legacy device (LEG-VQ-03), at
 *	   least 4 for others
 * @packed: the ring has the packed format
 */
size_t vring_size(unsigned int num, unsigned int align, bool packed)
{
	if (packed)
		return vring_packed_size(num);
	return ALIGN(vring_avail_end(num), align) + 3 * sizeof(virtio16_t) +
	       num * sizeof(struct vring_used_elem);
}

static int vring_split_init(struct virtqueue *vq, unsigned int align, int node)
{
	void *mem = vq->desc;

	vq->avail = mem + vq->num * sizeof(struct vring_desc);
	vq->used = mem + ALIGN(vring_avail_end(vq->num), align);
	vq->used_event = &vq->avail->ring[vq->num];
	vq->avail_event = (virtio16_t *)&vq->used->ring[vq->num];
	if (!vq->indirect) {
		vq->link = kvzalloc_node(array_size(2 * vq->num,
						    sizeof(*vq->link)),
					 GFP_KERNEL, node);
		if (!vq->link)
			return -ENOMEM;
		vq->returned = vq->link + vq->num;
	}
	return 0;
}

/**
 * vring_init() - set up a queue's ring in memory
 * @vq: the queue; packed, indirect, event_idx, little_endian and strong are set
 * @num: number of descriptors; in a split ring a power of 2
 * @mem: at least vring_size() bytes, aligned to @align, reachable by the device
 * @align: as for vring_size()
 * @node: NUMA node for the memory that only the driver uses
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int vring_init(struct virtqueue *vq, unsigned int num, void *mem,
	       unsigned int align, int node)
{
	int err;

	vq->num = num;
	vq->mask = num - 1;
	vq->desc = mem;
	vq->token = kvzalloc_node(array_size(num, sizeof(*vq->token)),
				  GFP_KERNEL, node);
	if (!vq->token)
		return -ENOMEM;
	err = vq->packed ? vring_packed_init(vq, node) :
			   vring_split_init(vq, align, node);
	if (err) {
		vring_free(vq);
		return err;
	}
	vring_reset(vq);
	return 0;
}

static void vring_split_reset(struct virtqueue *vq)
{
	unsigned int i;

	memset(vq->desc, 0, vring_avail_end(vq->num));
	memset(vq->used, 0, 3 * sizeof(virtio16_t) +
	       vq->num * sizeof(struct vring_used_elem));
	vq->kicked_idx = 0;
	vq->used_end = 0;
	vq->returned_cons = 0;
	vq->returned_prod = 0;
	vq->free_head = 0;
	vq->num_free = vq->num;
	for (i = 0; i < vq->num; i++) {
		if (vq->indirect)
			vq->desc[i].flags = vring16(vq, VRING_DESC_F_INDIRECT);
		else
			vq->link[i] = i + 1 < vq->num ? i + 1 : VRING_LINK_END;
	}
}

/**
 * vring_reset() - empty a ring: no buffer is in flight afterwards
 * @vq: the queue; it is not enabled in the device
 *
 * Indices and the shared memory start from zero (SPLIT-ANOTIF-01).
 */
void vring_reset(struct virtqueue *vq)
{
	memset(vq->token, 0, vq->num * sizeof(*vq->token));
	vq->avail_idx = 0;
	vq->used_idx = 0;
	vq->batch_left = 0;
	vq->broken = false;
	if (vq->packed)
		vring_packed_reset(vq);
	else
		vring_split_reset(vq);
}

/**
 * vring_swap() - exchange the rings of two queues
 * @vq: a queue that is not enabled in the device, with no buffer in flight
 * @other: set up by vring_init(), in the same format
 *
 * The fields that describe a ring are exchanged; the other fields of the queues
 * stay. The caller calls vring_reset() before either queue is used.
 */
void vring_swap(struct virtqueue *vq, struct virtqueue *other)
{
	swap(vq->desc, other->desc);
	swap(vq->avail, other->avail);
	swap(vq->used, other->used);
	swap(vq->used_event, other->used_event);
	swap(vq->avail_event, other->avail_event);
	swap(vq->token, other->token);
	swap(vq->num, other->num);
	swap(vq->mask, other->mask);
	swap(vq->link, other->link);
	swap(vq->returned, other->returned);
}

/**
 * vring_free() - undo vring_init(); the caller frees the shared memory
 * @vq: a queue that is not enabled in the device
 */
void vring_free(struct virtqueue *vq)
{
	kvfree(vq->token);
	kvfree(vq->link);
	vq->token = NULL;
	vq->link = NULL;
	vq->returned = NULL;
}

/* Put the slots of the buffers that were reaped back on the free list. */
static void vring_take_back(struct virtqueue *vq)
{
	/* Pairs with virtqueue_return_chain(). */
	u16 end = smp_load_acquire(&vq->returned_prod);

	while (vq->returned_cons != end) {
		u16 head = vq->returned[vq->returned_cons++ & vq->mask];
		u16 tail = head;

		vq->num_free++;
		while (vq->link[tail] != VRING_LINK_END) {
			tail = vq->link[tail];
			vq->num_free++;
		}
		vq->link[tail] = vq->free_head;
		vq->free_head = head;
	}
}

/**
 * virtqueue_has_free_slots() - virtqueue_has_room() without INDIRECT_DESC
 * @vq: the queue; the caller holds its submission lock
 * @n: number of slots
 */
bool virtqueue_has_free_slots(struct virtqueue *vq, unsigned int n)
{
	if (vq->num_free < n)
		vring_take_back(vq);
	return vq->num_free >= n;
}
EXPORT_SYMBOL_LITE(virtqueue_has_free_slots);

/**
 * virtqueue_copy_chain() - virtqueue_add() without INDIRECT_DESC
 * @vq: the queue; the caller holds its submission lock
 * @table: descriptors to copy to free slots of the ring
 * @n: length of @table; the caller checked virtqueue_has_room()
 *
 * Return: the head, which is the first of the slots.
 */
u16 virtqueue_copy_chain(struct virtqueue *vq, const struct vring_desc *table,
			 unsigned int n)
{
	u16 head = vq->free_head, slot = head;
	unsigned int i;

	for (i = 0; i < n - 1; i++) {
		vq->desc[slot] = table[i];
		vq->desc[slot].next = vring16(vq, vq->link[slot]);
		slot = vq->link[slot];
	}
	vq->desc[slot] = table[i];

	vq->free_head = vq->link[slot];
	vq->link[slot] = VRING_LINK_END;
	vq->num_free -= n;
	return head;
}

/**
 * virtqueue_add() - make a buffer available
 * @vq: the queue; the caller holds its submission lock
 * @table: @n descriptors filled by virtqueue_set_desc(), which the caller leaves
 *	   unchanged until the device returns the buffer
 * @table_addr: address of @table for the device; unused without INDIRECT_DESC
 * @n: length of @table; at most the size of the ring (SPLIT-INDIR-03)
 * @tag: the caller's tag: less than the size of the ring, and not in flight on
 *	 this queue. IN_ORDER ignores it; then fewer buffers are in flight than
 *	 the ring has slots
 * @token: the pointer that virtqueue_get_buf() returns; not NULL
 *
 * The caller checked virtqueue_has_room(). A device that polls the ring takes
 * the buffer at once; others need a kick, see virtqueue_kick_prepare().
 * Context: any.
 */
void virtqueue_add(struct virtqueue *vq, const struct vring_desc *table,
		   u64 table_addr, unsigned int n, u16 tag, void *token)
{
	__virtqueue_add(vq, vq->packed, vq->indirect, table, table_addr, n,
			virtqueue_head(vq, tag), token);
}
EXPORT_SYMBOL_LITE(virtqueue_add);

/**
 * virtqueue_return_chain() - virtqueue_get_buf() without INDIRECT_DESC
 * @vq: the queue; the caller owns its completion
 * @head: head of the buffer that was reaped
 *
 * Its slots stay linked in a chain until submission frees them, in
 * vring_take_back().
 */
void virtqueue_return_chain(struct virtqueue *vq, u16 head)
{
	vq->returned[vq->returned_prod & vq->mask] = head;
	/* Pairs with vring_take_back(). */
	smp_store_release(&vq->returned_prod, vq->returned_prod + 1);
}
EXPORT_SYMBOL_LITE(virtqueue_return_chain);

/**
 * virtqueue_split_recheck_kick() - recheck whether a kick is needed
 * @vq: the queue, with other buffers in flight; the caller holds its submission
 *	lock
 *
 * A device that works on other buffers often finds the new ones by itself soon
 * afterwards, and then writes that it needs no kick. To wait for that takes less
 * time than a kick, which exits to the host. The later read is as valid as the
 * first, because it comes after the barrier too. Return: true if the device
 * still needs a kick.
 */
bool virtqueue_split_recheck_kick(const struct virtqueue *vq)
{
	const virtio16_t *asks = vq->event_idx ? vq->avail_event :
						 &vq->used->flags;
	virtio16_t first;
	unsigned int i;

	/* used_idx belongs to completion, so this is an estimate. */
	if ((u16)(vq->kicked_idx - data_race(vq->used_idx)) < VRING_RECHECK_MIN)
		return true;
	first = READ_ONCE(*asks);
	for (i = 0; i < VRING_RECHECKS && READ_ONCE(*asks) == first; i++)
		cpu_relax();
	return vring_split_wants_kick(vq, vq->avail_idx, vq->kicked_idx);
}

/**
 * virtqueue_kick_prepare() - does the device need a kick for the new buffers
 * @vq: the queue; the caller holds its submission lock
 *
 * Return: true if the caller has to call virtqueue_notify(); false if nothing was
 * added since the last call. It should drop the lock first, because a notification
 * may exit to the host, which takes long.
 */
bool virtqueue_kick_prepare(struct virtqueue *vq)
{
	return __virtqueue_kick_prepare(vq, vq->packed);
}
EXPORT_SYMBOL_LITE(virtqueue_kick_prepare);

/* virtqueue_packed_batch() of a split ring (SPLIT-INORD-I01). */
static u16 virtqueue_split_batch(struct virtqueue *vq)
{
	u32 id;
	u16 n;

	if (vq->used_idx == vq->used_end && !vring_split_more_used(vq))
		return 0;
	id = vring32_cpu(vq, READ_ONCE(vq->used->ring[vq->used_idx & vq->mask].id));
	n = ((id - vq->used_idx) & vq->mask) + 1;
	if (id >= vq->num || n > (u16)(vq->used_end - vq->used_idx)) {
		virtqueue_break(vq, "used id", id);
		return 0;
	}
	return n;
}

/**
 * virtqueue_get_in_order() - virtqueue_get_buf() with IN_ORDER
 * @vq: the queue; the caller owns its completion
 *
 * A used entry may complete a batch of buffers. It names the last one only; the
 * others were used too, and the status in each tells whether it succeeded.
 */
void *virtqueue_get_in_order(struct virtqueue *vq)
{
	void *token;
	u16 slot;

	if (!vq->batch_left)
		vq->batch_left = vq->packed ? virtqueue_packed_batch(vq) :
					      virtqueue_split_batch(vq);
	if (!vq->batch_left)
		return NULL;

	slot = vq->packed ? vring_packed_slot(vq, &vq->used_pos) :
			    vq->used_idx & vq->mask;
	token = vq->token[slot];
	if (!token)
		return virtqueue_break(vq, "used id, which is not in flight", slot);
	vq->token[slot] = NULL;
	vq->batch_left--;
	if (vq->packed)
		vring_packed_step(vq, &vq->used_pos);
	else
		vq->used_idx++;
	return token;
}
EXPORT_SYMBOL_LITE(virtqueue_get_in_order);

/**
 * virtqueue_suppress() - virtqueue_disable_cb() without EVENT_IDX
 * @vq: the queue; the caller owns its completion
 */
void virtqueue_suppress(struct virtqueue *vq)
{
	if (vq->packed)
		WRITE_ONCE(vq->driver_event->flags,
			   cpu_to_le16(VRING_PACKED_EVENT_DISABLE));
	else
		WRITE_ONCE(vq->avail->flags,
			   vring16(vq, VRING_AVAIL_F_NO_INTERRUPT));
}
EXPORT_SYMBOL_LITE(virtqueue_suppress);

/**
 * virtqueue_unsuppress() - undo virtqueue_suppress()
 * @vq: the queue; the caller owns its completion
 */
void virtqueue_unsuppress(struct virtqueue *vq)
{
	if (vq->packed)
		WRITE_ONCE(vq->driver_event->flags,
			   cpu_to_le16(VRING_PACKED_EVENT_ENABLE));
	else
		WRITE_ONCE(vq->avail->flags, vring16(vq, 0));
}
EXPORT_SYMBOL_LITE(virtqueue_unsuppress);
