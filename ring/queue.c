// SPDX-License-Identifier: GPL-2.0
/*
 * What both ring formats need: notifications, protocol errors of the device, and
 * the tracepoints of inline functions.
 */
#include <linux/kernel.h>
#include "virtio_export.h"
#include "virtio_queue.h"
#include "trace/virtio_lite_trace.h"

/**
 * virtqueue_trace_add() - the tracepoint of virtqueue_add()
 * @vq: the queue
 * @head: head of the buffer
 * @n: number of its descriptors
 */
void virtqueue_trace_add(const struct virtqueue *vq, u16 head, unsigned int n)
{
	trace_virtqueue_add(vq, head, n);
}

/**
 * virtqueue_trace_kick() - the tracepoint of virtqueue_kick_prepare()
 * @vq: the queue
 * @idx: the next index or slot that the driver will fill
 * @kick: the device needs a kick
 */
void virtqueue_trace_kick(const struct virtqueue *vq, u16 idx, bool kick)
{
	trace_virtqueue_kick(vq, idx, kick);
}

/**
 * virtqueue_trace_notify() - the tracepoint of virtqueue_notify()
 * @vq: the queue
 */
void virtqueue_trace_notify(const struct virtqueue *vq)
{
	trace_virtqueue_notify(vq);
}
EXPORT_SYMBOL_LITE(virtqueue_trace_notify);

/**
 * virtqueue_notify_other() - virtqueue_notify() if @notify_other is set
 * @vq: the queue
 *
 * Section 4.1.5.2: a kick that writes to a port, or also the next position.
 */
void virtqueue_notify_other(const struct virtqueue *vq)
{
	if (vq->notify_data)
		iowrite32(virtqueue_notify_value(vq), vq->notify);
	else
		iowrite16(vq->notify_id, vq->notify);
}
EXPORT_SYMBOL_LITE(virtqueue_notify_other);

/**
 * virtqueue_break() - report that the device broke the protocol
 * @vq: the queue
 * @what: name of the field that the device wrote
 * @value: the value that it wrote
 *
 * The error is logged once, until vring_reset(). The driver of the device decides
 * what to do about it. Return: NULL, as virtqueue_get_buf() does from now on.
 */
void *virtqueue_break(struct virtqueue *vq, const char *what, u32 value)
{
	if (!vq->broken)
		pr_err_ratelimited("virtio%u: queue %u: device wrote a bad %s: %u\n",
				   vq->device, vq->index, what, value);
	vq->broken = true;
	vq->batch_left = 0;
	/* From now on virtqueue_get_buf() finds no used buffer. */
	if (vq->packed)
		vq->used_pos.lap = VRING_DESC_F_INDIRECT;
	else
		vq->used_end = vq->used_idx;
	return NULL;
}
EXPORT_SYMBOL_LITE(virtqueue_break);

/**
 * virtqueue_note_interrupt() - vq->callback while a task owns the completion
 * @vq: the queue
 *
 * The task reaps the used buffers, and rechecks @vq->missed before it gives the
 * completion back to the interrupt. Context: hard interrupt. Return: IRQ_NONE if an
 * interrupt was noted before.
 */
irqreturn_t virtqueue_note_interrupt(struct virtqueue *vq)
{
	if (READ_ONCE(vq->missed))
		return IRQ_NONE;
	WRITE_ONCE(vq->missed, true);
	return IRQ_HANDLED;
}
