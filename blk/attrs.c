// SPDX-License-Identifier: GPL-2.0
/*
 * What user space reads of a disk: its attributes in /sys/block/vdX/, its unique
 * id and its geometry.
 */
#include <linux/hdreg.h>
#include <linux/sysfs.h>
#include "blk/attrs.h"
#include "blk/cache.h"
#include "blk/command.h"
#include "blk/log.h"
#include "blk/resize.h"
#include "compat/blk.h"

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	int err = virtblk_get_id(vblk, buf);

	if (err == -EIO || err == -EOPNOTSUPP)
		return 0;	/* A device need not have a serial number. */
	if (err)
		return err;
	/* BLK-OP-08: 20 bytes; a NUL follows only if there are fewer. */
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

/* An attribute that shows a field of a structure. */
#define VIRTBLK_FIELD_ATTR(name, show, type, field)			\
static struct dev_ext_attribute virtblk_attr_##name = {			\
	.attr = __ATTR(name, 0444, show, NULL),				\
	.var = (void *)offsetof(type, field),				\
}

static size_t virtblk_field_of(struct device_attribute *attr)
{
	return (size_t)container_of(attr, struct dev_ext_attribute, attr)->var;
}

/* Error counts: /sys/block/vdX/errors/ */
static ssize_t virtblk_count_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	unsigned int *count = (void *)&vblk->counts + virtblk_field_of(attr);

	return sysfs_emit(buf, "%u\n", READ_ONCE(*count));
}

#define VIRTBLK_COUNT_ATTR(name) \
	VIRTBLK_FIELD_ATTR(name, virtblk_count_show, struct virtblk_counts, name)

VIRTBLK_COUNT_ATTR(resets);
VIRTBLK_COUNT_ATTR(queue_resets);
VIRTBLK_COUNT_ATTR(protocol);
VIRTBLK_COUNT_ATTR(lost_interrupts);
VIRTBLK_COUNT_ATTR(lost_completions);
VIRTBLK_COUNT_ATTR(slow);

static struct attribute *virtblk_errors_attrs[] = {
	&virtblk_attr_resets.attr.attr,
	&virtblk_attr_queue_resets.attr.attr,
	&virtblk_attr_protocol.attr.attr,
	&virtblk_attr_lost_interrupts.attr.attr,
	&virtblk_attr_lost_completions.attr.attr,
	&virtblk_attr_slow.attr.attr,
	NULL,
};

static const struct attribute_group virtblk_errors_group = {
	.name = "errors",
	.attrs = virtblk_errors_attrs,
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

/* Wear: /sys/block/vdX/lifetime/, from GET_LIFETIME (section 5.2.6). */
static int virtblk_get_lifetime(struct device *dev, size_t field)
{
	struct virtblk *vblk = dev_to_disk(dev)->private_data;
	struct virtio_blk_lifetime life;
	struct virtblk_query query = {
		.type = VIRTIO_BLK_T_GET_LIFETIME,
		.len = sizeof(life),
		.answer = &life,
	};
	int err = virtblk_execute_query(vblk, &query);

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

static ssize_t virtblk_wear_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	int got = virtblk_get_lifetime(dev, virtblk_field_of(attr));

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

VIRTBLK_FIELD_ATTR(type_a, virtblk_wear_show, struct virtio_blk_lifetime, typ_a);
VIRTBLK_FIELD_ATTR(type_b, virtblk_wear_show, struct virtio_blk_lifetime, typ_b);

static struct attribute *virtblk_lifetime_attrs[] = {
	&dev_attr_pre_eol_info.attr,
	&virtblk_attr_type_a.attr.attr,
	&virtblk_attr_type_b.attr.attr,
	NULL,
};

static const struct attribute_group virtblk_lifetime_group = {
	.name = "lifetime",
	.attrs = virtblk_lifetime_attrs,
};

static const struct attribute_group *virtblk_attr_groups[] = {
	&virtblk_attr_group,
	&virtblk_errors_group,
	NULL,
};

static const struct attribute_group *virtblk_lifetime_groups[] = {
	&virtblk_attr_group,
	&virtblk_errors_group,
	&virtblk_lifetime_group,
	NULL,
};

/**
 * virtblk_groups() - the driver's own attributes of a disk in sysfs
 * @vblk: the disk
 *
 * Return: attribute groups for device_add_disk().
 */
const struct attribute_group **virtblk_groups(struct virtblk *vblk)
{
	if (virtio_has_feature(vblk->vdev, VIRTIO_F_BLK_LIFETIME))
		return virtblk_lifetime_groups;
	return virtblk_attr_groups;
}

/**
 * virtblk_link_errors() - link trouble, the former name of errors/, to it
 * @vblk: the disk, which was added
 */
void virtblk_link_errors(struct virtblk *vblk)
{
	struct kobject *kobj = &disk_to_dev(vblk->disk)->kobj;

	if (compat_only_sysfs_link_entry_to_kobj(kobj, kobj, "errors", "trouble"))
		virtblk_notice(vblk, "no link from trouble to errors\n");
}

/**
 * virtblk_get_unique_id() - ->get_unique_id: return the serial number
 * @disk: the disk
 * @id: filled
 * @type: type of the id; only BLK_UID_T10 may be text, as the serial number is
 *
 * Context: may sleep. Return: length of the id, or an error.
 */
int virtblk_get_unique_id(struct gendisk *disk, u8 id[16],
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
	/* A serial number that was cut would not be unique. */
	if (!len || len > 16)
		return -EINVAL;
	memcpy(id, serial, len);
	return len;
}

/**
 * virtblk_getgeo() - ->getgeo: return cylinders, heads and sectors
 * @arg: the disk
 * @geo: filled
 *
 * These are the values that probe read, because the device may be in a reset.
 * Return: 0.
 */
int virtblk_getgeo(compat_getgeo_arg *arg, struct hd_geometry *geo)
{
	struct gendisk *disk = compat_getgeo_disk(arg);
	struct virtblk *vblk = disk->private_data;
	const struct virtblk_limits *lim = &vblk->limits;

	if (lim->has_geometry) {
		geo->cylinders = lim->cylinders;
		geo->heads = lim->heads;
		geo->sectors = lim->sectors;
	} else {
		/* The usual geometry of disks that have none. */
		geo->heads = 64;
		geo->sectors = 32;
		geo->cylinders = get_capacity(disk) >> 11;
	}
	return 0;
}
