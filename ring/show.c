// SPDX-License-Identifier: GPL-2.0
/*
 * A ring, decoded for people. It goes on meanwhile: what is shown together need
 * not have been true at one moment. Nothing is written, and no lock is taken that
 * a request waits for; the caller keeps the memory of the ring where it is.
 */
#include <linux/seq_file.h>
#include "virtio_ring_lite.h"

/**
 * vring_show_desc() - one descriptor
 * @m: where to
 * @vq: the queue of its ring or table
 * @i: its number there
 * @desc: the descriptor
 *
 * The names of its fields and flags are those of the specification.
 */
void vring_show_desc(struct seq_file *m, const struct virtqueue *vq,
		     unsigned int i, const struct vring_desc *desc)
{
	const struct vring_packed_desc *p = (const struct vring_packed_desc *)desc;
	u16 flags, other;

	if (vq->packed) {
		flags = le16_to_cpu(READ_ONCE(p->flags));
		other = le16_to_cpu(READ_ONCE(p->id));
		seq_printf(m, "[%3u] addr %#011llx len %5u id %-5u", i,
			   le64_to_cpu(READ_ONCE(p->addr)),
			   le32_to_cpu(READ_ONCE(p->len)), other);
	} else {
		flags = vring16_cpu(vq, READ_ONCE(desc->flags));
		other = vring16_cpu(vq, READ_ONCE(desc->next));
		seq_printf(m, "[%3u] addr %#011llx len %5u next %-3u", i,
			   vring64_cpu(vq, READ_ONCE(desc->addr)),
			   vring32_cpu(vq, READ_ONCE(desc->len)), other);
	}
	seq_printf(m, "%s%s%s", flags & VRING_DESC_F_NEXT ? " NEXT" : "",
		   flags & VRING_DESC_F_WRITE ? " WRITE" : "",
		   flags & VRING_DESC_F_INDIRECT ? " INDIRECT" : "");
	if (vq->packed)
		seq_printf(m, " AVAIL=%u USED=%u",
			   !!(flags & VRING_PACKED_DESC_F_AVAIL),
			   !!(flags & VRING_PACKED_DESC_F_USED));
	seq_putc(m, '\n');
}

static void vring_show_split(struct seq_file *m, const struct virtqueue *vq)
{
	u16 avail = vring16_cpu(vq, READ_ONCE(vq->avail->idx));
	u16 used = vring16_cpu(vq, READ_ONCE(vq->used->idx));

	seq_printf(m, "avail: idx %u flags %u used_event %u\n", avail,
		   vring16_cpu(vq, READ_ONCE(vq->avail->flags)),
		   vring16_cpu(vq, READ_ONCE(*vq->used_event)));
	seq_printf(m, "used: idx %u flags %u avail_event %u\n", used,
		   vring16_cpu(vq, READ_ONCE(vq->used->flags)),
		   vring16_cpu(vq, READ_ONCE(*vq->avail_event)));
	seq_printf(m, "driver: avail_idx %u used_idx %u kicked %u\n",
		   READ_ONCE(vq->avail_idx), READ_ONCE(vq->used_idx),
		   READ_ONCE(vq->kicked_idx));
}

static void vring_show_event(struct seq_file *m, const char *name,
			     const struct vring_packed_event *event)
{
	static const char * const flags[] = { "ENABLE", "DISABLE", "DESC", "reserved" };
	u16 off_wrap = le16_to_cpu(READ_ONCE(event->off_wrap));

	seq_printf(m, "%s: %s slot %u wrap %u\n", name,
		   flags[le16_to_cpu(READ_ONCE(event->flags)) & VRING_PACKED_EVENT_FLAGS],
		   off_wrap & (VRING_PACKED_EVENT_WRAP - 1),
		   !!(off_wrap & VRING_PACKED_EVENT_WRAP));
}

static void vring_show_packed(struct seq_file *m, const struct virtqueue *vq)
{
	unsigned int avail, used;

	vring_show_event(m, "driver_event", vq->driver_event);
	vring_show_event(m, "device_event", vq->device_event);
	/* Submission goes on meanwhile. */
	avail = vq->num - data_race(vq->avail_pos.left);
	/* And so does completion. */
	used = vq->num - data_race(vq->used_pos.left);
	seq_printf(m, "driver: avail slot %u used slot %u kicked slot %u\n", avail,
		   used, READ_ONCE(vq->kicked_idx) & (VRING_PACKED_EVENT_WRAP - 1));
}

/**
 * vring_show() - what a ring is, and how far both sides are
 * @m: where to
 * @vq: the queue; its ring is not exchanged or freed meanwhile
 */
void vring_show(struct seq_file *m, const struct virtqueue *vq)
{
	unsigned int i, n = 0;

	for (i = 0; i < vq->num; i++)
		n += !!READ_ONCE(vq->token[i]);
	seq_printf(m, "ring: %s %u%s%s%s%s\n", vq->packed ? "packed" : "split",
		   vq->num, vq->indirect ? " indirect" : "",
		   vq->event_idx ? " event_idx" : "",
		   vq->in_order ? " in_order" : "",
		   vq->polled ? " polled" : "");
	if (READ_ONCE(vq->broken))
		seq_puts(m, "broken: the device broke the protocol\n");
	if (vq->packed)
		vring_show_packed(m, vq);
	else
		vring_show_split(m, vq);
	seq_printf(m, "in flight: %u\n", n);
}
