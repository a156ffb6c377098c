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
 *
 * Where one queue alone is in trouble, and the device can reset it (RING_RESET),
 * the others go on meanwhile; virtblk_repair_queue(). In the same way queues get
 * rings of another size; virtblk_resize_rings().
 */
#include <linux/delay.h>
#include <linux/module.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"

/* Recoveries that are closer together than this belong to one trouble. */
#define RECOVER_CALM		(10 * HZ)
/* Unless the reset helped: the queues brought something this often since. */
#define RECOVER_HELPED		16
/* A disk that is to go is waited for, but not for ever. */
#define REMOVE_ATTEMPTS		1u
/* What a queue has in flight is given so long before the device is reset. */
#define REPAIR_WAIT		HZ

static unsigned int reset_attempts = 5;
module_param(reset_attempts, uint, 0644);
MODULE_PARM_DESC(reset_attempts,
		 "Resets in a row before a disk is given up for dead; 0: at its first trouble (default: 5)");

static bool trust_queue_reset;
module_param(trust_queue_reset, bool, 0644);
MODULE_PARM_DESC(trust_queue_reset,
		 "Believe that a device lets go of requests when one queue is reset; QEMU's do not (default: no)");

/*
 * The caller is in charge of the device: the disk is not live. From here on
 * nobody else uses its registers or takes what came back: config changes wait,
 * and who looked after a late request meanwhile is done with that.
 */
static void virtblk_stop_others(struct virtblk *vblk)
{
	virtio_config_disable(vblk->vdev);
	cancel_work_sync(&vblk->config_work);
	flush_work(&vblk->disk->queue->timeout_work);
}

static void virtblk_mask_irqs(struct virtblk *vblk, bool mask)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		vblk->vdev->transport->mask_irq(vblk->vdev, i, mask);
}

static void virtblk_empty_rings(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		vring_reset(&vblk->vqs[i].vq);
}

/*
 * The queues are quiesced. Afterwards the device owns nothing, and no ring knows
 * of a request: an interrupt that is still to come finds nothing to end. @swap:
 * the queues get their other rings, too.
 */
static int virtblk_stop_device(struct virtblk *vblk, bool swap)
{
	struct virtio_device *vdev = vblk->vdev;
	unsigned int i;
	int err;

	virtblk_stop_others(vblk);
	err = virtio_reset_device(vdev);
	virtblk_mask_irqs(vblk, true);
	for (i = 0; i < vblk->nvqs; i++)
		vblk->vqs[i].vq.callback(&vblk->vqs[i].vq);
	if (swap)
		vdev->transport->swap_rings(vdev);
	virtblk_empty_rings(vblk);
	virtblk_mask_irqs(vblk, false);
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
	virtblk_hear_config(vblk);
	return 0;
}

/* @vvq: of this queue; NULL: of all */
struct virtblk_return {
	const struct virtblk_vq *vvq;
	enum virtblk_fate fate;
};

static bool virtblk_return_one(struct request *rq, void *data)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;
	const struct virtblk_return *ret = data;

	/* Others are on their way to their end already. */
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT ||
	    (ret->vvq && ret->vvq != vvq))
		return true;
	vbr->fate = ret->fate;
	/*
	 * An append that was done and is done again would be there twice. And
	 * the disk may have become read-only.
	 */
	if (virtblk_gave_up(rq) || req_op(rq) == REQ_OP_ZONE_APPEND ||
	    (op_is_write(req_op(rq)) &&
	     virtio_has_feature(vvq->vblk->vdev, VIRTIO_F_BLK_RO)))
		vbr->fate = VIRTBLK_FAIL;
	virtblk_release(vvq, rq);
	blk_mq_complete_request(rq);
	return true;
}

/* The queues are quiesced and the device owns nothing. */
static void virtblk_return_all(struct virtblk *vblk, enum virtblk_fate fate)
{
	struct virtblk_return ret = { .fate = fate };

	blk_mq_tagset_busy_iter(&vblk->tag_set, virtblk_return_one, &ret);
	blk_mq_tagset_wait_completed_request(&vblk->tag_set);
}

