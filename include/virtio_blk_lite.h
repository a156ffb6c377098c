/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The disk driver, shared by its files: virtio_blk_lite.c (requests), _done
 * (their return), _disk (its life), _mem (its memory), _config (what the device
 * says of itself), _resize (its rings), _recover (when it misbehaves), _timeout
 * (when it is late).
 */
#ifndef _VIRTIO_BLK_LITE_H
#define _VIRTIO_BLK_LITE_H

#include <linux/blk-mq.h>
#include <linux/sizes.h>
#include "virtio_lite.h"
#include "virtio_ring_lite.h"

#define VIRTBLK_MINORS		16
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
enum virtblk_fate {
	VIRTBLK_FINISH,		/* as its status says */
	VIRTBLK_REPLAY,		/* the device was reset: send it again */
	VIRTBLK_FAIL,		/* the device is dead */
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
 * @fate: enum virtblk_fate
 * @holds: one of the following is in use
 * @table: first block of a long table, counted from 1; 0 is the slot's own
 * @nmapped: data segments that are mapped (ACCESS_PLATFORM)
 * @blocks: how many blocks the long table has
 * @late: it did not come back in time
 * @others: requests in flight on its queue when that was found
 * @harvests: of its queue at that time
 * @query: of our own, for REQ_OP_DRV_IN
 *
 * Outside of the driver @fate, @holds, @table, @nmapped and @late are 0.
 */
struct virtblk_req {
	u8 status;
	u8 fate;
	bool holds;
	u8 table;
	u16 nmapped;
	u8 blocks;
	bool late;
	u32 others;
	u32 harvests;
	struct virtblk_query *query;
};

/**
 * struct virtblk_counts - what went wrong, for people to see
 * @resets: the device, or one of its queues alone, was reset and came back
 * @queue_resets: those of a queue alone
 * @protocol: it wrote what it must not
 * @lost_interrupts: a request was found in the ring without one
 * @lost_completions: a request never came back, younger ones did
 * @slow: a request was late, and waited for
 *
 * Counted without a lock: in trouble, about right is right enough.
 */
struct virtblk_counts {
	unsigned int resets;
	unsigned int queue_resets;
	unsigned int protocol;
	unsigned int lost_interrupts;
	unsigned int lost_completions;
	unsigned int slow;
};

/* What happens to requests that come to a queue. */
enum virtblk_shut {
	VIRTBLK_OPEN,		/* they go to the device */
	VIRTBLK_SHUT,		/* the queue is repaired: they come again later */
	VIRTBLK_SHUT_FOREVER,	/* they fail */
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
 * @shut: enum virtblk_shut
 * @trouble: the queue has to be repaired
 * @mapped: VIRTBLK_SLOT_DESC bus addresses per tag, then one for each
 *	    descriptor of @blocks (ACCESS_PLATFORM), or NULL
 * @blocks: what long tables are put together from
 * @blocks_dma: where the device finds them
 * @block_desc: descriptors in a block
 * @nblocks: how many there are; at most BITS_PER_LONG
 * @vblk: whose it is
 * @hctx: the hardware queue of the block layer
 * @mem: memory of @slots and of @blocks
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
	u8 shut;
	bool trouble;
	dma_addr_t *mapped;
	struct vring_desc *blocks;
	dma_addr_t blocks_dma;
	unsigned int block_desc;
	unsigned int nblocks;
	struct virtblk *vblk;
	struct blk_mq_hw_ctx *hctx;
	struct virtio_mem mem[2];

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool waiting;
	atomic_long_t free_blocks;
	spinlock_t poll_lock; /* see above */
};

/**
 * struct virtblk_limits - what the device can do, made sane
 * @capacity: sectors
 * @logical: block size, bytes
 * @physical: block size, bytes
 * @alignment: offset of the first physical block, bytes
 * @io_min: bytes
 * @io_opt: bytes
 * @max_segments: data segments in a request
 * @max_desc_len: bytes that one descriptor may cover
 * @desc_per_segment: descriptors that a segment of a page may need
 * @max_discard: sectors per discard request, 0 if it cannot
 * @max_discard_segs: ranges per discard request
 * @discard_align: sectors
 * @max_zeroes: sectors per write-zeroes request, 0 if it cannot
 * @zeroes_unmap: write zeroes may give space back; can change at any time
 * @max_secure: sectors per secure erase, 0 if it cannot
 * @secure_align: sectors
 * @zone_sectors: of a zone, 0 if the disk has none
 * @max_open: zones, 0 for no limit
 * @max_active: zones, 0 for no limit
 * @max_append: sectors per zone append, 0 if it cannot
 * @zone_granularity: bytes, of writes to a zone
 * @num_queues: that the device has
 * @read_only: the disk is
 * @writeback: there is a cache that has to be flushed
 */
struct virtblk_limits {
	u64 capacity;
	u32 logical;
	u32 physical;
	u32 alignment;
	u32 io_min;
	u32 io_opt;
	u32 max_segments;
	u32 max_desc_len;
	u32 desc_per_segment;
	u32 max_discard;
	u32 max_discard_segs;
	u32 discard_align;
	u32 max_zeroes;
	bool zeroes_unmap;
	u32 max_secure;
	u32 secure_align;
	u32 zone_sectors;
	u32 max_open;
	u32 max_active;
	u32 max_append;
	u32 zone_granularity;
	u32 num_queues;
	bool read_only;
	bool writeback;
};

/**
 * virtblk_max_chain() - descriptors of the longest request with data
 * @lim: what the disk can do; final
 */
static inline unsigned int virtblk_max_chain(const struct virtblk_limits *lim)
{
	return lim->max_segments * lim->desc_per_segment + VIRTBLK_EXTRA_DESC;
}

/* Life of a disk; see virtio_blk_recover_lite.c for how it moves. */
enum virtblk_state {
	VIRTBLK_NEW,		/* there is no disk yet that could be repaired */
	VIRTBLK_LIVE,		/* requests go to the device */
	VIRTBLK_RECOVERING,	/* queues are quiesced, the device is reset */
	VIRTBLK_RESIZING,	/* it is idle, and its queues get other rings */
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
 * @whole: the device is in trouble, not one of its queues alone
 * @resizing: a resize of the rings, which del_gendisk() waits for, has the
 *	      queue frozen
 * @resize_err: how the last resize went
 * @added: config changes are heard of; before, probe looks after all of it
 * @removing: no more config changes, and no waiting for a device that is slow
 * @paused: between virtblk_pause() and virtblk_resume(), or while the system
 *	    sleeps
 * @asleep: the device was suspended with its state
 * @recover_work: repairs the device, or gives its queues other rings
 * @config_work: acts on a config change
 * @zones_work: looks at the zones again when there are more or fewer
 * @cache_work: follows the device when it changes how it caches
 * @recover_last: jiffies of the last recovery
 * @recover_harvests: of all queues at that time
 * @recover_count: recoveries in a row that did not help
 * @counts: of trouble
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
	bool whole;
	bool resizing;
	int resize_err;
	bool added;
	bool removing;
	bool paused;
	bool asleep;
	struct work_struct recover_work;
	struct work_struct config_work;
	struct work_struct zones_work;
	struct work_struct cache_work;
	unsigned long recover_last;
	u32 recover_harvests;
	unsigned int recover_count;
	struct virtblk_counts counts;
};

/* virtio_blk_recover_lite.c */
void virtblk_go_live(struct virtblk *vblk);
void virtblk_recover(struct virtblk *vblk, const char *why, unsigned int *count);
void virtblk_recover_queue(struct virtblk_vq *vvq, const char *why,
			   unsigned int *count);
bool virtblk_check_status(struct virtblk *vblk);
void virtblk_recover_work(struct work_struct *work);
int virtblk_revive(struct virtblk *vblk);
int virtblk_exchange_rings(struct virtblk *vblk);
void virtblk_kill(struct virtblk *vblk);
void virtblk_retire(struct virtblk *vblk);
void virtblk_pause(struct virtio_device *vdev);
void virtblk_resume(struct virtio_device *vdev, int err);
int virtblk_freeze(struct virtio_device *vdev, bool keeps);
int virtblk_restore(struct virtio_device *vdev, int err);

/* virtio_blk_lite.c */
extern const struct blk_mq_ops virtblk_mq_ops;

/* virtio_blk_done_lite.c */
irqreturn_t virtblk_done(struct virtqueue *vq);
bool virtblk_harvest(struct virtblk_vq *vvq, struct io_comp_batch *iob);
void virtblk_wake(struct virtblk_vq *vvq);
void virtblk_request_done(struct request *rq);
void __virtblk_release(struct virtblk_vq *vvq, struct request *rq);

/* virtio_blk_cmd_lite.c */
blk_status_t virtblk_check_command(struct virtblk_vq *vvq, struct request *rq);
unsigned int virtblk_add_rare(struct virtblk_vq *vvq, struct request *rq);
int virtblk_add_append_tail(struct virtblk_vq *vvq, struct request *rq,
			    struct vring_desc *desc, int n);
void virtblk_end_command(struct virtblk_vq *vvq, struct request *rq);
int virtblk_ask(struct virtblk *vblk, struct virtblk_query *query);
int virtblk_get_id(struct virtblk *vblk, char *id);

static inline dma_addr_t virtblk_slot_dma(const struct virtblk_vq *vvq,
					  const struct request *rq)
{
	return vvq->slots_dma + rq->tag * sizeof(struct virtblk_slot);
}

static inline struct virtblk_query *virtblk_query_of(struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	return vbr->query;
}

/* Any alignment, not only powers of 2. */
static inline bool virtblk_is_aligned(u64 sectors, u32 align)
{
	u32 rest;

	div_u64_rem(sectors, align, &rest);
	return !rest;
}

/* virtio_blk_zoned_lite.c */
int virtblk_accept_zones(struct virtio_device *vdev, u64 *features);
int virtblk_read_zones(struct virtio_device *vdev, struct virtblk_limits *lim);
int virtblk_check_zones(struct virtblk *vblk);
void virtblk_zones_work(struct work_struct *work);

/**
 * virtblk_release() - take back what a request borrowed, if anything
 * @vvq: the queue
 * @rq: a request that the device does not own
 */
static inline void virtblk_release(struct virtblk_vq *vvq, struct request *rq)
{
	struct virtblk_req *vbr = blk_mq_rq_to_pdu(rq);

	if (unlikely(vbr->holds))
		__virtblk_release(vvq, rq);
}

/**
 * virtblk_harvested() - after a look for what came back
 * @vvq: the queue; the caller owns its completion
 * @found: there was something
 */
static __always_inline void virtblk_harvested(struct virtblk_vq *vvq, bool found)
{
	if (found)
		vvq->vq.harvests++;
	if (unlikely(!vvq->vq.indirect))
		virtblk_wake(vvq);
	if (unlikely(vvq->vq.broken))
		virtblk_recover_queue(vvq, "the device broke the protocol",
				      &vvq->vblk->counts.protocol);
}

/* virtio_blk_poll_lite.c */
irqreturn_t virtblk_done_in_order(struct virtqueue *vq);
irqreturn_t virtblk_done_polled(struct virtqueue *vq);
int virtblk_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *iob);

