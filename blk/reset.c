// SPDX-License-Identifier: GPL-2.0
/*
 * The mechanism of resets: of the device, or of one queue (RING_RESET). No
 * request is lost, and none ends while the device may still use its memory.
 *
 *	quiesce		the block layer dispatches no request
 *	reset		the device no longer owns any buffer; requests that it
 *			has finished end
 *	reinitialise	the same features, the same queues with empty rings
 *	requeue		the other requests go back to the block layer, to be sent
 *			again; they fail if the device did not come back
 *	unquiesce	the block layer dispatches requests again
 *
 * The caller owns the device; see blk/state.c.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include "blk/borrow.h"
#include "blk/command.h"
#include "blk/complete.h"
#include "blk/evidence.h"
#include "blk/log.h"
#include "blk/reset.h"
#include "blk/state.h"
#include "compat/blk.h"

/* Wait so long for requests in flight before a queue is reset. */
#define QUEUE_RESET_WAIT	HZ

static unsigned int reset_attempts = 5;
module_param(reset_attempts, uint, 0644);
MODULE_PARM_DESC(reset_attempts,
		 "Resets in a row before a disk is dead, and replays before a request fails; 0: at the first error (default: 5)");

static bool trust_queue_reset;
module_param(trust_queue_reset, bool, 0644);
MODULE_PARM_DESC(trust_queue_reset,
		 "Trust that a device drops the requests of a queue that is reset alone; QEMU's do not (default: no)");

/**
 * virtblk_reset_attempts() - how many resets in a row may fail to help
 *
 * Return: the parameter reset_attempts.
 */
unsigned int virtblk_reset_attempts(void)
{
	return READ_ONCE(reset_attempts);
}

/**
 * virtblk_disable_events() - keep config changes and time-outs from the device
 * @vblk: the disk, which the caller owns
 *
 * After this no other task uses the device's registers or reaps its rings: config
 * changes wait, and the time-out handler has returned. Context: may sleep.
 */
void virtblk_disable_events(struct virtblk *vblk)
{
	virtio_config_disable(vblk->vdev);
	cancel_work_sync(&vblk->config_work);
	flush_work(&vblk->disk->queue->timeout_work);
}

/**
 * virtblk_enable_events() - act on config changes, if the disk was added
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
 * virtblk_swap_rings() - exchange the rings of all queues for the second ones
 * @vblk: the disk, whose device owns none of the rings
 *
 * Nobody reads a ring in debugfs meanwhile. Context: may sleep.
 */
void virtblk_swap_rings(struct virtblk *vblk)
{
	mutex_lock(&vblk->rings_mutex);
	vblk->vdev->transport->swap_rings(vblk->vdev);
	mutex_unlock(&vblk->rings_mutex);
}

/**
 * virtblk_empty_rings() - vring_reset() of every queue
 * @vblk: the disk, whose device owns none of the rings
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
 * virtblk_reset_device() - reset the device, reap and empty its rings
 * @vblk: the disk, whose queues are quiesced
 * @swap: exchange the rings with the second ones, too
 *
 * After this the device owns no buffer, and the rings are empty. The interrupt
 * handlers do not reap until virtblk_finish_reset(). Context: may sleep.
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
		virtblk_swap_rings(vblk);
	virtblk_empty_rings(vblk);
	return err;
}

/**
 * virtblk_quiesce_and_reset() - first half of a recovery
 * @vblk: the disk, which the caller owns
 * @swap: see virtblk_reset_device()
 *
 * After this no request is dispatched, and the device owns no buffer. Context:
 * may sleep. Return: 0 or an error.
 */
int virtblk_quiesce_and_reset(struct virtblk *vblk, bool swap)
{
	blk_mq_quiesce_queue(vblk->disk->queue);
	return virtblk_reset_device(vblk, swap);
}

/*
 * Reinitialise a device that was reset, and whose features were negotiated again.
 * Returns an error if its queues have changed.
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
	 * The reset restored the device's own cache mode, so set the mode in use.
	 * config_work, which runs once the disk is live, checks that it was taken.
	 */
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_CONFIG_WCE))
		virtio_cwrite8(vdev, VIRTIO_BLK_CFG_WRITEBACK, vblk->limits.writeback);
	virtblk_release_completions(vblk);
	virtio_device_ready(vdev);
	virtblk_enable_events(vblk);
	return 0;
}

/* @vvq: take only requests of this queue; NULL: of all queues */
struct virtblk_requeue {
	const struct virtblk_vq *vvq;
	enum virtblk_disposition disposition;
};

/*
 * The disposition of a request that was in flight when the device was reset. If
 * the device wrote a status, it had finished the request. A zone append fails,
 * because sent again it might append the data twice. A write fails if the disk
 * has become read-only.
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
		virtblk_err_ratelimited(vvq->vblk, "a request was sent %u times and never came back: it fails\n",
					vbr->replays + 1);
		return VIRTBLK_FAIL;
	}
	return disposition;
}

/* The time-out of a request starts again, and is longer with each replay. */
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

	/* A request in another state is ending already. */
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
 * virtblk_requeue_all() - give all requests in flight back to the block layer
 * @vblk: the disk, which is quiesced; the device owns no buffer
 * @disposition: VIRTBLK_REQUEUE or VIRTBLK_FAIL
 *
 * A request that the device had finished completes with its status.
 * Context: may sleep.
 */
void virtblk_requeue_all(struct virtblk *vblk,
			 enum virtblk_disposition disposition)
{
	struct virtblk_requeue ret = { .disposition = disposition };

