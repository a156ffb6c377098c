// SPDX-License-Identifier: GPL-2.0
/*
 * When the device breaks the rules: reset it, and send again what it had not
 * finished. Nothing is lost, and nothing ends while the device may still touch
 * its memory.
 *
 *	stop	no request starts; the device is reset, which takes every
 *		buffer back from it; what it had finished, ends
 *	revive	the same features, the same queues, emptied
 *	return	what is left goes back to the block layer, to be sent again,
 *		or fails if the device did not come back
 */
#include <linux/module.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"

/* Recoveries that are closer together than this belong to one trouble. */
#define RECOVER_CALM		(10 * HZ)
/* Unless the reset helped: the queues brought something this often since. */
#define RECOVER_HELPED		16

static unsigned int reset_attempts = 5;
module_param(reset_attempts, uint, 0644);
MODULE_PARM_DESC(reset_attempts,
		 "Resets in a row before a disk is given up for dead (default: 5)");

/* The queues are quiesced. Afterwards the device owns nothing. */
static int virtblk_stop_device(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	unsigned int i;
	int err;

	virtio_config_disable(vdev);
	cancel_work_sync(&vblk->config_work);
	err = virtio_reset_device(vdev);
	vdev->transport->sync_irqs(vdev);
	for (i = 0; i < vblk->nvqs; i++)
		virtblk_done(&vblk->vqs[i].vq);
	return err;
}

/**
 * virtblk_revive() - get a device going again that was reset
 * @vblk: the disk, quiesced; features were negotiated again
 *
 * Return: 0; an error if the device is not what it was.
 */
int virtblk_revive(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	int err;

	err = vdev->transport->start_vqs(vdev);
	if (err) {
		virtio_err(vdev, "device came back with other queues\n");
		return err;
	}
	/* The reset took the device back to its own idea of the cache mode. */
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_CONFIG_WCE))
		virtio_cwrite8(vdev, VIRTIO_BLK_CFG_WRITEBACK, vblk->limits.writeback);
	virtio_device_ready(vdev);
	virtio_config_enable(vdev);
	return 0;
}

static bool virtblk_return_one(struct request *rq, void *data)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;

	/* Others are on their way to their end already. */
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT)
		return true;
	vbr->fate = *(enum virtblk_fate *)data;
	if (virtblk_gave_up(rq))
		vbr->fate = VIRTBLK_FAIL;
	virtblk_release(vvq, rq);
	blk_mq_complete_request(rq);
	return true;
}

/* The queues are quiesced and the device owns nothing. */
static void virtblk_return_all(struct virtblk *vblk, enum virtblk_fate fate)
{
	blk_mq_tagset_busy_iter(&vblk->tag_set, virtblk_return_one, &fate);
	blk_mq_tagset_wait_completed_request(&vblk->tag_set);
}

static void virtblk_set_dead(struct virtblk *vblk)
{
	unsigned int i;

	WRITE_ONCE(vblk->state, VIRTBLK_DEAD);
	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].dead, true);
}

static void virtblk_run_again(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].waiting, false);
	blk_mq_start_stopped_hw_queues(vblk->disk->queue, true);
	blk_mq_unquiesce_queue(vblk->disk->queue);
	blk_mq_kick_requeue_list(vblk->disk->queue);
}

/**
 * virtblk_kill() - the device is gone: fail all that it had and all that comes
 * @vblk: the disk
 *
 * Context: may sleep; not from virtblk_recover_work().
 */
void virtblk_kill(struct virtblk *vblk)
{
	cancel_work_sync(&vblk->recover_work);
	blk_mq_quiesce_queue(vblk->disk->queue);
	virtblk_set_dead(vblk);
	virtblk_stop_device(vblk);
	virtblk_return_all(vblk, VIRTBLK_FAIL);
	virtblk_run_again(vblk);
	blk_mark_disk_dead(vblk->disk);
}

