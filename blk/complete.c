// SPDX-License-Identifier: GPL-2.0
/*
 * Completion of requests.
 *
 *	vp_interrupt
 *	  virtblk_done		reaps the used ring without a lock
 *	    virtblk_complete	reads the status of each request once
 *				requests end in a batch
 *
 * Two variants follow: queues with IN_ORDER or without INDIRECT_DESC, and polled
 * queues, which have no interrupt: a task that waits for a request reaps them
 * (io_uring with IOPOLL; the kernel does not poll for preadv2() with RWF_HIPRI).
 */
#include "blk/borrow.h"
#include "blk/command.h"
#include "blk/complete.h"
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
 * virtblk_request_done() - ->complete: end or requeue a request
 * @rq: a request that the device does not own; its disposition is set
 */
void virtblk_request_done(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	switch (vbr->disposition) {
	case VIRTBLK_REQUEUE:
		vbr->disposition = VIRTBLK_COMPLETE;
		/* While the queue is quiesced the request is not dispatched. */
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
 * Complete a request whose @holds is set: it borrowed memory, was late, or is a
 * zone append or a query. Returns false if it is a check, which is no request of
 * the block layer.
 */
static noinline bool virtblk_complete_holder(struct virtblk_vq *vvq,
					     struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (rq == vvq->check) {
		WRITE_ONCE(vvq->check_state, VIRTBLK_CHECK_ANSWERED);
		return false;
	}
	/* Most are reads and writes that have only borrowed a table. */
	if (req_op(rq) != REQ_OP_READ && req_op(rq) != REQ_OP_WRITE)
		virtblk_end_command(vvq, rq);
	__virtblk_release(vvq, rq);
	if (unlikely(vbr->holds))
		virtblk_forget(vvq, rq);
	return true;
}

/* End a request, now or, unless it @failed, with the others in @iob. */
static __always_inline void virtblk_end(struct request *rq, bool failed,
					struct io_comp_batch *iob)
{
	if (unlikely(blk_should_fake_timeout(rq->q)))
		return;
	if (!blk_mq_complete_request_remote(rq) &&
	    !blk_mq_add_to_batch(rq, iob, failed, blk_mq_end_request_batch))
		virtblk_request_done(rq);
}

/*
 * virtblk_complete() of a request whose status is not VIRTIO_BLK_S_OK, or whose
 * @holds is set. If the device wrote no status, it broke the protocol and may
 * still use the request's memory, so the request is not ended.
 */
static noinline void virtblk_complete_other(struct virtblk_vq *vvq,
					    struct request *rq, u8 status,
					    struct io_comp_batch *iob)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (unlikely(status == VIRTIO_BLK_S_UNWRITTEN)) {
		virtqueue_break(&vvq->vq, "used id, of a request without status",
				rq->tag);
		return;
	}
	vbr->status = status;
	if (vbr->holds && !virtblk_complete_holder(vvq, rq))
		return;
	/* A batch would end a query with BLK_STS_OK. */
	if (vbr->status != VIRTIO_BLK_S_OK)
		iob = NULL;
	virtblk_end(rq, vbr->status != VIRTIO_BLK_S_OK, iob);
}

static noinline void virtblk_traced_complete(struct virtblk_vq *vvq,
					     struct request *rq, u8 status)
{
	trace_virtblk_complete(&vvq->vq, rq, 0, status);
}

/* Complete a request that was found in the used ring. */
static __always_inline void virtblk_complete(struct virtblk_vq *vvq,
					     struct request *rq,
					     struct io_comp_batch *iob)
{
	/* Unsigned, because a sign would cost an instruction. */
	u8 status = READ_ONCE(vvq->slots[(unsigned int)rq->tag].status);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (tracepoint_enabled(virtblk_complete))
		virtblk_traced_complete(vvq, rq, status);
	/* One test for both. */
	static_assert(!VIRTIO_BLK_S_OK);
	if (unlikely(status | vbr->holds)) {
		virtblk_complete_other(vvq, rq, status, iob);
		return;
	}
	vbr->status = VIRTIO_BLK_S_OK;
	virtblk_end(rq, false, iob);
}

/* Reap the used ring; @packed is the format of the ring, a constant. */
static __always_inline bool __virtblk_done(struct virtblk_vq *vvq, bool packed)
{
	struct io_comp_batch *iob = &vvq->iob;
	struct virtqueue *vq = &vvq->vq;
	struct request *rq;
	bool found = false;

	virtqueue_disable_cb(vq);
	do {
		while ((rq = __virtqueue_get_buf(vq, packed, true))) {
			found = true;
			/* The compiler does not see it: saves a test for each. */
			if (!iob)
				__builtin_unreachable();
			virtblk_complete(vvq, rq, iob);
		}
	} while (!__virtqueue_enable_cb(vq, packed));
	return found;
}

/*
 * Reap the used ring of either format. The caller owns the completion of @vvq;
 * requests that can end in a batch are added to @iob unless it is NULL. Returns
 * true if a buffer was used.
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
 * What follows each reap: start a queue that waits, or a recovery. The caller
 * owns the completion of @vvq; @found is true if a buffer was used.
 */
static __always_inline irqreturn_t virtblk_reaped(struct virtblk_vq *vvq,
						  bool indirect, bool found)
{
	if (found)
		vvq->vq.reaps++;
	if (!indirect)
		virtblk_restart_queue(vvq);
	if (unlikely(vvq->vq.broken))
		virtblk_recover_queue(vvq, "the device broke the protocol",
				      &vvq->vblk->counts.protocol);
	return IRQ_RETVAL(found);
}

/*
 * End what was reaped. The batch is kept in @vvq, because one on the stack would be
 * initialised and guarded by a canary at each interrupt.
 */
static __always_inline void virtblk_end_batch(struct virtblk_vq *vvq)
{
	if (compat_iob_is_empty(&vvq->iob))
		return;
	blk_mq_end_request_batch(&vvq->iob);
	vvq->iob.need_ts = false;
}

/**
 * virtblk_done() - reap the used ring, and end the requests
 * @vq: the queue, with INDIRECT_DESC and without IN_ORDER; the caller is its
 *	interrupt handler, or has called virtblk_hold_completion()
 *
 * Context: hard interrupt or task, no lock. Return: IRQ_NONE if no buffer was
 * used.
 */
irqreturn_t virtblk_done(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	bool found;

	if (vq->packed)
		found = __virtblk_done(vvq, true);
	else
		found = __virtblk_done(vvq, false);
	virtblk_end_batch(vvq);
	return virtblk_reaped(vvq, true, found);
}

/**
 * virtblk_done_other() - virtblk_done() with IN_ORDER or without INDIRECT_DESC
 * @vq: see virtblk_done()
 *
 * Context: hard interrupt or task, no lock. Return: IRQ_NONE if no buffer was
 * used.
 */
irqreturn_t virtblk_done_other(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	bool found = false;

	virtqueue_disable_cb(vq);
	do {
		found |= virtblk_reap(vvq, &vvq->iob);
	} while (!virtqueue_enable_cb(vq));
	virtblk_end_batch(vvq);
	return virtblk_reaped(vvq, vq->indirect, found);
}

/**
 * virtblk_done_polled() - virtblk_done() of a polled queue
 * @vq: the queue; virtblk_poll() may run at the same time
 *
 * Context: task. Return: IRQ_NONE if no buffer was used.
 */
irqreturn_t virtblk_done_polled(struct virtqueue *vq)
{
	struct virtblk_vq *vvq = container_of(vq, struct virtblk_vq, vq);
	DEFINE_IO_COMP_BATCH(iob);
	bool found;

	spin_lock(&vvq->poll_lock);
	found = virtblk_reap(vvq, &iob);
	virtblk_reaped(vvq, vq->indirect, found);
	spin_unlock(&vvq->poll_lock);
	if (iob.complete)
		blk_mq_end_request_batch(&iob);
	return found ? IRQ_HANDLED : IRQ_NONE;
}

/**
 * virtblk_poll() - ->poll: reap the used ring of a polled queue
 * @hctx: the hardware queue
 * @iob: requests that can end in a batch are added to it; may be NULL
 *
 * Context: the task that waits for a request. Return: 1 if a buffer was used,
 * else 0.
 */
int virtblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	bool found = false;

	if (!virtqueue_is_used(&vvq->vq))
		return 0;
	spin_lock(&vvq->poll_lock);
	/* The task that resets or resizes the ring owns its completion. */
	if (READ_ONCE(vvq->vblk->state) == VIRTBLK_LIVE) {
		found = virtblk_reap(vvq, iob);
		virtblk_reaped(vvq, vvq->vq.indirect, found);
	}
	spin_unlock(&vvq->poll_lock);
	return found;
}

