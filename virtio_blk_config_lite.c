// SPDX-License-Identifier: GPL-2.0
/*
 * What the device says of itself (section 5.2.4), made sane: every field is
 * the device's word, so it is clamped, ignored or refused with a message, and
 * never used as it comes.
 */
#include <linux/hdreg.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/string_helpers.h>
#include "compat/blk.h"
#include "virtio_blk_lite.h"
#include "trace/virtio_lite_trace.h"

/* Blocks larger than this are nobody's hardware. */
#define VIRTBLK_MAX_PHYSICAL	SZ_16M

/**
 * virtblk_accept() - last word on the features; see struct virtio_driver
 * @vdev: the device, before FEATURES_OK
 * @features: about to be accepted
 */
int virtblk_accept(struct virtio_device *vdev, u64 *features)
{
	u64 offered = vdev->regs->get_features(vdev);

	if (vdev->legacy || !(offered & VIRTIO_BIT(BLK_ZONED)))
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
	if (!size_max)
		size_max = U32_MAX;
	lim->max_desc_len = round_down(size_max, SECTOR_SIZE);
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM))
		lim->max_desc_len = min_t(size_t, lim->max_desc_len,
					  dma_max_mapping_size(vdev->dev.parent));
	if (!lim->max_desc_len) {
		virtio_err(vdev, "size_max %u is less than a sector\n", size_max);
		return -EINVAL;
	}

	/* The block layer counts segments of a page at least. */
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
		/* 0 stands for no limit, as it always has. */
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
		/* The block layer cuts there, wherever that is. */
		lim->max_zeroes = round_down(lim->max_zeroes,
					     lim->logical >> SECTOR_SHIFT);
		if (!lim->max_zeroes)
			virtio_notice(vdev, "zeroes of less than a block: not used\n");
		lim->zeroes_unmap = virtio_cread8(vdev, VIRTIO_BLK_CFG_ZEROES_UNMAP);
	}
}

/*
 * One range at a time is enough. The block layer cuts and merges these by the
 * limits of discards, so that both have to keep to the stricter ones.
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

/* The block layer cuts discards into these units, or not at all. */
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
 * virtblk_read_capacity() - how large the device says it is, in sectors
 * @vdev: the device
 *
 * Context: may sleep.
 */
u64 virtblk_read_capacity(struct virtio_device *vdev)
{
	u64 capacity = virtio_cread64(vdev, VIRTIO_BLK_CFG_CAPACITY);

	/* File offsets are signed, and in bytes. */
	if (capacity > LLONG_MAX >> SECTOR_SHIFT) {
		virtio_notice(vdev, "capacity of %llu sectors cut to what can be addressed\n",
			      capacity);
		capacity = LLONG_MAX >> SECTOR_SHIFT;
	}
	return capacity;
}

/**
 * virtblk_read_limits() - read all of the device's config
 * @vdev: the device, after FEATURES_OK
 * @lim: zeroed; filled
 *
 * Return: 0; an error, with a message, if the device cannot be used.
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

/*
 * Config changes
 */

/**
 * virtblk_set_capacity() - tell the block layer how large the disk is
 * @vblk: the disk
 * @capacity: sectors
 *
 * Context: may sleep. Only probe, before the disk is added, and then the config
 * work do this, or the zones work if there are zones: so never two at a time;
 * whoever takes vblk->vdev away stops both first.
 */
void virtblk_set_capacity(struct virtblk *vblk, u64 capacity)
{
	struct gendisk *disk = vblk->disk;
	char text[10];

	if (get_capacity(disk) == capacity)
		return;
	string_get_size(capacity, SECTOR_SIZE, STRING_UNITS_2, text, sizeof(text));
	if (set_capacity_and_notify(disk, capacity))
		virtio_info(vblk->vdev, "%s: new size %llu sectors, %s\n",
			    disk->disk_name, capacity, text);
	trace_virtblk_config_changed(vblk->vdev, capacity);
}

/* A disk with zones has a size that fits them at any time. */
static void virtblk_follow_capacity(struct virtblk *vblk)
{
	u64 capacity = virtblk_read_capacity(vblk->vdev);

	if (!vblk->limits.zone_sectors) {
		virtblk_set_capacity(vblk, capacity);
		return;
	}
	/* The work may be about to set the size that was news before this. */
	if (capacity == READ_ONCE(vblk->limits.capacity))
		return;
	WRITE_ONCE(vblk->limits.capacity, capacity);
	if (!READ_ONCE(vblk->removing))
		queue_work(virtblk_news_wq, &vblk->zones_work);
}

/*
 * Whether a disk is read-only is a feature, which can change with a reset only.
 * Who had it open before, such as a file system, can still send writes, which
 * the device fails. Returns whether a reset was started.
 */
