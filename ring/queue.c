// SPDX-License-Identifier: GPL-2.0
/*
 * What both ring formats have in common: the doorbell, what becomes of a queue
 * whose device breaks the protocol, and the tracepoints of inline functions.
 */
#include <linux/kernel.h>
#include "virtio_queue.h"
#include "trace/virtio_lite_trace.h"

/**
 * virtqueue_trace_add() - the tracepoint of virtqueue_add(), when it is on
 * @vq: the queue
 * @head: of the buffer
 * @n: its descriptors
 */
void virtqueue_trace_add(const struct virtqueue *vq, u16 head, unsigned int n)
{
	trace_virtqueue_add(vq, head, n);
}

/**
 * virtqueue_trace_kick() - the tracepoint of virtqueue_kick_prepare()
 * @vq: the queue
 * @idx: what was added reaches up to here
 * @kick: was a notification wanted
 */
void virtqueue_trace_kick(const struct virtqueue *vq, u16 idx, bool kick)
{
	trace_virtqueue_kick(vq, idx, kick);
}

/* Section 4.1.5.2: to a port, or with the next place to be made available. */
static void virtqueue_notify_other(const struct virtqueue *vq)
{
	if (vq->notify_data)
		iowrite32((u32)READ_ONCE(vq->kicked_idx) << 16 | vq->notify_id,
			  vq->notify);
	else
		iowrite16(vq->notify_id, vq->notify);
}

/**
 * virtqueue_notify() - tell the device that buffers are available
 * @vq: the queue; virtqueue_kick_prepare() said that a kick is wanted
 *
 * Section 4.1.5.2: 16 bits that name the queue; PCI-NOTIF-01 to 06. Context:
 * any, no lock needed.
 */
void virtqueue_notify(const struct virtqueue *vq)
{
	trace_virtqueue_notify(vq, vq->index, 0);
	/* One store, without iowrite16()'s look at where it goes. */
	if (unlikely(vq->notify_other))
		virtqueue_notify_other(vq);
	else
		writew(vq->notify_id, vq->notify);
}

/**
 * virtqueue_break() - the device broke the protocol
 * @vq: the queue
 * @what: it wrote
 * @value: that it wrote
 *
 * Said once; the owner of the queue decides what becomes of it. Return: NULL,
 * which is what virtqueue_get_buf() returns from now on.
 */
void *virtqueue_break(struct virtqueue *vq, const char *what, u32 value)
{
	if (!vq->broken)
		pr_err("virtio%u: queue %u: device wrote a bad %s: %u\n",
		       vq->device, vq->index, what, value);
	vq->broken = true;
	vq->batch_left = 0;
	/* No descriptor looks used, or all that the device spoke of are taken. */
	if (vq->packed)
		vq->used_pos.lap = VRING_DESC_F_INDIRECT;
	else
		vq->used_end = vq->used_idx;
	return NULL;
}

/**
 * virtqueue_note_interrupt() - vq->callback while the interrupt is not the owner
 * @vq: the queue
 *
 * Whoever owns the completion takes what came back, and looks again before the
 * interrupt owns it again. Context: hard interrupt.
 */
irqreturn_t virtqueue_note_interrupt(struct virtqueue *vq)
{
	WRITE_ONCE(vq->missed, true);
	return IRQ_HANDLED;
}
