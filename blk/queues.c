// SPDX-License-Identifier: GPL-2.0
/*
 * The queues of a disk: their number, their depth, their memory, and which CPU
 * uses which queue.
 */
#include <linux/crash_dump.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "blk/borrow.h"
#include "blk/complete.h"
#include "blk/queues.h"

static int virtblk_set_uint(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 0, VRING_MAX_SIZE);
}

static const struct kernel_param_ops virtblk_uint_ops = {
	.set = virtblk_set_uint,
	.get = param_get_uint,
};

static unsigned int num_queues;
module_param_cb(num_queues, &virtblk_uint_ops, &num_queues, 0444);
MODULE_PARM_DESC(num_queues,
		 "Most queues per disk (default: 0, as many as there are CPUs)");

static unsigned int queue_depth;
module_param_cb(queue_depth, &virtblk_uint_ops, &queue_depth, 0444);
MODULE_PARM_DESC(queue_depth,
		 "Most requests in flight per queue (default: 0, as many as its ring holds)");

static unsigned int poll_queues;
module_param_cb(poll_queues, &virtblk_uint_ops, &poll_queues, 0444);
MODULE_PARM_DESC(poll_queues,
		 "Of a disk's queues, how many have no interrupt and are polled; at least one has (default: 0)");

/*
 * Choose the number of queues: at most one per CPU with an interrupt, and one per
 * CPU that is polled, as more would only cost memory. At least one queue has an
 * interrupt, for requests that are not polled.
 */
static void virtblk_choose_queues(struct virtblk *vblk)
{
	unsigned int n = vblk->limits.num_queues;

	/* In a kdump kernel older block layers use only one queue. */
	if (is_kdump_kernel()) {
		vblk->npolled = 0;
		vblk->nvqs = 1;
		return;
	}
	vblk->npolled = min3(poll_queues, n - 1, num_possible_cpus());
	n = min(n - vblk->npolled, num_possible_cpus());
	if (num_queues)
		n = min(n, num_queues);
	vblk->nvqs = n + vblk->npolled;
}

static irqreturn_t (*virtblk_handler(struct virtblk *vblk, unsigned int i))
		   (struct virtqueue *vq)
{
	if (i >= vblk->nvqs - vblk->npolled)
		return virtblk_done_polled;
	if (virtio_has_feature(vblk->vdev, VIRTIO_F_IN_ORDER) ||
	    !virtio_has_feature(vblk->vdev, VIRTIO_F_INDIRECT_DESC))
		return virtblk_done_other;
	return virtblk_done;
}

/**
 * virtblk_ring_size() - size of the smallest ring, which the limits depend on
 * @vblk: the disk; its queues are set up
 *
 * Return: number of descriptors.
 */
unsigned int virtblk_ring_size(const struct virtblk *vblk)
{
	unsigned int num = vblk->vqs[0].vq.num, i;

	for (i = 1; i < vblk->nvqs; i++)
		num = min_t(unsigned int, num, vblk->vqs[i].vq.num);
	return num;
}

/*
 * Choose the number of requests in flight: one per ring slot with INDIRECT_DESC,
 * else as many as fit with their shortest chain of header, data and status.
 */
static unsigned int virtblk_choose_slots(struct virtblk *vblk)
{
	unsigned int depth = virtblk_ring_size(vblk);

	if (!vblk->vqs[0].vq.indirect)
		depth /= VIRTBLK_EXTRA_DESC + 1;
	if (queue_depth)
		depth = min(depth, queue_depth);
	return min_t(unsigned int, depth, BLK_MQ_MAX_DEPTH);
}

/*
 * Adapt the limits of a request to the ring: no chain is longer than the ring,
 * also when it is indirect (SPLIT-INDIR-03). The ranges of a discard take the
 * place of further descriptors in the table, and one descriptor covers them.
 */
