// SPDX-License-Identifier: GPL-2.0
/*
 * Host-managed zones: section 5.2.6, "zoned block devices". Most zones accept
 * data only at their write pointer, one write after the other.
 *
 *	accept		reads the model before FEATURES_OK, and refuses a device
 *			that this kernel cannot drive
 *	limits		reads and validates sizes and counts
 *	report		queries zones, and validates each
 *	check		has the block layer read all zones: at probe, and when
 *			the size of the disk has changed
 *
 * blk/command.c sends the requests to zones.
 */
#include <linux/log2.h>
#include "blk/command.h"
#include "blk/log.h"
#include "blk/zoned.h"
#include "compat/blk.h"

/* Largest report, in bytes; the zones of a disk may need several. */
#define VIRTBLK_REPORT_MAX	SZ_64K
/* More than any disk has; the block layer keeps a bit for each zone. */
#define VIRTBLK_MAX_ZONES	SZ_16M
/* The block layer allocates memory for each of these; fewer are allowed. */
#define VIRTBLK_MAX_OPEN_ZONES	SZ_16K

/**
 * virtblk_accept_zones() - accept ZONED only from a host-managed disk
 * @vdev: a modern device that offers ZONED, before FEATURES_OK
 * @features: the features that the driver will accept
 *
 * Return: 0; -ENODEV, after a message, if this kernel cannot drive the disk
 * (BLK-INIT-08).
 */
int virtblk_accept_zones(struct virtio_device *vdev, u64 *features)
{
	u8 model = virtio_cread8(vdev, VIRTIO_BLK_CFG_ZONED_MODEL);

	/* BLK-INIT-10, BLK-INIT-11: other models are driven without zones. */
	if (model != VIRTIO_BLK_Z_HM) {
		*features &= ~VIRTIO_BIT(BLK_ZONED);
		return 0;
	}
#ifdef COMPAT_HAVE_ZONED
	/* BLK-INIT-06 */
	*features &= ~VIRTIO_BIT(BLK_DISCARD);
	return 0;
#else
	virtio_err(vdev, "this is a host-managed zoned disk, which a module for this kernel cannot drive\n");
	return -ENODEV;
#endif
}

/**
 * virtblk_read_zones() - read and validate the config fields of zones
 * @vdev: the device, after FEATURES_OK
 * @lim: filled; its other fields were read
 *
 * Return: 0; an error, after a message, if the device cannot be driven.
 */
int virtblk_read_zones(struct virtio_device *vdev, struct virtblk_limits *lim)
{
	u32 granularity;

	if (!virtio_has_feature(vdev, VIRTIO_F_BLK_ZONED))
		return 0;
	lim->zone_sectors = virtio_cread32(vdev, VIRTIO_BLK_CFG_ZONE_SECTORS);
	if (!is_power_of_2(lim->zone_sectors) ||
	    lim->zone_sectors < lim->logical >> SECTOR_SHIFT) {
		virtio_err(vdev, "zones of %u sectors: only powers of 2 can be used\n",
			   lim->zone_sectors);
		return -EINVAL;
	}

	granularity = virtio_cread32(vdev, VIRTIO_BLK_CFG_ZONE_GRANULARITY);
	if (granularity && (!is_power_of_2(granularity) ||
			    granularity < lim->logical ||
			    granularity >> SECTOR_SHIFT > lim->zone_sectors)) {
		virtio_err(vdev, "zones are written in units of %u bytes, which this kernel cannot do\n",
			   granularity);
		return -EINVAL;
	}
	lim->zone_granularity = granularity ?: lim->logical;
	lim->physical = max(lim->physical, lim->zone_granularity);
	lim->io_min = max(lim->io_min, lim->physical);

	lim->max_open = virtio_cread32(vdev, VIRTIO_BLK_CFG_ZONE_MAX_OPEN);
	lim->max_active = virtio_cread32(vdev, VIRTIO_BLK_CFG_ZONE_MAX_ACTIVE);
	if (lim->max_active && lim->max_open > lim->max_active) {
		virtio_notice(vdev, "%u zones may be open, but only %u active: using that\n",
			      lim->max_open, lim->max_active);
		lim->max_open = lim->max_active;
	}
	lim->max_open = min(lim->max_open, VIRTBLK_MAX_OPEN_ZONES);
	lim->max_active = min(lim->max_active, VIRTBLK_MAX_OPEN_ZONES);
	/* 0 means that the device has no zone append: the block layer writes then. */
	lim->max_append = virtio_cread32(vdev, VIRTIO_BLK_CFG_ZONE_MAX_APPEND);
	lim->max_append = min3(lim->max_append, lim->zone_sectors, lim->max_sectors);
	lim->max_append = round_down(lim->max_append,
				     lim->zone_granularity >> SECTOR_SHIFT);
	/* BLK-ZONE-13 */
	if (lim->max_secure) {
		lim->secure_align = max(lim->secure_align, lim->zone_sectors);
		lim->max_secure = round_down(lim->max_secure, lim->secure_align);
	}
	return 0;
}

