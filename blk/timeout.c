// SPDX-License-Identifier: GPL-2.0
/*
 * The time-out handler: a request is late. The device owns its memory until it
 * completes the request or is reset, so a time-out alone never ends a request. A
 * device that is only slow is not reset, because QEMU would finish the requests
 * in flight first, and block a CPU of the guest meanwhile.
 *
 *	the request is used	its interrupt was lost: complete it
 *	the device is gone,	reset the device
 *	or needs a reset
 *	it is late for less	wait, whatever other requests do
 *	than a stall
 *	others of its kind	its completion was lost: reset the queue or the
 *	come back		device, and send the request again
 *	no others come back	the device or its host is slow: wait
 *	the disk is added	wait for a stall, then reset the device; if the
 *	or removed		request is late again, it fails
 *
 * blk/evidence.c finds out whether others come back. All times are multiples of
 * the disk's queue/io_timeout: a stall is stall_timeouts of them, and a lost
 * completion is found before lost_timeouts of them have passed.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include "blk/complete.h"
#include "blk/evidence.h"
#include "blk/log.h"
#include "blk/state.h"
#include "blk/timeout.h"
#include "compat/blk.h"

/* The time-out of a late request, unless io_timeout is shorter. */
#define LATE_AGAIN	(5 * HZ)
/* Time-outs until a replay is overdue while the disk is added or removed. */
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
		 "What to do about a late request: auto, wait, reset (the device), or fail (reset it, and fail the request) (default: auto)");

/* A day, in seconds: the block layer keeps jiffies in an unsigned int. */
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
 * virtblk_request_timeout() - the time-out of a new disk
 *
 * Return: the parameter request_timeout, in jiffies.
 */
unsigned int virtblk_request_timeout(void)
{
	return READ_ONCE(request_timeout) * HZ;
}

/* @n time-outs of the disk, in jiffies. A user may set an io_timeout of weeks. */
static u32 virtblk_timeouts(const struct request *rq, u32 n)
{
	return min_t(u64, (u64)rq->q->rq_timeout * n, U32_MAX);
}

/**
 * virtblk_lost_timeout() - when a lost completion was found for certain, in jiffies
 * @rq: a request of the disk
 */
u32 virtblk_lost_timeout(const struct request *rq)
{
	return virtblk_timeouts(rq, max(READ_ONCE(lost_timeouts),
					READ_ONCE(stall_timeouts)));
}

/* How long a late request has been in flight, in jiffies. */
static u32 virtblk_age(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return (u32)jiffies - vbr->submitted;
}

/* How long a request may take in any case, in jiffies: longer with each replay. */
static u32 virtblk_stall(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return virtblk_timeouts(rq, READ_ONCE(stall_timeouts) * (1 + vbr->replays));
}

/* Age at which evidence decides, in jiffies: lost_timeouts minus time to reset. */
static u32 virtblk_patience(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u32 stall = READ_ONCE(stall_timeouts);
	u32 lost = max(READ_ONCE(lost_timeouts), stall);

	return virtblk_timeouts(rq, (stall + lost) * (1 + vbr->replays)) / 2;
}

/*
 * Reap the ring: the interrupt of @rq may have been lost, or the task that polled
 * for it may be gone. No one else completes @rq meanwhile, so what is noted here
 * is about @rq, and not about the next request of its tag. Returns true if @rq has
 * ended.
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
	if (!ended)
		vbr->fail = READ_ONCE(timeout_action) == ACTION_FAIL;
	spin_unlock(&vvq->poll_lock);
	virtblk_release_completion(vvq);
	return ended;
}

/* Is the check of @rq itself a later request of the same kind? */
static bool virtblk_check_is_younger(const struct request *rq)
{
	return req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_FLUSH;
}