static int virtblk_fit_segments(struct virtblk *vblk)
{
	struct virtblk_limits *lim = &vblk->limits;
	unsigned int num = virtblk_ring_size(vblk), desc;

	lim->max_segments = min(lim->max_segments,
				(num - VIRTBLK_EXTRA_DESC) /
				lim->desc_per_segment);
	if (!lim->max_segments) {
		virtio_err(vblk->vdev, "a page takes %u descriptors of %u bytes, the ring has %u\n",
			   lim->desc_per_segment, lim->max_desc_len, num);
		return -EINVAL;
	}
	desc = max_t(unsigned int, virtblk_max_chain(lim), VIRTBLK_RANGES_DESC);
	lim->max_discard_segs = min3(lim->max_discard_segs,
				     desc - VIRTBLK_PAYLOAD_DESC,
				     (u32)(lim->max_desc_len /
					   sizeof(struct virtio_blk_range)));
	return 0;
}

static void virtblk_free_all_mem(struct virtblk *vblk)
{
	unsigned int i;

	/* No request starts it any more. */
	cancel_work_sync(&vblk->pools_work);
	for (i = 0; i < vblk->nvqs; i++)
		virtblk_free_mem(vblk, &vblk->vqs[i]);
}

/**
 * virtblk_del_queues() - undo virtblk_init_queues()
 * @vblk: the disk, whose device was reset
 */
void virtblk_del_queues(struct virtblk *vblk)
{
	virtblk_free_all_mem(vblk);
	vblk->vdev->transport->del_vqs(vblk->vdev);
	kvfree(vblk->vqs);
	vblk->vqs = NULL;
}

static int virtblk_find_queues(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	struct virtqueue **vqs;
	unsigned int i;
	int err = -ENOMEM;

	virtblk_choose_queues(vblk);
	vblk->vqs = kvcalloc(vblk->nvqs, sizeof(*vblk->vqs), GFP_KERNEL);
	vqs = kcalloc(vblk->nvqs, sizeof(*vqs), GFP_KERNEL);
	if (vblk->vqs && vqs) {
		for (i = 0; i < vblk->nvqs; i++) {
			struct virtblk_vq *vvq = &vblk->vqs[i];

			spin_lock_init(&vvq->lock);
			vvq->vblk = vblk;
			spin_lock_init(&vvq->poll_lock);
			vvq->iob.complete = blk_mq_end_request_batch;
			vvq->vq.handler = virtblk_handler(vblk, i);
			vvq->vq.callback = vvq->vq.handler;
			vvq->vq.name = "req";
			vvq->vq.least = VIRTBLK_MIN_RING;
			vvq->vq.polled = i >= vblk->nvqs - vblk->npolled;
			vqs[i] = &vvq->vq;
		}
		err = vdev->transport->find_vqs(vdev, vblk->nvqs, vqs);
	}
	kfree(vqs);
	if (err) {
		kvfree(vblk->vqs);
		vblk->vqs = NULL;
	}
	return err;
}

static int virtblk_alloc_all_mem(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		if (virtblk_alloc_mem(vblk, &vblk->vqs[i],
				      virtio_queue_node(vblk->vdev, i))) {
			virtblk_free_all_mem(vblk);
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * virtblk_pools_work() - allocate one more pool for each queue that needs it
 * @work: pools_work of the disk
 *
 * Requests may wait for it, so it does not wait for requests: without memory the
 * queue does with what it has.
 */
void virtblk_pools_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, pools_work);
	unsigned int flags = memalloc_noio_save(), i;
	struct virtblk_vq *vvq;

	for (i = 0; i < vblk->nvqs; i++) {
		vvq = &vblk->vqs[i];
		if (!READ_ONCE(vvq->few_blocks))
			continue;
		WRITE_ONCE(vvq->few_blocks, false);
		if (virtblk_add_pool(vblk, vvq, virtio_queue_node(vblk->vdev, i)))
			virtblk_restart_queue(vvq);
	}
	memalloc_noio_restore(flags);
}

