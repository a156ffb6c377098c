/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The types that the files of the disk driver share. Each file declares its
 * functions in a header of the same name; virtio_blk_lite.c lists the files.
 */
#ifndef _BLK_BLK_H
#define _BLK_BLK_H

#include <linux/blk-mq.h>
#include <linux/sizes.h>
#include "virtio_blk_limits.h"
#include "virtio_lite.h"
#include "virtio_ring_lite.h"

/* Descriptors of a request besides its data: header and status. */
#define VIRTBLK_EXTRA_DESC	2
/* Descriptors of a request with a payload, which follows them in the table. */
#define VIRTBLK_PAYLOAD_DESC	(VIRTBLK_EXTRA_DESC + 1)
/* Header, data and status need 3 descriptors, so a split ring needs 4. */
#define VIRTBLK_MIN_RING	4
/* Descriptors in the slot of each tag. */
#define VIRTBLK_SLOT_DESC	6
/* Largest number of data segments in a request: enough for every I/O size. */
#define VIRTBLK_MAX_SEGMENTS	1022
/* Largest number of pools of a queue; virtblk_req.table has room for 4. */
#define VIRTBLK_POOLS	4
/* Bytes in a bounce buffer: most requests have no more data. */
#define VIRTBLK_BOUNCE		SZ_4K
/* A discard may have ranges for so many descriptors, if data has fewer segments. */
#define VIRTBLK_RANGES_DESC	14

/**
 * struct virtblk_pool - blocks of descriptors, of which long tables consist
 * @mem: memory of the blocks, which is shared with the device
 * @mapped: for each descriptor the bus address of mapped data (ACCESS_PLATFORM);
 *	    else NULL
 * @block_desc: number of descriptors in a block
 * @nblocks: number of blocks, at most BITS_PER_LONG; 0 until there is a pool
 * @free: bit i is set if block i is free; 0 until there is a pool
 */
struct virtblk_pool {
	struct virtio_mem mem;
	dma_addr_t *mapped;
	unsigned int block_desc;
	unsigned int nblocks;
	atomic_long_t free;
};

/**
 * struct virtblk_slot - memory of a tag that is shared with the device
 * @header: header of the request; the device reads it
 * @append_sector: first sector that a zone append wrote; the device writes it
 * @status: status of the request, preset to VIRTIO_BLK_S_UNWRITTEN; the device
 *	    writes it
 * @table: descriptors of the request, if they fit; behind them the payload: the
 *	   ranges of a discard, or the answer to a query
 *
 * The device owns a slot while its tag is in flight.
 */
struct virtblk_slot {
	struct virtio_blk_header header;
	__le64 append_sector;
	u8 status;
	u8 unused[7];
	struct vring_desc table[VIRTBLK_SLOT_DESC];
};

/* What the driver does with a request that it got back. */
enum virtblk_disposition {
	VIRTBLK_COMPLETE,	/* end it with its status */
	VIRTBLK_REQUEUE,	/* send it again: the device was reset */
	VIRTBLK_FAIL,		/* end it with an error */
};

/* Kinds of requests: evidence about one kind does not count for another. */
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
 * struct virtblk_query - a request for information about the device
 * @type: VIRTIO_BLK_T_ of the request
 * @len: number of bytes in the answer
 * @sector: sector that the query is about, or 0
 * @answer: buffer that the answer is copied to, if @dma is 0; the answer has at
 *	    most VIRTIO_BLK_ID_LEN bytes then
 * @dma: memory that the device writes the answer to, or 0
 */
struct virtblk_query {
	u32 type;
	u32 len;
	u64 sector;
	void *answer;
	dma_addr_t dma;
};

/* virtblk_req.nmapped: more than there are segments. */
#define VIRTBLK_BOUNCED		U16_MAX

/**
 * struct virtblk_req - what the driver keeps with each request
 * @status: read once from the slot when the request came back
 * @disposition: enum virtblk_disposition
 * @holds: completion has to read more than the status: a field below is in use,
 *	   or the request is a query or a zone append
 * @table: first block of the long table, counted through all pools of the queue;
 *	   or the bounce buffer
 * @nmapped: number of data segments that are mapped (ACCESS_PLATFORM), or
 *	     VIRTBLK_BOUNCED: the data is in the bounce buffer @table
 * @blocks: number of blocks in the long table; 0 with the slot's table
 * @late: the request did not come back in time
 * @fail: the request ends with an error when the device was reset
 * @checked: the device answered a check for this request; see blk/evidence.c
 * @replays: how often the request was sent again after a recovery
 * @unmapped: there was no room to map the data, first at @submitted
 * @submitted: low bits of jiffies when the request was sent; this and the next
 *	       three fields are valid if @late
 * @quiet_since: low bits of jiffies when a request of its kind last came back
 * @younger: low bits of virtblk.younger of its kind when it was first late
 * @came_back: low bits of virtblk.came_back of its kind at the last time-out
 * @query: the query, if the request is REQ_OP_DRV_IN
 *
 * Outside of the driver @disposition, @holds, @blocks, @nmapped, @late, @fail,
 * @replays and @unmapped are 0.
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
	bool unmapped;
	u32 submitted;
	u32 quiet_since;
	u16 younger;
	u16 came_back;
	struct virtblk_query *query;
};

/**
 * struct virtblk_counts - error counts, which errors/ in sysfs shows
 * @resets: resets of the device or of one queue after which it came back
 * @queue_resets: those of the resets that were of one queue
 * @protocol: the device broke the protocol
 * @lost_interrupts: a late request was found in the used ring
 * @lost_completions: a request did not come back, but others did
 * @slow: a request was late
 *
 * They are not exact: no lock protects them.
 */
