// SPDX-License-Identifier: GPL-2.0
/*
 * The mechanism of resets: of the device, or of one queue alone (RING_RESET).
 * Nothing is lost, and nothing ends while the device may still touch its memory.
 *
 *	quiesce		no request starts; the device is reset, which takes
 *	and reset	every buffer back from it; what it had finished, ends
 *	reinitialise	the same features, the same queues, emptied
 *	requeue		what is left goes back to the block layer, to be sent
 *			again, or fails if the device did not come back
 *	unquiesce	requests start again
 *
 * The caller is in charge of the device; see blk/state.c.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include "blk/command.h"
#include "blk/complete.h"
#include "blk/evidence.h"
#include "blk/mem.h"
#include "blk/reset.h"
#include "blk/state.h"

/* What a queue has in flight is given so long before the device is reset. */
#define QUEUE_RESET_WAIT	HZ

static unsigned int reset_attempts = 5;
module_param(reset_attempts, uint, 0644);
MODULE_PARM_DESC(reset_attempts,
		 "Resets in a row before a disk is dead, and replays before a request fails; 0: at the first error (default: 5)");

static bool trust_queue_reset;
module_param(trust_queue_reset, bool, 0644);
MODULE_PARM_DESC(trust_queue_reset,
		 "Believe that a device lets go of requests when one queue is reset; QEMU's do not (default: no)");

/**
 * virtblk_reset_attempts() - how many resets in a row may not help
 */
unsigned int virtblk_reset_attempts(void)
{
	return READ_ONCE(reset_attempts);
}

/**
 * virtblk_disable_events() - keep config changes and time-outs off the device
 * @vblk: the disk
 *
 * From here on nobody else uses its registers or takes what came back: config
 * changes wait, and the time-out handler has returned. Context: may sleep.
 */
void virtblk_disable_events(struct virtblk *vblk)
{
	virtio_config_disable(vblk->vdev);
	cancel_work_sync(&vblk->config_work);
	flush_work(&vblk->disk->queue->timeout_work);
}

/**
 * virtblk_enable_events() - let config changes through, if the disk is added
 * @vblk: the disk
 */
void virtblk_enable_events(struct virtblk *vblk)
{
	if (READ_ONCE(vblk->added))
		virtio_config_enable(vblk->vdev);
}

/**
 * virtblk_hold_completions() - virtblk_hold_completion() of every queue
 * @vblk: the disk
 */
void virtblk_hold_completions(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		virtblk_hold_completion(&vblk->vqs[i]);
}

/**
 * virtblk_release_completions() - virtblk_release_completion() of every queue
 * @vblk: the disk
 */
void virtblk_release_completions(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		virtblk_release_completion(&vblk->vqs[i]);
}

/**
 * virtblk_empty_rings() - vring_reset() of every queue
 * @vblk: the disk, whose device knows none of the rings
 */
void virtblk_empty_rings(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		vring_reset(&vblk->vqs[i].vq);
		virtblk_forget_evidence(&vblk->vqs[i]);
	}
}

/**
 * virtblk_reset_device() - take everything back from the device
 * @vblk: the disk, whose queues are quiesced
 * @swap: the queues get their second rings, too
 *
 * Afterwards the device owns nothing, and no ring knows of a request. Interrupts
 * that are still to come look into no ring before virtblk_finish_reset().
 * Context: may sleep.
 * Return: 0, or the error of virtio_reset_device().
 */
int virtblk_reset_device(struct virtblk *vblk, bool swap)
{
	struct virtio_device *vdev = vblk->vdev;
	unsigned int i;
	int err;

	virtblk_disable_events(vblk);
	err = virtio_reset_device(vdev);
	virtblk_hold_completions(vblk);
	for (i = 0; i < vblk->nvqs; i++)
		vblk->vqs[i].vq.handler(&vblk->vqs[i].vq);
	if (swap)
		vdev->transport->swap_rings(vdev);
	virtblk_empty_rings(vblk);
	return err;
}

/**
 * virtblk_quiesce_and_reset() - first half of a recovery
 * @vblk: the disk
 * @swap: see virtblk_reset_device()
 *
 * Afterwards no request starts, and the device owns nothing. Context: may sleep.
 * Return: 0 or an error.
 */
int virtblk_quiesce_and_reset(struct virtblk *vblk, bool swap)
{
	blk_mq_quiesce_queue(vblk->disk->queue);
	return virtblk_reset_device(vblk, swap);
}

/*
 * Set a device up that was reset, and whose features were negotiated again.
 * Returns an error if it is not what it was.
 */