static void virtblk_set_dead(struct virtblk *vblk)
{
	unsigned int i;

	WRITE_ONCE(vblk->state, VIRTBLK_DEAD);
	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].shut, VIRTBLK_SHUT_FOREVER);
}

static void virtblk_run_again(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		if (vblk->vqs[i].shut == VIRTBLK_SHUT)
			WRITE_ONCE(vblk->vqs[i].shut, VIRTBLK_OPEN);
		WRITE_ONCE(vblk->vqs[i].waiting, false);
	}
	blk_mq_start_stopped_hw_queues(vblk->disk->queue, true);
	blk_mq_unquiesce_queue(vblk->disk->queue);
	blk_mq_kick_requeue_list(vblk->disk->queue);
}

static bool virtblk_may_recover(struct virtblk *vblk)
{
	unsigned int attempts = READ_ONCE(reset_attempts), i;
	u32 harvests = 0, since;
	bool calm;

	for (i = 0; i < vblk->nvqs; i++)
		harvests += vblk->vqs[i].vq.harvests;
	since = harvests - vblk->recover_harvests;
	/* Silent with something to say is not calm. */
	calm = since || !blk_mq_queue_inflight(vblk->disk->queue);
	if (since >= RECOVER_HELPED ||
	    (calm && time_after(jiffies, vblk->recover_last + RECOVER_CALM)))
		vblk->recover_count = 0;
	vblk->recover_last = jiffies;
	vblk->recover_harvests = harvests;
	if (READ_ONCE(vblk->removing))
		attempts = min(attempts, REMOVE_ATTEMPTS);
	if (vblk->recover_count++ < attempts)
		return true;
	virtio_err(vblk->vdev, "%s: %u resets did not help\n",
		   vblk->disk->disk_name, vblk->recover_count - 1);
	return false;
}

/* First half of a recovery: afterwards nothing runs and nothing is owned. */
static int virtblk_stop(struct virtblk *vblk, bool swap)
{
	blk_mq_quiesce_queue(vblk->disk->queue);
	return virtblk_stop_device(vblk, swap);
}

static void virtblk_all_well(struct virtblk *vblk)
{
	unsigned int i;

	WRITE_ONCE(vblk->whole, false);
	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].trouble, false);
}

/*
 * Second half: @err tells whether there is a device to go on with. Returns
 * whether it went on.
 */
static int virtblk_start(struct virtblk *vblk, int err)
{
	struct virtio_device *vdev = vblk->vdev;

	if (!err)
		err = virtio_negotiate(vdev);
	if (!err)
		err = virtblk_revive(vblk);
	if (err)
		virtblk_set_dead(vblk);
	virtblk_return_all(vblk, err ? VIRTBLK_FAIL : VIRTBLK_REPLAY);
	if (!err)
		virtblk_all_well(vblk);
	virtblk_run_again(vblk);

	if (err) {
		virtio_err(vdev, "%s: the disk is dead: %d\n",
			   vblk->disk->disk_name, err);
		blk_mark_disk_dead(vblk->disk);
		return err;
	}
	/* The next one in charge may stop queues: none may be on its way to run. */
	virtblk_go_live(vblk);
	/* It may have grown meanwhile. */
	virtio_config_changed(vdev);
	return 0;
}

static void virtblk_go_on(struct virtblk *vblk, int err)
{
	if (virtblk_start(vblk, err))
		return;
	vblk->counts.resets++;
	virtio_info(vblk->vdev, "%s: back after a reset\n",
		    vblk->disk->disk_name);
}

/* -- one queue alone -- */

struct virtblk_silent {
	const struct virtblk_vq *vvq;
	unsigned int n;
};