/* virtio_blk_disk_lite.c */
extern struct workqueue_struct *virtblk_wq, *virtblk_news_wq;
void virtblk_free_disk(struct gendisk *disk);
unsigned int virtblk_ring_size(const struct virtblk *vblk);

/**
 * struct virtblk_piece - a walk through the data of a request
 * @bv: the piece: no longer than what a descriptor can cover
 * @bio: which it is of
 * @iter: where in @bio it starts
 * @max: bytes of a descriptor
 */
struct virtblk_piece {
	struct bio_vec bv;
	struct bio *bio;
	struct bvec_iter iter;
	u32 max;
};

/**
 * virtblk_no_piece() - start a walk; virtblk_next_piece() finds the first
 * @vvq: the queue
 * @rq: the request, which has data
 */
static inline struct virtblk_piece virtblk_no_piece(const struct virtblk_vq *vvq,
						    const struct request *rq)
{
	return (struct virtblk_piece) {
		.bio = rq->bio,
		.iter = rq->bio->bi_iter,
		.max = vvq->max_desc_len,
	};
}

/* virtio_blk_mem_lite.c */
int virtblk_alloc_mem(struct virtblk *vblk, struct virtblk_vq *vvq, int node);
void virtblk_free_mem(struct virtblk *vblk, struct virtblk_vq *vvq);
bool virtblk_has_table(const struct virtblk_vq *vvq, unsigned int n);
int virtblk_take_table(struct virtblk_vq *vvq, struct virtblk_req *vbr,
		       unsigned int n);