#ifdef COMPAT_HAVE_ZONED

/*
 * Validate the report of the zone that starts at @sector, and convert it. Zones
 * without a write pointer report one that means nothing (BLK-ZONE-I02).
 */
static int virtblk_parse_zone(struct virtblk *vblk, sector_t sector,
			      const struct virtio_blk_zone *from,
			      struct blk_zone *zone)
{
	u64 left = get_capacity(vblk->disk) - sector;

	*zone = (struct blk_zone) {
		.start = le64_to_cpu(READ_ONCE(from->start)),
		.len = min_t(u64, vblk->limits.zone_sectors, left),
		.wp = le64_to_cpu(READ_ONCE(from->wp)),
		.capacity = le64_to_cpu(READ_ONCE(from->capacity)),
		.type = READ_ONCE(from->type),
		.cond = READ_ONCE(from->state),
	};
	if (zone->start != sector || zone->capacity > zone->len ||
	    (zone->cond > VIRTIO_BLK_ZS_CLOSED &&
	     zone->cond < VIRTIO_BLK_ZS_RDONLY) ||
	    zone->cond > VIRTIO_BLK_ZS_OFFLINE)
		return -EIO;
	switch (zone->cond) {
	case VIRTIO_BLK_ZS_NOT_WP:
	case VIRTIO_BLK_ZS_RDONLY:
	case VIRTIO_BLK_ZS_OFFLINE:
		zone->wp = U64_MAX;
		break;
	case VIRTIO_BLK_ZS_FULL:
		zone->wp = zone->start + zone->len;
		break;
	default:
		if (zone->wp < zone->start ||
		    zone->wp - zone->start > zone->capacity)
			return -EIO;
	}
	return 0;
}

static int virtblk_get_report(struct virtblk *vblk, struct virtio_mem *mem,
			      sector_t sector)
{
	struct virtblk_query query = {
		.type = VIRTIO_BLK_T_ZONE_REPORT,
		.len = mem->size,
		.sector = sector,
		.dma = mem->dma,
	};

	return virtblk_execute_query(vblk, &query);
}

static int virtblk_report_to(struct virtblk *vblk, struct virtio_mem *mem,
			     sector_t sector, unsigned int nr_zones,
			     const struct compat_report *to)
{
	const struct virtio_blk_zone_report *report = mem->addr;
	unsigned int room = (mem->size - sizeof(*report)) / sizeof(*report->zones);
	unsigned int done = 0, n, i;
	struct blk_zone zone;
	int err;

	while (done < nr_zones && sector < get_capacity(vblk->disk)) {
		err = virtblk_get_report(vblk, mem, sector);
		if (err)
			return err;
		n = min_t(u64, le64_to_cpu(READ_ONCE(report->nr_zones)), room);
		if (!n)
			break;
		for (i = 0; i < n && done < nr_zones &&
		     sector < get_capacity(vblk->disk); i++) {
			err = virtblk_parse_zone(vblk, sector, &report->zones[i],
						 &zone);
			if (err) {
				virtblk_err_ratelimited(vblk, "the device's report of the zone at %llu is invalid\n",
							(unsigned long long)sector);
				return err;
			}
			err = compat_report_zone(to, vblk->disk, &zone, done);
			if (err)
				return err;
			done++;
			sector += zone.len;
		}
	}
	return done;
}

