// SPDX-License-Identifier: GPL-2.0
/*
 * The disk driver: virtblk_probe() makes a disk, vdX, of a device, and
 * virtblk_remove() removes it; only data of a disk that is still open stays.
 *
 *	virtblk_probe
 *	  virtblk_read_limits	reads and validates the config
 *	  virtblk_init_queues	allocates interrupts, rings, slots
 *	  virtblk_init_tags	allocates a tag per slot
 *	  virtblk_init_disk	allocates the disk, chooses its name
 *	  virtio_device_ready	sets DRIVER_OK
 *	  virtblk_add_disk	adds the disk; the kernel reads its partitions
 *
 * The rest is in blk/:
 *
 *	submit.c	submission of requests; a queue without room waits
 *	add.c		requests that need more than their slot: many segments,
 *			ranges, mapped data
 *	command.c	rare requests: secure erase, queries, zones
 *	mem.c		memory of requests: slots, pools of long tables
 *	borrow.c	what a request borrows of it: a long table, mappings of its data
 *	complete.c	completion of requests
 *	queues.c	number and depth of queues, and which CPU uses which
 *	limits.c	the device's configuration, read and validated
 *	config.c	what follows a change of the configuration: size, read-only
 *	cache.c		the write cache
 *	zoned.c		zones
 *	debugfs.c	counts requests while somebody looks; shows rings
 *	attrs.c		attributes in sysfs, unique id, geometry
 *	name.c		the name of the disk
 *	log.c		messages, with the name of the disk
 *	state.c		the state of a disk, so who may use the device; how a
 *			recovery starts and ends
 *	reset.c		how the device or a queue is reset and reinitialised
 *	recover.c	recovery: is a queue reset, the device, or is the disk dead?
 *	timeout.c	late requests: when, and what is done with them
 *	evidence.c	is a late request lost or slow?
 *	resize.c	resizing of the rings
 *	power.c		removal, sleep, shutdown, resets from outside of the driver
 */
#include <linux/hdreg.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "blk/attrs.h"
#include "blk/cache.h"
#include "blk/complete.h"
#include "blk/config.h"
#include "blk/debugfs.h"
#include "blk/evidence.h"
#include "blk/limits.h"
#include "blk/log.h"
#include "blk/mem.h"
#include "blk/name.h"
#include "blk/power.h"
#include "blk/queues.h"
#include "blk/recover.h"
#include "blk/reset.h"
#include "blk/state.h"
#include "blk/submit.h"
#include "blk/timeout.h"
#include "blk/zoned.h"
#include "compat/blk.h"
#include "trace/virtio_lite_trace.h"

/* Probe waits for the disk unless the device is silent for so long. */
#define ADD_SILENCE		HZ

static const struct blk_mq_ops virtblk_mq_ops = {
	.queue_rq = virtio_queue_rq,
	.queue_rqs = virtio_queue_rqs,
	.commit_rqs = virtio_commit_rqs,
	.complete = virtblk_request_done,
	.timeout = virtblk_timeout,
	.poll = virtblk_poll,
	.init_hctx = virtblk_init_hctx,
	.map_queues = virtblk_map_queues,
};

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
	/* One slot is for checks, if enough others are left; see blk/evidence.c. */
	set->queue_depth = vblk->nslots - (vblk->nslots > 2);
	set->timeout = virtblk_request_timeout();
	return blk_mq_alloc_tag_set(set);
}

static void virtblk_free(struct virtblk *vblk)
{
	virtblk_free_name(vblk);
	mutex_destroy(&vblk->rings_mutex);
	mutex_destroy(&vblk->vdev_mutex);
	kfree(vblk);
}

/* ->free_disk: a disk may stay open after its device was removed. */
static void virtblk_free_disk(struct gendisk *disk)
{
	virtblk_free(disk->private_data);
}

#ifdef COMPAT_HAVE_ZONED
COMPAT_DEFINE_REPORT_ZONES(virtblk_report_zones_op, virtblk_report_zones)
#endif

static const struct block_device_operations virtblk_fops = {
	.owner = THIS_MODULE,
	.getgeo = virtblk_getgeo,
	.get_unique_id = virtblk_get_unique_id,
#ifdef COMPAT_HAVE_ZONED
	.report_zones = virtblk_report_zones_op,
#endif
	.free_disk = virtblk_free_disk,
};

