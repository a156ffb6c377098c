// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration of the device (section 5.2.4). Every field is untrusted: it
 * is validated, then clamped, ignored or refused with a message.
 */
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/swiotlb.h>
#include "blk/cache.h"
#include "blk/limits.h"
#include "blk/zoned.h"
#include "compat/blk.h"

/* No disk has larger physical blocks. */
#define VIRTBLK_MAX_PHYSICAL	SZ_16M

/**
 * virtblk_accept() - ->accept: drop features that depend on config fields
 * @vdev: the device, before FEATURES_OK
 * @features: the features that the driver will accept
 *
 * Return: 0; an error, after a message, if the device cannot be driven.
 */
int virtblk_accept(struct virtio_device *vdev, u64 *features)
{
	if (!(*features & VIRTIO_BIT(BLK_ZONED)))
		return 0;
	return virtblk_accept_zones(vdev, features);
}

static int virtblk_read_block_size(struct virtio_device *vdev,
				   struct virtblk_limits *lim)
{
	u32 size;

	lim->logical = SECTOR_SIZE;
	if (!virtio_has_feature(vdev, VIRTIO_F_BLK_BLK_SIZE))
		return 0;
	size = virtio_cread32(vdev, VIRTIO_BLK_CFG_BLK_SIZE);
	if (!size) {
		virtio_notice(vdev, "block size 0: using %u\n", lim->logical);
		return 0;
	}
	if (blk_validate_block_size(size)) {
		virtio_err(vdev, "block size %u is not one that this kernel can use\n", size);
		return -EINVAL;
	}
	lim->logical = size;
	return 0;
}

static void virtblk_read_topology(struct virtio_device *vdev,
				  struct virtblk_limits *lim)
{
	u64 opt_io;
	u8 exp;

	lim->physical = lim->logical;
	lim->io_min = lim->logical;
	if (!virtio_has_feature(vdev, VIRTIO_F_BLK_TOPOLOGY))
		return;

	exp = virtio_cread8(vdev, VIRTIO_BLK_CFG_PHYSICAL_EXP);
	if (exp <= ilog2(VIRTBLK_MAX_PHYSICAL / lim->logical))
		lim->physical = lim->logical << exp;
	else
		virtio_notice(vdev, "physical block of 2^%u blocks ignored\n", exp);

	lim->alignment = virtio_cread8(vdev, VIRTIO_BLK_CFG_ALIGNMENT) * lim->logical;
	if (lim->alignment >= lim->physical) {
		virtio_notice(vdev, "alignment offset %u ignored: it exceeds a physical block\n",
			      lim->alignment);
		lim->alignment = 0;
	}

	lim->io_min = virtio_cread16(vdev, VIRTIO_BLK_CFG_MIN_IO) * lim->logical;
	lim->io_min = max(lim->io_min, lim->physical);
	opt_io = (u64)virtio_cread32(vdev, VIRTIO_BLK_CFG_OPT_IO) * lim->logical;
	if (opt_io <= S32_MAX)
		lim->io_opt = opt_io;
	else
		virtio_notice(vdev, "optimal I/O size %llu ignored\n", opt_io);
}

static void virtblk_read_geometry(struct virtio_device *vdev,
				  struct virtblk_limits *lim)
{
	lim->has_geometry = virtio_has_feature(vdev, VIRTIO_F_BLK_GEOMETRY);
	if (!lim->has_geometry)
		return;
	lim->cylinders = virtio_cread16(vdev, VIRTIO_BLK_CFG_CYLINDERS);
	lim->heads = virtio_cread8(vdev, VIRTIO_BLK_CFG_HEADS);
	lim->sectors = virtio_cread8(vdev, VIRTIO_BLK_CFG_SECTORS);
}

/*
 * With bounce buffers, which are limited too, a request needs room for all of its
 * data at once, and each segment takes a slot at least. What one mapping may be
 * is a part of them all.
 */
static void virtblk_limit_mapping(struct virtio_device *vdev,
				  struct virtblk_limits *lim)
{
	size_t max;

