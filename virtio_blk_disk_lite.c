// SPDX-License-Identifier: GPL-2.0
/*
 * Life of a disk: from virtblk_probe(), which turns a device into vdX, to
 * virtblk_remove(), after which nothing of it is left but what is still open.
 *
 *	virtblk_probe
 *	  virtblk_read_limits	what the device says of itself
 *	  virtblk_init_queues	interrupts, rings, slots
 *	  virtblk_init_tags	one tag per slot
 *	  compat_alloc_disk	a disk that nobody sees yet
 *	  virtio_device_ready	DRIVER_OK
 *	  virtblk_add_disk	its name; partitions are read
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"
#include "trace/virtio_lite_trace.h"

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

static int virtblk_major;
static DEFINE_IDA(virtblk_index_ida);
static DEFINE_MUTEX(virtblk_name_mutex);
/* Repairs are what memory may wait for; all other works may wait for memory. */
struct workqueue_struct *virtblk_wq, *virtblk_news_wq;

/*
 * At most a queue per CPU, of either kind: more would only cost memory. One has
 * to be left for all that is not polled.
 */
static void virtblk_choose_queues(struct virtblk *vblk)
{
	unsigned int n = vblk->limits.num_queues;

	vblk->npolled = min3(poll_queues, n - 1, num_possible_cpus());
	n = min(n - vblk->npolled, num_possible_cpus());
	if (num_queues)
		n = min(n, num_queues);
	vblk->nvqs = n + vblk->npolled;
}

static irqreturn_t (*virtblk_callback(struct virtblk *vblk, unsigned int i))
		   (struct virtqueue *vq)
{
	if (i >= vblk->nvqs - vblk->npolled)
		return virtblk_done_polled;
	if (virtio_has_feature(vblk->vdev, VIRTIO_F_IN_ORDER))
		return virtblk_done_in_order;
	return virtblk_done;
}

/**
 * virtblk_ring_size() - descriptors of the smallest ring, which all keep to
 * @vblk: the disk, with its queues
 */
unsigned int virtblk_ring_size(const struct virtblk *vblk)
{
	unsigned int num = vblk->vqs[0].vq.num, i;

	for (i = 1; i < vblk->nvqs; i++)
		num = min_t(unsigned int, num, vblk->vqs[i].vq.num);
	return num;
}

/*
 * How many requests a ring takes: one per slot with INDIRECT_DESC, else as
 * many as fit with their smallest chain of header, data and status.
 */
static unsigned int virtblk_choose_depth(struct virtblk *vblk)
{
	unsigned int depth = virtblk_ring_size(vblk);

	if (!vblk->vqs[0].vq.indirect)
		depth /= VIRTBLK_EXTRA_DESC + 1;
	if (queue_depth)
		depth = min(depth, queue_depth);
	return min_t(unsigned int, depth, BLK_MQ_MAX_DEPTH);
}

/*
 * What a request can hold follows from the ring: no chain is longer than that,
 * also when indirect (SPLIT-INDIR-03). Ranges of a discard lie where further
 * descriptors would, and one descriptor covers them.
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
	desc = max_t(unsigned int, virtblk_max_chain(lim), VIRTBLK_SLOT_DESC);
	lim->max_discard_segs = min3(lim->max_discard_segs,
				     desc - VIRTBLK_PAYLOAD_DESC,
				     (u32)(lim->max_desc_len /
					   sizeof(struct virtio_blk_range)));
	return 0;
}

static void virtblk_free_all_mem(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		virtblk_free_mem(vblk, &vblk->vqs[i]);
}

static void virtblk_del_queues(struct virtblk *vblk)
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
			vvq->vq.callback = virtblk_callback(vblk, i);
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

/* Rings, and the memory that goes with their tags. */
static int virtblk_init_queues(struct virtblk *vblk)
{
	struct blk_mq_tag_set *set = &vblk->tag_set;
	int err;

	err = virtblk_find_queues(vblk);
	if (err)
		return err;
	set->queue_depth = virtblk_choose_depth(vblk);
	err = virtblk_fit_segments(vblk);

	/* Where large pieces of memory are rare, a disk with fewer tags will do. */
	while (!err && virtblk_alloc_all_mem(vblk)) {
		set->queue_depth /= 2;
		if (!set->queue_depth)
			err = -ENOMEM;
	}
	if (err) {
		virtio_err(vblk->vdev, "no queues: %d\n", err);
		virtio_reset_device(vblk->vdev);
		virtblk_del_queues(vblk);
	}
	return err;
}

