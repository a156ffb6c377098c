/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the block layers of kernels: lists of requests, limits of a
 * disk, reports of zones.
 */
#ifndef _COMPAT_BLK_H
#define _COMPAT_BLK_H

#include <linux/blk-mq.h>
#include "compat/compat.h"
#include "virtio_blk_limits.h"

/*
 * A plug's list of requests. Without a type of its own it is in reverse order, and
 * the driver has to enter each request into the tags.
 */
#ifdef COMPAT_HAVE_RQ_LIST

typedef struct rq_list compat_rq_list;

/* Empty a list, and return its first request. */
static inline struct request *compat_rq_list_take(compat_rq_list *from)
{
	struct request *rq = from->head;

	rq_list_init(from);
	return rq;
}

static inline void compat_rq_list_add_tail(compat_rq_list *list,
					   struct request *rq)
{
	rq_list_add_tail(list, rq);
}

static inline bool compat_iob_is_empty(const struct io_comp_batch *iob)
{
	return rq_list_empty(&iob->req_list);
}

static inline void compat_rq_enter(struct request *rq)
{
}

#else

typedef struct request *compat_rq_list;

static inline struct request *compat_rq_list_take(compat_rq_list *from)
{
	struct request *list = NULL, *rq;

	while ((rq = rq_list_pop(from)))
		rq_list_add(&list, rq);
	return list;
}

static inline void compat_rq_list_add_tail(compat_rq_list *list,
					   struct request *rq)
{
	/* In reverse order again, as in the plug. */
	rq_list_add(list, rq);
}

static inline bool compat_iob_is_empty(const struct io_comp_batch *iob)
{
	return rq_list_empty(iob->req_list);
}

static inline void compat_rq_enter(struct request *rq)
{
	rq->mq_hctx->tags->rqs[rq->tag] = rq;
}

#endif

/* The block layer's callback for each zone of a report. */
struct compat_report {
#ifdef COMPAT_HAVE_REPORT_ARGS
	struct blk_report_zones_args *args;
#else
	report_zones_cb cb;
	void *data;
#endif
};

/*
 * Zoned disks are supported where the block layer orders the writes to a zone.
 * Other kernels would need a scheduler for that.
 */
#ifdef COMPAT_HAVE_ZONED

#ifdef COMPAT_HAVE_REPORT_ARGS

static inline int compat_report_zone(const struct compat_report *to,
				     struct gendisk *disk, struct blk_zone *zone,
				     unsigned int i)
{
	return disk_report_zone(disk, zone, i, to->args);
}

/* Define a ->report_zones that calls @report with a struct compat_report. */
#define COMPAT_DEFINE_REPORT_ZONES(name, report)			\
static int name(struct gendisk *disk, sector_t sector,			\
		unsigned int nr_zones,					\
		struct blk_report_zones_args *args)			\
{									\
	const struct compat_report to = { .args = args };		\
									\
	return report(disk, sector, nr_zones, &to);			\
}

#else

static inline int compat_report_zone(const struct compat_report *to,
				     struct gendisk *disk, struct blk_zone *zone,
				     unsigned int i)
{
	return to->cb(zone, i, to->data);
}

#define COMPAT_DEFINE_REPORT_ZONES(name, report)			\
static int name(struct gendisk *disk, sector_t sector,			\
		unsigned int nr_zones, report_zones_cb cb, void *data)	\
{									\
	const struct compat_report to = { .cb = cb, .data = data };	\
									\
	return report(disk, sector, nr_zones, &to);			\
}

#endif

static inline void compat_set_zones(struct queue_limits *lim,
				    const struct virtblk_limits *l)
{
	if (!l->zone_sectors)
		return;
	lim->features |= BLK_FEAT_ZONED;
	lim->chunk_sectors = l->zone_sectors;
	lim->max_open_zones = l->max_open;
	lim->max_active_zones = l->max_active;
	lim->zone_write_granularity = l->zone_granularity;
#ifdef COMPAT_HAVE_HW_ZONE_APPEND
	lim->max_hw_zone_append_sectors = l->max_append;
#else
	lim->max_zone_append_sectors = l->max_append;
#endif
}

#else

static inline void compat_set_zones(void *lim, const struct virtblk_limits *l)
{
}

#endif

/* The device has no limit; the kernel's default limit of a request still applies. */
#define COMPAT_MAX_HW_SECTORS	(UINT_MAX >> SECTOR_SHIFT)

#ifdef COMPAT_HAVE_QUEUE_LIMITS

