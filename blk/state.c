// SPDX-License-Identifier: GPL-2.0
/*
 * The state of a disk tells who owns its device. While the disk is live, requests
 * go to the device, and any code may report an error. A task that claims the disk
 * owns the device's registers and rings until the disk is live again, or dead.
 *
 *	new -> live <-> recovering -> dead
 *		    <-> resizing
 *		    <-> configuring
 */
#include <linux/delay.h>
#include <linux/init.h>
#include "blk/log.h"
#include "blk/state.h"

/* Memory reclaim may wait for a recovery, so its work needs a rescuer thread. */
static struct workqueue_struct *virtblk_wq;

/**
 * virtblk_init_state() - allocate the workqueue for recoveries
 *
 * Return: 0 or -ENOMEM.
 */
int __init virtblk_init_state(void)
{
	virtblk_wq = alloc_workqueue("virtio_lite", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return virtblk_wq ? 0 : -ENOMEM;
}

/**
 * virtblk_exit_state() - undo virtblk_init_state(); there is no disk any more
 */
void virtblk_exit_state(void)
{
	destroy_workqueue(virtblk_wq);
}

static bool virtblk_try_claim(struct virtblk *vblk, enum virtblk_state state)
{
	return cmpxchg(&vblk->state, VIRTBLK_LIVE, state) == VIRTBLK_LIVE;
}

/**
 * virtblk_is_bounded() - may the disk not wait for its device for ever
 * @vblk: the disk
 *
 * A task that adds or removes the disk waits for it, so a device that stays
 * silent is given up then. Return: true while the disk is added or removed.
 */
bool virtblk_is_bounded(const struct virtblk *vblk)
{
	return READ_ONCE(vblk->removing) || !READ_ONCE(vblk->added);
}

/**
 * virtblk_count_reaps() - how often completion found used buffers
 * @vblk: the disk
 *
 * Return: the sum over all queues; it wraps around.
 */
u32 virtblk_count_reaps(const struct virtblk *vblk)
{
	u32 reaps = 0;
	unsigned int i;

	for (i = 0; i < vblk->nvqs; i++)
		reaps += READ_ONCE(vblk->vqs[i].vq.reaps);
	return reaps;
}

/**
 * virtblk_claim() - wait until the disk is live, and own its device
 * @vblk: the disk
 * @state: its new state: VIRTBLK_RECOVERING, _RESIZING or _CONFIGURING
 *
 * virtblk_set_live() or virtblk_set_dead() gives the device back. Context: may
 * sleep; not from virtblk_recover_work(). Return: false if the disk is dead or
 * paused.
 */
bool virtblk_claim(struct virtblk *vblk, enum virtblk_state state)
{
	while (!virtblk_try_claim(vblk, state)) {
		if (READ_ONCE(vblk->state) == VIRTBLK_DEAD || vblk->paused)
			return false;
		/* No recovery: another task owns the device, and may pause it. */
		if (!flush_work(&vblk->recover_work))
			usleep_range(1000, 2000);
	}
	return true;
}

/**
 * virtblk_set_dead() - make the disk dead: every request fails from now on
 * @vblk: the disk, which the caller owns
 */
void virtblk_set_dead(struct virtblk *vblk)
{
	unsigned int i;

	vblk->in_recovery = false;
	WRITE_ONCE(vblk->state, VIRTBLK_DEAD);
	for (i = 0; i < vblk->nvqs; i++)
		WRITE_ONCE(vblk->vqs[i].state, VIRTBLK_VQ_DEAD);
}

/**
 * virtblk_recover() - start a recovery that resets the device
 * @vblk: the disk
 * @why: reason, for the log
 * @count: member of vblk->counts to increment, or NULL
 *
 * Does nothing if the disk is not live. Context: any.
 */
void virtblk_recover(struct virtblk *vblk, const char *why, unsigned int *count)
{
	if (!virtblk_try_claim(vblk, VIRTBLK_RECOVERING))
		return;
	WRITE_ONCE(vblk->needs_reset, true);
	if (count)
		(*count)++;
	virtblk_err_ratelimited(vblk, "%s: resetting the device\n", why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_recover_queue() - start a recovery that resets one queue
 * @vvq: the queue
 * @why: reason, for the log
 * @count: member of vblk->counts to increment, or NULL
 *
 * If the queue cannot be reset alone, the recovery resets the device. Context:
 * any.
 */
void virtblk_recover_queue(struct virtblk_vq *vvq, const char *why,
			   unsigned int *count)
{
	struct virtblk *vblk = vvq->vblk;

	WRITE_ONCE(vvq->needs_reset, true);
	/* Pairs with virtblk_set_live(): a cmpxchg that fails orders nothing. */
	smp_mb();
	if (!virtblk_try_claim(vblk, VIRTBLK_RECOVERING))
		return;
	if (count)
		(*count)++;
	virtblk_err_ratelimited(vblk, "queue %u: %s: resetting it\n",
				vvq->vq.index, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_set_live() - make the disk live: requests go to the device from now on
 * @vblk: the disk, which the caller owns
 *
 * Context: any.
 */
void virtblk_set_live(struct virtblk *vblk)
{
	unsigned int i;

	vblk->in_recovery = false;
	/* An error that was found before could not start a recovery. */
	smp_store_mb(vblk->state, VIRTBLK_LIVE);
	for (i = 0; i < vblk->nvqs; i++) {
		if (READ_ONCE(vblk->vqs[i].vq.broken))
			virtblk_recover_queue(&vblk->vqs[i], "the device broke the protocol",
					      &vblk->counts.protocol);
	}
}

/**
 * virtblk_check_status() - start a recovery if the device status shows an error
 * @vblk: the disk
 *
 * Context: may sleep. Return: false if a recovery was started.
 */
bool virtblk_check_status(struct virtblk *vblk)
{
	u8 status = vblk->vdev->regs->get_status(vblk->vdev);

	if (READ_ONCE(vblk->state) != VIRTBLK_LIVE)
		return true;
	if (status == VIRTIO_S_GONE)
		virtblk_recover(vblk, "device is gone", NULL);
	else if (status & VIRTIO_S_NEEDS_RESET)
		virtblk_recover(vblk, "device needs a reset", NULL);
	else if (!(status & VIRTIO_S_DRIVER_OK))
		virtblk_recover(vblk, "device cleared DRIVER_OK", NULL);
	else
		return true;
	return false;
}