struct virtblk_counts {
	unsigned int resets;
	unsigned int queue_resets;
	unsigned int protocol;
	unsigned int lost_interrupts;
	unsigned int lost_completions;
	unsigned int slow;
};

/* What a queue does with the requests that the block layer dispatches to it. */
enum virtblk_vq_state {
	VIRTBLK_VQ_SHORT,	/* it sends them to the device, most by a short path */
	VIRTBLK_VQ_RUNNING,	/* it sends them to the device */
	VIRTBLK_VQ_QUIESCED,	/* it returns them, to be dispatched again later */
	VIRTBLK_VQ_DEAD,	/* it fails them */
};

/* State of the check of a queue; see blk/evidence.c. */
enum virtblk_check_state {
	VIRTBLK_CHECK_NONE,
	VIRTBLK_CHECK_SENT,
	VIRTBLK_CHECK_ANSWERED,
};

/**
 * struct virtblk_vq - a virtqueue, which serves one hardware queue
 * @vq: the virtqueue
 * @slots: array of slots, one per tag, and the last one for the check
 * @slots_dma: address of @slots for the device
 * @rw_rest: virtqueue_prepare_rest() of a single segment, of a read and of a write
 * @max_desc_len: largest number of bytes in one descriptor
 * @slot_segments: largest number of data segments whose descriptors fit a slot;
 *		   0 if data has to be mapped (ACCESS_PLATFORM), or the tag is
 *		   not the head (IN_ORDER)
 * @state: enum virtblk_vq_state
 * @running: VIRTBLK_VQ_SHORT or VIRTBLK_VQ_RUNNING: @state while requests are sent
 * @needs_reset: the queue has to be reset
 * @mapped: bus addresses of mapped data, VIRTBLK_SLOT_DESC per slot
 *	    (ACCESS_PLATFORM); else NULL
 * @vblk: the disk
 * @hctx: the hardware queue of the block layer
 * @mem: memory of @slots
 * @marked: bitmap of the slots that the last scan marked; behind it a bitmap of
 *	    those in flight, which a scan fills
 * @check: token of the check in the ring; NULL if there is no slot for it
 * @check_for: request that the check was sent for
 * @check_submitted: virtblk_req.submitted of @check_for, which tells whether
 *		     the same request is still in flight
 * @check_sent: jiffies when the check was sent
 * @check_state: enum virtblk_check_state
 * @iob: requests that virtblk_done() ends in a batch
 * @lock: submission lock: serialises adding to @vq
 * @waiting: @hctx was stopped until a table or ring slots are free
 * @pools: blocks for long tables; all but the first are allocated when there were
 *	   too few
 * @few_blocks: there were
 * @bounce: bounce buffers, of VIRTBLK_BOUNCE bytes each: a block is one; there are
 *	    none if data is not copied to be mapped
 * @poll_lock: protects completion of a polled queue
 */
struct virtblk_vq {
	struct virtqueue vq;

	struct virtblk_slot *slots;
	dma_addr_t slots_dma;
	u64 rw_rest[2];
	u32 max_desc_len;
	u16 slot_segments;
	u8 state;
	u8 running;
	bool needs_reset;
	dma_addr_t *mapped;
	struct virtblk *vblk;
	struct blk_mq_hw_ctx *hctx;
	struct virtio_mem mem;
	unsigned long *marked;
	struct request *check;
	const struct request *check_for;
	u32 check_submitted;
	u8 check_state;
	unsigned long check_sent;
	struct io_comp_batch iob;

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool waiting;
	bool few_blocks;
	struct virtblk_pool bounce;
	struct virtblk_pool pools[VIRTBLK_POOLS];
	spinlock_t poll_lock; /* see above */
};

/**
 * virtblk_max_chain() - number of descriptors in the longest data request
 * @lim: limits of the disk, adapted to its rings
 */
static inline unsigned int virtblk_max_chain(const struct virtblk_limits *lim)
{
	return lim->max_segments * lim->desc_per_segment + VIRTBLK_EXTRA_DESC;
}

