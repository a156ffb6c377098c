// SPDX-License-Identifier: GPL-2.0
/*
 * Submission of requests.
 *
 *	virtio_queue_rq(s)	the block layer dispatches a request with a tag
 *	  virtblk_add_single	fills header and descriptors in the tag's slot
 *	  virtqueue_add		makes them available; the tag is the head
 *	  virtqueue_notify	kicks the device, if it needs a kick
 *				... the device works ...
 *	virtblk_done		see blk/complete.c
 *
 * A request as the device sees it (section 5.2.6):
 *
 *	+--------+--------+--------+ - - +--------+
 *	| header | data 0 | data 1 |     | status |	one descriptor each
 *	+--------+--------+--------+ - - +--------+
 *	 driver   driver writes (write),   device
 *	 writes   device writes (read)     writes
 *
 * Header, status and the table of these descriptors are in the slot of the
 * request's tag; see blk/mem.c. Requests that need more are in blk/add.c.
 */
#include "blk/add.h"
#include "blk/submit.h"
#include "compat/blk.h"

/*
 * A read or a write of a single segment, as nearly all requests are. The block
 * layer makes no segment longer than one descriptor can be.
 */
static __always_inline bool virtblk_is_single(const struct request *rq)
{
	return virtblk_is_rw(req_op(rq)) && rq->nr_phys_segments == 1;
}

/*
 * The short path: the queue's state is VIRTBLK_VQ_SHORT. Nothing is borrowed,
 * mapped or split, and the tag is the head, so nothing can fail.
 */
static __always_inline void virtblk_add_single(struct virtblk_vq *vvq,
					       bool packed, struct request *rq)
{
	struct virtblk_place at;
	unsigned int tag;
	u32 op;

	/* Before the rest, when only few registers have to be saved for it. */
	virtblk_trace_queue_rq(vvq, rq, VIRTBLK_PAYLOAD_DESC);
	tag = rq->tag;
	at = virtblk_slot_of(vvq, tag);
	op = virtblk_rw_type(rq);
	virtblk_fill_header(&vvq->vq, &at.slot->header, op, blk_rq_pos(rq));
	virtqueue_fill_desc(&vvq->vq, &at.desc[1], virtblk_bio_addr(rq->bio),
			    blk_rq_bytes(rq), vvq->rw_rest[op]);
	__virtblk_add_buf(vvq, packed, true, rq, at, 2, tag);
}

/*
 * Reads and writes with few segments: they too borrow, map and split nothing.
 */
static bool virtblk_is_plain(const struct virtblk_vq *vvq,
			     const struct request *rq)
{
	return virtblk_is_rw(req_op(rq)) &&
	       rq->nr_phys_segments <= vvq->slot_segments &&
	       blk_rq_bytes(rq) <= vvq->max_desc_len;
}

/*
 * There are too few ring slots or blocks: stop the queue until completion returns
 * some; the block layer keeps the request. Some may have been returned just now,
 * so check again after the stop.
 */
static blk_status_t virtblk_wait_for_room(struct virtblk_vq *vvq,
					  struct request *rq)
{
	unsigned int n = virtblk_nr_desc(vvq, rq);
	bool room;

	spin_lock(&vvq->lock);
	blk_mq_stop_hw_queue(vvq->hctx);
	/* The stop comes first: whoever sees @waiting starts the queue. */
	smp_store_release(&vvq->waiting, true);
	/* Pairs with virtblk_restart_queue(): one of the two sees the other. */
	smp_mb();
	room = virtblk_has_room(vvq, rq) &&
	       (n <= VIRTBLK_SLOT_DESC || virtblk_has_table(vvq, n));
	spin_unlock(&vvq->lock);
	if (room)
		blk_mq_start_stopped_hw_queue(vvq->hctx, true);
	/* Not DEV_RESOURCE: requests that end in a batch do not restart the queue. */
	return BLK_STS_RESOURCE;
}

/* The queue is quiesced for a reset, or it is dead. */
static noinline blk_status_t virtblk_refuse(struct virtblk_vq *vvq,
					    struct request *rq)
{
	if (READ_ONCE(vvq->state) != VIRTBLK_VQ_DEAD)
		return BLK_STS_RESOURCE;
	virtblk_forget(vvq, rq);
	return BLK_STS_IOERR;
}

/*
 * Release the submission lock, and then kick the device if it needs a kick, which
 * may exit to the host and take long. @packed is the format of the ring, a constant.
 */
