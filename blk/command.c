// SPDX-License-Identifier: GPL-2.0
/*
 * Rare requests: secure erase, the driver's own queries, and zone management.
 * Their data, if they have any, is a payload that belongs to the driver:
 *
 *	+--------+---------+--------+
 *	| header | payload | status |	the range to erase, or the answer to a query
 *	+--------+---------+--------+
 *
 * The payload is behind the descriptors in the slot.
 */
#include "blk/command.h"
#include "blk/log.h"
#include "blk/mem.h"
#include "compat/blk.h"

static u32 virtblk_zone_type(enum req_op op)
{
	switch (op) {
	case REQ_OP_ZONE_OPEN:
		return VIRTIO_BLK_T_ZONE_OPEN;
	case REQ_OP_ZONE_CLOSE:
		return VIRTIO_BLK_T_ZONE_CLOSE;
	case REQ_OP_ZONE_FINISH:
		return VIRTIO_BLK_T_ZONE_FINISH;
	case REQ_OP_ZONE_RESET:
		return VIRTIO_BLK_T_ZONE_RESET;
	default:
		return VIRTIO_BLK_T_ZONE_RESET_ALL;
	}
}

/**
 * virtblk_check_command() - can the device do a rare request
 * @vvq: the queue
 * @rq: the request, which is not a query
 *
 * Return: BLK_STS_OK or BLK_STS_NOTSUPP.
 */
blk_status_t virtblk_check_command(struct virtblk_vq *vvq, struct request *rq)
{
	const struct virtblk_limits *lim = &vvq->vblk->limits;

	switch (req_op(rq)) {
	case REQ_OP_SECURE_ERASE:
		/* BLK-LIM-I03, BLK-ZONE-13: the block layer aligns to blocks only. */
		if (!lim->max_secure || blk_rq_sectors(rq) > lim->max_secure ||
		    !virtblk_is_aligned(blk_rq_pos(rq), lim->secure_align) ||
		    !virtblk_is_aligned(blk_rq_sectors(rq), lim->secure_align))
			return BLK_STS_NOTSUPP;
		return BLK_STS_OK;
	case REQ_OP_ZONE_OPEN:
	case REQ_OP_ZONE_CLOSE:
	case REQ_OP_ZONE_FINISH:
	case REQ_OP_ZONE_RESET:
	case REQ_OP_ZONE_RESET_ALL:
		return lim->zone_sectors ? BLK_STS_OK : BLK_STS_NOTSUPP;
	default:
		return BLK_STS_NOTSUPP;
	}
}

/* The device writes the answer behind the descriptors, or to query->dma. */
static int virtblk_add_query(struct virtblk_vq *vvq, struct request *rq,
			     struct vring_desc *desc, dma_addr_t payload_dma)
{
	const struct virtblk_query *query = virtblk_query_of(rq);

	if (query->dma)
		payload_dma = query->dma;
	else
		memset(&desc[VIRTBLK_PAYLOAD_DESC], 0, query->len);
	virtqueue_set_desc(&vvq->vq, desc, 1, payload_dma, query->len,
			   VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	return 2;
}

static int virtblk_add_secure_erase(struct virtblk_vq *vvq, struct request *rq,
				    struct vring_desc *desc,
				    dma_addr_t payload_dma)
{
	struct virtio_blk_range *range = (void *)&desc[VIRTBLK_PAYLOAD_DESC];

	range->sector = cpu_to_le64(blk_rq_pos(rq));
	range->num_sectors = cpu_to_le32(blk_rq_sectors(rq));
	range->flags = 0;
	virtqueue_set_desc(&vvq->vq, desc, 1, payload_dma, sizeof(*range),
			   VRING_DESC_F_NEXT);
	return 2;
}

/**
 * virtblk_add_command() - fill the slot of a rare request
 * @vvq: the queue; the caller holds its submission lock
 * @rq: a query, or a request that virtblk_check_command() accepted
 *
 * The sector is 0 except for requests to zones (BLK-REQ-I02, BLK-ZONE-05).
 * Return: number of descriptors that were filled: all but that of the status.
 */
unsigned int virtblk_add_command(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_slot *slot = &vvq->slots[rq->tag];
	dma_addr_t payload_dma = virtblk_slot_dma(vvq, rq) +
				 offsetof(struct virtblk_slot,
					  table[VIRTBLK_PAYLOAD_DESC]);
	unsigned int n = 1;
	u64 sector = 0;
	u32 type;

	switch (req_op(rq)) {
	case REQ_OP_SECURE_ERASE:
		type = VIRTIO_BLK_T_SECURE_ERASE;
		n = virtblk_add_secure_erase(vvq, rq, slot->table, payload_dma);
		break;
	case REQ_OP_DRV_IN:
		type = virtblk_query_of(rq)->type;
		sector = virtblk_query_of(rq)->sector;
		n = virtblk_add_query(vvq, rq, slot->table, payload_dma);
		break;
	default:
		type = virtblk_zone_type(req_op(rq));
		if (type != VIRTIO_BLK_T_ZONE_RESET_ALL)
			sector = blk_rq_pos(rq);
	}
	virtblk_fill_header(&vvq->vq, &slot->header, type, sector);
	return n;
}

/**
 * virtblk_add_status() - add the last descriptor of a rare request
 * @vvq: the queue; the caller holds its submission lock
 * @rq: the request, or a zone append
 * @desc: its table
 * @n: number of the descriptor
 *
 * BLK-ZONE-I01: the device writes the sector that it chose for a zone append, and
 * the status right behind it. Return: number of descriptors in the table.
 */
int virtblk_add_status(struct virtblk_vq *vvq, struct request *rq,
		       struct vring_desc *desc, int n)
{
	size_t start = offsetof(struct virtblk_slot, status);
	struct virtblk_slot *slot = &vvq->slots[rq->tag];

