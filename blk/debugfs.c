// SPDX-License-Identifier: GPL-2.0
/*
 * What a disk does, for people:
 *
 *	/sys/kernel/debug/virtio_lite/virtio0/queue0	the ring, and what is in flight
 *	/sys/kernel/debug/virtio_lite/virtio0/counters	counts since it was opened
 *
 * To look at a queue takes no lock that a request waits for, and works while the
 * device is silent, too. Reading is all that can be done.
 *
 * Counting costs a request nothing while nobody looks: the counters are filled by
 * the tracepoints, which are off until the file is opened. To see them every
 * second, keep it open: at its end it starts anew.
 *
 *	( while cat; do sleep 1; done ) </sys/kernel/debug/virtio_lite/virtio0/counters
 */
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "blk/borrow.h"
#include "blk/debugfs.h"
#include "trace/virtio_lite_trace.h"

static struct dentry *virtblk_debugfs;

/* -- a queue --------------------------------------------------------------- */

static const char *virtblk_type_name(u32 type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "IN";
	case VIRTIO_BLK_T_OUT:
		return "OUT";
	case VIRTIO_BLK_T_FLUSH:
		return "FLUSH";
	case VIRTIO_BLK_T_DISCARD:
		return "DISCARD";
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return "WRITE_ZEROES";
	default:
		return "other";
	}
}

/* The table of a request, and how many descriptors it may have. */
static const struct vring_desc *virtblk_table(struct virtblk_vq *vvq,
					      const struct request *rq, int tag,
					      unsigned int *most)
{
	const struct virtblk_req *vbr = blk_mq_rq_to_pdu((struct request *)rq);
	unsigned int table = READ_ONCE(vbr->table), blocks = READ_ONCE(vbr->blocks);

	if (!blocks) {
		*most = VIRTBLK_SLOT_DESC;
		return vvq->slots[tag].table;
	}
	/* The request may be another one by now. */
	return virtblk_peek_table(vvq, table, blocks, most);
}

/* Descriptors up to the status byte, which only the last one may cover. */
static void virtblk_show_table(struct seq_file *m, struct virtblk_vq *vvq,
			       const struct request *rq, int tag)
{
	dma_addr_t status = vvq->slots_dma + tag * sizeof(struct virtblk_slot) +
			    offsetof(struct virtblk_slot, status);
	const struct virtqueue *vq = &vvq->vq;
	const struct vring_desc *table;
	unsigned int i, most;

	table = virtblk_table(vvq, rq, tag, &most);
	for (i = 0; i < most; i++) {
		seq_puts(m, "    ");
		vring_show_desc(m, vq, i, &table[i]);
		/* The address is at the same place in both formats. */
		if (vring64_cpu(vq, READ_ONCE(table[i].addr)) == status)
			break;
	}
}

static void virtblk_show_request(struct seq_file *m, struct virtblk_vq *vvq,
				 unsigned int head, const struct request *rq)
{
	const struct virtqueue *vq = &vvq->vq;
	/* It may come back meanwhile, and has no tag then. */
	int tag = READ_ONCE(rq->tag);
	const struct virtblk_slot *slot;
	u32 type;

	if (tag < 0 || tag >= vvq->vblk->nslots)
		return;
	slot = &vvq->slots[tag];
	type = vring32_cpu(vq, READ_ONCE(slot->header.type));
	seq_printf(m, "  head %u tag %d: %s (%u) sector %llu status %#04x\n", head,
		   tag, virtblk_type_name(type), type,
		   vring64_cpu(vq, READ_ONCE(slot->header.sector)),
		   READ_ONCE(slot->status));
	virtblk_show_table(m, vvq, rq, tag);
}

