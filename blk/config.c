// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of the device's configuration: size, read-only state, cache mode. The
 * config interrupt starts config_work, which compares the config with the values
 * in use, and starts another work for what has to wait for requests.
 */
#include <linux/string_helpers.h>
#include "blk/cache.h"
#include "blk/config.h"
#include "blk/limits.h"
#include "blk/log.h"
#include "blk/state.h"
#include "blk/zoned.h"
#include "trace/virtio_lite_trace.h"

/* Freezable, because no work may use a device while the system sleeps. */
static struct workqueue_struct *virtblk_event_wq;

/**
 * virtblk_init_events() - allocate the workqueue for config changes
 *
 * Return: 0 or -ENOMEM.
 */
int __init virtblk_init_events(void)
{
	virtblk_event_wq = alloc_workqueue("virtio_lite_events",
					   WQ_UNBOUND | WQ_FREEZABLE, 0);
	return virtblk_event_wq ? 0 : -ENOMEM;
}

/**
 * virtblk_exit_events() - undo virtblk_init_events(); there is no disk any more
 */
void virtblk_exit_events(void)
{
	destroy_workqueue(virtblk_event_wq);
}

static bool virtblk_queue_event(struct work_struct *work)
{
	return queue_work(virtblk_event_wq, work);
}

/**
 * virtblk_set_capacity() - set the size of the disk in the block layer
 * @vblk: the disk
 * @capacity: size in sectors
 *
 * Context: may sleep. Calls are serialised: only probe, before the disk is
 * added, and after that disk_work call this, and removal ends both before it
 * clears vblk->vdev.
 */
void virtblk_set_capacity(struct virtblk *vblk, u64 capacity)
{
	struct gendisk *disk = vblk->disk;
	char text[10];

	if (get_capacity(disk) == capacity)
		return;
	string_get_size(capacity, SECTOR_SIZE, STRING_UNITS_2, text, sizeof(text));
	if (set_capacity_and_notify(disk, capacity))
		virtblk_info_ratelimited(vblk, "new size %llu sectors, %s\n",
					 capacity, text);
}

/*
 * Read-only is a feature bit, so it can change only with a reset. Returns true
 * if a recovery was started.
 */
static bool virtblk_follow_ro(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	bool ro = virtio_has_feature(vdev, VIRTIO_F_BLK_RO);

	if (!(vdev->regs->get_features(vdev) & VIRTIO_BIT(BLK_RO)) == !ro)
		return false;
	virtblk_recover(vblk, ro ? "the device is no longer read-only" :
			"the device has become read-only", NULL);
	return true;
}

/* Compare the config fields that may change with the values in use. */
static void virtblk_handle_config(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	u64 capacity;

	if (virtblk_follow_ro(vblk))
		return;
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_WRITE_ZEROES))
		WRITE_ONCE(vblk->limits.zeroes_unmap,
			   virtio_cread8(vdev, VIRTIO_BLK_CFG_ZEROES_UNMAP));
	capacity = virtblk_read_capacity(vdev);
	if (READ_ONCE(vblk->removing))
		return;
	if (capacity != READ_ONCE(vblk->limits.capacity) ||
	    virtio_has_feature(vdev, VIRTIO_F_BLK_RO) != vblk->limits.read_only) {
		WRITE_ONCE(vblk->limits.capacity, capacity);
		virtblk_queue_event(&vblk->disk_work);
	}
	if (virtblk_read_writeback(vdev) != vblk->limits.writeback)
		virtblk_queue_event(&vblk->cache_work);
}

/**
 * virtblk_config_work() - act on a config change
 * @work: vblk->config_work
 *
 * Context: a work of the disk. A recovery waits for it, and memory reclaim may
 * wait for the recovery: so this waits neither for requests nor for memory, and
 * leaves that to disk_work and cache_work.
 */
void virtblk_config_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, config_work);

	/* GEN-CFGCHG-I01: the same interrupt reports DEVICE_NEEDS_RESET. */
	if (virtblk_check_status(vblk) && READ_ONCE(vblk->state) == VIRTBLK_LIVE)
		virtblk_handle_config(vblk);
}

/**
 * virtblk_config_changed() - ->config_changed: start config_work
 * @vdev: the device, which raised a config interrupt
 *
 * Context: hard interrupt. Return: false if config_work is to run anyhow.
 */
bool virtblk_config_changed(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	return !READ_ONCE(vblk->removing) &&
	       virtblk_queue_event(&vblk->config_work);
}

/* A task that has the disk open can still send writes; the device fails them. */
static void virtblk_set_ro(struct virtblk *vblk)
{
	bool ro = virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_RO);

	if (ro == vblk->limits.read_only)
		return;
	vblk->limits.read_only = ro;
	set_disk_ro(vblk->disk, ro);
	virtblk_info_ratelimited(vblk, "the device made it %s\n",
				 ro ? "read-only" : "writable");
}

/**
 * virtblk_disk_work() - update size, read-only state and zones of the disk
 * @work: vblk->disk_work
 *
 * Context: a work of the disk; waits for requests and for memory, which is safe
 * because no recovery waits for this work. It is also the only one that changes
 * the size, so that the size stays the same while zones are validated.
 */
void virtblk_disk_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, disk_work);
	u64 capacity = READ_ONCE(vblk->limits.capacity);

	virtblk_set_ro(vblk);
	if (!virtblk_zones_fit(vblk, capacity))
		return;
	if (capacity != get_capacity(vblk->disk))
		trace_virtblk_config_changed(vblk->vdev, capacity);
	virtblk_set_capacity(vblk, capacity);
	virtblk_check_zones(vblk);
}
