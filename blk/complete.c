// SPDX-License-Identifier: GPL-2.0
/*
 * The disk: requests on their way back.
 *
 *	vp_interrupt
 *	  virtblk_done		takes all that came back, under no lock,
 *	    virtblk_complete	reads each status once,
 *				and ends all of them together
 *
 * Two other ways are at the end: in order (IN_ORDER), and without an interrupt,
 * to whoever waits for a request (io_uring with IOPOLL, preadv2() with
 * RWF_HIPRI).
 */
#include "blk/command.h"
#include "blk/complete.h"
#include "blk/mem.h"
#include "blk/state.h"
#include "compat/blk.h"
#include "trace/virtio_lite_trace.h"

static blk_status_t virtblk_result(u8 status)
{
	switch (status) {
	case VIRTIO_BLK_S_OK:
		return BLK_STS_OK;
	case VIRTIO_BLK_S_UNSUPP:
		return BLK_STS_NOTSUPP;
	case VIRTIO_BLK_S_ZONE_OPEN_RESOURCE:
		return BLK_STS_ZONE_OPEN_RESOURCE;
	case VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE:
		return BLK_STS_ZONE_ACTIVE_RESOURCE;
	default:
		return BLK_STS_IOERR;
	}
}

/**
 * virtblk_request_done() - ->complete: end a request outside of a batch
 * @rq: a request that the device has given back, or will never
 */
void virtblk_request_done(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	switch (vbr->disposition) {
	case VIRTBLK_REQUEUE:
		vbr->disposition = VIRTBLK_COMPLETE;
		/* While all is quiesced this only makes it known. */
		blk_mq_requeue_request(rq, true);
		break;
	case VIRTBLK_FAIL:
		vbr->disposition = VIRTBLK_COMPLETE;
		blk_mq_end_request(rq, BLK_STS_IOERR);
		break;
	default:
		blk_mq_end_request(rq, virtblk_result(vbr->status));
	}
}

/*
 * A request that borrowed something, was late, or is the driver's own. Returns
 * false if it is a check, which the block layer does not know of.
 */
static noinline bool virtblk_complete_holder(struct virtblk_vq *vvq,
					     struct request *rq)
{
	if (rq == vvq->check) {
		WRITE_ONCE(vvq->check_state, VIRTBLK_CHECK_ANSWERED);
		return false;
	}
	virtblk_end_command(vvq, rq);
	virtblk_forget(vvq, rq);
	return true;
}

/*
 * A request came back from the device. If the device said so but did not answer,
 * it may still be working on it: a breach of the protocol.
 */
static __always_inline void virtblk_complete(struct virtblk_vq *vvq,
					     struct request *rq,
					     struct io_comp_batch *iob)
{
	u8 status = READ_ONCE(vvq->slots[rq->tag].status);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	trace_virtblk_complete(&vvq->vq, rq, status);
	if (unlikely(status == VIRTIO_BLK_S_UNWRITTEN)) {
		virtqueue_break(&vvq->vq, "used id, of a request without status",
				rq->tag);
		return;
	}

	vbr->status = status;
	if (unlikely(vbr->holds)) {
		if (!virtblk_complete_holder(vvq, rq))
			return;
		status = vbr->status;
		/* What we asked ends well in a batch, whatever came of it. */
		if (status != VIRTIO_BLK_S_OK)
			iob = NULL;
	}

	if (unlikely(blk_should_fake_timeout(rq->q)))
		return;
	if (!blk_mq_complete_request_remote(rq) &&
	    !blk_mq_add_to_batch(rq, iob, status != VIRTIO_BLK_S_OK,
				 blk_mq_end_request_batch))
		virtblk_request_done(rq);
}

/* Take all that came back; @packed is the format of the ring, a constant. */
static __always_inline irqreturn_t __virtblk_done(struct virtblk_vq *vvq,
						  bool packed,
						  struct io_comp_batch *iob)
{
	struct virtqueue *vq = &vvq->vq;
	irqreturn_t ret = IRQ_NONE;
	struct request *rq;