static bool virtblk_is_silent(struct request *rq, void *data)
{
	struct virtblk_silent *silent = data;
	const struct virtblk_vq *vvq = silent->vvq;

	if (rq->mq_hctx == vvq->hctx && blk_mq_rq_state(rq) == MQ_RQ_IN_FLIGHT &&
	    READ_ONCE(vvq->slots[rq->tag].status) == VIRTIO_BLK_S_UNWRITTEN)
		silent->n++;
	return true;
}

/*
 * Wait until the device has written the status of all that it has of a queue,
 * which is the last that it writes. A reset of the queue should make it let go
 * of the rest, but QEMU's disks go on with what they have begun, and would write
 * to memory that is somebody else's by then. To reset the device stops them.
 */
static bool virtblk_wait_answers(struct virtblk_vq *vvq)
{
	unsigned long end = jiffies + REPAIR_WAIT;
	struct virtblk_silent silent = { .vvq = vvq };

	for (;;) {
		silent.n = 0;
		blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_is_silent,
					&silent);
		if (!silent.n)
			return true;
		if (time_after(jiffies, end))
			return false;
		usleep_range(1000, 2000);
	}
}

/* Nothing starts on this queue any more; nor on others, for a moment. */
static void virtblk_shut_queue(struct virtblk_vq *vvq)
{
	struct request_queue *q = vvq->vblk->disk->queue;

	blk_mq_quiesce_queue(q);
	WRITE_ONCE(vvq->shut, VIRTBLK_SHUT);
	blk_mq_stop_hw_queue(vvq->hctx);
	blk_mq_unquiesce_queue(q);
}

/* Returns false if that did not help. The queue then is left as it is. */
static bool virtblk_repair_queue(struct virtblk_vq *vvq)
{
	const struct virtblk_return ret = { .vvq = vvq, .fate = VIRTBLK_REPLAY };
	struct virtio_device *vdev = vvq->vblk->vdev;
	unsigned int queue = vvq->vq.index;
	int err;

	virtblk_shut_queue(vvq);
	if (!virtblk_wait_answers(vvq) && !READ_ONCE(trust_queue_reset))
		return false;

	vdev->transport->mask_irq(vdev, queue, true);
	err = vdev->transport->stop_vq(vdev, queue);
	if (!err) {
		vvq->vq.callback(&vvq->vq);
		err = vdev->transport->start_vq(vdev, queue);
	}
	vdev->transport->mask_irq(vdev, queue, false);
	if (err) {
		virtio_warn(vdev, "%s: queue %u cannot be reset alone: %d\n",
			    vvq->vblk->disk->disk_name, queue, err);
		return false;
	}

	blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_return_one, (void *)&ret);
	WRITE_ONCE(vvq->trouble, false);
	WRITE_ONCE(vvq->shut, VIRTBLK_OPEN);
	WRITE_ONCE(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	vvq->vblk->counts.resets++;
	vvq->vblk->counts.queue_resets++;
	virtio_info(vdev, "%s: queue %u is back after a reset\n",
		    vvq->vblk->disk->disk_name, queue);
	return true;
}

/* Queues were reset alone, and are ready: requests may come again. */
static void virtblk_live_again(struct virtblk *vblk)
{
	virtblk_hear_config(vblk);
	virtblk_go_live(vblk);
	/* What was heard before that, was heard too early. */
	virtio_config_changed(vblk->vdev);
}

/* Returns false if the whole device has to be reset. */
static bool virtblk_repair_queues(struct virtblk *vblk)
{
	unsigned int i;

	if (READ_ONCE(vblk->whole) ||
	    !virtio_has_feature(vblk->vdev, VIRTIO_F_RING_RESET))
		return false;
	/* One at a time uses the registers. */
	virtblk_stop_others(vblk);
	for (i = 0; i < vblk->nvqs; i++) {
		if (READ_ONCE(vblk->vqs[i].trouble) &&
		    !virtblk_repair_queue(&vblk->vqs[i]))
			return false;
	}

	virtblk_live_again(vblk);
	return true;
}