static bool virtblk_may_recover(struct virtblk *vblk)
{
	unsigned int i;
	u32 harvests = 0;

	for (i = 0; i < vblk->nvqs; i++)
		harvests += vblk->vqs[i].vq.harvests;
	if (time_after(jiffies, vblk->recover_last + RECOVER_CALM) ||
	    harvests - vblk->recover_harvests >= RECOVER_HELPED)
		vblk->recover_count = 0;
	vblk->recover_last = jiffies;
	vblk->recover_harvests = harvests;
	if (vblk->recover_count++ < READ_ONCE(reset_attempts))
		return true;
	virtio_err(vblk->vdev, "%s: %u resets did not help\n",
		   vblk->disk->disk_name, vblk->recover_count - 1);
	return false;
}

/* First half of a recovery: afterwards nothing runs and nothing is owned. */
static int virtblk_stop(struct virtblk *vblk)
{
	blk_mq_quiesce_queue(vblk->disk->queue);
	return virtblk_stop_device(vblk);
}

/* Second half: @err tells whether there is a device to go on with. */
static void virtblk_go_on(struct virtblk *vblk, int err)
{
	struct virtio_device *vdev = vblk->vdev;

	if (!err)
		err = virtio_negotiate(vdev);
	if (!err)
		err = virtblk_revive(vblk);
	if (err)
		virtblk_set_dead(vblk);
	virtblk_return_all(vblk, err ? VIRTBLK_FAIL : VIRTBLK_REPLAY);
	if (!err) {
		vblk->counts.resets++;
		WRITE_ONCE(vblk->state, VIRTBLK_LIVE);
		/* It may have grown meanwhile. */
		virtblk_config_changed(vdev);
	}
	virtblk_run_again(vblk);

	if (err) {
		virtio_err(vdev, "%s: the disk is dead: %d\n",
			   vblk->disk->disk_name, err);
		blk_mark_disk_dead(vblk->disk);
	} else {
		virtio_info(vdev, "%s: back after a reset\n",
			    vblk->disk->disk_name);
	}
}

/**
 * virtblk_recover_work() - repair a device
 * @work: of a disk in state VIRTBLK_RECOVERING
 */
void virtblk_recover_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, recover_work);
	int err;

	err = virtblk_stop(vblk);
	if (!err && !virtblk_may_recover(vblk))
		err = -EIO;
	virtblk_go_on(vblk, err);
}

static bool virtblk_claim_recovery(struct virtblk *vblk)
{
	return cmpxchg(&vblk->state, VIRTBLK_LIVE, VIRTBLK_RECOVERING) ==
	       VIRTBLK_LIVE;
}

/**
 * virtblk_recover() - the device broke the rules: repair it soon
 * @vblk: the disk
 * @why: for people
 * @count: one of vblk->counts that goes with it, or NULL
 *
 * Context: any.
 */
void virtblk_recover(struct virtblk *vblk, const char *why, unsigned int *count)
{
	if (!virtblk_claim_recovery(vblk))
		return;
	if (count)
		(*count)++;
	virtio_err(vblk->vdev, "%s: %s: resetting the device\n",
		   vblk->disk->disk_name, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_pause() - the function is about to be reset from outside
 * @vdev: the device
 *
 * Context: may sleep. virtblk_resume() follows.
 */
void virtblk_pause(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	while (!virtblk_claim_recovery(vblk)) {
		if (READ_ONCE(vblk->state) == VIRTBLK_DEAD)
			return;
		flush_work(&vblk->recover_work);
	}
	virtblk_stop(vblk);
	vblk->paused = true;
}

/**
 * virtblk_resume() - the function was reset from outside
 * @vdev: the device that virtblk_pause() was called for
 * @err: 0, or why it is of no use any more
 */
void virtblk_resume(struct virtio_device *vdev, int err)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!vblk->paused)
		return;
	vblk->paused = false;
	virtblk_go_on(vblk, err);
}