static int virtblk_reinit(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	int err;

	err = vdev->transport->reinit_vqs(vdev);
	if (err) {
		virtio_err(vdev, "device came back with other queues\n");
		return err;
	}
	/*
	 * The reset took the device back to its own cache mode. Whether it takes
	 * this one is found by the config work, which runs when the disk is live.
	 */
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_CONFIG_WCE))
		virtio_cwrite8(vdev, VIRTIO_BLK_CFG_WRITEBACK, vblk->limits.writeback);
	virtblk_release_completions(vblk);
	virtio_device_ready(vdev);
	virtblk_enable_events(vblk);
	return 0;
}

/* @vvq: of this queue; NULL: of all */
struct virtblk_requeue {
	const struct virtblk_vq *vvq;
	enum virtblk_disposition disposition;
};

/*
 * What becomes of a request that the device had in flight when it was reset. If
 * it wrote a status, it was done with it. An append that was done and is done
 * again would be there twice, and the disk may have become read-only.
 */
static enum virtblk_disposition
virtblk_dispose(struct virtblk_vq *vvq, struct request *rq,
		enum virtblk_disposition disposition)
{
	u8 status = READ_ONCE(vvq->slots[rq->tag].status);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (status != VIRTIO_BLK_S_UNWRITTEN) {
		vbr->status = status;
		virtblk_end_command(vvq, rq);
		return VIRTBLK_COMPLETE;
	}
	if (vbr->fail || req_op(rq) == REQ_OP_ZONE_APPEND ||
	    (op_is_write(req_op(rq)) &&
	     virtio_has_feature(vvq->vblk->vdev, VIRTIO_F_BLK_RO)))
		return VIRTBLK_FAIL;
	if (vvq->vblk->in_recovery && vbr->replays &&
	    vbr->replays >= virtblk_reset_attempts()) {
		dev_err_ratelimited(vvq->vblk->vdev->dev.parent,
				    "%s: a request was sent %u times and never came back: it fails\n",
				    vvq->vblk->disk->disk_name, vbr->replays + 1);
		return VIRTBLK_FAIL;
	}
	return disposition;
}

/* The time that it is given starts anew, and grows with each replay. */
static void virtblk_count_replay(struct virtblk *vblk, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	vbr->late = false;
	if (vblk->in_recovery && vbr->replays < U8_MAX) {
		vbr->replays++;
		vbr->holds = true;
	}
	rq->timeout = rq->q->rq_timeout * (1 + vbr->replays);
}

static bool virtblk_requeue_one(struct request *rq, void *data)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;
	const struct virtblk_requeue *ret = data;

	/* Others are on their way to their end already. */
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT ||
	    (ret->vvq && ret->vvq != vvq))
		return true;
	vbr->disposition = virtblk_dispose(vvq, rq, ret->disposition);
	if (vbr->disposition == VIRTBLK_REQUEUE) {
		virtblk_release(vvq, rq);
		virtblk_count_replay(vvq->vblk, rq);
	} else {
		virtblk_forget(vvq, rq);
	}
	blk_mq_complete_request(rq);
	return true;
}

/**
 * virtblk_requeue_all() - give what is in flight back to the block layer
 * @vblk: the disk, quiesced; the device owns nothing
 * @disposition: of the requests
 */
void virtblk_requeue_all(struct virtblk *vblk,
			 enum virtblk_disposition disposition)
{
	struct virtblk_requeue ret = { .disposition = disposition };

	blk_mq_tagset_busy_iter(&vblk->tag_set, virtblk_requeue_one, &ret);
	blk_mq_tagset_wait_completed_request(&vblk->tag_set);
}

/**
 * virtblk_unquiesce() - let requests start again
 * @vblk: the disk
 *
 * Also the end of a quiescence that the disk's death did not end.
 */
void virtblk_unquiesce(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		if (vblk->vqs[i].state == VIRTBLK_VQ_QUIESCED)
			WRITE_ONCE(vblk->vqs[i].state, VIRTBLK_VQ_RUNNING);
		WRITE_ONCE(vblk->vqs[i].waiting, false);
	}
	blk_mq_start_stopped_hw_queues(vblk->disk->queue, true);
	blk_mq_unquiesce_queue(vblk->disk->queue);
	blk_mq_kick_requeue_list(vblk->disk->queue);
}

/**
 * virtblk_init_all_mem() - virtblk_init_mem() of every queue
 * @vblk: the disk, quiesced, with nothing in flight
 */
void virtblk_init_all_mem(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		virtblk_init_mem(vblk, &vblk->vqs[i]);
}

static void virtblk_clear_errors(struct virtblk *vblk)
{
	unsigned int i;

	WRITE_ONCE(vblk->needs_reset, false);
	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].needs_reset, false);
}