static void virtblk_repair(struct virtblk *vblk)
{
	bool may = virtblk_may_recover(vblk);
	int err;

	if (may && virtblk_repair_queues(vblk))
		return;
	err = virtblk_stop(vblk, false);
	if (!err && !may)
		err = -EIO;
	virtblk_go_on(vblk, err);
}

/* -- rings of another size -- */

/*
 * The queue is frozen and quiesced: nothing is in flight, and none of the
 * rings is looked at but by handlers of interrupts. @swapped tells whether the
 * queues have the other rings, also when something fails.
 */
static int virtblk_try_rings(struct virtblk *vblk, bool *swapped)
{
	const struct virtio_transport *transport = vblk->vdev->transport;
	struct virtio_device *vdev = vblk->vdev;
	unsigned int i;
	int err = 0;

	virtblk_mask_irqs(vblk, true);
	for (i = 0; !err && i < vblk->nvqs; i++)
		err = transport->stop_vq(vdev, i);
	*swapped = !err;
	if (*swapped) {
		transport->swap_rings(vdev);
		virtblk_empty_rings(vblk);
	}
	for (i = 0; !err && i < vblk->nvqs; i++)
		err = transport->start_vq(vdev, i);
	virtblk_mask_irqs(vblk, false);
	return err;
}

/* The device may refuse halfway. It then comes back with the rings it had. */
static void virtblk_resize_rings(struct virtblk *vblk)
{
	bool swapped;
	int err;

	virtblk_stop_others(vblk);
	vblk->resize_err = virtblk_try_rings(vblk, &swapped);
	if (!vblk->resize_err) {
		virtblk_live_again(vblk);
		return;
	}

	virtio_warn(vblk->vdev, "%s: its queues cannot be reset alone: %d: resetting the device\n",
		    vblk->disk->disk_name, vblk->resize_err);
	/* Only after a reset it has let go of either. */
	err = virtblk_stop(vblk, swapped);
	virtblk_go_on(vblk, err);
}

/**
 * virtblk_recover_work() - repair a device, or give its queues other rings
 * @work: of a disk in state VIRTBLK_RECOVERING or VIRTBLK_RESIZING
 *
 * del_gendisk() waits for whoever holds the queue before it takes it apart, and
 * for a resize. If it is past that, no request is left that could be saved.
 */
void virtblk_recover_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, recover_work);
	struct percpu_ref *queue = &vblk->disk->queue->q_usage_counter;
	bool held = percpu_ref_tryget(queue);

	if (READ_ONCE(vblk->state) == VIRTBLK_RESIZING)
		virtblk_resize_rings(vblk);
	else if (held || !READ_ONCE(vblk->removing) || READ_ONCE(vblk->resizing))
		virtblk_repair(vblk);
	else
		virtblk_set_dead(vblk);
	if (held)
		percpu_ref_put(queue);
}

static bool virtblk_try_claim(struct virtblk *vblk, enum virtblk_state state)
{
	return cmpxchg(&vblk->state, VIRTBLK_LIVE, state) == VIRTBLK_LIVE;
}

/**
 * virtblk_go_live() - requests may go to the device from now on
 * @vblk: the disk, which the caller is in charge of
 *
 * Context: any.
 */