static bool virtblk_follow_ro(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;
	bool ro = virtio_has_feature(vdev, VIRTIO_F_BLK_RO);

	if (ro != vblk->limits.read_only) {
		vblk->limits.read_only = ro;
		set_disk_ro(vblk->disk, ro);
		virtio_info(vdev, "%s: the device made it %s\n",
			    vblk->disk->disk_name, ro ? "read-only" : "writable");
	}
	if (!(vdev->regs->get_features(vdev) & VIRTIO_BIT(BLK_RO)) == !ro)
		return false;
	virtblk_recover(vblk, ro ? "read-only no more" : "read-only from now on",
			NULL);
	return true;
}

/* Of all that a device may change, what it says the change is about. */
static void virtblk_config_news(struct virtblk *vblk)
{
	struct virtio_device *vdev = vblk->vdev;

	if (virtblk_follow_ro(vblk))
		return;
	virtblk_follow_capacity(vblk);
	if (virtio_has_feature(vdev, VIRTIO_F_BLK_WRITE_ZEROES))
		WRITE_ONCE(vblk->limits.zeroes_unmap,
			   virtio_cread8(vdev, VIRTIO_BLK_CFG_ZEROES_UNMAP));
	if (virtblk_read_writeback(vdev) != vblk->limits.writeback &&
	    !READ_ONCE(vblk->removing))
		queue_work(virtblk_news_wq, &vblk->cache_work);
}

/**
 * virtblk_config_work() - act on a config change
 * @work: of the disk
 *
 * A recovery waits for it, so it may not wait for requests, not even for memory
 * that they would make free.
 */
void virtblk_config_work(struct work_struct *work)
{
	struct virtblk *vblk = container_of(work, struct virtblk, config_work);
	unsigned int memflags = memalloc_noio_save();

	/* GEN-CFGCHG-I01: the same interrupt says that the device is in need. */
	if (virtblk_check_status(vblk) && READ_ONCE(vblk->state) == VIRTBLK_LIVE)
		virtblk_config_news(vblk);
	memalloc_noio_restore(memflags);
}

/**
 * virtblk_config_changed() - a config interrupt came
 * @vdev: the device
 *
 * Context: hard interrupt.
 */
void virtblk_config_changed(struct virtio_device *vdev)
{
	struct virtblk *vblk = dev_get_drvdata(&vdev->dev);

	if (!READ_ONCE(vblk->removing))
		queue_work(virtblk_news_wq, &vblk->config_work);
}

/**
 * virtblk_hear_config() - config changes are welcome, if the disk is added
 * @vblk: the disk
 */
void virtblk_hear_config(struct virtblk *vblk)
{
	if (READ_ONCE(vblk->added))
		virtio_config_enable(vblk->vdev);
}

/*
 * What user space asks
 */

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	int err = virtblk_get_id(vblk, buf);

	if (err == -EIO || err == -EOPNOTSUPP)
		return 0;	/* no serial number is not an error */
	if (err)
		return err;
	/* BLK-OP-08: up to 20 bytes, with a NUL behind or not */
	return strnlen(buf, VIRTIO_BLK_ID_LEN);
}
static DEVICE_ATTR_RO(serial);

static umode_t virtblk_attr_mode(struct kobject *kobj, struct attribute *attr,
				 int n)
{
	struct virtblk *vblk = dev_to_disk(kobj_to_dev(kobj))->private_data;

	if (attr == &virtblk_cache_type_attr.attr &&
	    !virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_CONFIG_WCE))
		return 0444;
	return attr->mode;
}

/* What went wrong so far: /sys/block/vdX/trouble/ */
#define VIRTBLK_COUNT_ATTR(name)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	struct virtblk *vblk = dev_to_disk(dev)->private_data;		\
									\
	return sysfs_emit(buf, "%u\n", READ_ONCE(vblk->counts.name));	\
}									\
static DEVICE_ATTR_RO(name)

VIRTBLK_COUNT_ATTR(resets);
VIRTBLK_COUNT_ATTR(queue_resets);
VIRTBLK_COUNT_ATTR(protocol);
VIRTBLK_COUNT_ATTR(lost_interrupts);
VIRTBLK_COUNT_ATTR(lost_completions);
VIRTBLK_COUNT_ATTR(slow);

static struct attribute *virtblk_trouble_attrs[] = {
	&dev_attr_resets.attr,
	&dev_attr_queue_resets.attr,
	&dev_attr_protocol.attr,
	&dev_attr_lost_interrupts.attr,
	&dev_attr_lost_completions.attr,
	&dev_attr_slow.attr,
	NULL,
};

static const struct attribute_group virtblk_trouble_group = {
	.name = "trouble",
	.attrs = virtblk_trouble_attrs,
};

static struct attribute *virtblk_attrs[] = {
	&dev_attr_serial.attr,
	&virtblk_cache_type_attr.attr,
	&virtblk_ring_size_attr.attr,
	NULL,
};

static const struct attribute_group virtblk_attr_group = {
	.attrs = virtblk_attrs,
	.is_visible = virtblk_attr_mode,
};