/* Is @rq lost and not slow? It is if the device completes others of its kind. */
static bool virtblk_is_lost(struct virtblk_vq *vvq, struct request *rq)
{
	u32 age = virtblk_age(rq), patience = virtblk_patience(rq);
	bool younger = virtblk_younger_came_back(vvq->vblk, rq);
	bool quiet = virtblk_is_quiet(vvq->vblk, rq, patience);

	/* A device writes the status last, so it has finished @rq. */
	if (READ_ONCE(vvq->slots[rq->tag].status) != VIRTIO_BLK_S_UNWRITTEN)
		return age >= virtblk_stall(rq);
	/* The check is sent early, to have its answer in time. */
	if (age < virtblk_stall(rq) / 2)
		return false;
	if (virtblk_check(vvq, rq))
		return age >= patience &&
		       (younger || quiet || virtblk_check_is_younger(rq));
	/* There is no check, or the check is late, too. */
	return younger && age >= (vvq->check ? 2 * patience : patience);
}

/* While a task adds or removes the disk, is @rq in flight for too long? */
static bool virtblk_is_overdue(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	u32 limit = vbr->replays ? BOUNDED_REPLAY : READ_ONCE(stall_timeouts);

	return virtblk_age(rq) >= virtblk_timeouts(rq, limit);
}

/* Warn when a request is first late, and when the number of time-outs doubles. */
static void virtblk_warn_late(struct virtblk_vq *vvq, struct request *rq,
			      bool first)
{
	u32 now = virtblk_age(rq) / rq->q->rq_timeout;
	u32 before = (virtblk_age(rq) - rq->timeout) / rq->q->rq_timeout;
	u32 seconds = virtblk_age(rq) / HZ;

	if (!first && (now == before || !is_power_of_2(now)))
		return;
	if (req_op(rq) == REQ_OP_FLUSH || blk_rq_is_passthrough(rq))
		virtblk_warn_ratelimited(vvq->vblk, "request %d of queue %u, %s, is late: waiting (%u seconds so far)\n",
					 rq->tag, vvq->vq.index,
					 blk_op_str(req_op(rq)), seconds);
	else
		virtblk_warn_ratelimited(vvq->vblk, "request %d of queue %u, %s at sector %llu, is late: waiting (%u seconds so far)\n",
					 rq->tag, vvq->vq.index,
					 blk_op_str(req_op(rq)),
					 (unsigned long long)blk_rq_pos(rq),
					 seconds);
}

/* Returns true if a recovery was started. */
static bool virtblk_give_up_waiting(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk *vblk = vvq->vblk;

	switch (READ_ONCE(timeout_action)) {
	case ACTION_FAIL:
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
 * virtblk_timeout() - ->timeout: decide what to do about a late request
 * @rq: the request
 *
 * Context: a worker of the block layer; may sleep. Return: BLK_EH_DONE if the
 * request has ended, else BLK_EH_RESET_TIMER.
 */
enum blk_eh_timer_return virtblk_timeout(struct request *rq)
{
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk *vblk = vvq->vblk;
	bool first = !vbr->late;

	/* A recovery requeues or ends the request. */
	if (READ_ONCE(vblk->state) != VIRTBLK_LIVE)
		return BLK_EH_RESET_TIMER;

	virtblk_scan(vblk);
	if (virtblk_poll_ring(vvq, rq)) {
		if (vvq->vq.polled)
			return BLK_EH_DONE;
		vblk->counts.lost_interrupts++;
		virtblk_warn_ratelimited(vblk, "queue %u: an interrupt was lost\n",
					 vvq->vq.index);
		return BLK_EH_DONE;
	}
	rq->timeout = min_t(unsigned int, rq->q->rq_timeout, LATE_AGAIN);
	if (!virtblk_check_status(vblk) || virtblk_give_up_waiting(vvq, rq))
		return BLK_EH_RESET_TIMER;
	virtblk_warn_late(vvq, rq, first);
	/* A kick may have been lost, and one more does no harm. */
	virtqueue_notify(&vvq->vq);
	return BLK_EH_RESET_TIMER;
}