/* Allocate memory for a report of @nr_zones zones, or of fewer. */
static int virtblk_alloc_report(struct virtblk *vblk, struct virtio_mem *mem,
				unsigned int nr_zones)
{
	size_t size = min_t(u64, sizeof(struct virtio_blk_zone_report) +
			    (u64)nr_zones * sizeof(struct virtio_blk_zone),
			    min_t(u32, VIRTBLK_REPORT_MAX,
				  rounddown_pow_of_two(vblk->limits.max_desc_len)));

	while (virtio_mem_alloc(vblk->vdev, mem, size, NUMA_NO_NODE, false)) {
		size /= 2;
		if (size < SECTOR_SIZE)
			return -ENOMEM;
	}
	return 0;
}

/**
 * virtblk_report_zones() - report zones to the block layer
 * @disk: the disk
 * @sector: sector in the first zone
 * @nr_zones: largest number of zones to report
 * @to: callback of the block layer for each zone
 *
 * Context: may sleep. Return: number of zones that were reported, or an error.
 */
int virtblk_report_zones(struct gendisk *disk, sector_t sector,
			 unsigned int nr_zones, const struct compat_report *to)
{
	struct virtblk *vblk = disk->private_data;
	struct virtio_mem mem;
	int ret = -EOPNOTSUPP;

	mutex_lock(&vblk->vdev_mutex);
	if (!vblk->vdev)
		ret = -ENXIO;
	else if (vblk->limits.zone_sectors)
		ret = virtblk_alloc_report(vblk, &mem, nr_zones);
	if (!ret) {
		sector = round_down(sector, vblk->limits.zone_sectors);
		ret = virtblk_report_to(vblk, &mem, sector, nr_zones, to);
		virtio_mem_free(vblk->vdev, &mem);
	}
	mutex_unlock(&vblk->vdev_mutex);
	return ret;
}

#endif

/**
 * virtblk_zones_fit() - has a disk of this size at most VIRTBLK_MAX_ZONES
 * @vblk: the disk
 * @capacity: size in sectors
 *
 * Return: false, after a message, if it has more; true for a disk without zones.
 */
bool virtblk_zones_fit(struct virtblk *vblk, u64 capacity)
{
	if (!vblk->limits.zone_sectors ||
	    capacity >> ilog2(vblk->limits.zone_sectors) <= VIRTBLK_MAX_ZONES)
		return true;
	virtblk_err_ratelimited(vblk, "%llu sectors are too many zones of %u\n",
				capacity, vblk->limits.zone_sectors);
	return false;
}

/**
 * virtblk_check_zones() - have the block layer read all zones
 * @vblk: the disk; it is not quiesced, and its capacity is set
 *
 * Context: may sleep; waits for requests. Return: 0, also for a disk without
 * zones; an error, after a message.
 */
int virtblk_check_zones(struct virtblk *vblk)
{
	u64 capacity = get_capacity(vblk->disk);
	int err = 0;

	if (!vblk->limits.zone_sectors || !capacity)
		return 0;
	if (!virtblk_zones_fit(vblk, capacity))
		return -EFBIG;
#ifdef COMPAT_HAVE_ZONED
	err = blk_revalidate_disk_zones(vblk->disk);
#endif
	if (err)
		virtblk_err_ratelimited(vblk, "its zones cannot be used: %d\n",
					err);
	return err;
}
