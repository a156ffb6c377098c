/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What both ring formats need: struct virtqueue, the byte order and the barriers
 * of the memory that a queue shares with the device, and notifications.
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
 * struct vring_packed_pos - a position in a packed ring
 * @desc: the descriptor there
 * @lap: the wrap counter (section 2.8.1), as the values that the flags AVAIL and
 *	 USED have on this lap, shifted by VRING_PACKED_FLAGS_SHIFT
 * @left: number of slots from here to the end of the ring
 */
struct vring_packed_pos {
	struct vring_packed_desc *desc;
	u32 lap;
	u16 left;
};

/**
 * struct virtqueue - one queue of a device
 *
 * "Owner of the completion": whoever may call virtqueue_get_buf(). That is the
 * interrupt handler, or a task that polls or recovers the queue.
 *
 * Written while the queue is set up, and only read afterwards:
 * @desc: descriptors; in a split ring only the driver writes them
 * @avail: split ring: available ring, which only the driver writes
 * @used: split ring: used ring, which the device writes, so it is untrusted
 * @used_event: behind @avail: the used index at which the driver wants an
 *		interrupt
 * @avail_event: behind @used: the avail index at which the device wants a kick
 * @driver_event: packed ring: when the driver wants an interrupt
 * @device_event: packed ring: when the device wants a kick
 * @token: for each head, the caller's pointer for the buffer in flight; NULL
 *	   when the head is not in flight
 * @notify: the register that a kick writes to
 * @handler: reaps used buffers; called by the owner of the completion
 * @callback: called by the interrupt handler when buffers may be used: @handler,
 *	      or virtqueue_note_interrupt() while a task owns the completion
 * @num: number of descriptors; in a split ring a power of 2
 * @mask: @num - 1
 * @max: the largest @num that the device supports
 * @least: the smallest @num that the driver can use
 * @name: what the queue is called where its interrupt is listed
 * @index: number of this queue in its device
 * @device: N of the virtioN that the queue belongs to
 * @packed: RING_PACKED was negotiated
 * @indirect: INDIRECT_DESC was negotiated
 * @in_order: IN_ORDER was negotiated, together with INDIRECT_DESC: the head of a
 *	      buffer is its slot, not the caller's tag
 * @event_idx: EVENT_IDX was negotiated
 * @polled: the queue has no interrupt; the block layer polls it
 * @little_endian: ring fields are little-endian (VERSION_1), not in the guest's
 *		   own order
 * @strong: ORDER_PLATFORM was negotiated: the barriers have to order a device in
 *	    hardware, not another CPU
 * @notify_id: what a kick writes: @index, or the value that the device chose
 *	       (NOTIF_CONFIG_DATA)
 * @notify_data: NOTIFICATION_DATA was negotiated: a kick also writes the next
 *		 position that the driver will fill
 * @notify_other: a kick is not a store of 16 bits to memory: it writes 32 bits,
 *		  or to a port
 * @link: without INDIRECT: the next slot of each slot, in memory that the device
 *	  cannot write; in a packed ring, the number of slots of each id's chain
 * @returned: split ring without INDIRECT: heads that completion passes to
 *	      submission, which frees their slots
 *
 * Submission, under the caller's submission lock:
 * @avail_idx: next index to fill in @avail, ahead of the ring's own idx
 * @avail_pos: packed ring: next slot to fill
 * @slots_added: packed ring without INDIRECT: count of all slots filled
 * @kicked_idx: @avail_idx at the last decision about a kick; in a packed ring,
 *		vring_packed_next() at that time
 * @free_head: without INDIRECT: first free slot
 * @num_free: without INDIRECT: number of free slots
 * @returned_cons: next entry of @returned to read
 *
 * Completion, by the owner of the completion:
 * @used_idx: next index to read in @used
 * @used_pos: packed ring: next slot to read
 * @slots_done: packed ring without INDIRECT: count of all slots freed
 * @used_end: used.idx as it was last read from the device and checked
 * @batch_left: IN_ORDER: buffers that the last used entry completed and that
 *		were not reaped yet
 * @returned_prod: next entry of @returned to write
 * @reaps: how often the owner reaped at least one buffer; the owner counts
 * @broken: the device broke the protocol; see virtqueue_get_buf()
 * @missed: an interrupt came while a task owned the completion
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
	unsigned int num;
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
	u16 least;
	u16 *link;
	u16 *returned;
	const char *name;

	u16 avail_idx ____cacheline_aligned_in_smp;
	struct vring_packed_pos avail_pos;
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
 * Byte order. On a little-endian guest these compile to nothing; on a
 * big-endian guest VERSION_1 decides (section 2.4.3).
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

static inline u64 vring64_cpu(const struct virtqueue *vq, virtio64_t v)
{
	return vq->little_endian ? le64_to_cpu((__force __le64)v) : (__force u64)v;
}

irqreturn_t virtqueue_note_interrupt(struct virtqueue *vq);
void *virtqueue_break(struct virtqueue *vq, const char *what, u32 value);

/**
 * vring_mb() - order writes to shared memory before reads from it
 * @vq: the queue
 *
 * A device in software runs on another CPU, even if the guest has only one. With
 * ORDER_PLATFORM the device may be hardware (section 6.3, GEN-RSVD-08).
 * vring_rmb() and vring_wmb() make the same distinction.
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
 * Take the token of a head that the device returned. If no buffer with this
 * head is in flight, the device broke the protocol: virtqueue_break().
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

/**
 * virtqueue_notify_value() - what a kick writes
 * @vq: the queue
 *
 * Section 4.1.5.2: 16 bits that name the queue; with NOTIFICATION_DATA 32 bits,
 * which also say how far the ring is filled.
 */
static inline u32 virtqueue_notify_value(const struct virtqueue *vq)
{
	if (!vq->notify_data)
		return vq->notify_id;
	return (u32)READ_ONCE(vq->kicked_idx) << 16 | vq->notify_id;
}

/* The tracepoints in inline functions; see linux/tracepoint-defs.h. */
DECLARE_TRACEPOINT(virtqueue_add);
DECLARE_TRACEPOINT(virtqueue_kick);
DECLARE_TRACEPOINT(virtqueue_notify);
void virtqueue_trace_add(const struct virtqueue *vq, u16 head, unsigned int n);
void virtqueue_trace_kick(const struct virtqueue *vq, u16 idx, bool kick);
void virtqueue_trace_notify(const struct virtqueue *vq);

void virtqueue_notify_other(const struct virtqueue *vq);

/**
 * virtqueue_notify() - kick the device: tell it that buffers are available
 * @vq: the queue; virtqueue_kick_prepare() returned true
 *
 * Section 4.1.5.2, PCI-NOTIF-01 to 06: a kick writes 16 bits that name the
 * queue. Context: any; the caller needs no lock.
 */
static __always_inline void virtqueue_notify(const struct virtqueue *vq)
{
	if (tracepoint_enabled(virtqueue_notify))
		virtqueue_trace_notify(vq);
	/* One store: iowrite16() would first check for an I/O port. */
	if (unlikely(vq->notify_other))
		virtqueue_notify_other(vq);
	else
		writew(vq->notify_id, vq->notify);
}

/*
 * If at least VRING_RECHECK_MIN other buffers are in flight, the driver reads up
 * to VRING_RECHECKS times whether the device still needs the kick.
 */
#define VRING_RECHECK_MIN	8
#define VRING_RECHECKS	12

#endif /* _VIRTIO_QUEUE_H */
