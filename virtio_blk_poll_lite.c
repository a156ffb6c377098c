// SPDX-License-Identifier: GPL-2.0
/*
 * Other ways for requests to come back than virtblk_done(), which serves the
 * usual rings: in order (IN_ORDER), and without an interrupt, to whoever waits for
 * them (io_uring with IOPOLL, preadv2() with RWF_HIPRI).
 */
#include "compat/blk.h"
#include "virtio_blk_lite.h"

/**
 * virtblk_done_in_order() - virtblk_done() with IN_ORDER
 * @vq: as there
 *
 * Context: hard interrupt, no lock. Return: IRQ_NONE if there was nothing.
 */
irqreturn_t virtblk_done_in_order(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	DEFINE_IO_COMP_BATCH(iob);
	bool found = false;

	virtqueue_disable_cb(vq);
	do {
		found |= virtblk_harvest(vvq, &iob);
	} while (!virtqueue_enable_cb(vq));
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	virtblk_harvested(vvq, found);
	return found ? IRQ_HANDLED : IRQ_NONE;
}

/**
 * virtblk_done_polled() - virtblk_done() of a queue without interrupt
 * @vq: as there; pollers may come in between
 *
 * Context: may not be a hard interrupt. Return: IRQ_NONE if there was nothing.
 */
irqreturn_t virtblk_done_polled(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	DEFINE_IO_COMP_BATCH(iob);
	bool found;

	spin_lock(&vvq->poll_lock);
	found = virtblk_harvest(vvq, &iob);
	virtblk_harvested(vvq, found);
	spin_unlock(&vvq->poll_lock);
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	return found ? IRQ_HANDLED : IRQ_NONE;
}

/**
 * virtblk_poll() - somebody waits for a request of a queue without interrupt
 * @hctx: of the queue
 * @iob: requests that can end in a batch are added to it; may be NULL
 *
 * Return: whether there was anything.
 */
int virtblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	bool found = false;

	if (!virtqueue_is_used(&vvq->vq))
		return 0;
	spin_lock(&vvq->poll_lock);
	/* A ring that is being repaired belongs to who does that. */
	if (READ_ONCE(vvq->vblk->state) == VIRTBLK_LIVE) {
		found = virtblk_harvest(vvq, iob);
		virtblk_harvested(vvq, found);
	}
	spin_unlock(&vvq->poll_lock);
	return found;
}
