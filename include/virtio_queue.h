/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One virtqueue, whatever the format of its ring: its fields, the byte order and
 * the barriers of what it shares with the device, its doorbell.
 */
#ifndef _VIRTIO_QUEUE_H
#define _VIRTIO_QUEUE_H

#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/io.h>
#include <linux/irqreturn.h>
#include <linux/tracepoint-defs.h>
#include "virtio_spec.h"

/**
 * struct vring_packed_pos - a place in a packed ring
 * @desc: descriptor
 * @lap: AVAIL and USED on this lap, shifted by VRING_PACKED_FLAGS_SHIFT
 * @left: slots before the end of the ring
 */
struct vring_packed_pos {
	struct vring_packed_desc *desc;
	u32 lap;
	u16 left;
};

/**
 * struct virtqueue - one queue of a device
 *
 * The first group is written when the queue is set up and only read after.
 * @desc: descriptors; of a split ring written by the driver only
 * @avail: available ring; written by the driver only
 * @used: used ring; written by the device, so never believed
 * @used_event: behind @avail: at which used index an interrupt is wanted
 * @avail_event: behind @used: at which avail index a kick is wanted
 * @driver_event: packed, instead of @avail: when an interrupt is wanted
 * @device_event: packed, instead of @used: when a kick is wanted
 * @token: what each head in flight stands for; NULL when it is not
 * @notify: where a kick is written
 * @handler: takes the buffers that were used; called by whoever owns the
 *	     completion
 * @callback: called by the interrupt handler when buffers may be used: @handler,
 *	      or virtqueue_note_interrupt() while somebody else owns the completion
 * @num: number of descriptors; of a split ring a power of 2
 * @mask: @num - 1
 * @max: the largest @num that the device offers
 * @index: of this queue in its device
 * @device: N of the virtioN that the queue belongs to
 * @packed: RING_PACKED was negotiated
 * @indirect: INDIRECT_DESC was negotiated
 * @in_order: IN_ORDER was negotiated, with INDIRECT_DESC: the slot is the head,
 *	      and nobody's tag
 * @event_idx: EVENT_IDX was negotiated
 * @polled: has no interrupt: whoever waits for a buffer looks for it
 * @little_endian: ring fields are little-endian (VERSION_1), not the guest's own order
 * @strong: ORDER_PLATFORM was negotiated: the device is not a CPU
 * @notify_id: what a kick says: @index, or what NOTIF_CONFIG_DATA has instead
 * @notify_data: NOTIFICATION_DATA was negotiated: a kick says how far we are
 * @notify_other: a kick is something else than 16 bits to memory
 * @link: private copy of the descriptors' next fields (without INDIRECT); of a
 *	  packed ring, the length of each id's chain
 * @returned: heads on their way from getting to adding (split, no INDIRECT)
 *
 * Submission, under the caller's submission lock:
 * @avail_idx: next index to fill in @avail, ahead of the ring's own idx
 * @avail_pos: next slot to fill (packed)
 * @added: slots filled since the last decision about a kick (packed)
 * @slots_added: slots ever filled (packed, no INDIRECT)
 * @kicked_idx: @avail_idx at the last decision about a kick; of a packed ring,
 *		as events name it
 * @free_head: first free slot (without INDIRECT)
 * @num_free: free slots (without INDIRECT)
 * @returned_cons: next entry of @returned to take back
 *
 * Completion, by the owner of the interrupt:
 * @used_idx: next index to look at in @used
 * @used_pos: next slot to look at (packed)
 * @slots_done: slots ever given back (packed, no INDIRECT)
 * @used_end: used.idx as last read from the device and checked
 * @batch_left: buffers that the last used entry still stands for (IN_ORDER)
 * @returned_prod: next entry of @returned to fill
 * @reaps: how often the owner found something; its own to count
 * @broken: the device broke the protocol; see virtqueue_get_buf()
 * @missed: an interrupt came while somebody else owned the completion
 */