/**
 * virtblk_hold_completion() - take the completion of a queue from its interrupt
 * @vvq: the queue
 *
 * Interrupts may still come, but only set vq->missed: their handler does not
 * reap. Context: may sleep. virtblk_release_completion() gives the completion
 * back.
 */
void virtblk_hold_completion(struct virtblk_vq *vvq)
{
	struct virtio_device *vdev = vvq->vblk->vdev;

	WRITE_ONCE(vvq->vq.callback, virtqueue_note_interrupt);
	vdev->transport->sync_irq(vdev, vvq->vq.index);
}

/**
 * virtblk_release_completion() - give the completion back to the interrupt
 * @vvq: the queue, after virtblk_hold_completion()
 *
 * The device may raise no second interrupt for buffers whose interrupt was only
 * noted, so these are reaped first. Context: may sleep.
 */
void virtblk_release_completion(struct virtblk_vq *vvq)
{
	struct virtqueue *vq = &vvq->vq;

	for (;;) {
		/* An interrupt that is noted after this may be for later buffers. */
		smp_store_mb(vq->missed, false);
		vq->handler(vq);
		/* An interrupt after this calls the handler. */
		smp_store_mb(vq->callback, vq->handler);
		if (!READ_ONCE(vq->missed))
			return;
		virtblk_hold_completion(vvq);
		cond_resched();
	}
}
