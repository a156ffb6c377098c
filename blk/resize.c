// SPDX-License-Identifier: GPL-2.0
/*
 * Resizing of the rings while the disk is in use (RING_RESET, section 2.6.1):
 * echo 64 >/sys/block/vdX/ring_size
 *
 *	allocate	a second ring for each queue; if there is no memory, the
 *			first rings stay in use
 *	freeze		wait for requests in flight; new ones wait
 *	exchange	each queue is reset, gets its second ring, and is enabled;
 *			if one fails, the device is reset with the first rings
 *	free		the rings that are not in use
 *
 * The queue depth and the largest request stay as they were chosen for the first
 * rings, so a ring cannot become smaller than these need.
 */
#include <linux/kstrtox.h>
#include <linux/log2.h>
#include <linux/sched/mm.h>
#include "blk/log.h"
#include "blk/queues.h"
#include "blk/reset.h"
#include "blk/resize.h"
#include "blk/state.h"
#include "compat/compat.h"

/* Wait so long for requests in flight. */
#define RESIZE_WAIT		(10 * HZ)

/*
 * No chain is longer than its ring, also when it is indirect (SPLIT-INDIR-03,
 * PACK-SG-02), and each slot is that of a descriptor.
 */
static unsigned int virtblk_least_size(const struct virtblk *vblk)
{
	return max(virtblk_max_chain(&vblk->limits), vblk->nslots);
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

	if (size < least) {
		virtblk_notice(vblk, "ring_size %u is too small: %u requests of up to %u segments need %u\n",
			       size, vblk->nslots, vblk->limits.max_segments,
			       least);
		return -EINVAL;
	}
	if (size > most) {
		virtblk_notice(vblk, "ring_size %u is too large: the device offers %u\n",
			       size, most);
		return -EINVAL;
	}
	if (!vblk->vqs[0].vq.packed && !is_power_of_2(size)) {
		virtblk_notice(vblk, "ring_size %u is not a power of 2, which a split ring has to be\n",
			       size);
		return -EINVAL;
	}
	return 0;
}

/*
 * Exchange the rings. The queue is frozen and quiesced: no request is in flight,
 * and only interrupt handlers use the rings. @swapped is set if the queues have
 * their second rings, also after an error.
 */
static int virtblk_try_rings(struct virtblk *vblk, bool *swapped)
{
	const struct virtio_transport *transport = vblk->vdev->transport;
	struct virtio_device *vdev = vblk->vdev;
	unsigned int i;
	int err = 0;

	virtblk_hold_completions(vblk);
	for (i = 0; !err && i < vblk->nvqs; i++)
		err = transport->reset_vq(vdev, i);
	*swapped = !err;
	if (*swapped) {
		virtblk_swap_rings(vblk);
		virtblk_empty_rings(vblk);
	}
	for (i = 0; !err && i < vblk->nvqs; i++)
		err = transport->reinit_vq(vdev, i);
	virtblk_release_completions(vblk);
	return err;
}

/* The check of a late request may be in flight (blk/evidence.c). */
static bool virtblk_may_exchange(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		if (!virtblk_may_reset_vq(&vblk->vqs[i]))
			return false;
	}
	return true;
}

/*
 * Claim the disk, and exchange the rings. The queue is frozen and quiesced. After
 * an error the disk has its first rings, or is dead or paused.
 */
static int virtblk_exchange_rings(struct virtblk *vblk)
{
	bool swapped;
	int err;

	if (!virtblk_claim(vblk, VIRTBLK_RESIZING))
		return READ_ONCE(vblk->state) == VIRTBLK_DEAD ? -ENODEV : -EBUSY;
	virtblk_disable_events(vblk);
	if (!virtblk_may_exchange(vblk)) {
		virtblk_resume_service(vblk);
		return -EBUSY;
	}
	err = virtblk_try_rings(vblk, &swapped);
	if (!err) {
		virtblk_init_all_mem(vblk);
		virtblk_resume_service(vblk);
		return 0;
	}

	virtblk_warn(vblk, "its queues cannot be reset alone: %d: resetting the device\n",
		     err);
	/* The device may own either ring of a queue until it is reset. */
	virtblk_end_recovery(vblk, virtblk_quiesce_and_reset(vblk, swapped));
	return err;
}

/* Freeze the queue, and exchange the rings; the second ones are allocated. */
static int virtblk_freeze_and_exchange(struct virtblk *vblk)
{
	struct request_queue *q = vblk->disk->queue;
	unsigned int memflags, noio;
	int err = -EBUSY;

	/* Until then no request comes back. */
	flush_work(&vblk->recover_work);
	WRITE_ONCE(vblk->resizing, true);
	/* Memory reclaim may wait for the frozen queue. */
	noio = memalloc_noio_save();
	memflags = compat_start_freeze(q);
	if (blk_mq_freeze_queue_wait_timeout(q, RESIZE_WAIT) > 0) {
		/* A task in queue_rq may still use the ring: quiescing waits for it. */
		blk_mq_quiesce_queue(q);
		err = virtblk_exchange_rings(vblk);
		blk_mq_unquiesce_queue(q);
	}
	compat_unfreeze_queue(q, memflags);
	memalloc_noio_restore(noio);
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
		virtblk_warn(vblk, "rings stay as they are, ring_size %u failed: %d\n",
			     size, err);
	else
		virtblk_info(vblk, "rings of %u descriptors\n", size);
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
		virtblk_notice(vblk, "ring_size is fixed: the device cannot reset a queue alone\n");
		return -EOPNOTSUPP;
	}
	if (kstrtouint(buf, 0, &size)) {
		virtblk_notice(vblk, "ring_size has to be a number\n");
		return -EINVAL;
	}
	mutex_lock(&vblk->vdev_mutex);
	err = virtblk_resize(vblk, size);
	mutex_unlock(&vblk->vdev_mutex);
	return err ?: count;
}

struct device_attribute virtblk_ring_size_attr = __ATTR_RW(ring_size);