/**
 * virtblk_max_table() - largest length of a table, with what is behind it
 * @lim: limits of the disk, adapted to its rings
 *
 * Return: number of descriptors, of which ranges take the place of some.
 */
static inline unsigned int virtblk_max_table(const struct virtblk_limits *lim)
{
	return max(virtblk_max_chain(lim),
		   lim->max_discard_segs + VIRTBLK_PAYLOAD_DESC);
}

/* State of a disk; see blk/state.c. */
enum virtblk_state {
	VIRTBLK_NEW,		/* probe has not set DRIVER_OK yet */
	VIRTBLK_LIVE,		/* requests go to the device */
	VIRTBLK_RECOVERING,	/* a task resets the device or a queue */
	VIRTBLK_RESIZING,	/* a task exchanges the rings; none is in use */
	VIRTBLK_CONFIGURING,	/* requests go to the device; a task uses its registers */
	VIRTBLK_DEAD,		/* every request fails */
};

/**
 * struct virtblk - one disk
 * @vdev: the device; NULL after it was removed, while the disk is still open
 * @disk: the disk of the block layer
 * @vqs: array of @nvqs queues
 * @nvqs: number of queues
 * @nslots: number of slots of each queue: one for each tag, and one for the check
 *	    if there are more than 2
 * @npolled: number of queues that are polled; these are the last
 * @index: number that the name of the disk is made from
 * @reserved: virtio_blk gives that number to no other disk
 * @state: enum virtblk_state
 * @needs_reset: the device has to be reset; a reset of one queue is not enough
 * @resizing: resizing of the rings, which del_gendisk() waits for, has frozen
 *	      the queue
 * @added: the disk was added, so config changes are acted on
 * @removing: the disk is being removed: config changes are ignored, and a silent
 *	      device is given up
 * @paused: virtblk_reset_prepare() was called and virtblk_reset_done() was not,
 *	    or the system sleeps
 * @asleep: the device was suspended and keeps its state
 * @in_recovery: virtblk_recover_work() caused the reset that is under way
 * @limits: limits of the disk; writeback follows the cache mode in use
 * @vdev_mutex: protects @vdev outside of the request path
 * @rings_mutex: held while the queues' rings are exchanged, and by whoever reads
 *		 a ring outside of the request path
 * @debugfs: directory of the disk's files there
 * @tag_set: tags of all queues
 * @recover_work: recovers the disk: resets one queue or the device
 * @config_work: acts on a config change
 * @disk_work: updates the size and the read-only state of @disk
 * @cache_work: acts on a cache mode that the device changed by itself
 * @pools_work: allocates more pools for the queues that need them
 * @recover_last: jiffies of the last recovery
 * @recover_reaps: virtblk_count_reaps() at that time
 * @recover_count: number of recoveries in a row that did not help
 * @came_back: for each kind, the number of requests that scans found completed
 * @younger: for each kind, the number of these that were submitted after the
 *	     previous scan
 * @scanned: jiffies of the last scan, or 0
 * @check_mem: memory that a check reads data to
 * @flush_work: flushes the cache before sleep or shutdown
 * @flush_asked: how often that was asked for
 * @flush_done: @flush_asked when the last flush began that has ended
 * @flush_wait: who waits for @flush_done
 * @add_work: adds the disk, which reads its partitions
 * @add_done: completes when @add_work has ended
 * @add_err: result of @add_work
 * @counts: error counts
 *
 * As in struct virtio_device, what is used most comes first.
 */
struct virtblk {
	struct virtio_device *vdev;
	struct gendisk *disk;
	struct virtblk_vq *vqs;
	unsigned int nvqs;
	unsigned int nslots;
	unsigned int npolled;
	int index;
	bool reserved;
	int state;
	bool needs_reset;
	bool resizing;
	bool added;
	bool removing;
	bool paused;
	bool asleep;
	bool in_recovery;
	struct virtblk_limits limits;
	struct mutex vdev_mutex; /* see above */
	struct mutex rings_mutex; /* see above */
	struct dentry *debugfs;
	struct blk_mq_tag_set tag_set;
	struct work_struct recover_work;
	struct work_struct config_work;
	struct work_struct disk_work;
	struct work_struct cache_work;
	struct work_struct pools_work;
	unsigned long recover_last;
	u32 recover_reaps;
	unsigned int recover_count;
	u32 came_back[VIRTBLK_KINDS];
	u32 younger[VIRTBLK_KINDS];
	unsigned long scanned;
	struct virtio_mem check_mem;
	struct work_struct flush_work;
	u32 flush_asked;
	u32 flush_done;
	wait_queue_head_t flush_wait;
	struct work_struct add_work;
	struct completion add_done;
	int add_err;
	struct virtblk_counts counts;
};

#endif /* _BLK_BLK_H */