/**
 * virtblk_finish_reset() - second half of a recovery
 * @vblk: the disk, after virtblk_quiesce_and_reset()
 * @err: 0, or why there is no device to set up again
 *
 * The disk is live afterwards, or dead. Context: may sleep. Return: 0 or why it
 * is dead.
 */
int virtblk_finish_reset(struct virtblk *vblk, int err)
{
	struct virtio_device *vdev = vblk->vdev;

	if (!err)
		err = virtio_negotiate(vdev);
	if (!err)
		err = virtblk_reinit(vblk);
	if (err)
		virtblk_set_dead(vblk);
	virtblk_requeue_all(vblk, err ? VIRTBLK_FAIL : VIRTBLK_REQUEUE);
	if (!err) {
		virtblk_init_all_mem(vblk);
		virtblk_clear_errors(vblk);
	}
	virtblk_unquiesce(vblk);

	if (err) {
		virtio_err(vdev, "%s: the disk is dead: %d\n",
			   vblk->disk->disk_name, err);
		blk_mark_disk_dead(vblk->disk);
		return err;
	}
	/* The next one in charge may stop queues: none may be on its way to run. */
	virtblk_set_live(vblk);
	/* It may have grown meanwhile. */
	virtio_config_changed(vdev);
	return 0;
}

/**
 * virtblk_end_recovery() - virtblk_finish_reset(), counted and reported
 * @vblk: the disk
 * @err: as there
 */
void virtblk_end_recovery(struct virtblk *vblk, int err)
{
	if (virtblk_finish_reset(vblk, err))
		return;
	vblk->counts.resets++;
	virtio_info(vblk->vdev, "%s: back after a reset\n",
		    vblk->disk->disk_name);
}

/**
 * virtblk_resume_service() - the disk is live again without a reset of the device
 * @vblk: the disk, whose queues are ready
 */
void virtblk_resume_service(struct virtblk *vblk)
{
	virtblk_enable_events(vblk);
	virtblk_set_live(vblk);
	/* What was heard before that, was heard too early. */
	virtio_config_changed(vblk->vdev);
}

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
	unsigned long end = jiffies + QUEUE_RESET_WAIT;
	struct virtblk_silent silent = { .vvq = vvq };

	for (;;) {
		silent.n = virtblk_check_in_flight(vvq);
		blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_is_silent,
					&silent);
		if (!silent.n)
			return true;
		if (time_after(jiffies, end))
			return false;
		usleep_range(1000, 2000);
	}
}

/* Requests start on this queue no more; nor on others, for a moment. */
static void virtblk_quiesce_vq(struct virtblk_vq *vvq)
{
	struct request_queue *q = vvq->vblk->disk->queue;

	blk_mq_quiesce_queue(q);
	WRITE_ONCE(vvq->state, VIRTBLK_VQ_QUIESCED);
	blk_mq_stop_hw_queue(vvq->hctx);
	blk_mq_unquiesce_queue(q);
}

/**
 * virtblk_reset_vq() - reset one queue alone (RING_RESET)
 * @vvq: the queue
 *
 * Context: may sleep, up to 11 seconds. Return: false if the device has to be
 * reset; the queue is left quiesced then.
 */
bool virtblk_reset_vq(struct virtblk_vq *vvq)
{
	const struct virtblk_requeue ret = { .vvq = vvq, .disposition = VIRTBLK_REQUEUE };
	struct virtio_device *vdev = vvq->vblk->vdev;
	unsigned int queue = vvq->vq.index;
	int err;

	virtblk_quiesce_vq(vvq);
	if (!virtblk_wait_answers(vvq) && !READ_ONCE(trust_queue_reset))
		return false;

	virtblk_hold_completion(vvq);
	err = vdev->transport->reset_vq(vdev, queue);
	if (!err) {
		vvq->vq.handler(&vvq->vq);
		err = vdev->transport->reinit_vq(vdev, queue);
	}
	virtblk_release_completion(vvq);
	if (err) {
		virtio_warn(vdev, "%s: queue %u cannot be reset alone: %d\n",
			    vvq->vblk->disk->disk_name, queue, err);
		return false;
	}

	blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_requeue_one, (void *)&ret);
	virtblk_init_mem(vvq->vblk, vvq);
	WRITE_ONCE(vvq->needs_reset, false);
	WRITE_ONCE(vvq->state, VIRTBLK_VQ_RUNNING);
	WRITE_ONCE(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	vvq->vblk->counts.resets++;
	vvq->vblk->counts.queue_resets++;
	virtio_info(vdev, "%s: queue %u is back after a reset\n",
		    vvq->vblk->disk->disk_name, queue);
	return true;
}