static inline struct gendisk *compat_alloc_disk(struct blk_mq_tag_set *set,
						const struct virtblk_limits *l,
						void *queuedata)
{
	struct queue_limits lim = {
		/* No device says what it is: this is what upstream's driver says. */
		.features = BLK_FEAT_ROTATIONAL |
			    (l->writeback ? BLK_FEAT_WRITE_CACHE : 0),
		.logical_block_size = l->logical,
		.physical_block_size = l->physical,
		.alignment_offset = l->alignment,
		.io_min = l->io_min,
		.io_opt = l->io_opt,
		.max_hw_sectors = l->max_sectors,
		.max_segments = l->max_segments,
		.max_segment_size = max_t(u32, l->max_desc_len, PAGE_SIZE),
		.max_hw_discard_sectors = l->max_discard,
		.max_discard_segments = l->max_discard_segs,
		.discard_granularity = l->discard_align << SECTOR_SHIFT,
		.max_write_zeroes_sectors = l->max_zeroes,
		.max_secure_erase_sectors = l->max_secure,
	};

	compat_set_zones(&lim, l);
#ifdef COMPAT_HAVE_WZEROES_UNMAP
	lim.max_hw_wzeroes_unmap_sectors = l->zeroes_unmap ? l->max_zeroes : 0;
#endif
	return blk_mq_alloc_disk(set, &lim, queuedata);
}

static inline int compat_set_writeback(struct gendisk *disk, bool on)
{
	struct queue_limits lim = queue_limits_start_update(disk->queue);
#ifndef COMPAT_HAVE_LIMITS_FROZEN
	unsigned int memflags;
	int err;
#endif

	if (on)
		lim.features |= BLK_FEAT_WRITE_CACHE;
	else
		lim.features &= ~BLK_FEAT_WRITE_CACHE;
#ifdef COMPAT_HAVE_LIMITS_FROZEN
	return queue_limits_commit_update_frozen(disk->queue, &lim);
#else
	memflags = compat_freeze_queue(disk->queue);
	err = queue_limits_commit_update(disk->queue, &lim);
	compat_unfreeze_queue(disk->queue, memflags);
	return err;
#endif
}

static inline void compat_mark_disk_dead(struct gendisk *disk)
{
	blk_mark_disk_dead(disk);
}

#else

static inline struct gendisk *compat_alloc_disk(struct blk_mq_tag_set *set,
						const struct virtblk_limits *l,
						void *queuedata)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, queuedata);
	struct request_queue *q;

	if (IS_ERR(disk))
		return disk;
	q = disk->queue;
	blk_queue_write_cache(q, l->writeback, false);
	blk_queue_logical_block_size(q, l->logical);
	blk_queue_physical_block_size(q, l->physical);
	blk_queue_alignment_offset(q, l->alignment);
	if (l->io_min)
		blk_queue_io_min(q, l->io_min);
	if (l->io_opt)
		blk_queue_io_opt(q, l->io_opt);
	blk_queue_max_hw_sectors(q, l->max_sectors);
	blk_queue_max_segments(q, l->max_segments);
	blk_queue_max_segment_size(q, max_t(u32, l->max_desc_len, PAGE_SIZE));
	blk_queue_max_discard_sectors(q, l->max_discard);
	if (l->max_discard) {
		blk_queue_max_discard_segments(q, l->max_discard_segs);
		q->limits.discard_granularity =
			max(l->discard_align << SECTOR_SHIFT, l->physical);
	}
	blk_queue_max_write_zeroes_sectors(q, l->max_zeroes);
	blk_queue_max_secure_erase_sectors(q, l->max_secure);
	return disk;
}

static inline int compat_set_writeback(struct gendisk *disk, bool on)
{
	unsigned int memflags = compat_freeze_queue(disk->queue);

	blk_queue_write_cache(disk->queue, on, false);
	compat_unfreeze_queue(disk->queue, memflags);
	return 0;
}

/*
 * Marking a disk dead freezes its queue for good. Bios are refused then, but
 * whoever allocates a request waits for the end of the freeze, unless the queue
 * is dying, which newer kernels say by themselves.
 */
static inline void compat_mark_disk_dead(struct gendisk *disk)
{
	blk_queue_flag_set(QUEUE_FLAG_DYING, disk->queue);
	blk_mark_disk_dead(disk);
}

#endif

/* The argument of ->getgeo is a block device in older kernels, then a disk. */
#ifdef COMPAT_HAVE_GETGEO_DISK
typedef struct gendisk compat_getgeo_arg;
#define compat_getgeo_disk(d) (d)
#else
typedef struct block_device compat_getgeo_arg;
#define compat_getgeo_disk(b) ((b)->bd_disk)
#endif

#endif /* _COMPAT_BLK_H */