/* Wear, /sys/block/vdX/lifetime/: section 5.2.6, GET_LIFETIME */
static int virtblk_get_lifetime(struct device *dev, size_t field)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	struct virtio_blk_lifetime life;
	struct virtblk_query query = {
		.type = VIRTIO_BLK_T_GET_LIFETIME,
		.len = sizeof(life),
		.answer = &life,
	};
	int err = virtblk_ask(vblk, &query);

	return err ?: le16_to_cpup((void *)&life + field);
}

static ssize_t pre_eol_info_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	static const char *const text[] = {
		"unknown", "normal", "warning: 80% of the reserved blocks are used",
		"urgent: 90% of the reserved blocks are used"
	};
	int got = virtblk_get_lifetime(dev, offsetof(struct virtio_blk_lifetime,
						     pre_eol_info));

	if (got < 0)
		return got;
	if (got >= ARRAY_SIZE(text))
		return sysfs_emit(buf, "reserved value %d\n", got);
	return sysfs_emit(buf, "%s\n", text[got]);
}
static DEVICE_ATTR_RO(pre_eol_info);

static ssize_t virtblk_show_wear(struct device *dev, size_t field, char *buf)
{
	int got = virtblk_get_lifetime(dev, field);

	if (got < 0)
		return got;
	if (!got)
		return sysfs_emit(buf, "unknown\n");
	if (got <= 10)
		return sysfs_emit(buf, "%d%% to %d%% used\n", (got - 1) * 10, got * 10);
	if (got == 11)
		return sysfs_emit(buf, "past its estimated life\n");
	return sysfs_emit(buf, "reserved value %d\n", got);
}

static ssize_t type_a_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return virtblk_show_wear(dev, offsetof(struct virtio_blk_lifetime, typ_a),
				 buf);
}
static DEVICE_ATTR_RO(type_a);

static ssize_t type_b_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return virtblk_show_wear(dev, offsetof(struct virtio_blk_lifetime, typ_b),
				 buf);
}
static DEVICE_ATTR_RO(type_b);

static struct attribute *virtblk_lifetime_attrs[] = {
	&dev_attr_pre_eol_info.attr,
	&dev_attr_type_a.attr,
	&dev_attr_type_b.attr,
	NULL,
};

static const struct attribute_group virtblk_lifetime_group = {
	.name = "lifetime",
	.attrs = virtblk_lifetime_attrs,
};

static const struct attribute_group *virtblk_attr_groups[] = {
	&virtblk_attr_group,
	&virtblk_trouble_group,
	NULL,
};

static const struct attribute_group *virtblk_lifetime_groups[] = {
	&virtblk_attr_group,
	&virtblk_trouble_group,
	&virtblk_lifetime_group,
	NULL,
};

/**
 * virtblk_groups() - what of a disk is in sysfs besides the usual
 * @vblk: the disk
 */
const struct attribute_group **virtblk_groups(struct virtblk *vblk)
{
	if (virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_LIFETIME))
		return virtblk_lifetime_groups;
	return virtblk_attr_groups;
}

/*
 * The serial number, for whoever has to recognise the disk by it on another
 * machine. As text it is none of the other kinds.
 */
static int virtblk_get_unique_id(struct gendisk *disk, u8 id[16],
				 enum blk_unique_id type)
{
	char serial[VIRTIO_BLK_ID_LEN];
	int len, err;

	if (type != BLK_UID_T10)
		return -EINVAL;
	err = virtblk_get_id(disk->private_data, serial);
	if (err)
		return err;
	len = strnlen(serial, sizeof(serial));
	/* Cut short it would not be unique. */
	if (!len || len > 16)
		return -EINVAL;
	memcpy(id, serial, len);
	return len;
}

static int virtblk_getgeo(compat_getgeo_arg *arg, struct hd_geometry *geo)
{
	struct gendisk *disk = compat_getgeo_disk(arg);
	struct virtblk *vblk = disk->private_data;
	int err = 0;

	mutex_lock(&vblk->vdev_mutex);
	if (!vblk->vdev) {
		err = -ENXIO;
	} else if (virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_GEOMETRY)) {
		geo->cylinders = virtio_cread16(vblk->vdev, VIRTIO_BLK_CFG_CYLINDERS);
		geo->heads = virtio_cread8(vblk->vdev, VIRTIO_BLK_CFG_HEADS);
		geo->sectors = virtio_cread8(vblk->vdev, VIRTIO_BLK_CFG_SECTORS);
	} else {
		/* What disks without one have been given for decades. */
		geo->heads = 64;
		geo->sectors = 32;
		geo->cylinders = get_capacity(disk) >> 11;
	}
	mutex_unlock(&vblk->vdev_mutex);
	return err;
}

const struct block_device_operations virtblk_fops = {
	.owner = THIS_MODULE,
	.getgeo = virtblk_getgeo,
	.get_unique_id = virtblk_get_unique_id,
#ifdef COMPAT_HAVE_ZONED
	.report_zones = compat_report_zones,
#endif
	.free_disk = virtblk_free_disk,
};
