// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of the device's configuration: its size, whether it is read-only, and
 * how it caches. The interrupt starts a work, and that starts others, for what
 * has to wait for requests.
 */
#include <linux/string_helpers.h>
#include "blk/cache.h"
#include "blk/config.h"
#include "blk/limits.h"
#include "blk/state.h"
#include "blk/zoned.h"
#include "trace/virtio_lite_trace.h"

/* These works may wait for memory; none uses a device while the system sleeps. */
static struct workqueue_struct *virtblk_event_wq;

/**
 * virtblk_init_events() - get ready to follow the configuration of disks
 *
 * Return: 0 or -ENOMEM.
 */
int virtblk_init_events(void)
{
	virtblk_event_wq = alloc_workqueue("virtio_lite_events",
					   WQ_UNBOUND | WQ_FREEZABLE, 0);
	return virtblk_event_wq ? 0 : -ENOMEM;
}

/**
 * virtblk_exit_events() - undo virtblk_init_events(); there are no disks any more
 */
void virtblk_exit_events(void)
{
	destroy_workqueue(virtblk_event_wq);
}

static void virtblk_queue_event(struct work_struct *work)
{
	queue_work(virtblk_event_wq, work);
}

/**
 * virtblk_set_capacity() - tell the block layer how large the disk is
 * @vblk: the disk
 * @capacity: sectors
 *
 * Context: may sleep. Only probe, before the disk is added, and then the config
 * work do this: so never two at a time;
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

/*
 * Whether a disk is read-only is a feature, which can change with a reset only.
 * Returns whether a reset was started.
 */
static bool virtblk_follow_ro(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	bool ro = virtio_has_feature(vdev, VIRTIO_F_BLK_RO);

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
 * @work: of the disk
 *
 * A recovery waits for it, and memory may wait for the recovery: so it waits for
 * neither requests nor memory, and leaves to other works what has to.
 */
void virtblk_config_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, config_work);

	/* GEN-CFGCHG-I01: the same interrupt says that the device needs a reset. */
	if (virtblk_check_status(vblk) && READ_ONCE(vblk->state) == VIRTBLK_LIVE)
		virtblk_handle_config(vblk);
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

/* Who had the disk open before can still send writes, which the device fails. */
static void virtblk_set_ro(struct virtblk *vblk)
{
	bool ro = virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_RO);

	if (ro == vblk->limits.read_only)
		return;
	vblk->limits.read_only = ro;
	set_disk_ro(vblk->disk, ro);
	virtio_info(vblk->vdev, "%s: the device made it %s\n",
		    vblk->disk->disk_name, ro ? "read-only" : "writable");
}

/**
 * virtblk_disk_work() - the disk has another size, or is read-only or not
 * @work: of the disk
 *
 * A recovery does not wait for it, so it may wait for requests and for memory.
 * The size of a disk with zones does not change while these are looked at.
 */
void virtblk_disk_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, disk_work);
	u64 capacity = READ_ONCE(vblk->limits.capacity);

	virtblk_set_ro(vblk);
	if (!virtblk_zones_fit(vblk, capacity))
		return;
	virtblk_set_capacity(vblk, capacity);
	virtblk_check_zones(vblk);
}
