// SPDX-License-Identifier: GPL-2.0
/*
 * Somebody else decides about the device: it is removed, the function is reset
 * from outside (FLR, AER), the system sleeps, or the machine goes down.
 */
#include "blk/power.h"
#include "blk/reset.h"
#include "blk/state.h"
#include "compat/compat.h"

/* Requests that take longer are taken back, and sent again after waking up. */
#define SLEEP_WAIT		(10 * HZ)

/**
 * virtblk_fail_all() - the device is gone: fail all that it had and all that comes
 * @vblk: the disk
 *
 * Context: may sleep; not from virtblk_recover_work().
 */
void virtblk_fail_all(struct virtblk *vblk)
{
	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return;
	blk_mq_quiesce_queue(vblk->disk->queue);
	virtblk_set_dead(vblk);
	virtblk_reset_device(vblk, false);
	virtblk_requeue_all(vblk, VIRTBLK_FAIL);
	virtblk_unquiesce(vblk);
	blk_mark_disk_dead(vblk->disk);
}

/**
 * virtblk_disable_recovery() - from now on nobody repairs the device
 * @vblk: a disk that has no requests any more
 *
 * Context: may sleep. Its ring may still say what is wrong.
 */
void virtblk_disable_recovery(struct virtblk *vblk)
{
	virtblk_claim(vblk, VIRTBLK_RECOVERING);
	cancel_work_sync(&vblk->recover_work);
	virtblk_disable_events(vblk);
}

/**
 * virtblk_reset_prepare() - the function is about to be reset from outside
 * @vdev: the device
 *
 * Context: may sleep. virtblk_reset_done() follows.
 */
void virtblk_reset_prepare(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return;
	virtblk_quiesce_and_reset(vblk, false);
	vblk->paused = true;
}

/**
 * virtblk_reset_done() - the function was reset from outside
 * @vdev: the device that virtblk_reset_prepare() was called for
 * @err: 0, or why it is of no use any more
 */
void virtblk_reset_done(struct virtio_device *vdev, int err)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!vblk->paused)
		return;
	vblk->paused = false;
	virtblk_end_recovery(vblk, err);
}

static void virtblk_flush_end(struct bio *bio)
{
	struct virtblk *vblk = bio->bi_private;

	bio_put(bio);
	complete(&vblk->flush_done);
}

/*
 * A device that loses power, or its state, may lose its cache. One that takes
 * too long has the flush in flight like any other request.
 */
static void virtblk_flush_cache(struct virtblk *vblk)
{
	struct bio *bio;

	if (!READ_ONCE(vblk->added) || READ_ONCE(vblk->state) != VIRTBLK_LIVE ||
	    !vblk->limits.writeback)
		return;
	bio = bio_alloc(vblk->disk->part0, 0, REQ_OP_WRITE | REQ_PREFLUSH,
			GFP_NOIO);
	bio->bi_private = vblk;
	bio->bi_end_io = virtblk_flush_end;
	reinit_completion(&vblk->flush_done);
	submit_bio(bio);
	if (!wait_for_completion_timeout(&vblk->flush_done, SLEEP_WAIT))
		virtio_warn(vblk->vdev, "%s: the cache was not flushed within %u seconds\n",
			    vblk->disk->disk_name, SLEEP_WAIT / HZ);
}

static bool virtblk_drain(struct virtblk *vblk)
{
	struct request_queue *q = vblk->disk->queue;
	unsigned int memflags = compat_start_freeze(q);
	bool drained;

	drained = blk_mq_freeze_queue_wait_timeout(q, SLEEP_WAIT) > 0;
	if (!drained)
		virtio_warn(vblk->vdev, "%s: requests are in flight for %u seconds: taking them back\n",
			    vblk->disk->disk_name, SLEEP_WAIT / HZ);
	blk_mq_quiesce_queue(q);
	compat_unfreeze_queue(q, memflags);
	return drained;
}

/**
 * virtblk_freeze() - let go of the device; see struct virtio_driver
 * @vdev: the device
 * @keeps: whether it may be suspended with its state
 *
 * A device that can, sleeps with what it knows; others are reset.
 */
int virtblk_freeze(struct virtio_device *vdev, bool keeps)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);
	bool drained;

	/* Nothing runs already, and virtblk_restore() starts it. */
	if (vblk->paused)
		return 0;
	virtblk_flush_cache(vblk);
	drained = virtblk_drain(vblk);
	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return 0;
	vblk->paused = true;
	virtblk_disable_events(vblk);
	if (drained && keeps && !virtio_suspend_device(vdev)) {
		vdev->transport->sync_irqs(vdev);
		vblk->asleep = true;
		return 0;
	}
	virtblk_reset_device(vblk, false);
	virtblk_requeue_all(vblk, VIRTBLK_REQUEUE);
	return 0;
}

/**
 * virtblk_restore() - take the device again; see struct virtio_driver
 * @vdev: the device
 * @err: 0, or why it is of no use any more
 *
 * Also the end of a quiescence that virtblk_freeze() of a dead disk began.
 */
int virtblk_restore(struct virtio_device *vdev, int err)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);
	bool asleep = vblk->asleep;

	vblk->asleep = false;
	if (!vblk->paused) {
		virtblk_unquiesce(vblk);
		return 0;
	}
	vblk->paused = false;
	/* It was suspended in order, so it may go on with its memory. */
	if (!err && asleep)
		vdev->transport->enable_dma(vdev);
	if (err || !asleep || virtio_resume_device(vdev))
		return virtblk_finish_reset(vblk, err);

	virtblk_unquiesce(vblk);
	virtblk_resume_service(vblk);
	return 0;
}

/**
 * virtblk_shutdown() - the machine goes down, or boots another kernel
 * @vdev: the device, which may not touch memory any more
 */
void virtblk_shutdown(struct virtio_device *vdev)
{
	virtblk_flush_cache(dev_get_drvdata(&vdev->dev));
	/* Never followed by virtblk_reset_done(): nobody takes the device again. */
	virtblk_reset_prepare(vdev);
}
