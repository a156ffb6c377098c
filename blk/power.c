// SPDX-License-Identifier: GPL-2.0
/*
 * Events from outside of the driver: the device is removed, its PCI function is
 * reset (FLR, AER), the system sleeps or shuts down.
 */
#include <linux/suspend.h>
#include "blk/log.h"
#include "blk/power.h"
#include "blk/queues.h"
#include "blk/reset.h"
#include "blk/state.h"
#include "compat/blk.h"

/* A request that takes longer is requeued, and sent again after resume. */
#define SLEEP_WAIT		(10 * HZ)

/**
 * virtblk_fail_all() - fail all requests in flight, and all later ones
 * @vblk: the disk, whose device is gone
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
	compat_mark_disk_dead(vblk->disk);
}

/**
 * virtblk_disable_recovery() - keep recoveries from the device
 * @vblk: the disk, which has no requests any more
 *
 * An error of the device may still be found, but starts no recovery. Context: may
 * sleep.
 */
void virtblk_disable_recovery(struct virtblk *vblk)
{
	virtblk_claim(vblk, VIRTBLK_RECOVERING);
	cancel_work_sync(&vblk->recover_work);
	virtblk_disable_events(vblk);
}

/**
 * virtblk_reset_prepare() - ->reset_prepare: quiesce and reset the device
 * @vdev: the device, whose PCI function is about to be reset
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
 * virtblk_reset_done() - ->reset_done: reinitialise the device
 * @vdev: the device, after virtblk_reset_prepare()
 * @err: 0, or the error that makes the device unusable
 *
 * Context: may sleep.
 */
void virtblk_reset_done(struct virtio_device *vdev, int err)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!vblk->paused)
		return;
	vblk->paused = false;
	virtblk_end_recovery(vblk, err);
}

/**
 * virtblk_flush_work() - flush the cache of the device
 * @work: vblk->flush_work
 *
 * A flush needs a tag, and a device that is silent may have them all. So whoever
 * cannot wait without end has this work wait for one.
 */
void virtblk_flush_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, flush_work);
	u32 asked = READ_ONCE(vblk->flush_asked);

	blkdev_issue_flush(vblk->disk->part0);
	WRITE_ONCE(vblk->flush_done, asked);
	wake_up(&vblk->flush_wait);
}

/*
 * A device that loses power or its state may lose its cache, so this flushes it.
 * If the flush takes too long, it stays in flight like any other request.
 */
static void virtblk_flush_cache(struct virtblk *vblk)
{
	u32 asked = vblk->flush_asked + 1;

	if (!READ_ONCE(vblk->added) || READ_ONCE(vblk->state) != VIRTBLK_LIVE ||
	    !vblk->limits.writeback)
		return;
	WRITE_ONCE(vblk->flush_asked, asked);
	/* This CPU stays online, so the flush keeps no other one from going. */
	queue_work_on(cpumask_first(cpu_online_mask), system_long_wq,
		      &vblk->flush_work);
	if (!wait_event_timeout(vblk->flush_wait,
				READ_ONCE(vblk->flush_done) == asked, SLEEP_WAIT))
		virtblk_warn(vblk, "the cache was not flushed within %u seconds\n",
			     SLEEP_WAIT / HZ);
}

/* Returns false if requests are still in flight after @wait jiffies. */
static bool virtblk_drain(struct virtblk *vblk, unsigned long wait, bool quiesce)
{
	struct request_queue *q = vblk->disk->queue;
	unsigned int memflags = compat_start_freeze(q);
	bool drained = blk_mq_freeze_queue_wait_timeout(q, wait) > 0;

	if (quiesce)
		blk_mq_quiesce_queue(q);
	compat_unfreeze_queue(q, memflags);
	return drained;
}

/*
 * Flush and quiesce. A write that comes back after the flush has begun would stay
 * in the cache, so those in flight are waited for before it. Returns false if there
 * are requests in flight.
 */
static bool virtblk_flush_and_quiesce(struct virtblk *vblk)
{
	bool drained = virtblk_drain(vblk, SLEEP_WAIT, false);

	virtblk_flush_cache(vblk);
	return virtblk_drain(vblk, drained ? SLEEP_WAIT : 0, true);
}

/* Do CPUs go offline while the system sleeps? They do not in suspend-to-idle. */
static bool virtblk_cpus_go(void)
{
	return num_online_cpus() > 1 &&
	       pm_suspend_target_state != PM_SUSPEND_TO_IDLE;
}

/**
 * virtblk_freeze() - ->freeze: flush, quiesce, and suspend or reset the device
 * @vdev: the device
 * @keeps: the device may be suspended and keep its state
 *
 * A device that cannot be suspended is reset. Context: may sleep. Return: 0;
 * -EBUSY, with the disk live, if requests in flight keep CPUs from going offline.
 */
int virtblk_freeze(struct virtio_device *vdev, bool keeps)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);
	bool drained;

	/* virtblk_reset_prepare() has quiesced the disk; virtblk_restore() ends that. */
	if (vblk->paused)
		return 0;
	drained = virtblk_flush_and_quiesce(vblk);
	if (!drained && virtblk_cpus_go() && virtblk_queues_need_cpus(vblk)) {
		virtblk_err(vblk, "requests are in flight for %u seconds, and their CPUs would wait for them: the system cannot sleep\n",
			    SLEEP_WAIT / HZ);
		blk_mq_unquiesce_queue(vblk->disk->queue);
		return -EBUSY;
	}
	if (!drained)
		virtblk_warn(vblk, "requests are in flight for %u seconds: taking them back\n",
			     SLEEP_WAIT / HZ);
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
 * virtblk_restore() - ->restore: resume or reinitialise the device, and unquiesce
 * @vdev: the device, after virtblk_freeze()
 * @err: 0, or the error that makes the device unusable
 *
 * This also unquiesces a disk that was dead in virtblk_freeze(), which had
 * quiesced it. Context: may sleep. Return: 0, or the error if the disk is dead.
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
	if (!err && asleep) {
		/* It was suspended with its state, so it may use its memory again. */
		vdev->transport->enable_dma(vdev);
		if (!virtio_resume_device(vdev)) {
			virtblk_unquiesce(vblk);
			virtblk_resume_service(vblk);
			return 0;
		}
		err = virtblk_reset_device(vblk, false);
	}
	return virtblk_finish_reset(vblk, err);
}

/**
 * virtblk_shutdown() - ->shutdown: flush, and keep the device from memory
 * @vdev: the device; the system shuts down, or boots another kernel
 *
 * Context: may sleep.
 */
void virtblk_shutdown(struct virtio_device *vdev)
{
	virtblk_flush_cache(dev_get_drvdata(&vdev->dev));
	/* virtblk_reset_done() does not follow: the device stays reset. */
	virtblk_reset_prepare(vdev);
}
