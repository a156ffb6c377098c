// SPDX-License-Identifier: GPL-2.0
/*
 * The write cache of the device. If it caches writes, data is persistent only
 * after a flush. The cache mode changes when the user writes to cache_type, or
 * when the device changes it by itself (CONFIG_WCE).
 *
 * The block layer may take the device for one that caches when it does not, but
 * never the other way round, because it would send no flushes. After a reset the
 * device gets the mode in vblk->limits.
 */
#include "blk/cache.h"
#include "blk/log.h"
#include "blk/reset.h"
#include "blk/state.h"
#include "compat/blk.h"

static const char *const virtblk_cache_types[] = { "write through", "write back" };

/**
 * virtblk_read_writeback() - does the device cache writes
 * @vdev: the device, after FEATURES_OK (BLK-INIT-04)
 *
 * BLK-INIT-02, BLK-INIT-03. Return: true if it does.
 */
bool virtblk_read_writeback(struct virtio_device *vdev)
{
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_CONFIG_WCE))
		return virtio_cread8(vdev, VIRTIO_BLK_CFG_WRITEBACK);
	return virtio_has_feature(vdev, VIRTIO_F_BLK_FLUSH);
}

/*
 * Write (@set) and read (@got) the cache mode. This claims the disk, because no
 * register may be used during a reset (GEN-INIT-04, PCI-COMMON-05).
 */
static int virtblk_access_writeback(struct virtblk *vblk, const bool *set,
				    bool *got)
{
	if (!virtblk_claim(vblk, VIRTBLK_CONFIGURING))
		return READ_ONCE(vblk->state) == VIRTBLK_DEAD ? -ENODEV : -EBUSY;
	if (set)
		virtio_cwrite8(vblk->vdev, VIRTIO_BLK_CFG_WRITEBACK, *set);
	*got = virtblk_read_writeback(vblk->vdev);
	virtblk_resume_service(vblk);
	return 0;
}

/* Set the cache mode of the device, and check that it took it. */
static int virtblk_write_writeback(struct virtblk *vblk, bool writeback)
{
	bool got;
	int err = virtblk_access_writeback(vblk, &writeback, &got);

	if (!err && got != writeback)
		err = -EIO;
	return err;
}

/* Tell the block layer to send flushes, before the device caches writes. */
static int virtblk_enable_flushes(struct virtblk *vblk)
{
	int err = compat_set_writeback(vblk->disk, true);

	if (!err)
		vblk->limits.writeback = true;
	return err;
}

/* Tell the block layer to send no flushes: the device does not cache writes now. */
static int virtblk_disable_flushes(struct virtblk *vblk)
{
	struct request_queue *q = vblk->disk->queue;
	bool got;
	int err;

	vblk->limits.writeback = false;
	/*
	 * BLK-OP-13: earlier writes may still be in the cache, and so may writes
	 * that are in flight: wait for these, and flush.
	 */
	compat_unfreeze_queue(q, compat_freeze_queue(q));
	err = blkdev_issue_flush(vblk->disk->part0);
	if (!err)
		err = virtblk_access_writeback(vblk, NULL, &got);
	if (!err && got)
		err = -EIO;
	if (!err)
		err = compat_set_writeback(vblk->disk, false);
	if (err)
		vblk->limits.writeback = true;
	return err;
}

static int virtblk_set_cache_mode(struct virtblk *vblk, bool writeback)
{
	bool before = vblk->limits.writeback;
	int err = 0;

	if (!vblk->vdev)
		return -ENODEV;
	if (writeback && !before)
		err = virtblk_enable_flushes(vblk);
	if (err)
		return err;
	err = virtblk_write_writeback(vblk, writeback);
	if (!err && !writeback && before)
		err = virtblk_disable_flushes(vblk);
	if (!err)
		return 0;

	virtblk_write_writeback(vblk, before);
	if (writeback && !before)
		virtblk_disable_flushes(vblk);
	return err;
}

/**
 * virtblk_cache_work() - act on a cache mode that the device changed by itself
 * @work: vblk->cache_work
 *
 * Context: a work of the disk; waits for requests, which is safe because no
 * recovery waits for this work.
 */
void virtblk_cache_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, cache_work);
	bool writeback;
	int err;

	mutex_lock(&vblk->vdev_mutex);
	if (virtblk_access_writeback(vblk, NULL, &writeback) ||
	    writeback == vblk->limits.writeback)
		goto out;
	if (writeback) {
		err = virtblk_enable_flushes(vblk);
		/* Writes since the change were taken for persistent. */
		if (!err)
			err = blkdev_issue_flush(vblk->disk->part0);
	} else {
		err = virtblk_disable_flushes(vblk);
	}
	if (err)
		virtblk_err_ratelimited(vblk, "the cache mode that the device chose cannot be used: %d\n",
					err);
	else
		virtblk_info_ratelimited(vblk, "the device made its cache %s\n",
					 virtblk_cache_types[writeback]);
out:
	mutex_unlock(&vblk->vdev_mutex);
}

static ssize_t cache_type_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", virtblk_cache_types[vblk->limits.writeback]);
}

static ssize_t cache_type_store(struct device *dev,
				struct device_attribute *attr,
				const char *buf, size_t count)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	int mode = sysfs_match_string(virtblk_cache_types, buf);
	int err;

	if (mode < 0)
		return mode;
	mutex_lock(&vblk->vdev_mutex);
	err = virtblk_set_cache_mode(vblk, mode);
	mutex_unlock(&vblk->vdev_mutex);
	return err ?: count;
}

struct device_attribute virtblk_cache_type_attr = __ATTR_RW(cache_type);