static __always_inline void virtblk_commit(struct virtblk_vq *vvq, bool packed,
					   bool last)
	__releases(&vvq->lock)
{
	bool kick = likely(last) && __virtqueue_kick_prepare(&vvq->vq, packed);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

/* The same for either format. */
static __always_inline void virtblk_commit_any(struct virtblk_vq *vvq, bool last)
	__releases(&vvq->lock)
{
	bool kick = last && virtqueue_kick_prepare(&vvq->vq);

	spin_unlock(&vvq->lock);
	if (kick)
		virtqueue_notify(&vvq->vq);
}

static __always_inline blk_status_t __virtblk_queue_flush(struct virtblk_vq *vvq,
							  bool packed,
							  struct request *rq,
							  bool last)
{
	struct virtblk_place at;

	blk_mq_start_request(rq);
	spin_lock(&vvq->lock);
	virtblk_trace_queue_rq(vvq, rq, VIRTBLK_EXTRA_DESC);
	at = virtblk_slot_of(vvq, rq->tag);
	virtblk_fill_flush_header(vvq, &at.slot->header);
	__virtblk_add_buf(vvq, packed, true, rq, at, 1, rq->tag);
	virtblk_commit(vvq, packed, last);
	return BLK_STS_OK;
}

/* virtio_queue_rq() of a flush, for which tasks wait, on the short path. */
static noinline blk_status_t virtblk_queue_flush(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	if (vvq->vq.packed)
		return __virtblk_queue_flush(vvq, true, rq, last);
	return __virtblk_queue_flush(vvq, false, rq, last);
}

/* virtio_queue_rq() of a request that does not go the short path. */
static noinline blk_status_t virtblk_queue_other(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	bool plain = virtblk_is_plain(vvq, rq);
	blk_status_t sts;

	if (vvq->state > VIRTBLK_VQ_RUNNING)
		return virtblk_refuse(vvq, rq);
	if (!plain) {
		sts = virtblk_take(vvq, rq);
		if (sts)
			goto out_release;
	}
	blk_mq_start_request(rq);

	spin_lock(&vvq->lock);
	if (!virtblk_has_room(vvq, rq)) {
		spin_unlock(&vvq->lock);
		sts = BLK_STS_DEV_RESOURCE;
		goto out_release;
	}
	virtblk_add_other(vvq, rq);
	virtblk_commit_any(vvq, last);
	return BLK_STS_OK;

out_release:
	virtblk_release(vvq, rq);
	if (sts == BLK_STS_DEV_RESOURCE)
		return virtblk_wait_for_room(vvq, rq);
	if (sts != BLK_STS_RESOURCE)
		virtblk_forget(vvq, rq);
	return sts;
}

static __always_inline blk_status_t __virtblk_queue_single(struct virtblk_vq *vvq,
							   bool packed,
							   struct request *rq,
							   bool last)
{
	blk_mq_start_request(rq);
	spin_lock(&vvq->lock);
	virtblk_add_single(vvq, packed, rq);
	virtblk_commit(vvq, packed, last);
	return BLK_STS_OK;
}

/*
 * virtio_queue_rq() on the short path. Each format has a function of its own, so
 * that few registers have to be saved.
 */
static noinline blk_status_t virtblk_queue_split(struct virtblk_vq *vvq,
						 struct request *rq, bool last)
{
	return __virtblk_queue_single(vvq, false, rq, last);
}

static noinline blk_status_t virtblk_queue_packed(struct virtblk_vq *vvq,
						  struct request *rq, bool last)
{
	return __virtblk_queue_single(vvq, true, rq, last);
}

/**
 * virtio_queue_rq() - ->queue_rq: send a request to the device
 * @hctx: the hardware queue
 * @bd: the request, and whether it is the last one for now
 *
 * Context: as any ->queue_rq; may not sleep. Return: BLK_STS_OK; BLK_STS_RESOURCE
 * if the block layer has to dispatch the request again later; BLK_STS_IOERR if
 * the disk is dead; BLK_STS_NOTSUPP if the device cannot do it.
 */
blk_status_t virtio_queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct virtblk_vq *vvq = hctx->driver_data;
	struct request *rq = bd->rq;

	if (unlikely(vvq->state != VIRTBLK_VQ_SHORT))
		return virtblk_queue_other(vvq, rq, bd->last);
	if (unlikely(!virtblk_is_single(rq))) {
		if (req_op(rq) == REQ_OP_FLUSH)
			return virtblk_queue_flush(vvq, rq, bd->last);
		return virtblk_queue_other(vvq, rq, bd->last);
	}
	if (vvq->vq.packed)
		return virtblk_queue_packed(vvq, rq, bd->last);
	return virtblk_queue_split(vvq, rq, bd->last);
}

