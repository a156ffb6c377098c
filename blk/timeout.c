// SPDX-License-Identifier: GPL-2.0
/*
 * When a request does not come back. Its memory is the device's until the
 * device says otherwise or is reset, so it is never simply ended.
 *
 *	it is in the ring	its interrupt was lost: take it
 *	the device is gone,	reset, which finds out whether it can be
 *	or asks for a reset	saved
 *	younger requests	its completion was lost: reset, and send it
 *	finished		again
 *	nothing moves		the device is slow, or its host is: wait. To
 *				reset it would not help: QEMU finishes what
 *				is in flight first, and stops a CPU meanwhile
 *	nothing moves, and	reset: that comes next anyway. If what was sent
 *	the disk is to go	again does not come back either, it fails
 *
 * How long "does not come back" is stands in queue/io_timeout of the disk.
 */
#include <linux/module.h>
#include <linux/ratelimit.h>
#include "blk/state.h"
#include "blk/timeout.h"
#include "compat/blk.h"

/* Once a request is late, look at it this often. */
#define LATE_AGAIN	(5 * HZ)

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

/**
 * virtblk_request_timeout() - when a request is late, in jiffies
 */
unsigned int virtblk_request_timeout(void)
{
	return READ_ONCE(request_timeout) * HZ;
}

struct virtblk_count {
	const struct blk_mq_hw_ctx *hctx;
	unsigned int n;
};

static bool virtblk_count_one(struct request *rq, void *data)
{
	struct virtblk_count *count = data;

	if (rq->mq_hctx == count->hctx)
		count->n++;
	return true;
}

/* How many were in flight when @rq was first late, and what had come by then. */
static void virtblk_note_late(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	struct virtblk_count count = { .hctx = vvq->hctx };

	if (vbr->late)
		return;
	blk_mq_tagset_busy_iter(&vvq->vblk->tag_set, virtblk_count_one, &count);
	vbr->others = count.n;
	vbr->reaps = READ_ONCE(vvq->vq.reaps);
	vbr->late = true;
	vbr->holds = true;
	rq->timeout = min_t(unsigned int, rq->timeout, LATE_AGAIN);
}

/*
 * The interrupt of @rq may have been lost, or its poller: look into the ring.
 * Nobody else ends @rq meanwhile, so that what is noted is of no other request.
 */
static bool virtblk_poll_ring(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtio_device *vdev = vvq->vblk->vdev;
	bool ended;

	vdev->transport->mask_irq(vdev, vvq->vq.index, true);
	vvq->vq.callback(&vvq->vq);
	spin_lock(&vvq->poll_lock);
	ended = blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT;
	if (!ended)
		virtblk_note_late(vvq, rq);
	spin_unlock(&vvq->poll_lock);
	vdev->transport->mask_irq(vdev, vvq->vq.index, false);
	return ended;
}

/*
 * Did requests that were sent after @rq come back? When the queue has brought
 * something more often than there were others in flight, some of it was younger.
 */
static bool virtblk_younger_came_back(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return READ_ONCE(vvq->vq.reaps) - vbr->reaps > vbr->others;
}

static enum blk_eh_timer_return virtblk_late(struct virtblk_vq *vvq,
					     struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);
	bool younger = virtblk_younger_came_back(vvq, rq);
	struct virtblk *vblk = vvq->vblk;

	switch (READ_ONCE(timeout_action)) {
	case ACTION_AUTO:
		if (younger)
			virtblk_recover_queue(vvq, "request lost, younger ones came back",
					      &vblk->counts.lost_completions);
		else if (READ_ONCE(vblk->removing))
			virtblk_recover(vblk, "request is late and the disk is to go",
					NULL);
		else
			break;
		return BLK_EH_RESET_TIMER;
	case ACTION_FAIL:
		vbr->fail = true;
		fallthrough;
	case ACTION_RESET:
		virtblk_recover_queue(vvq, "request is late", NULL);
		return BLK_EH_RESET_TIMER;
	}
	vblk->counts.slow++;
	/* A notification may have been lost on the way: one more harms nobody. */
	virtqueue_notify(&vvq->vq);
	dev_warn_ratelimited(vblk->vdev->dev.parent,
			     "%s: request %d of queue %u, sector %llu, is late: waiting\n",
			     vblk->disk->disk_name, rq->tag, vvq->vq.index,
			     (unsigned long long)blk_rq_pos(rq));
	return BLK_EH_RESET_TIMER;
}

/**
 * virtblk_timeout() - a request does not come back
 * @rq: in flight for longer than io_timeout
 *
 * Context: a worker of the block layer; may sleep.
 */
enum blk_eh_timer_return virtblk_timeout(struct request *rq)
{
	struct virtblk_vq *vvq = rq->mq_hctx->driver_data;
	struct virtblk *vblk = vvq->vblk;

	/* A recovery will bring it back, or end it. */
	if (READ_ONCE(vblk->state) != VIRTBLK_LIVE)
		return BLK_EH_RESET_TIMER;

	if (virtblk_poll_ring(vvq, rq)) {
		if (vvq->vq.polled)
			return BLK_EH_DONE;
		vblk->counts.lost_interrupts++;
		dev_warn_ratelimited(vblk->vdev->dev.parent,
				     "%s: queue %u: an interrupt was lost\n",
				     vblk->disk->disk_name, vvq->vq.index);
		return BLK_EH_DONE;
	}
	if (!virtblk_check_status(vblk))
		return BLK_EH_RESET_TIMER;
	return virtblk_late(vvq, rq);
}
