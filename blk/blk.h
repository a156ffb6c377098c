/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The disk driver's types. Each file has a header of its own name for what it
 * does for others; see virtio_blk_lite.c for the list.
 */
#ifndef _BLK_BLK_H
#define _BLK_BLK_H

#include <linux/blk-mq.h>
#include <linux/sizes.h>
#include "virtio_blk_limits.h"
#include "virtio_lite.h"
#include "virtio_ring_lite.h"

/* Header and status around the data of a request. */
#define VIRTBLK_EXTRA_DESC	2
/* The same for what the driver says itself: its data follows in the table. */
#define VIRTBLK_PAYLOAD_DESC	(VIRTBLK_EXTRA_DESC + 1)
/* Descriptors that every tag has of its own. */
#define VIRTBLK_SLOT_DESC	14
/* Most data segments of a request; more than any I/O size makes use of. */
#define VIRTBLK_MAX_SEGMENTS	1022
/* Long tables are put together from blocks: one is enough for 128 KiB. */
#define VIRTBLK_BLOCK_DESC	36
/* Bytes of all blocks of a queue, unless that is too little for some tables. */
#define VIRTBLK_BLOCKS_BYTES	SZ_32K
#define VIRTBLK_LONG_TABLES	4

/**
 * struct virtblk_slot - what a tag shares with the device
 * @header: of the request; read by the device
 * @append_sector: where a zone append went; written by the device
 * @status: written by the device, preset to VIRTIO_BLK_S_UNWRITTEN
 * @table: descriptors of a request that fits; behind those in use, the ranges
 *	   of a discard or the answer to a query
 *
 * A slot belongs to the device while its tag is in flight.
 */
struct virtblk_slot {
	struct virtio_blk_header header;
	__le64 append_sector;
	u8 status;
	u8 unused[7];
	struct vring_desc table[VIRTBLK_SLOT_DESC];
};

/* What becomes of a request that comes back. */
enum virtblk_disposition {
	VIRTBLK_COMPLETE,	/* as its status says */
	VIRTBLK_REQUEUE,	/* the device was reset: send it again */
	VIRTBLK_FAIL,		/* the device is dead */
};

/* Kinds of requests: one says nothing of another. */
enum virtblk_kind {
	VIRTBLK_READ,
	VIRTBLK_WRITE,
	VIRTBLK_FLUSH,
	VIRTBLK_DISCARD,
	VIRTBLK_ZEROES,
	VIRTBLK_RARE,
	VIRTBLK_KINDS,
};

/**
 * struct virtblk_query - a question to the device
 * @type: VIRTIO_BLK_T_ of the request
 * @len: bytes of the answer
 * @sector: that the question is about, or 0
 * @answer: where it goes; of at most VIRTIO_BLK_ID_LEN bytes
 * @dma: or where the device puts it by itself
 */
struct virtblk_query {
	u32 type;
	u32 len;
	u64 sector;
	void *answer;
	dma_addr_t dma;
};

/**
 * struct virtblk_req - what the driver keeps with each request
 * @status: read once from the slot when the request came back
 * @disposition: enum virtblk_disposition
 * @holds: one of the following is in use
 * @table: first block of a long table, counted from 1; 0 is the slot's own
 * @nmapped: data segments that are mapped (ACCESS_PLATFORM)
 * @blocks: how many blocks the long table has
 * @late: it did not come back in time
 * @fail: it ends with an error when the device was reset
 * @checked: the device answered a check meanwhile; see blk/evidence.c
 * @replays: how often it was sent again after a recovery
 * @submitted: low bits of jiffies at that time (if late, as the following)
 * @quiet_since: the same, when one of its kind came back for the last time
 * @younger: low bits of virtblk.younger of its kind when it was first late
 * @came_back: low bits of virtblk.came_back of its kind
 * @query: of our own, for REQ_OP_DRV_IN
 *
 * Outside of the driver @disposition, @holds, @table, @nmapped, @late, @fail and
 * @replays are 0.
 */
struct virtblk_req {
	u8 status;
	u8 disposition;
	bool holds;
	u8 table;
	u16 nmapped;
	u8 blocks;
	bool late;
	bool fail;
	bool checked;
	u8 replays;
	u32 submitted;
	u32 quiet_since;
	u16 younger;
	u16 came_back;
	struct virtblk_query *query;
};

/**
 * struct virtblk_counts - what went wrong, for people to see
 * @resets: the device, or one of its queues alone, was reset and came back
 * @queue_resets: those of a queue alone
 * @protocol: it wrote what it must not
 * @lost_interrupts: a request was found in the ring without one
 * @lost_completions: a request never came back, and the device answers others
 * @slow: a request was late, and waited for
 *
 * Counted without a lock: one that is lost does no harm.
 */
struct virtblk_counts {
	unsigned int resets;
	unsigned int queue_resets;
	unsigned int protocol;
	unsigned int lost_interrupts;
	unsigned int lost_completions;
	unsigned int slow;
};

/* What a queue does with requests that are dispatched to it. */
enum virtblk_vq_state {
	VIRTBLK_VQ_RUNNING,	/* they go to the device */
	VIRTBLK_VQ_QUIESCED,	/* they are sent back, to come again later */
	VIRTBLK_VQ_DEAD,	/* they fail */
};

/* Where the check of a queue is; see blk/evidence.c. */
enum virtblk_check_state {
	VIRTBLK_CHECK_NONE,
	VIRTBLK_CHECK_SENT,
	VIRTBLK_CHECK_ANSWERED,
};