/**
 * virtio_commit_rqs() - ->commit_rqs: kick the device for requests that were added
 * @hctx: the hardware queue
 *
 * The block layer calls this if no request followed one that was not the last.
 */
void virtio_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct virtblk_vq *vvq = hctx->driver_data;

	spin_lock(&vvq->lock);
	virtblk_commit_any(vvq, true);
}

/*
 * Add a request of a batch that does not go the short path; the caller holds the
 * submission lock. What has to go through virtio_queue_rq() is added to @left.
 */
static noinline void virtblk_add_of_batch(struct virtblk_vq *vvq,
					  struct request *rq,
					  compat_rq_list *left)
{
	bool plain = virtblk_is_plain(vvq, rq);

	/* Do not overtake a request that waits for blocks. */
	if (!plain && (READ_ONCE(vvq->waiting) || virtblk_take(vvq, rq))) {
		virtblk_release(vvq, rq);
		compat_rq_list_add_tail(left, rq);
		return;
	}
	compat_rq_enter(rq);
	blk_mq_start_request(rq);
	virtblk_add_other(vvq, rq);
}

/*
 * Send a request and those that follow it in a list, up to the first for another
 * queue, which is returned. What has to go through virtio_queue_rq() is added to
 * @left. @packed is the format of the ring, and @direct says that single segments
 * go the short path; both are constants.
 */
static __always_inline struct request *
virtblk_queue_batch(struct virtblk_vq *vvq, bool packed, bool direct,
		    struct request *rq, compat_rq_list *left)
{
	struct blk_mq_hw_ctx *hctx = rq->mq_hctx;
	struct request *next;

	spin_lock(&vvq->lock);
	do {
		/* Once it is sent, @rq may come back at any time. */
		next = rq->rq_next;
		if (likely(direct && virtblk_is_single(rq))) {
			compat_rq_enter(rq);
			blk_mq_start_request(rq);
			virtblk_add_single(vvq, packed, rq);
		} else {
			virtblk_add_of_batch(vvq, rq, left);
		}
		rq = next;
	} while (rq && rq->mq_hctx == hctx);
	if (direct)
		virtblk_commit(vvq, packed, true);
	else
		virtblk_commit_any(vvq, true);
	return rq;
}

/*
 * The same for a queue whose requests do not go the short path. Without
 * INDIRECT_DESC each may have to wait, and so may all of a queue that is quiesced,
 * whose ring is not touched.
 */
static noinline struct request *
virtblk_queue_batch_other(struct virtblk_vq *vvq, struct request *rq,
			  compat_rq_list *left)
{
	struct blk_mq_hw_ctx *hctx = rq->mq_hctx;
	struct request *next;

	if (vvq->state > VIRTBLK_VQ_RUNNING || !vvq->vq.indirect) {
		do {
			next = rq->rq_next;
			compat_rq_list_add_tail(left, rq);
			rq = next;
		} while (rq && rq->mq_hctx == hctx);
		return rq;
	}
	return virtblk_queue_batch(vvq, vvq->vq.packed, false, rq, left);
}

/**
 * virtio_queue_rqs() - ->queue_rqs: send a plugged batch to the device
 * @rqlist: requests, all of one disk
 *
 * For each queue this takes the submission lock once, and kicks at most once. The
 * block layer sends requests that are left in @rqlist through virtio_queue_rq(),
 * which can wait.
 */
void virtio_queue_rqs(compat_rq_list *rqlist)
{
	struct request *rq = compat_rq_list_take(rqlist);
	struct virtblk_vq *vvq;

	while (rq) {
		vvq = rq->mq_hctx->driver_data;
		if (unlikely(vvq->state != VIRTBLK_VQ_SHORT))
			rq = virtblk_queue_batch_other(vvq, rq, rqlist);
		else if (vvq->vq.packed)
			rq = virtblk_queue_batch(vvq, true, true, rq, rqlist);
		else
			rq = virtblk_queue_batch(vvq, false, true, rq, rqlist);
	}
}