	if (req_op(rq) == REQ_OP_ZONE_APPEND) {
		slot->append_sector = 0;
		start = offsetof(struct virtblk_slot, append_sector);
	}
	slot->status = VIRTIO_BLK_S_UNWRITTEN;
	virtqueue_set_desc(&vvq->vq, desc, n, virtblk_slot_dma(vvq, rq) + start,
			   offsetofend(struct virtblk_slot, status) - start,
			   VRING_DESC_F_WRITE);
	return n + 1;
}

/* The sector that the device wrote is untrusted: it has to be in the zone. */
static void virtblk_end_append(struct virtblk_vq *vvq, struct request *rq)
{
	u64 sector = le64_to_cpu(READ_ONCE(vvq->slots[rq->tag].append_sector));
	u32 room = vvq->vblk->limits.zone_sectors - blk_rq_sectors(rq);
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (vbr->status != VIRTIO_BLK_S_OK)
		return;
	if (sector < blk_rq_pos(rq) || sector - blk_rq_pos(rq) > room) {
		virtblk_err_ratelimited(vvq->vblk, "data appended to the zone at %llu went to %llu, says the device\n",
					(unsigned long long)blk_rq_pos(rq),
					sector);
		vbr->status = VIRTIO_BLK_S_IOERR;
		return;
	}
	rq->__sector = sector;
}

/**
 * virtblk_end_command() - read what the device wrote besides the status
 * @vvq: the queue
 * @rq: a request that came back; its status was read, and becomes an error if
 *	the sector of a zone append is not in the zone
 */
void virtblk_end_command(struct virtblk_vq *vvq, struct request *rq)
{
	const struct virtblk_query *query;

	if (req_op(rq) == REQ_OP_ZONE_APPEND) {
		virtblk_end_append(vvq, rq);
	} else if (req_op(rq) == REQ_OP_DRV_IN) {
		query = virtblk_query_of(rq);
		if (!query->dma)
			memcpy(query->answer,
			       &vvq->slots[rq->tag].table[VIRTBLK_PAYLOAD_DESC],
			       query->len);
	}
}

/**
 * virtblk_execute_query() - send a query to the device, and wait for the answer
 * @vblk: the disk, which is live
 * @query: the query
 *
 * Context: may sleep. Return: 0 or an error; -EOPNOTSUPP if the device does not
 * support the query.
 */
int virtblk_execute_query(struct virtblk *vblk, struct virtblk_query *query)
{
	struct virtblk_req *vbr;
	struct request *rq;
	int err;

	rq = blk_mq_alloc_request(vblk->disk->queue, REQ_OP_DRV_IN, 0);
	if (IS_ERR(rq))
		return PTR_ERR(rq);
	vbr = blk_mq_rq_to_pdu(rq);
	vbr->query = query;
	err = blk_status_to_errno(blk_execute_rq(rq, false));
	blk_mq_free_request(rq);
	return err;
}

/**
 * virtblk_get_id() - query the serial number of the device
 * @vblk: the disk, which is live
 * @id: filled: VIRTIO_BLK_ID_LEN bytes, which need not contain a NUL
 *
 * Context: may sleep. Return: 0 or an error.
 */
int virtblk_get_id(struct virtblk *vblk, char *id)
{
	struct virtblk_query query = {
		.type = VIRTIO_BLK_T_GET_ID,
		.len = VIRTIO_BLK_ID_LEN,
		.answer = id,
	};

	return virtblk_execute_query(vblk, &query);
}
