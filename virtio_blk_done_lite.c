// SPDX-License-Identifier: GPL-2.0
/*
 * The disk: requests on their way back.
 *
 *	vp_interrupt
 *	  virtblk_done		takes all that came back, under no lock,
 *	    virtblk_complete	reads each status once,
 *				and ends all of them together
 */
#include "compat/blk.h"
#include "virtio_blk_lite.h"
#include "trace/virtio_lite_trace.h"

/**
 * virtblk_wake() - something came back that a request may be waiting for
 * @vvq: the queue
 */
void virtblk_wake(struct virtblk_vq *vvq)
{
	/* Pairs with virtblk_wait_for_room(). */
	smp_mb();
	/* And so does this: a queue that waits was stopped before. */
	if (likely(!smp_load_acquire(&vvq->waiting)))
		return;
	WRITE_ONCE(vvq->waiting, false);
	blk_mq_start_stopped_hw_queue(vvq->hctx, true);
}

/**
 * __virtblk_release() - take back what a request borrowed
 * @vvq: the queue
 * @rq: a request that holds something, and that the device does not own
 */
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	vbr->holds = false;
	vbr->late = false;
	if (vbr->nmapped)
		virtblk_unmap(vvq, rq);
	if (vbr->table) {
		virtblk_return_table(vvq, vbr);
		virtblk_wake(vvq);
	}
}

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

	switch (vbr->fate) {
	case VIRTBLK_REPLAY:
		vbr->fate = VIRTBLK_FINISH;
		/* While all is quiesced this only makes it known. */
		blk_mq_requeue_request(rq, true);
		break;
	case VIRTBLK_FAIL:
		vbr->fate = VIRTBLK_FINISH;
		blk_mq_end_request(rq, BLK_STS_IOERR);
		break;
	default:
		blk_mq_end_request(rq, virtblk_result(vbr->status));
	}
}

/* A request that borrowed something, or that asked something for us. */
static noinline void virtblk_complete_holder(struct virtblk_vq *vvq,
					     struct request *rq)
{
	virtblk_end_command(vvq, rq);
	__virtblk_release(vvq, rq);
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
		virtblk_complete_holder(vvq, rq);
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

/**
 * virtblk_harvest() - take all that came back, of a ring of any kind
 * @vvq: the queue; the caller owns its completion
 * @iob: requests that can end in a batch are added to it; may be NULL
 *
 * Context: any. Return: whether there was anything.
 */
bool virtblk_harvest(struct virtblk_vq *vvq, struct io_comp_batch *iob)
{
	bool found = false;
	struct request *rq;

	while ((rq = virtqueue_get_buf(&vvq->vq))) {
		found = true;
		virtblk_complete(vvq, rq, iob);
	}
	return found;
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
	virtblk_harvested(vvq, ret == IRQ_HANDLED);
	return ret;
}