static int queue_show(struct seq_file *m, void *unused)
{
	struct virtblk_vq *vvq = m->private;
	struct percpu_ref *queue = &vvq->vblk->disk->queue->q_usage_counter;
	/* Without it no request is in flight, and a scheduler may free them all. */
	bool held = percpu_ref_tryget(queue);
	const struct virtqueue *vq = &vvq->vq;
	const struct request *rq;
	unsigned int i;

	/* A resize frees a ring after it was exchanged; nothing else does. */
	mutex_lock(&vvq->vblk->rings_mutex);
	vring_show(m, vq);
	for (i = 0; held && i < vq->num; i++) {
		rq = READ_ONCE(vq->token[i]);
		if (rq)
			virtblk_show_request(m, vvq, i, rq);
	}
	mutex_unlock(&vvq->vblk->rings_mutex);
	if (held)
		percpu_ref_put(queue);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(queue);

/* -- counters -------------------------------------------------------------- */

/* Requests that came back with one interrupt, as a power of 2. */
#define BATCHES		12
/* Microseconds that a request took, as a power of 2. */
#define LATENCIES	32

/**
 * struct virtblk_counters - counts of a queue since the file was opened
 * @requests: made available to the device
 * @decisions: whether it needs a kick for them
 * @kicks: of these, it did
 * @interrupts: came
 * @completions: requests that came back
 * @batch: of these, since the last interrupt
 * @batches: interrupts by the requests that came back with them
 * @latencies: requests by the time from virtqueue_add() to virtblk_complete()
 * @started: when each tag was made available, in nanoseconds; 0 if before
 *
 * The first three are written under the submission lock, the others by the owner
 * of the completion. Whoever reads them may be late by a request.
 */
struct virtblk_counters {
	unsigned long requests;
	unsigned long decisions;
	unsigned long kicks;
	unsigned long interrupts;
	unsigned long completions;
	unsigned long batch;
	unsigned long batches[BATCHES];
	unsigned long latencies[LATENCIES];
	u64 *started;
};

/**
 * struct virtblk_watch - a counters file that is open
 * @vqs: queues of the disk; only compared, for the disk may be gone
 * @nvqs: how many
 * @depth: tags of each
 * @began: when it was opened
 * @queues: counts of each queue
 * @started: memory of all their started
 */
struct virtblk_watch {
	const struct virtblk_vq *vqs;
	unsigned int nvqs;
	unsigned int depth;
	ktime_t began;
	u64 *started;
	struct virtblk_counters queues[];
};

/* The tracepoints tell of all queues, also of those of other drivers. */
static struct virtblk_counters *virtblk_watched(struct virtblk_watch *watch,
						const struct virtqueue *vq)
{
	unsigned int i = vq->index;

	return i < watch->nvqs && vq == &watch->vqs[i].vq ? &watch->queues[i] : NULL;
}

static void virtblk_saw_queue_rq(void *data, const struct virtqueue *vq,
				 const struct request *rq, unsigned int descs,
				 u8 status)
{
	struct virtblk_watch *watch = data;
	struct virtblk_counters *c = virtblk_watched(watch, vq);

	if (!c)
		return;
	WRITE_ONCE(c->requests, c->requests + 1);
	if (rq->tag >= 0 && rq->tag < watch->depth)
		WRITE_ONCE(c->started[rq->tag], ktime_get_ns());
}

static void virtblk_saw_kick(void *data, const struct virtqueue *vq,
			     unsigned int avail, bool kick)
{
	struct virtblk_counters *c = virtblk_watched(data, vq);

	if (!c)
		return;
	WRITE_ONCE(c->decisions, c->decisions + 1);
	if (kick)
		WRITE_ONCE(c->kicks, c->kicks + 1);
}

static void virtblk_count_batch(struct virtblk_counters *c)
{
	unsigned int i;

	if (!c->batch)
		return;
	i = min_t(unsigned int, ilog2(c->batch), BATCHES - 1);
	WRITE_ONCE(c->batches[i], c->batches[i] + 1);
	WRITE_ONCE(c->batch, 0);
}

static void virtblk_saw_interrupt(void *data, const struct virtqueue *vq,
				  int irq, bool shared)
{
	struct virtblk_counters *c = virtblk_watched(data, vq);

	if (!c)
		return;
	virtblk_count_batch(c);
	WRITE_ONCE(c->interrupts, c->interrupts + 1);
}

static void virtblk_saw_complete(void *data, const struct virtqueue *vq,
				 const struct request *rq, unsigned int descs,
				 u8 status)
{
	struct virtblk_watch *watch = data;
	struct virtblk_counters *c = virtblk_watched(watch, vq);
	unsigned int i;
	u64 us;

	if (!c)
		return;
	WRITE_ONCE(c->completions, c->completions + 1);
	WRITE_ONCE(c->batch, c->batch + 1);
	if (rq->tag < 0 || rq->tag >= watch->depth || !READ_ONCE(c->started[rq->tag]))
		return;
	us = div_u64(ktime_get_ns() - c->started[rq->tag], NSEC_PER_USEC);
	i = us ? min_t(unsigned int, ilog2(us), LATENCIES - 1) : 0;
	WRITE_ONCE(c->latencies[i], c->latencies[i] + 1);
}

static int virtblk_watch(struct virtblk_watch *watch)
{
	int err;

	err = register_trace_virtblk_queue_rq(virtblk_saw_queue_rq, watch);
	if (err)
		return err;
	err = register_trace_virtqueue_kick(virtblk_saw_kick, watch);
	if (err)
		goto err_kick;
	err = register_trace_vp_interrupt(virtblk_saw_interrupt, watch);
	if (err)
		goto err_interrupt;
	err = register_trace_virtblk_complete(virtblk_saw_complete, watch);
	if (err)
		goto err_complete;
	return 0;

err_complete:
	unregister_trace_vp_interrupt(virtblk_saw_interrupt, watch);
err_interrupt:
	unregister_trace_virtqueue_kick(virtblk_saw_kick, watch);
err_kick:
	unregister_trace_virtblk_queue_rq(virtblk_saw_queue_rq, watch);
	tracepoint_synchronize_unregister();
	return err;
}

static void virtblk_unwatch(struct virtblk_watch *watch)
{
	unregister_trace_virtblk_complete(virtblk_saw_complete, watch);
	unregister_trace_vp_interrupt(virtblk_saw_interrupt, watch);
	unregister_trace_virtqueue_kick(virtblk_saw_kick, watch);
	unregister_trace_virtblk_queue_rq(virtblk_saw_queue_rq, watch);
	tracepoint_synchronize_unregister();
}

static struct virtblk_watch *virtblk_alloc_watch(const struct virtblk *vblk)
{
	struct virtblk_watch *watch;
	unsigned int i;

	watch = kvzalloc(struct_size(watch, queues, vblk->nvqs), GFP_KERNEL);
	if (!watch)
		return NULL;
	watch->vqs = vblk->vqs;
	watch->nvqs = vblk->nvqs;
	watch->depth = vblk->nslots;
	watch->began = ktime_get();
	watch->started = kvcalloc(watch->nvqs, watch->depth * sizeof(u64), GFP_KERNEL);
	if (!watch->started) {
		kvfree(watch);
		return NULL;
	}
	for (i = 0; i < watch->nvqs; i++)
		watch->queues[i].started = watch->started + i * watch->depth;
	return watch;
}

static void virtblk_free_watch(struct virtblk_watch *watch)
{
	kvfree(watch->started);
	kvfree(watch);
}

static void counters_row(struct seq_file *m, const char *name, size_t off)
{
	struct virtblk_watch *watch = m->private;
	unsigned int i;

	seq_printf(m, "%-20s", name);
	for (i = 0; i < watch->nvqs; i++) {
		unsigned long *n = (void *)&watch->queues[i] + off;

		seq_printf(m, " %10lu", READ_ONCE(*n));
	}
	seq_putc(m, '\n');
}

static bool counters_any(const struct virtblk_watch *watch, size_t off)
{
	unsigned int i;

	for (i = 0; i < watch->nvqs; i++) {
		if (READ_ONCE(*(unsigned long *)((void *)&watch->queues[i] + off)))
			return true;
	}
	return false;
}

/* Rows of a histogram, without those that are 0 for all queues. */
static void counters_histogram(struct seq_file *m, const char *name, size_t off,
			       unsigned int n)
{
	char label[32];
	unsigned int i;

	for (i = 0; i < n; i++, off += sizeof(unsigned long)) {
		if (!counters_any(m->private, off))
			continue;
		snprintf(label, sizeof(label), "%s %llu-%llu", name,
			 i ? BIT_ULL(i) : 0, BIT_ULL(i + 1) - 1);
		counters_row(m, label, off);
	}
}

#define COUNTERS(field)	offsetof(struct virtblk_counters, field)

static int counters_show(struct seq_file *m, void *unused)
{
	struct virtblk_watch *watch = m->private;
	unsigned int i;

	seq_printf(m, "milliseconds         %10lld\n%-20s",
		   ktime_ms_delta(ktime_get(), watch->began), "queue");
	for (i = 0; i < watch->nvqs; i++)
		seq_printf(m, " %10u", i);
	seq_putc(m, '\n');
	counters_row(m, "requests", COUNTERS(requests));
	counters_row(m, "kick decisions", COUNTERS(decisions));
	counters_row(m, "kicks", COUNTERS(kicks));
	seq_printf(m, "%-20s", "kicks saved");
	for (i = 0; i < watch->nvqs; i++)
		seq_printf(m, " %10lu", READ_ONCE(watch->queues[i].requests) -
			   READ_ONCE(watch->queues[i].kicks));
	seq_putc(m, '\n');
	counters_row(m, "interrupts", COUNTERS(interrupts));
	counters_row(m, "completions", COUNTERS(completions));
	counters_histogram(m, "batch", COUNTERS(batches), BATCHES);
	counters_histogram(m, "us", COUNTERS(latencies), LATENCIES);
	return 0;
}

static int counters_open(struct inode *inode, struct file *file)
{
	struct virtblk_watch *watch = virtblk_alloc_watch(inode->i_private);
	int err;

	if (!watch)
		return -ENOMEM;
	err = single_open(file, counters_show, watch);
	if (err)
		goto err_open;
	err = virtblk_watch(watch);
	if (err)
		goto err_watch;
	return 0;

err_watch:
	single_release(inode, file);
err_open:
	virtblk_free_watch(watch);
	return err;
}

/* At the end, what is read next is the counters as they are then. */
static ssize_t counters_read(struct file *file, char __user *buf, size_t size,
			     loff_t *pos)
{
	ssize_t n = seq_read(file, buf, size, pos);

	if (!n && size)
		*pos = 0;
	return n;
}

static int counters_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;
	struct virtblk_watch *watch = m->private;

	virtblk_unwatch(watch);
	virtblk_free_watch(watch);
	return single_release(inode, file);
}