static int virtblk_add_disk(struct virtblk *vblk)
{
	struct gendisk *disk = vblk->disk;
	int err;

	virtblk_set_capacity(vblk, vblk->limits.capacity);
	err = virtblk_check_zones(vblk);
	if (err)
		return err;
	err = device_add_disk(&vblk->vdev->dev, disk, virtblk_groups(vblk));
	if (err)
		return err;
	WRITE_ONCE(vblk->added, true);
	return READ_ONCE(vblk->state) == VIRTBLK_DEAD ? -EIO : 0;
}

/*
 * Adding a disk reads its partitions, and a device may never answer. This is a
 * work, so that neither the probe of other devices nor an unbind waits for it.
 */
static void virtblk_add_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, add_work);
	struct virtio_device *vdev = vblk->vdev;
	struct gendisk *disk = vblk->disk;

	vblk->add_err = virtblk_add_disk(vblk);
	if (vblk->add_err) {
		virtblk_err(vblk, "the disk cannot be added: %d\n",
			    vblk->add_err);
	} else {
		virtblk_link_errors(vblk);
		virtblk_enable_events(vblk);
		virtblk_info(vblk, "%s disk of %llu sectors, %u %s of %u requests\n",
			     vdev->legacy ? "legacy" : "modern",
			     get_capacity(disk), vblk->nvqs,
			     vblk->nvqs > 1 ? "queues" : "queue", vblk->nslots);
	}
	complete(&vblk->add_done);
}

/* Returns the result of add_work, or 0 if that is still running. */
static int virtblk_wait_added(struct virtblk *vblk)
{
	u32 before, reaps = virtblk_count_reaps(vblk);

	while (!wait_for_completion_timeout(&vblk->add_done, ADD_SILENCE)) {
		before = reaps;
		reaps = virtblk_count_reaps(vblk);
		if (reaps != before)
			continue;
		virtblk_warn(vblk, "the device does not answer yet: its disk comes later\n");
		return 0;
	}
	return vblk->add_err;
}

static int virtblk_init_disk(struct virtblk *vblk)
{
	struct gendisk *disk;
	int err;

	disk = compat_alloc_disk(&vblk->tag_set, &vblk->limits, vblk);
	if (IS_ERR(disk)) {
		virtio_err(vblk->vdev, "the block layer refuses the disk: %ld\n",
			   PTR_ERR(disk));
		return PTR_ERR(disk);
	}
	vblk->disk = disk;
	disk->private_data = vblk;
	disk->fops = &virtblk_fops;
	set_disk_ro(disk, vblk->limits.read_only);
	err = virtblk_alloc_evidence(vblk);
	if (!err)
		err = virtblk_choose_name(vblk);
	if (err) {
		virtblk_free_evidence(vblk);
		put_disk(disk);
	}
	return err;
}

/*
 * Undo all of probe. add_work has ended, and no config change starts another
 * work. If the disk was added, its last user frees it.
 */