	blk_mq_tagset_busy_iter(&vblk->tag_set, virtblk_requeue_one, &ret);
	blk_mq_tagset_wait_completed_request(&vblk->tag_set);
}

/**
 * virtblk_unquiesce() - let the block layer dispatch requests again
 * @vblk: the disk, which may be dead
 */
void virtblk_unquiesce(struct virtblk *vblk)
{
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++) {
		if (vblk->vqs[i].state == VIRTBLK_VQ_QUIESCED)
			WRITE_ONCE(vblk->vqs[i].state, vblk->vqs[i].running);
		WRITE_ONCE(vblk->vqs[i].waiting, false);
	}
	blk_mq_start_stopped_hw_queues(vblk->disk->queue, true);
	blk_mq_unquiesce_queue(vblk->disk->queue);
	blk_mq_kick_requeue_list(vblk->disk->queue);
}

/**
 * virtblk_init_all_mem() - virtblk_init_mem() of every queue
 * @vblk: the disk, which is quiesced and has no request in flight
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
 * @err: 0, or the error that makes the device unusable
 *
 * After this the disk is live or dead. Context: may sleep. Return: 0; the error
 * if it is dead.
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
		virtblk_err(vblk, "the disk is dead: %d\n", err);
		compat_mark_disk_dead(vblk->disk);
		return err;
	}
	/* After unquiescing, as the next owner may quiesce a queue. */
	virtblk_set_live(vblk);
	/* The config may have changed meanwhile. */
	virtio_config_changed(vdev);
	return 0;
}

/**
 * virtblk_end_recovery() - virtblk_finish_reset(), with a count and a message
 * @vblk: the disk, after virtblk_quiesce_and_reset()
 * @err: see virtblk_finish_reset()
 */
void virtblk_end_recovery(struct virtblk *vblk, int err)
{
	if (virtblk_finish_reset(vblk, err))
		return;
	vblk->counts.resets++;
	virtblk_info_ratelimited(vblk, "back after a reset\n");
}

/**
 * virtblk_resume_service() - make the disk live, if the device was not reset
 * @vblk: the disk, which the caller owns; its queues are enabled
 */
void virtblk_resume_service(struct virtblk *vblk)
{
	virtblk_enable_events(vblk);
	virtblk_set_live(vblk);
	/* config_work has ignored config changes while the disk was not live. */
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

/**
 * virtblk_may_reset_vq() - can a queue be reset alone
 * @vvq: the queue, which is quiesced
 *
 * Wait until the device has written the status of every request of the queue, which
 * is the last that it writes of a request. It must not touch requests after a
 * reset of the queue, but QEMU's disks continue with those that they have begun,
 * and would write to memory that has another user by then. A reset of the device
 * ends them. Context: may sleep, up to QUEUE_RESET_WAIT. Return: false if a status
 * is missing, unless the parameter trust_queue_reset says that it does not matter.
 */
bool virtblk_may_reset_vq(struct virtblk_vq *vvq)
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
			return READ_ONCE(trust_queue_reset);
		usleep_range(1000, 2000);
	}
}

/* Quiesce one queue. The others are quiesced, too, for a moment. */
static void virtblk_quiesce_vq(struct virtblk_vq *vvq)
{
	struct request_queue *q = vvq->vblk->disk->queue;

	/* Whoever dispatches without having seen the state is waited for then. */
	WRITE_ONCE(vvq->state, VIRTBLK_VQ_QUIESCED);
	blk_mq_quiesce_queue(q);
	blk_mq_stop_hw_queue(vvq->hctx);
	blk_mq_unquiesce_queue(q);
}

/**
 * virtblk_reset_vq() - reset one queue, and requeue its requests (RING_RESET)
 * @vvq: the queue of a disk that the caller owns
 *
 * Context: may sleep, up to 11 seconds. Return: false if the device has to be
 * reset; the queue stays quiesced then.
 */
bool virtblk_reset_vq(struct virtblk_vq *vvq)
{
	const struct virtblk_requeue ret = { .vvq = vvq, .disposition = VIRTBLK_REQUEUE };
	struct virtio_device *vdev = vvq->vblk->vdev;
	unsigned int queue = vvq->vq.index;
	int err;

	virtblk_quiesce_vq(vvq);
	if (!virtblk_may_reset_vq(vvq))
		return false;

	virtblk_hold_completion(vvq);
	err = vdev->transport->reset_vq(vdev, queue);
	if (!err) {
		vvq->vq.handler(&vvq->vq);
		virtblk_forget_evidence(vvq);
		err = vdev->transport->reinit_vq(vdev, queue);
	}
	virtblk_release_completion(vvq);
	if (err) {
		virtblk_warn_ratelimited(vvq->vblk, "queue %u cannot be reset alone: %d\n",
					 queue, err);
		return false;
	}

	blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_requeue_one, (void *)&ret);
	virtblk_init_mem(vvq->vblk, vvq);
	WRITE_ONCE(vvq->needs_reset, false);
	/* Whoever sees the state may write to the memory that was initialised. */
	smp_store_release(&vvq->state, vvq->running);
	/* As in virtblk_restart_queue(). */
	smp_store_mb(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	vvq->vblk->counts.resets++;
	vvq->vblk->counts.queue_resets++;
	virtblk_info_ratelimited(vvq->vblk, "queue %u is back after a reset\n",
				 queue);
	return true;
}