struct virtqueue {
	struct vring_desc *desc;
	union {
		struct vring_avail *avail;
		struct vring_packed_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_event *device_event;
	};
	virtio16_t *used_event;
	virtio16_t *avail_event;
	void **token;
	void __iomem *notify;
	irqreturn_t (*handler)(struct virtqueue *vq);
	irqreturn_t (*callback)(struct virtqueue *vq);
	u16 num;
	u16 mask;
	u16 index;
	u16 device;
	bool packed;
	bool indirect;
	bool in_order;
	bool event_idx;
	bool polled;
	bool little_endian;
	bool strong;
	u16 notify_id;
	bool notify_data;
	bool notify_other;
	u16 max;
	u16 *link;
	u16 *returned;

	u16 avail_idx ____cacheline_aligned_in_smp;
	struct vring_packed_pos avail_pos;
	u16 added;
	u16 slots_added;
	u16 kicked_idx;
	u16 free_head;
	u16 num_free;
	u16 returned_cons;

	u16 used_idx ____cacheline_aligned_in_smp;
	u16 used_end;
	struct vring_packed_pos used_pos;
	u16 slots_done;
	u16 batch_left;
	u16 returned_prod;
	u32 reaps;
	bool broken;
	bool missed;
};

/*
 * Byte order. On a little-endian guest all of it compiles to nothing; on a
 * big-endian one VERSION_1 decides (section 2.4.3).
 */
static inline virtio16_t vring16(const struct virtqueue *vq, u16 v)
{
	return (__force virtio16_t)(vq->little_endian ? (__force u16)cpu_to_le16(v) : v);
}

static inline virtio32_t vring32(const struct virtqueue *vq, u32 v)
{
	return (__force virtio32_t)(vq->little_endian ? (__force u32)cpu_to_le32(v) : v);
}

static inline virtio64_t vring64(const struct virtqueue *vq, u64 v)
{
	return (__force virtio64_t)(vq->little_endian ? (__force u64)cpu_to_le64(v) : v);
}

static inline u16 vring16_cpu(const struct virtqueue *vq, virtio16_t v)
{
	return vq->little_endian ? le16_to_cpu((__force __le16)v) : (__force u16)v;
}

static inline u32 vring32_cpu(const struct virtqueue *vq, virtio32_t v)
{
	return vq->little_endian ? le32_to_cpu((__force __le32)v) : (__force u32)v;
}

void virtqueue_notify(const struct virtqueue *vq);
irqreturn_t virtqueue_note_interrupt(struct virtqueue *vq);
void *virtqueue_break(struct virtqueue *vq, const char *what, u32 value);

/**
 * vring_mb() - barrier between writing to and reading from the device
 * @vq: the queue
 *
 * A device in software is another CPU, even for a guest kernel built for one;
 * ORDER_PLATFORM says it may be hardware (section 6.3, GEN-RSVD-08). So for
 * the other two.
 */
static __always_inline void vring_mb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		mb();		/* hardware */
	else
		virt_mb();	/* another CPU */
}

static __always_inline void vring_rmb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		dma_rmb();	/* hardware */
	else
		virt_rmb();	/* another CPU */
}

static __always_inline void vring_wmb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		dma_wmb();	/* hardware */
	else
		virt_wmb();	/* another CPU */
}

/*
 * What a head stands for that the device gives back; NULL, and the queue is
 * broken, if it must not. Each comes back once.
 */
static __always_inline void *vring_take_token(struct virtqueue *vq, u32 id)
{
	void *token;

	if (unlikely(id >= vq->num))
		return virtqueue_break(vq, "used id", id);
	token = vq->token[id];
	if (unlikely(!token))
		return virtqueue_break(vq, "used id, which is not in flight", id);
	vq->token[id] = NULL;
	return token;
}

/* The tracepoints in inline functions; see linux/tracepoint-defs.h. */
DECLARE_TRACEPOINT(virtqueue_add);
DECLARE_TRACEPOINT(virtqueue_kick);
void virtqueue_trace_add(const struct virtqueue *vq, u16 head, unsigned int n);
void virtqueue_trace_kick(const struct virtqueue *vq, u16 idx, bool kick);

/* With so many others in flight, so often before a kick that may be needless. */
#define VRING_RECHECK_MIN	8
#define VRING_RECHECKS	12

#endif /* _VIRTIO_QUEUE_H */
