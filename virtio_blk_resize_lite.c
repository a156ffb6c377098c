// SPDX-License-Identifier: GPL-2.0
/*
 * Rings of another size, while the disk is in use (RING_RESET, section 2.6.1):
 * echo 64 >/sys/block/vdX/ring_size
 *
 *	allocate	a second ring for each queue: where there is no memory
 *			for them, nothing has happened
 *	freeze		what is in flight comes back, what comes waits
 *	exchange	queues are reset, get their second rings, and start;
 *			virtblk_resize_rings() in virtio_blk_recover_lite.c
 *	free		the rings that are not in use any more
 *
 * How many requests a queue takes, and how long they may be, stays as it was
 * chosen for the rings that the disk began with. So a ring cannot become smaller
 * than they need.
 */
#include <linux/kstrtox.h>
#include <linux/log2.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"

/* What is in flight is given so long to come back. */
#define RESIZE_WAIT		(10 * HZ)

/*
 * No chain is longer than its ring, also when indirect (SPLIT-INDIR-03,
 * PACK-SG-02), and each tag is a place in it.
 */
static unsigned int virtblk_least_size(const struct virtblk *vblk)
{
	return max(virtblk_max_chain(&vblk->limits),
		   vblk->tag_set.queue_depth);
}

static unsigned int virtblk_most_size(const struct virtblk *vblk)
{
	unsigned int most = VRING_MAX_SIZE, i;

	for (i = 0; i < vblk->nvqs; i++)
		most = min_t(unsigned int, most, vblk->vqs[i].vq.max);
	return most;
}

static int virtblk_check_size(struct virtblk *vblk, unsigned int size)
{
	unsigned int least = virtblk_least_size(vblk);
	unsigned int most = virtblk_most_size(vblk);
	const char *name = vblk->disk->disk_name;
	struct virtio_device *vdev = vblk->vdev;

	if (size < least) {
		virtio_notice(vdev, "%s: ring_size %u is too small: %u requests of up to %u segments need %u\n",
			      name, size, vblk->tag_set.queue_depth,
			      vblk->limits.max_segments, least);
		return -EINVAL;
	}
	if (size > most) {
		virtio_notice(vdev, "%s: ring_size %u is too large: the device offers %u\n",
			      name, size, most);
		return -EINVAL;
	}
	if (!vblk->vqs[0].vq.packed && !is_power_of_2(size)) {
		virtio_notice(vdev, "%s: ring_size %u is not a power of 2, which a split ring has to be\n",
			      name, size);
		return -EINVAL;
	}
	return 0;
}

/* The second rings are there. */
static int virtblk_freeze_and_exchange(struct virtblk *vblk)
{
	struct request_queue *q = vblk->disk->queue;
	unsigned int memflags;
	int err = -EBUSY;

	WRITE_ONCE(vblk->resizing, true);
	memflags = compat_start_freeze(q);
	if (blk_mq_freeze_queue_wait_timeout(q, RESIZE_WAIT) > 0) {
		/* Who sent the last ones may not be through with the ring yet. */
		blk_mq_quiesce_queue(q);
		err = virtblk_exchange_rings(vblk);
		blk_mq_unquiesce_queue(q);
	}
	compat_unfreeze_queue(q, memflags);
	WRITE_ONCE(vblk->resizing, false);
	return err;
}

/* The caller holds vdev_mutex. */
static int virtblk_resize(struct virtblk *vblk, unsigned int size)
{
	struct virtio_device *vdev = vblk->vdev;
	int err;

	err = virtblk_check_size(vblk, size);
	if (err)
		return err;
	err = vdev->transport->alloc_rings(vdev, size);
	if (!err) {
		err = virtblk_freeze_and_exchange(vblk);
		vdev->transport->free_rings(vdev);
	}
	if (err)
		virtio_warn(vdev, "%s: rings stay as they are, ring_size %u failed: %d\n",
			    vblk->disk->disk_name, size, err);
	else
		virtio_info(vdev, "%s: rings of %u descriptors\n",
			    vblk->disk->disk_name, size);
	return err;
}

static ssize_t ring_size_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%u\n", virtblk_ring_size(vblk));
}

static ssize_t ring_size_store(struct device *dev,
			       struct device_attribute *attr,
			       const char *buf, size_t count)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	struct virtio_device *vdev = vblk->vdev;
	unsigned int size;
	int err;

	if (!virtio_has_feature(vdev, VIRTIO_F_RING_RESET)) {
		virtio_notice(vdev, "%s: ring_size is fixed: the device cannot reset a queue alone\n",
			      vblk->disk->disk_name);
		return -EOPNOTSUPP;
	}
	if (kstrtouint(buf, 0, &size)) {
		virtio_notice(vdev, "%s: ring_size has to be a number\n",
			      vblk->disk->disk_name);
		return -EINVAL;
	}
	mutex_lock(&vblk->vdev_mutex);
	err = virtblk_resize(vblk, size);
	mutex_unlock(&vblk->vdev_mutex);
	return err ?: count;
}

struct device_attribute virtblk_ring_size_attr = __ATTR_RW(ring_size);