void virtblk_go_live(struct virtblk *vblk)
{
	unsigned int i;

	/* What was found broken before, found nobody who would repair it. */
	smp_store_mb(vblk->state, VIRTBLK_LIVE);
	for (i = 0; i < vblk->nvqs; i++) {
		if (READ_ONCE(vblk->vqs[i].vq.broken))
			virtblk_recover_queue(&vblk->vqs[i], "the device broke the protocol",
					      &vblk->counts.protocol);
	}
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
	if (!virtblk_try_claim(vblk, VIRTBLK_RECOVERING))
		return;
	WRITE_ONCE(vblk->whole, true);
	if (count)
		(*count)++;
	virtio_err(vblk->vdev, "%s: %s: resetting the device\n",
		   vblk->disk->disk_name, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_recover_queue() - the device broke the rules for one queue
 * @vvq: the queue
 * @why: for people
 * @count: one of vblk->counts that goes with it, or NULL
 *
 * Context: any.
 */
void virtblk_recover_queue(struct virtblk_vq *vvq, const char *why,
			   unsigned int *count)
{
	struct virtblk *vblk = vvq->vblk;

	WRITE_ONCE(vvq->trouble, true);
	/* Pairs with virtblk_go_live(): a cmpxchg that fails orders nothing. */
	smp_mb();
	if (!virtblk_try_claim(vblk, VIRTBLK_RECOVERING))
		return;
	if (count)
		(*count)++;
	virtio_err(vblk->vdev, "%s: queue %u: %s: resetting it\n",
		   vblk->disk->disk_name, vvq->vq.index, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/*
 * Be the one in charge; returns false if the disk is dead, or is paused and
 * stays so. May sleep.
 */
static bool virtblk_claim(struct virtblk *vblk, enum virtblk_state state)
{
	while (!virtblk_try_claim(vblk, state)) {
		if (READ_ONCE(vblk->state) == VIRTBLK_DEAD || vblk->paused)
			return false;
		/* It may be somebody else, who is about to pause it. */
		if (!flush_work(&vblk->recover_work))
			usleep_range(1000, 2000);
	}
	return true;
}

/**
 * virtblk_exchange_rings() - let the queues have their second rings
 * @vblk: a disk whose queue is frozen and quiesced, with second rings
 *
 * Context: may sleep. Return: 0; an error if the rings are the first ones still,
 * and the disk goes on with them, or is dead or asleep.
 */
int virtblk_exchange_rings(struct virtblk *vblk)
{
	if (!virtblk_claim(vblk, VIRTBLK_RESIZING))
		return READ_ONCE(vblk->state) == VIRTBLK_DEAD ? -ENODEV : -EBUSY;
	/* Who else wants to be in charge waits for this work. */
	queue_work(virtblk_wq, &vblk->recover_work);
	flush_work(&vblk->recover_work);
	return vblk->resize_err;
}

/**
 * virtblk_kill() - the device is gone: fail all that it had and all that comes
 * @vblk: the disk
 *
 * Context: may sleep; not from virtblk_recover_work().
 */
void virtblk_kill(struct virtblk *vblk)
{
	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return;
	blk_mq_quiesce_queue(vblk->disk->queue);
	virtblk_set_dead(vblk);
	virtblk_stop_device(vblk, false);
	virtblk_return_all(vblk, VIRTBLK_FAIL);
	virtblk_run_again(vblk);
	blk_mark_disk_dead(vblk->disk);
}

/**
 * virtblk_retire() - from now on nobody repairs the device
 * @vblk: a disk that has no requests any more
 *
 * Context: may sleep. Its ring may still say what is wrong.
 */
void virtblk_retire(struct virtblk *vblk)
{
	virtblk_claim(vblk, VIRTBLK_RECOVERING);
	cancel_work_sync(&vblk->recover_work);
	virtblk_stop_others(vblk);
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

	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return;
	virtblk_stop(vblk, false);
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

/* -- sleep of the system -- */

/* Requests that take longer are taken back, and sent again after waking up. */
#define SLEEP_WAIT		(10 * HZ)

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
	drained = virtblk_drain(vblk);
	if (!virtblk_claim(vblk, VIRTBLK_RECOVERING))
		return 0;
	vblk->paused = true;
	virtblk_stop_others(vblk);
	if (drained && keeps && !virtio_suspend_device(vdev)) {
		vdev->transport->sync_irqs(vdev);
		vblk->asleep = true;
		return 0;
	}
	virtblk_stop_device(vblk, false);
	virtblk_return_all(vblk, VIRTBLK_REPLAY);
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
		virtblk_run_again(vblk);
		return 0;
	}
	vblk->paused = false;
	if (err || !asleep || virtio_wake_device(vdev))
		return virtblk_start(vblk, err);

	virtblk_run_again(vblk);
	virtblk_live_again(vblk);
	return 0;
}