	lim->max_sectors = COMPAT_MAX_HW_SECTORS;
	if (!virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM))
		return;
	max = dma_max_mapping_size(vdev->dev.parent);
	lim->max_desc_len = min_t(size_t, lim->max_desc_len,
				  round_down(max, SECTOR_SIZE));
	if (max >> SECTOR_SHIFT >= lim->max_sectors)
		return;
	lim->max_sectors = max_t(u32, round_down(max, lim->logical), PAGE_SIZE) >>
			   SECTOR_SHIFT;
	lim->max_segments = clamp_t(u32, max / IO_TLB_SIZE, 1, lim->max_segments);
}

static int virtblk_read_segments(struct virtio_device *vdev,
				 struct virtblk_limits *lim)
{
	u32 size_max = 0;

	lim->max_segments = 1;
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_SEG_MAX)) {
		lim->max_segments = virtio_cread32(vdev, VIRTIO_BLK_CFG_SEG_MAX);
		if (!lim->max_segments)
			virtio_notice(vdev, "seg_max 0: using 1\n");
		lim->max_segments = clamp_t(u32, lim->max_segments, 1,
					    VIRTBLK_MAX_SEGMENTS);
	}

	if (virtio_has_feature(vdev, VIRTIO_F_BLK_SIZE_MAX))
		size_max = virtio_cread32(vdev, VIRTIO_BLK_CFG_SIZE_MAX);
	lim->max_desc_len = size_max ? round_down(size_max, SECTOR_SIZE) : U32_MAX;
	virtblk_limit_mapping(vdev, lim);
	if (!lim->max_desc_len) {
		virtio_err(vdev, "size_max %u is less than a sector\n", size_max);
		return -EINVAL;
	}

	/* For the block layer the largest segment is a page at least. */
	lim->desc_per_segment = 1;
	if (lim->max_desc_len < PAGE_SIZE)
		lim->desc_per_segment = DIV_ROUND_UP(PAGE_SIZE, lim->max_desc_len);
	lim->max_segments /= lim->desc_per_segment;
	if (!lim->max_segments) {
		virtio_err(vdev, "seg_max is too small for pages in pieces of %u bytes\n",
			   lim->max_desc_len);
		return -EINVAL;
	}
	return 0;
}

static void virtblk_read_discard(struct virtio_device *vdev,
				 struct virtblk_limits *lim)
{
	lim->max_discard_segs = 1;
	lim->discard_align = lim->logical >> SECTOR_SHIFT;

	if (virtio_has_feature(vdev, VIRTIO_F_BLK_DISCARD)) {
		/* 0 means no limit. */
		lim->max_discard = virtio_cread32(vdev, VIRTIO_BLK_CFG_MAX_DISCARD) ?:
				   COMPAT_MAX_HW_SECTORS;
		lim->max_discard = min(lim->max_discard, COMPAT_MAX_HW_SECTORS);

		lim->max_discard_segs = virtio_cread32(vdev, VIRTIO_BLK_CFG_MAX_DISCARD_SEG);
		lim->max_discard_segs = clamp_t(u32, lim->max_discard_segs, 1,
						VIRTBLK_MAX_SEGMENTS);

		lim->discard_align = max(virtio_cread32(vdev, VIRTIO_BLK_CFG_DISCARD_ALIGN),
					 lim->discard_align);
		lim->discard_align = min_t(u32, lim->discard_align,
					   COMPAT_MAX_HW_SECTORS);
	}
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_WRITE_ZEROES)) {
		lim->max_zeroes = virtio_cread32(vdev, VIRTIO_BLK_CFG_MAX_ZEROES) ?:
				  COMPAT_MAX_HW_SECTORS;
		lim->max_zeroes = min(lim->max_zeroes, COMPAT_MAX_HW_SECTORS);
		/* The block layer splits at this limit without regard to blocks. */
		lim->max_zeroes = round_down(lim->max_zeroes,
					     lim->logical >> SECTOR_SHIFT);
		if (!lim->max_zeroes)
			virtio_notice(vdev, "zeroes of less than a block: not used\n");
		lim->zeroes_unmap = virtio_cread8(vdev, VIRTIO_BLK_CFG_ZEROES_UNMAP);
	}
}