/**
 * struct virtblk_vq - one virtqueue and the hardware queue that it is
 * @vq: the ring
 * @slots: one per tag
 * @slots_dma: where the device finds them
 * @max_desc_len: bytes that one descriptor may cover
 * @slot_segments: segments whose descriptors fit a slot, one for each; 0 if
 *		   data has to be mapped (ACCESS_PLATFORM), or the tag is not
 *		   the head (IN_ORDER)
 * @state: enum virtblk_vq_state
 * @needs_reset: the queue has to be repaired
 * @mapped: VIRTBLK_SLOT_DESC bus addresses per tag, then one for each
 *	    descriptor of @blocks (ACCESS_PLATFORM), or NULL
 * @blocks: what long tables are put together from
 * @blocks_dma: where the device finds them
 * @block_desc: descriptors in a block
 * @nblocks: how many there are; at most BITS_PER_LONG
 * @vblk: whose it is
 * @hctx: the hardware queue of the block layer
 * @mem: memory of @slots and of @blocks
 * @marked: bit per tag: it was marked at the last scan; then as many bits for
 *	    the scan itself
 * @check: stands for the check in the ring; NULL if there is no tag for it
 * @check_for: request that the check was sent for
 * @check_submitted: when that one was; it may be another one by now
 * @check_sent: jiffies
 * @check_state: enum virtblk_check_state
 * @lock: submission lock: serialises adding to @vq
 * @waiting: @hctx was stopped until a table or ring slots come back
 * @free_blocks: bit i: block i is free
 * @poll_lock: of a queue without interrupt: who takes what came back
 */
struct virtblk_vq {
	struct virtqueue vq;

	struct virtblk_slot *slots;
	dma_addr_t slots_dma;
	u32 max_desc_len;
	u16 slot_segments;
	u8 state;
	bool needs_reset;
	dma_addr_t *mapped;
	struct vring_desc *blocks;
	dma_addr_t blocks_dma;
	unsigned int block_desc;
	unsigned int nblocks;
	struct virtblk *vblk;
	struct blk_mq_hw_ctx *hctx;
	struct virtio_mem mem[2];
	unsigned long *marked;
	struct request *check;
	const struct request *check_for;
	u32 check_submitted;
	u8 check_state;
	unsigned long check_sent;

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool waiting;
	atomic_long_t free_blocks;
	spinlock_t poll_lock; /* see above */
};

/**
 * virtblk_max_chain() - descriptors of the longest request with data
 * @lim: what the disk can do; final
 */
static inline unsigned int virtblk_max_chain(const struct virtblk_limits *lim)
{
	return lim->max_segments * lim->desc_per_segment + VIRTBLK_EXTRA_DESC;
}

/* Life of a disk; blk/state.c has what moves it. */
enum virtblk_state {
	VIRTBLK_NEW,		/* there is no disk yet that could be repaired */
	VIRTBLK_LIVE,		/* requests go to the device */
	VIRTBLK_RECOVERING,	/* queues are quiesced, the device is reset */
	VIRTBLK_RESIZING,	/* it is idle, and its queues get other rings */
	VIRTBLK_CONFIGURING,	/* requests go on; its registers are in use */
	VIRTBLK_DEAD,		/* every request fails */
};

/**
 * struct virtblk - one disk
 * @vdev: the device; NULL once it was removed while the disk is still open
 * @vdev_mutex: held by whoever uses @vdev from outside of the request path
 * @disk: the block layer's side
 * @tag_set: tags of all queues
 * @vqs: @nvqs of them
 * @nvqs: queues
 * @npolled: of these, the last that have no interrupt
 * @index: number behind the name of the disk
 * @limits: of the device; writeback follows the cache mode in use
 * @state: enum virtblk_state
 * @needs_reset: the device has to be reset, not one of its queues alone
 * @resizing: a resize of the rings, which del_gendisk() waits for, has the
 *	      queue frozen
 * @added: the disk was added, and config changes are followed
 * @removing: no more config changes, and no waiting for a device for ever
 * @paused: between virtblk_reset_prepare() and virtblk_reset_done(), or while
 *	    the system sleeps
 * @asleep: the device was suspended with its state
 * @recover_work: resets the device, or one of its queues
 * @config_work: acts on a config change
 * @disk_work: tells the block layer of another size, or that it is read-only
 * @cache_work: follows the device when it changes how it caches
 * @recover_last: jiffies of the last recovery
 * @recover_reaps: of all queues at that time
 * @recover_count: recoveries in a row that did not help
 * @in_recovery: the reset under way is of the recovery's own
 * @came_back: by kind: what scans found that had come back
 * @younger: by kind: of that, what was submitted after the scan before
 * @scanned: jiffies of the last scan, or 0
 * @check_mem: where checks read to
 * @flush_done: the flush before sleep or shutdown has ended
 * @add_work: adds the disk, which reads its partitions
 * @add_done: that has ended
 * @add_err: how
 * @counts: of errors
 */
struct virtblk {
	struct virtio_device *vdev;
	struct mutex vdev_mutex; /* see above */
	struct gendisk *disk;
	struct blk_mq_tag_set tag_set;
	struct virtblk_vq *vqs;
	unsigned int nvqs;
	unsigned int npolled;
	int index;
	struct virtblk_limits limits;
	int state;
	bool needs_reset;
	bool resizing;
	bool added;
	bool removing;
	bool paused;
	bool asleep;
	struct work_struct recover_work;
	struct work_struct config_work;
	struct work_struct disk_work;
	struct work_struct cache_work;
	unsigned long recover_last;
	u32 recover_reaps;
	unsigned int recover_count;
	bool in_recovery;
	u32 came_back[VIRTBLK_KINDS];
	u32 younger[VIRTBLK_KINDS];
	unsigned long scanned;
	struct virtio_mem check_mem;
	struct completion flush_done;
	struct work_struct add_work;
	struct completion add_done;
	int add_err;
	struct virtblk_counts counts;
};

#endif /* _BLK_BLK_H */