void virtblk_return_table(struct virtblk_vq *vvq, struct virtblk_req *vbr);
int virtblk_map(struct virtblk_vq *vvq, struct request *rq);
dma_addr_t *virtblk_mapped(struct virtblk_vq *vvq, struct request *rq);
void virtblk_unmap(struct virtblk_vq *vvq, struct request *rq);
bool virtblk_next_piece(struct virtblk_piece *p);

/* virtio_blk_config_lite.c */
int virtblk_accept(struct virtio_device *vdev, u64 *features);
int virtblk_read_limits(struct virtio_device *vdev,
			struct virtblk_limits *lim);
u64 virtblk_read_capacity(struct virtio_device *vdev);
void virtblk_set_capacity(struct virtblk *vblk, u64 capacity);
void virtblk_config_changed(struct virtio_device *vdev);
void virtblk_hear_config(struct virtblk *vblk);
void virtblk_config_work(struct work_struct *work);

extern const struct block_device_operations virtblk_fops;
const struct attribute_group **virtblk_groups(struct virtblk *vblk);

/* virtio_blk_cache_lite.c */
bool virtblk_read_writeback(struct virtio_device *vdev);
void virtblk_cache_work(struct work_struct *work);
extern struct device_attribute virtblk_cache_type_attr;

/* virtio_blk_resize_lite.c */
extern struct device_attribute virtblk_ring_size_attr;

/* virtio_blk_timeout_lite.c */
unsigned int virtblk_request_timeout(void);
enum blk_eh_timer_return virtblk_timeout(struct request *rq);
bool virtblk_gave_up(struct request *rq);

#endif /* _VIRTIO_BLK_LITE_H */