/*
 * A secure erase has one range. The block layer splits and merges secure erases
 * by the limits of discards, so the stricter of both limits applies to both.
 */
static void virtblk_read_secure_erase(struct virtio_device *vdev,
				      struct virtblk_limits *lim)
{
	u32 max, align;

	lim->secure_align = 1;
	if (!virtio_has_feature(vdev, VIRTIO_F_BLK_SECURE_ERASE))
		return;
	max = virtio_cread32(vdev, VIRTIO_BLK_CFG_MAX_SECURE);
	align = virtio_cread32(vdev, VIRTIO_BLK_CFG_SECURE_ALIGN);
	max = min(max, COMPAT_MAX_HW_SECTORS);
	align = max(align, lim->logical >> SECTOR_SHIFT);
	if (align > max) {
		virtio_notice(vdev, "secure erase of at most %u sectors in units of %u: not used\n",
			      max, align);
		return;
	}
	lim->secure_align = align;
	lim->max_secure = max - max % align;
	if (!lim->max_discard)
		return;
	lim->max_discard = min(lim->max_discard, lim->max_secure);
	lim->discard_align = max(lim->discard_align, align);
}

/* The block layer splits discards at multiples of @unit, so one has to fit. */
static void virtblk_check_discard(struct virtio_device *vdev,
				  struct virtblk_limits *lim)
{
	u32 unit = max(lim->discard_align, lim->physical >> SECTOR_SHIFT);

	if (!lim->max_discard || lim->max_discard >= unit)
		return;
	virtio_notice(vdev, "discard of at most %u sectors in units of %u: not used\n",
		      lim->max_discard, unit);
	lim->max_discard = 0;
}

/**
 * virtblk_read_capacity() - read the size of the device
 * @vdev: the device
 *
 * Return: size in sectors, cut to what the kernel can address.
 */
u64 virtblk_read_capacity(struct virtio_device *vdev)
{
	u64 capacity = virtio_cread64(vdev, VIRTIO_BLK_CFG_CAPACITY);

	/* loff_t is signed, and counts bytes. */
	if (capacity > LLONG_MAX >> SECTOR_SHIFT) {
		virtio_notice_ratelimited(vdev, "capacity of %llu sectors cut to what can be addressed\n",
					  capacity);
		capacity = LLONG_MAX >> SECTOR_SHIFT;
	}
	return capacity;
}

/**
 * virtblk_read_limits() - read and validate the device's config
 * @vdev: the device, after FEATURES_OK
 * @lim: filled; the caller zeroed it
 *
 * Return: 0; an error, after a message, if the device cannot be driven.
 */
int virtblk_read_limits(struct virtio_device *vdev, struct virtblk_limits *lim)
{
	int err;

	lim->capacity = virtblk_read_capacity(vdev);
	lim->read_only = virtio_has_feature(vdev, VIRTIO_F_BLK_RO);
	lim->writeback = virtblk_read_writeback(vdev);
	lim->num_queues = 1;
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_MQ)) {
		lim->num_queues = virtio_cread16(vdev, VIRTIO_BLK_CFG_NUM_QUEUES);
		if (!lim->num_queues) {
			virtio_notice(vdev, "0 queues: using 1\n");
			lim->num_queues = 1;
		}
	}

	err = virtblk_read_block_size(vdev, lim);
	if (err)
		return err;
	virtblk_read_topology(vdev, lim);
	virtblk_read_geometry(vdev, lim);
	err = virtblk_read_segments(vdev, lim);
	if (err)
		return err;
	virtblk_read_discard(vdev, lim);
	virtblk_read_secure_erase(vdev, lim);
	err = virtblk_read_zones(vdev, lim);
	if (!err)
		virtblk_check_discard(vdev, lim);
	return err;
}