static int virtblk_init_tags(struct virtblk *vblk)
{
	struct blk_mq_tag_set *set = &vblk->tag_set;

	set->ops = &virtblk_mq_ops;
	set->nr_hw_queues = vblk->nvqs;
	set->nr_maps = vblk->npolled ? HCTX_MAX_TYPES : 1;
	set->numa_node = NUMA_NO_NODE;
	set->flags = COMPAT_MQ_F_SHOULD_MERGE | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	set->cmd_size = sizeof(struct virtblk_req);
	set->driver_data = vblk;
	set->timeout = virtblk_request_timeout();
	return blk_mq_alloc_tag_set(set);
}

/* 0 is "vda", 25 "vdz", 26 "vdaa". */
static void virtblk_name(char *buf, size_t size, int index)
{
	char digits[DISK_NAME_LEN];
	char *p = &digits[sizeof(digits) - 1];

	*p = '\0';
	for (; index >= 0; index = index / 26 - 1)
		*--p = 'a' + index % 26;
	snprintf(buf, size, "vd%s", p);
}

static int virtblk_has_name(struct device *dev, const void *name)
{
	return !strcmp(dev_name(dev), name);
}

/*
 * The first name that is free, also of disks of upstream's driver. The caller
 * holds virtblk_name_mutex until the disk is added.
 */
static int virtblk_choose_name(struct virtblk *vblk)
{
	struct gendisk *disk = vblk->disk;
	struct device *taken;
	int index = -1;

	do {
		index = ida_alloc_min(&virtblk_index_ida, index + 1, GFP_KERNEL);
		if (index < 0)
			return index;
		virtblk_name(disk->disk_name, DISK_NAME_LEN, index);
		taken = class_find_device(disk_to_dev(disk)->class, NULL,
					  disk->disk_name, virtblk_has_name);
		if (taken) {
			put_device(taken);
			ida_free(&virtblk_index_ida, index);
		}
	} while (taken);

	if (index >= 1 << MINORBITS >> ilog2(VIRTBLK_MINORS)) {
		ida_free(&virtblk_index_ida, index);
		return -ENOSPC;
	}
	vblk->index = index;
	disk->first_minor = index * VIRTBLK_MINORS;
	return 0;
}

static int virtblk_add_disk(struct virtblk *vblk)
{
	struct gendisk *disk = vblk->disk;
	int err;

	disk->major = virtblk_major;
	disk->minors = VIRTBLK_MINORS;
	disk->private_data = vblk;
	disk->fops = &virtblk_fops;
	set_disk_ro(disk, vblk->limits.read_only);

	mutex_lock(&virtblk_name_mutex);
	err = virtblk_choose_name(vblk);
	if (!err) {
		vblk->limits.capacity = virtblk_read_capacity(vblk->vdev);
		virtblk_set_capacity(vblk, vblk->limits.capacity);
		err = virtblk_check_zones(vblk);
		if (!err)
			err = device_add_disk(&vblk->vdev->dev, disk,
					      virtblk_groups(vblk));
		if (err)
			ida_free(&virtblk_index_ida, vblk->index);
	}
	mutex_unlock(&virtblk_name_mutex);
	return err;
}

static int virtblk_probe(struct virtio_device *vdev)
{
	struct virtblk *vblk;
	int err;

	vblk = kzalloc_node(sizeof(*vblk), GFP_KERNEL, dev_to_node(vdev->dev.parent));
	if (!vblk)
		return -ENOMEM;
	vblk->vdev = vdev;
	mutex_init(&vblk->vdev_mutex);
	INIT_WORK(&vblk->config_work, virtblk_config_work);
	INIT_WORK(&vblk->zones_work, virtblk_zones_work);
	INIT_WORK(&vblk->cache_work, virtblk_cache_work);
	INIT_WORK(&vblk->recover_work, virtblk_recover_work);
	dev_set_drvdata(&vdev->dev, vblk);

	err = virtblk_read_limits(vdev, &vblk->limits);
	if (err)
		goto err_limits;
	err = virtblk_init_queues(vblk);
	if (err)
		goto err_limits;
	trace_virtblk_probe(vdev, vblk->nvqs);
	err = virtblk_init_tags(vblk);
	if (err)
		goto err_tags;
	vblk->disk = compat_alloc_disk(&vblk->tag_set, &vblk->limits, vblk);
	if (IS_ERR(vblk->disk)) {
		err = PTR_ERR(vblk->disk);
		virtio_err(vdev, "the block layer refuses the disk: %d\n", err);
		goto err_disk;
	}

	/* Adding the disk reads its partitions, so the device has to work. */
	virtio_device_ready(vdev);
	virtblk_go_live(vblk);
	err = virtblk_add_disk(vblk);
	if (err)
		goto err_add;
	WRITE_ONCE(vblk->added, true);
	virtblk_hear_config(vblk);
	virtio_info(vdev, "%s: %s disk of %llu sectors, %u %s of %u requests\n",
		    vblk->disk->disk_name, vdev->legacy ? "legacy" : "modern",
		    get_capacity(vblk->disk), vblk->nvqs,
		    vblk->nvqs > 1 ? "queues" : "queue",
		    vblk->tag_set.queue_depth);
	return 0;

err_add:
	/* Reading zones may have found the device in need of repair. */
	WRITE_ONCE(vblk->removing, true);
	virtblk_retire(vblk);
	virtio_reset_device(vdev);
	vdev->transport->sync_irqs(vdev);
	put_disk(vblk->disk);
err_disk:
	blk_mq_free_tag_set(&vblk->tag_set);
err_tags:
	virtio_reset_device(vdev);
	virtblk_del_queues(vblk);
err_limits:
	kfree(vblk);
	return err;
}