	virtqueue_disable_cb(vq);
	do {
		while ((rq = __virtqueue_get_buf(vq, packed))) {
			ret = IRQ_HANDLED;
			virtblk_complete(vvq, rq, iob);
		}
	} while (!__virtqueue_enable_cb(vq, packed));
	return ret;
}

/*
 * Take all that came back, of a ring of any kind. The caller owns the completion
 * of @vvq; requests that can end in a batch are added to @iob, if there is one.
 */
static bool virtblk_reap(struct virtblk_vq *vvq, struct io_comp_batch *iob)
{
	bool found = false;
	struct request *rq;

	while ((rq = virtqueue_get_buf(&vvq->vq))) {
		found = true;
		virtblk_complete(vvq, rq, iob);
	}
	return found;
}

/*
 * After the ring was looked at. The caller owns the completion of @vvq; @found:
 * something had come back.
 */
static __always_inline void virtblk_reaped(struct virtblk_vq *vvq, bool found)
{
	if (found)
		vvq->vq.reaps++;
	if (unlikely(!vvq->vq.indirect))
		virtblk_restart_queue(vvq);
	if (unlikely(vvq->vq.broken))
		virtblk_recover_queue(vvq, "the device broke the protocol",
				      &vvq->vblk->counts.protocol);
}

/**
 * virtblk_done() - take everything that the device has done with
 * @vq: a queue whose interrupt the caller owns, or whose queue is quiesced and
 *	whose interrupts are synchronised; without IN_ORDER
 *
 * Context: hard interrupt, no lock. Return: IRQ_NONE if there was nothing.
 */
irqreturn_t virtblk_done(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	DEFINE_IO_COMP_BATCH(iob);
	irqreturn_t ret;

	if (vq->packed)
		ret = __virtblk_done(vvq, true, &iob);
	else
		ret = __virtblk_done(vvq, false, &iob);
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	virtblk_reaped(vvq, ret == IRQ_HANDLED);
	return ret;
}

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
		found |= virtblk_reap(vvq, &iob);
	} while (!virtqueue_enable_cb(vq));
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	virtblk_reaped(vvq, found);
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
	found = virtblk_reap(vvq, &iob);
	virtblk_reaped(vvq, found);
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
		found = virtblk_reap(vvq, iob);
		virtblk_reaped(vvq, found);
	}
	spin_unlock(&vvq->poll_lock);
	return found;
}

/**
 * virtblk_hold_completion() - take the completion of a queue from its interrupt
 * @vvq: the queue
 *
 * The handler of the interrupt may run on, but no longer looks into the ring.
 * Context: may sleep. virtblk_release_completion() gives it back.
 */
void virtblk_hold_completion(struct virtblk_vq *vvq)
{
	struct virtio_device *vdev = vvq->vblk->vdev;

	WRITE_ONCE(vvq->vq.callback, virtqueue_note_interrupt);
	vdev->transport->sync_irq(vdev, vvq->vq.index);
}

/**
 * virtblk_release_completion() - the interrupt owns the completion again
 * @vvq: the queue, after virtblk_hold_completion()
 *
 * No other interrupt may come for what one came for meanwhile, so that is taken
 * first. Context: may sleep.
 */
void virtblk_release_completion(struct virtblk_vq *vvq)
{
	struct virtqueue *vq = &vvq->vq;

	for (;;) {
		/* What is noted from here on may have been for what comes later. */
		smp_store_mb(vq->missed, false);
		vq->handler(vq);
		/* An interrupt that was not noted by then finds the handler. */
		smp_store_mb(vq->callback, vq->handler);
		if (!READ_ONCE(vq->missed))
			return;
		virtblk_hold_completion(vvq);
		cond_resched();
	}
}