/**
 * virtblk_init_queues() - set up the queues and the memory of their tags
 * @vblk: the disk; its limits were read, and are adapted to the rings
 *
 * Context: may sleep. Return: 0; an error, after a message, with everything
 * undone and the device reset.
 */
int virtblk_init_queues(struct virtblk *vblk)
{
	unsigned int wanted;
	int err;

	err = virtblk_find_queues(vblk);
	if (err)
		return err;
	wanted = virtblk_choose_slots(vblk);
	vblk->nslots = wanted;
	err = virtblk_fit_segments(vblk);

	/* Where memory is fragmented, a disk gets fewer tags, which need less. */
	while (!err && virtblk_alloc_all_mem(vblk)) {
		vblk->nslots /= 2;
		if (!vblk->nslots)
			err = -ENOMEM;
	}
	if (err) {
		virtio_err(vblk->vdev, "no queues: %d\n", err);
		virtio_reset_device(vblk->vdev);
		virtblk_del_queues(vblk);
	} else if (vblk->nslots < wanted) {
		virtio_notice(vblk->vdev, "no memory for %u requests a queue: it takes %u\n",
			      wanted, vblk->nslots);
	}
	return err;
}

/**
 * virtblk_init_hctx() - ->init_hctx: connect a hardware queue to its virtqueue
 * @hctx: the hardware queue
 * @data: the disk
 * @index: index of the hardware queue and of the virtqueue
 *
 * Return: 0.
 */
int virtblk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data,
		      unsigned int index)
{
	struct virtblk *vblk = data;

	vblk->vqs[index].hctx = hctx;
	hctx->driver_data = &vblk->vqs[index];
	return 0;
}

/**
 * virtblk_map_queues() - ->map_queues: map CPUs to queues
 * @set: tag set of the disk
 *
 * A CPU uses the queue whose interrupt is bound to it; polled queues are spread
 * over all CPUs.
 */
void virtblk_map_queues(struct blk_mq_tag_set *set)
{
	struct blk_mq_queue_map *map = &set->map[HCTX_TYPE_DEFAULT];
	struct blk_mq_queue_map *poll = &set->map[HCTX_TYPE_POLL];
	struct virtblk *vblk = set->driver_data;
	struct virtio_device *vdev = vblk->vdev;
	const struct cpumask *mask;
	unsigned int i, cpu;

	map->nr_queues = vblk->nvqs - vblk->npolled;
	if (vblk->npolled) {
		/* Reads use the same queues as writes. */
		set->map[HCTX_TYPE_READ].nr_queues = 0;
		poll->nr_queues = vblk->npolled;
		poll->queue_offset = map->nr_queues;
		blk_mq_map_queues(poll);
	}
	blk_mq_map_queues(map);
	for (i = 0; i < map->nr_queues; i++) {
		mask = vdev->transport->queue_affinity(vdev, i);
		if (!mask)
			return;
		for_each_cpu(cpu, mask)
			map->mq_map[cpu] = map->queue_offset + i;
	}
}

/**
 * virtblk_queues_need_cpus() - has a queue requests that keep its CPUs online
 * @vblk: the disk
 *
 * The last CPU of a queue goes offline only when each request of the queue has
 * ended, also those that wait for the scheduler. Return: true if a queue with
 * requests loses its CPUs when all but one go offline.
 */
bool virtblk_queues_need_cpus(const struct virtblk *vblk)
{
	unsigned int i, last = cpumask_first(cpu_online_mask);
	const struct blk_mq_hw_ctx *hctx;
	struct blk_mq_tags *tags;

	for (i = 0; i < vblk->nvqs; i++) {
		hctx = vblk->vqs[i].hctx;
		if (!hctx || cpumask_test_cpu(last, hctx->cpumask) ||
		    !cpumask_intersects(hctx->cpumask, cpu_online_mask))
			continue;
		tags = hctx->sched_tags ?: hctx->tags;
		if (tags && sbitmap_any_bit_set(&tags->bitmap_tags.sb))
			return true;
	}
	return false;
}