/* Whoever had the disk open may outlive the device; this frees the rest. */
void virtblk_free_disk(struct gendisk *disk)
{
	struct virtblk *vblk = disk->private_data;

	ida_free(&virtblk_index_ida, vblk->index);
	mutex_destroy(&vblk->vdev_mutex);
	kfree(vblk);
}

static void virtblk_remove(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	/* The disk goes: no news of its size or cache may come in between. */
	WRITE_ONCE(vblk->removing, true);
	virtio_config_disable(vdev);
	cancel_work_sync(&vblk->config_work);

	/* Who paused it for a reset from outside did not get that. */
	virtblk_resume(vdev, -ENODEV);
	/* A device that is gone finishes nothing: do not wait for it. */
	if (vdev->regs->get_status(vdev) == VIRTIO_S_GONE)
		virtblk_kill(vblk);
	cancel_work_sync(&vblk->zones_work);
	cancel_work_sync(&vblk->cache_work);
	del_gendisk(vblk->disk);
	virtblk_retire(vblk);

	mutex_lock(&vblk->vdev_mutex);
	virtio_reset_device(vdev);
	vdev->transport->sync_irqs(vdev);
	blk_mq_free_tag_set(&vblk->tag_set);
	virtblk_del_queues(vblk);
	/* Who still has the disk open finds no device any more. */
	vblk->vdev = NULL;
	mutex_unlock(&vblk->vdev_mutex);
	put_disk(vblk->disk);
}

/* The machine goes down or boots another kernel: stop the device's DMA. */
static void virtblk_shutdown(struct virtio_device *vdev)
{
	/* For ever: nobody may take the device up again. */
	virtblk_pause(vdev);
}

static struct virtio_driver virtblk_driver = {
	.driver.name = "virtio_blk_lite",
	.device = VIRTIO_ID_BLOCK,
	.may_change = VIRTIO_BIT(BLK_RO),
	.accept = virtblk_accept,
	.probe = virtblk_probe,
	.remove = virtblk_remove,
	.config_changed = virtblk_config_changed,
	.shutdown = virtblk_shutdown,
	.freeze = virtblk_freeze,
	.restore = virtblk_restore,
	.pause = virtblk_pause,
	.resume = virtblk_resume,
};

int virtio_blk_register(void)
{
	int err;

	virtblk_wq = alloc_workqueue("virtio_lite", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!virtblk_wq)
		return -ENOMEM;
	virtblk_news_wq = alloc_workqueue("virtio_lite_news", WQ_UNBOUND, 0);
	if (!virtblk_news_wq) {
		err = -ENOMEM;
		goto err_news;
	}
	virtblk_major = register_blkdev(0, "virtblk_lite");
	if (virtblk_major < 0) {
		err = virtblk_major;
		goto err_major;
	}
	err = register_virtio_driver(&virtblk_driver);
	if (err)
		goto err_driver;
	return 0;

err_driver:
	unregister_blkdev(virtblk_major, "virtblk_lite");
err_major:
	destroy_workqueue(virtblk_news_wq);
err_news:
	destroy_workqueue(virtblk_wq);
	return err;
}

void virtio_blk_unregister(void)
{
	unregister_virtio_driver(&virtblk_driver);
	unregister_blkdev(virtblk_major, "virtblk_lite");
	destroy_workqueue(virtblk_news_wq);
	destroy_workqueue(virtblk_wq);
	ida_destroy(&virtblk_index_ida);
}
