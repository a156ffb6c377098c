// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery: the policy of resets. It resets one queue where that is enough and
 * the device supports it, else the device. After some recoveries in a row that do
 * not help, the disk is dead. blk/reset.c has the mechanism.
 */
#include "blk/log.h"
#include "blk/recover.h"
#include "blk/reset.h"
#include "blk/state.h"

/* Recoveries closer together than this have the same cause, unless one helped. */
#define RECOVER_INTERVAL		(10 * HZ)
/* A recovery helped if requests came back in so many reaps since. */
#define RECOVER_HELPED		16
/* Largest number of recoveries in a row while a task adds or removes the disk. */
#define BOUNDED_ATTEMPTS	1u

static bool virtblk_may_recover(struct virtblk *vblk)
{
	u32 reaps = virtblk_count_reaps(vblk);
	unsigned int attempts = virtblk_reset_attempts();
	u32 since = reaps - vblk->recover_reaps;
	bool calm;

	/* A disk with requests in flight of which none came back is not calm. */
	calm = since || !blk_mq_queue_inflight(vblk->disk->queue);
	if (since >= RECOVER_HELPED ||
	    (calm && time_after(jiffies, vblk->recover_last + RECOVER_INTERVAL)))
		vblk->recover_count = 0;
	vblk->recover_last = jiffies;
	vblk->recover_reaps = reaps;
	if (virtblk_is_bounded(vblk))
		attempts = min(attempts, BOUNDED_ATTEMPTS);
	if (vblk->recover_count++ < attempts)
		return true;
	virtblk_err(vblk, "%u resets did not help\n", vblk->recover_count - 1);
	return false;
}

/* Returns false if the whole device has to be reset. */
static bool virtblk_reset_vqs(struct virtblk *vblk)
{
	unsigned int i;

	if (READ_ONCE(vblk->needs_reset) ||
	    !virtio_has_feature(vblk->vdev, VIRTIO_F_RING_RESET))
		return false;
	/* No config change may use the registers meanwhile. */
	virtblk_disable_events(vblk);
	for (i = 0; i < vblk->nvqs; i++) {
		if (READ_ONCE(vblk->vqs[i].needs_reset) &&
		    !virtblk_reset_vq(&vblk->vqs[i]))
			return false;
	}

	virtblk_resume_service(vblk);
	return true;
}

static void virtblk_do_recovery(struct virtblk *vblk)
{
	bool may = virtblk_may_recover(vblk);
	int err;

	vblk->in_recovery = true;
	if (!may || !virtblk_reset_vqs(vblk)) {
		err = virtblk_quiesce_and_reset(vblk, false);
		if (!err && !may)
			err = -EIO;
		virtblk_end_recovery(vblk, err);
	}
}

/**
 * virtblk_recover_work() - recover a disk
 * @work: vblk->recover_work; the disk is in state VIRTBLK_RECOVERING
 *
 * del_gendisk() waits for whoever holds q_usage_counter, and for a resize, before
 * it dismantles the queue. If it already has, there is no request left to recover.
 */
void virtblk_recover_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, recover_work);
	struct percpu_ref *queue = &vblk->disk->queue->q_usage_counter;
	bool held = percpu_ref_tryget(queue);

	if (held || !READ_ONCE(vblk->removing) || READ_ONCE(vblk->resizing))
		virtblk_do_recovery(vblk);
	else
		virtblk_set_dead(vblk);
	if (held)
		percpu_ref_put(queue);
}
