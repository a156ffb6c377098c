// SPDX-License-Identifier: GPL-2.0
/*
 * Who is in charge of the device. While a disk is live, requests go to it, and
 * everybody may say that something is wrong with it. Whoever claims it then has
 * the device's registers and rings alone, until the disk is live again or dead.
 *
 *	new -> live <-> recovering -> dead
 *		    <-> resizing
 *		    <-> configuring
 */
#include <linux/delay.h>
#include "blk/state.h"

/* Memory may wait for a recovery, so its work needs a thread of its own. */
static struct workqueue_struct *virtblk_wq;

/**
 * virtblk_init_state() - get ready to recover disks
 *
 * Return: 0 or -ENOMEM.
 */
int virtblk_init_state(void)
{
	virtblk_wq = alloc_workqueue("virtio_lite", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return virtblk_wq ? 0 : -ENOMEM;
}

/**
 * virtblk_exit_state() - undo virtblk_init_state(); there are no disks any more
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
 * virtblk_is_bounded() - somebody waits for the disk who has to get an answer
 * @vblk: the disk
 *
 * While it is added or removed, a device that stays silent is given up at last.
 */
bool virtblk_is_bounded(const struct virtblk *vblk)
{
	return READ_ONCE(vblk->removing) || !READ_ONCE(vblk->added);
}

/**
 * virtblk_count_reaps() - how often requests came back
 * @vblk: the disk
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
 * virtblk_claim() - wait until the disk is live, and be in charge of it
 * @vblk: the disk
 * @state: what for: VIRTBLK_RECOVERING, _RESIZING or _CONFIGURING
 *
 * Context: may sleep; not from the recovery's work. Return: false if the disk
 * is dead, or is paused and stays so.
 */
bool virtblk_claim(struct virtblk *vblk, enum virtblk_state state)
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
 * virtblk_set_dead() - from now on every request fails
 * @vblk: the disk, which the caller is in charge of
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
 * virtblk_recover() - the device has to be reset
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
	WRITE_ONCE(vblk->needs_reset, true);
	if (count)
		(*count)++;
	virtio_err(vblk->vdev, "%s: %s: resetting the device\n",
		   vblk->disk->disk_name, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_recover_queue() - one queue has to be reset
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

	WRITE_ONCE(vvq->needs_reset, true);
	/* Pairs with virtblk_set_live(): a cmpxchg that fails orders nothing. */
	smp_mb();
	if (!virtblk_try_claim(vblk, VIRTBLK_RECOVERING))
		return;
	if (count)
		(*count)++;
	virtio_err(vblk->vdev, "%s: queue %u: %s: resetting it\n",
		   vblk->disk->disk_name, vvq->vq.index, why);
	queue_work(virtblk_wq, &vblk->recover_work);
}

/**
 * virtblk_set_live() - requests may go to the device from now on
 * @vblk: the disk, which the caller is in charge of
 *
 * Context: any.
 */
void virtblk_set_live(struct virtblk *vblk)
{
	unsigned int i;

	vblk->in_recovery = false;
	/* What was found broken before, found nobody who would repair it. */
	smp_store_mb(vblk->state, VIRTBLK_LIVE);
	for (i = 0; i < vblk->nvqs; i++) {
		if (READ_ONCE(vblk->vqs[i].vq.broken))
			virtblk_recover_queue(&vblk->vqs[i], "the device broke the protocol",
					      &vblk->counts.protocol);
	}
}

/**
 * virtblk_check_status() - does the device say that it is well
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
		virtblk_recover(vblk, "device forgot its driver", NULL);
	else
		return true;
	return false;
}
