// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of the device's configuration: its size, whether it is read-only, and
 * how it caches. The interrupt starts a work, and that starts others, for what
 * has to wait for requests.
 */
#include <linux/sched/mm.h>
#include <linux/string_helpers.h>
#include "blk/cache.h"
#include "blk/config.h"
#include "blk/limits.h"
#include "blk/state.h"
#include "blk/zoned.h"
#include "trace/virtio_lite_trace.h"

/* These works may wait for memory, unlike a recovery. */
static struct workqueue_struct *virtblk_event_wq;

/**
 * virtblk_init_events() - get ready to follow the configuration of disks
 *
 * Return: 0 or -ENOMEM.
 */
int virtblk_init_events(void)
{
	virtblk_event_wq = alloc_workqueue("virtio_lite_events", WQ_UNBOUND, 0);
	return virtblk_event_wq ? 0 : -ENOMEM;
}

/**
 * virtblk_exit_events() - undo virtblk_init_events(); there are no disks any more
 */
void virtblk_exit_events(void)
{
	destroy_workqueue(virtblk_event_wq);
}

/**
 * virtblk_queue_event() - have a work done that may wait for requests
 * @work: of a disk
 */
void virtblk_queue_event(struct work_struct *work)
{
	queue_work(virtblk_event_wq, work);
}

/**
 * virtblk_set_capacity() - tell the block layer how large the disk is
 * @vblk: the disk
 * @capacity: sectors
 *
 * Context: may sleep. Only probe, before the disk is added, and then the config
 * work do this, or the zones work if there are zones: so never two at a time;
 * whoever takes vblk->vdev away stops both first.
 */
void virtblk_set_capacity(struct virtblk *vblk, u64 capacity)
{
	struct gendisk *disk = vblk->disk;
	char text[10];

	if (get_capacity(disk) == capacity)
		return;
	string_get_size(capacity, SECTOR_SIZE, STRING_UNITS_2, text, sizeof(text));
	if (set_capacity_and_notify(disk, capacity))
		virtio_info(vblk->vdev, "%s: new size %llu sectors, %s\n",
			    disk->disk_name, capacity, text);
	trace_virtblk_config_changed(vblk->vdev, capacity);
}

/* A disk with zones has a size that fits them at any time. */
static void virtblk_follow_capacity(struct virtblk *vblk)
{
	u64 capacity = virtblk_read_capacity(vblk->vdev);

	if (!vblk->limits.zone_sectors) {
		virtblk_set_capacity(vblk, capacity);
		return;
	}
	/* The zones work may be about to set the size that came before this one. */
	if (capacity == READ_ONCE(vblk->limits.capacity))
		return;
	WRITE_ONCE(vblk->limits.capacity, capacity);
	if (!READ_ONCE(vblk->removing))
		virtblk_queue_event(&vblk->zones_work);
}

/*
 * Whether a disk is read-only is a feature, which can change with a reset only.
 * Who had it open before, such as a file system, can still send writes, which
 * the device fails. Returns whether a reset was started.
 */
static bool virtblk_follow_ro(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	bool ro = virtio_has_feature(vdev, VIRTIO_F_BLK_RO);

	if (ro != vblk->limits.read_only) {
		vblk->limits.read_only = ro;
		set_disk_ro(vblk->disk, ro);
		virtio_info(vdev, "%s: the device made it %s\n",
			    vblk->disk->disk_name, ro ? "read-only" : "writable");
	}
	if (!(vdev->regs->get_features(vdev) & VIRTIO_BIT(BLK_RO)) == !ro)
		return false;
	virtblk_recover(vblk, ro ? "read-only no more" : "read-only from now on",
			NULL);
	return true;
}

/* Compare what a device may change with what is in use. */
static void virtblk_handle_config(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;

	if (virtblk_follow_ro(vblk))
		return;
	virtblk_follow_capacity(vblk);
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_WRITE_ZEROES))
		WRITE_ONCE(vblk->limits.zeroes_unmap,
			   virtio_cread8(vdev, VIRTIO_BLK_CFG_ZEROES_UNMAP));
	if (virtblk_read_writeback(vdev) != vblk->limits.writeback &&
	    !READ_ONCE(vblk->removing))
		virtblk_queue_event(&vblk->cache_work);
}

/**
 * virtblk_config_work() - act on a config change
 * @work: of the disk
 *
 * A recovery waits for it, so it may not wait for requests, not even for memory
 * that they would make free.
 */
void virtblk_config_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, config_work);
	unsigned int memflags = memalloc_noio_save();

	/* GEN-CFGCHG-I01: the same interrupt says that the device is in need. */
	if (virtblk_check_status(vblk) && READ_ONCE(vblk->state) == VIRTBLK_LIVE)
		virtblk_handle_config(vblk);
	memalloc_noio_restore(memflags);
}

/**
 * virtblk_config_changed() - a config interrupt came
 * @vdev: the device
 *
 * Context: hard interrupt.
 */
void virtblk_config_changed(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!READ_ONCE(vblk->removing))
		virtblk_queue_event(&vblk->config_work);
}

/**
 * virtblk_zones_work() - the disk was resized: look at its zones again
 * @work: of the disk
 *
 * Apart from the config work, which a recovery waits for: this one waits for
 * requests, and these for the recovery. The size does not change while the
 * zones are looked at.
 */
void virtblk_zones_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, zones_work);
	u64 capacity = READ_ONCE(vblk->limits.capacity);

	if (!virtblk_zones_fit(vblk, capacity))
		return;
	virtblk_set_capacity(vblk, capacity);
	virtblk_check_zones(vblk);
}