static void virtblk_del_disk(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	bool added = vblk->added;

	virtblk_del_debugfs(vblk);
	cancel_work_sync(&vblk->disk_work);
	cancel_work_sync(&vblk->cache_work);
	if (added)
		del_gendisk(vblk->disk);
	/* It may have waited for a tag all the time. */
	cancel_work_sync(&vblk->flush_work);
	virtblk_disable_recovery(vblk);
	/* A recovery that began while the queue was frozen may have started it. */
	cancel_delayed_work_sync(&vblk->disk->queue->requeue_work);

	mutex_lock(&vblk->vdev_mutex);
	virtio_reset_device(vdev);
	/* An interrupt, or a timer, that comes now would still reap a check. */
	virtblk_hold_completions(vblk);
	if (!added)
		put_disk(vblk->disk);
	virtblk_free_evidence(vblk);
	blk_mq_free_tag_set(&vblk->tag_set);
	virtblk_del_queues(vblk);
	/* A task that has the disk open must not use the device any more. */
	vblk->vdev = NULL;
	mutex_unlock(&vblk->vdev_mutex);
	if (added)
		put_disk(vblk->disk);
	else
		virtblk_free(vblk);
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
	mutex_init(&vblk->rings_mutex);
	INIT_WORK(&vblk->config_work, virtblk_config_work);
	INIT_WORK(&vblk->disk_work, virtblk_disk_work);
	INIT_WORK(&vblk->cache_work, virtblk_cache_work);
	INIT_WORK(&vblk->pools_work, virtblk_pools_work);
	INIT_WORK(&vblk->recover_work, virtblk_recover_work);
	INIT_WORK(&vblk->flush_work, virtblk_flush_work);
	INIT_WORK(&vblk->add_work, virtblk_add_work);
	init_completion(&vblk->add_done);
	init_waitqueue_head(&vblk->flush_wait);
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
	err = virtblk_init_disk(vblk);
	if (err)
		goto err_disk;

	virtblk_add_debugfs(vblk);
	/* Adding the disk reads its partitions, so DRIVER_OK comes first. */
	virtio_device_ready(vdev);
	/*
	 * From here on a change of it is reported. Once the disk is live the device
	 * may be reset, and whoever does that has its registers alone.
	 */
	vblk->limits.capacity = virtblk_read_capacity(vdev);
	virtblk_set_live(vblk);
	queue_work(system_unbound_wq, &vblk->add_work);
	err = virtblk_wait_added(vblk);
	if (err)
		goto err_add;
	return 0;

err_add:
	WRITE_ONCE(vblk->removing, true);
	flush_work(&vblk->add_work);
	virtio_config_disable(vdev);
	cancel_work_sync(&vblk->config_work);
	virtblk_del_disk(vblk);
	return err;
err_disk:
	blk_mq_free_tag_set(&vblk->tag_set);
err_tags:
	virtio_reset_device(vdev);
	virtblk_del_queues(vblk);
err_limits:
	kfree(vblk);
	return err;
}

static void virtblk_remove(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	/* No event may change the size or the cache mode of the disk any more. */
	WRITE_ONCE(vblk->removing, true);
	/* A reset from outside may have paused the disk, and never finished. */
	virtblk_reset_done(vdev, -ENODEV);
	/* A device that is gone completes no request: do not wait for any. */
	if (vdev->regs->get_status(vdev) == VIRTIO_S_GONE)
		virtblk_fail_all(vblk);
	flush_work(&vblk->add_work);
	virtio_config_disable(vdev);
	cancel_work_sync(&vblk->config_work);
	virtblk_del_disk(vblk);
}

static struct virtio_driver virtblk_driver = {
	.driver.name = "virtio_blk_lite",
	.device = VIRTIO_ID_BLOCK,
	.transitional = VIRTIO_PCI_TRANSITIONAL_BLOCK,
	.config_len = VIRTIO_BLK_CFG_MIN_LEN,
	.features = VIRTIO_DEVICE_FEATURES,
	.may_change = VIRTIO_BIT(BLK_RO),
	.accept = virtblk_accept,
	.probe = virtblk_probe,
	.remove = virtblk_remove,
	.config_changed = virtblk_config_changed,
	.shutdown = virtblk_shutdown,
	.freeze = virtblk_freeze,
	.restore = virtblk_restore,
	.reset_prepare = virtblk_reset_prepare,
	.reset_done = virtblk_reset_done,
};

int __init virtio_blk_register(void)
{
	int err;

	err = virtblk_init_state();
	if (err)
		return err;
	err = virtblk_init_events();
	if (err)
		goto err_events;
	err = virtblk_init_names();
	if (err)
		goto err_names;
	virtblk_init_debugfs();
	err = register_virtio_driver(&virtblk_driver);
	if (err)
		goto err_driver;
	return 0;

err_driver:
	virtblk_exit_debugfs();
	virtblk_exit_names();
err_names:
	virtblk_exit_events();
err_events:
	virtblk_exit_state();
	return err;
}

void virtio_blk_unregister(void)
{
	unregister_virtio_driver(&virtblk_driver);
	virtblk_exit_debugfs();
	virtblk_exit_names();
	virtblk_exit_events();
	virtblk_exit_state();
}