static const struct file_operations counters_fops = {
	.owner = THIS_MODULE,
	.open = counters_open,
	.read = counters_read,
	.llseek = seq_lseek,
	.release = counters_release,
};

/* -------------------------------------------------------------------------- */

/**
 * virtblk_add_debugfs() - show a disk
 * @vblk: the disk; its queues and tags are there until virtblk_del_debugfs()
 */
void virtblk_add_debugfs(struct virtblk *vblk)
{
	unsigned int i;
	char name[16];

	vblk->debugfs = debugfs_create_dir(dev_name(&vblk->vdev->dev), virtblk_debugfs);
	debugfs_create_file("counters", 0400, vblk->debugfs, vblk, &counters_fops);
	for (i = 0; i < vblk->nvqs; i++) {
		snprintf(name, sizeof(name), "queue%u", i);
		debugfs_create_file(name, 0400, vblk->debugfs, &vblk->vqs[i], &queue_fops);
	}
}

/**
 * virtblk_del_debugfs() - undo virtblk_add_debugfs()
 * @vblk: the disk
 *
 * Nobody reads its files any more when this returns.
 */
void virtblk_del_debugfs(struct virtblk *vblk)
{
	debugfs_remove(vblk->debugfs);
}

/**
 * virtblk_init_debugfs() - make the folder that disks have theirs in
 */
void __init virtblk_init_debugfs(void)
{
	virtblk_debugfs = debugfs_create_dir("virtio_lite", NULL);
}

/**
 * virtblk_exit_debugfs() - undo virtblk_init_debugfs()
 *
 * No disk is left.
 */
void virtblk_exit_debugfs(void)
{
	debugfs_remove(virtblk_debugfs);
}
