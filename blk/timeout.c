// SPDX-License-Identifier: GPL-2.0
/*
 * When a request does not come back. Its memory is the device's until the
 * device says otherwise or is reset, so it is never simply ended. And a device
 * that is only slow is not reset: QEMU finishes what is in flight first, and
 * stops a CPU of the guest meanwhile.
 *
 *	it is in the ring	its interrupt was lost: take it
 *	the device is gone,	reset, which finds out whether it can be
 *	or asks for a reset	saved
 *	less than a stall	wait, whatever else comes back
 *	the device answers	its completion was lost: reset, and send it
 *	others of its kind	again
 *	nothing else comes	the device is slow, or its host is: wait
 *	the disk is added,	wait for a stall, then reset; if what was sent
 *	or removed		again does not come back either, it fails
 *
 * blk/evidence.c finds out what the device answers. All times are multiples of
 * queue/io_timeout of the disk: a stall is stall_timeouts of them, and what is
 * lost is found before lost_timeouts of them have passed.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include "blk/complete.h"
#include "blk/evidence.h"
#include "blk/state.h"
#include "blk/timeout.h"
#include "compat/blk.h"

/* A request that is late is looked at this often, or with each io_timeout. */
#define LATE_AGAIN	(5 * HZ)
/* A replay on a disk that is added or removed has so many time-outs. */
#define BOUNDED_REPLAY	2

enum virtblk_action { ACTION_AUTO, ACTION_WAIT, ACTION_RESET, ACTION_FAIL };

static const char *const virtblk_actions[] = {
	[ACTION_AUTO] = "auto",
	[ACTION_WAIT] = "wait",
	[ACTION_RESET] = "reset",
	[ACTION_FAIL] = "fail",
};

static int timeout_action = ACTION_AUTO;

static int virtblk_set_action(const char *val, const struct kernel_param *kp)
{
	int action = sysfs_match_string(virtblk_actions, val);

	if (action < 0)
		return action;
	WRITE_ONCE(timeout_action, action);
	return 0;
}

static int virtblk_get_action(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", virtblk_actions[READ_ONCE(timeout_action)]);
}

static const struct kernel_param_ops virtblk_action_ops = {
	.set = virtblk_set_action,
	.get = virtblk_get_action,
};

module_param_cb(timeout_action, &virtblk_action_ops, NULL, 0644);
MODULE_PARM_DESC(timeout_action,
		 "Of a request that is late: auto, wait, reset the device, or reset it and fail the request (default: auto)");

/* A day: more would overflow what the block layer keeps. */
#define TIMEOUT_MAX	86400
/* So many time-outs of a day still fit 32 bits of jiffies. */
#define MULTIPLE_MAX	40

static int virtblk_set_timeout(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 1, TIMEOUT_MAX);
}

static const struct kernel_param_ops virtblk_timeout_ops = {
	.set = virtblk_set_timeout,
	.get = param_get_uint,
};

static unsigned int request_timeout = 30;
module_param_cb(request_timeout, &virtblk_timeout_ops, &request_timeout, 0644);
MODULE_PARM_DESC(request_timeout,
		 "Seconds after which a request is late, for disks found from now on (default: 30)");

static int virtblk_set_multiple(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 1, MULTIPLE_MAX);
}

static const struct kernel_param_ops virtblk_multiple_ops = {
	.set = virtblk_set_multiple,
	.get = param_get_uint,
};

static unsigned int stall_timeouts = 4;
module_param_cb(stall_timeouts, &virtblk_multiple_ops, &stall_timeouts, 0644);
MODULE_PARM_DESC(stall_timeouts,
		 "A request that takes less than so many time-outs is slow, not lost (default: 4)");

static unsigned int lost_timeouts = 8;
module_param_cb(lost_timeouts, &virtblk_multiple_ops, &lost_timeouts, 0644);
MODULE_PARM_DESC(lost_timeouts,
		 "A completion that is lost is found within so many time-outs (default: 8)");

/**
 * virtblk_request_timeout() - when a request is late, in jiffies
 */
unsigned int virtblk_request_timeout(void)
{
	return READ_ONCE(request_timeout) * HZ;
}

/* How long a request is in flight, in jiffies; it is late. */
static u32 virtblk_age(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return (u32)jiffies - vbr->submitted;
}

/* How long a request may take for certain, in jiffies: more with each replay. */
static u32 virtblk_stall(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return rq->q->rq_timeout * (1 + vbr->replays) * READ_ONCE(stall_timeouts);
}

/* When evidence decides: between the two bounds, with time left for a reset. */
static u32 virtblk_patience(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u32 stall = READ_ONCE(stall_timeouts);
	u32 lost = max(READ_ONCE(lost_timeouts), stall);

	return rq->q->rq_timeout * (1 + vbr->replays) * (stall + lost) / 2;
}

/*
 * The interrupt of @rq may have been lost, or its poller: look into the ring.
 * Nobody else ends @rq meanwhile, so that what is noted is of no other request.
 */
static bool virtblk_poll_ring(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	bool ended;

	virtblk_hold_completion(vvq);
	vvq->vq.handler(&vvq->vq);
	spin_lock(&vvq->poll_lock);
	ended = blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT;
	if (!ended && !vbr->late) {
		virtblk_note_late(vvq->vblk, rq);
		vvq->vblk->counts.slow++;
	}
	spin_unlock(&vvq->poll_lock);
	virtblk_release_completion(vvq);
	return ended;
}

/* A check of a read is a read, and that of a flush a flush. */
static bool virtblk_check_is_younger(const struct request *rq)
{
	return req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_FLUSH;
}

/* The device is done with others, so @rq is not slow: its completion is lost. */
static bool virtblk_is_lost(struct virtblk_vq *vvq, struct request *rq)
{
	u32 age = virtblk_age(rq), patience = virtblk_patience(rq);
	bool younger = virtblk_younger_came_back(vvq->vblk, rq);
	bool quiet = virtblk_is_quiet(vvq->vblk, rq, patience);

	/* The status is the last that a device writes: it is done with @rq. */
	if (READ_ONCE(vvq->slots[rq->tag].status) != VIRTIO_BLK_S_UNWRITTEN)
		return age >= virtblk_stall(rq);
	/* Asked early, so that the answer is there when it counts. */
	if (age < virtblk_stall(rq) / 2)
		return false;
	if (virtblk_check(vvq, rq))
		return age >= patience &&
		       (younger || quiet || virtblk_check_is_younger(rq));
	/* It cannot be asked, or the answer is late too. */
	return younger && age >= (vvq->check ? 2 * patience : patience);
}

/* Somebody waits for the disk: a replay is given little, and the last one. */
static bool virtblk_is_overdue(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u32 limit = vbr->replays ? BOUNDED_REPLAY : READ_ONCE(stall_timeouts);

	return virtblk_age(rq) >= rq->q->rq_timeout * limit;
}

/* At first, and when the number of time-outs has doubled. */
static void virtblk_warn_late(struct virtblk_vq *vvq, struct request *rq,
			      bool first)
{
	u32 now = virtblk_age(rq) / rq->q->rq_timeout;
	u32 before = (virtblk_age(rq) - rq->timeout) / rq->q->rq_timeout;
	const char *name = vvq->vblk->disk->disk_name;
	struct device *dev = vvq->vblk->vdev->dev.parent;
	u32 seconds = virtblk_age(rq) / HZ;

	if (!first && (now == before || !is_power_of_2(now)))
		return;
	if (req_op(rq) == REQ_OP_FLUSH || blk_rq_is_passthrough(rq))
		dev_warn_ratelimited(dev, "%s: request %d of queue %u, %s, is late: waiting (%u seconds so far)\n",
				     name, rq->tag, vvq->vq.index,
				     blk_op_str(req_op(rq)), seconds);
	else
		dev_warn_ratelimited(dev, "%s: request %d of queue %u, %s at sector %llu, is late: waiting (%u seconds so far)\n",
				     name, rq->tag, vvq->vq.index,
				     blk_op_str(req_op(rq)),
				     (unsigned long long)blk_rq_pos(rq), seconds);
}

/* Returns whether a reset was started. */
static bool virtblk_give_up_waiting(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk *vblk = vvq->vblk;

	switch (READ_ONCE(timeout_action)) {
	case ACTION_FAIL:
		vbr->fail = true;
		fallthrough;
	case ACTION_RESET:
		virtblk_recover_queue(vvq, "request is late", NULL);
		return true;
	case ACTION_WAIT:
		return false;
	}
	if (virtblk_is_bounded(vblk)) {
		if (!virtblk_is_overdue(rq))
			return false;
		virtblk_recover(vblk, "request is late, and the disk is added or removed",
				NULL);
		return true;
	}
	if (!virtblk_is_lost(vvq, rq))
		return false;
	virtblk_recover_queue(vvq, "request lost, others came back",
			      &vblk->counts.lost_completions);
	return true;
}

/**
 * virtblk_timeout() - ->timeout: a request does not come back
 * @rq: in flight for longer than io_timeout
 *
 * Context: a worker of the block layer; may sleep.
 */
enum blk_eh_timer_return virtblk_timeout(struct request *rq)
{
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk *vblk = vvq->vblk;
	bool first = !vbr->late;

	/* A recovery will bring it back, or end it. */
	if (READ_ONCE(vblk->state) != VIRTBLK_LIVE)
		return BLK_EH_RESET_TIMER;

	virtblk_scan(vblk);
	if (virtblk_poll_ring(vvq, rq)) {
		if (vvq->vq.polled)
			return BLK_EH_DONE;
		vblk->counts.lost_interrupts++;
		dev_warn_ratelimited(vblk->vdev->dev.parent,
				     "%s: queue %u: an interrupt was lost\n",
				     vblk->disk->disk_name, vvq->vq.index);
		return BLK_EH_DONE;
	}
	rq->timeout = min_t(unsigned int, rq->q->rq_timeout, LATE_AGAIN);
	if (!virtblk_check_status(vblk) || virtblk_give_up_waiting(vvq, rq))
		return BLK_EH_RESET_TIMER;
	virtblk_warn_late(vvq, rq, first);
	/* A notification may have been lost on the way: one more harms nobody. */
	virtqueue_notify(&vvq->vq);
	return BLK_EH_RESET_TIMER;
}
