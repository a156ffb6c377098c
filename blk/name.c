// SPDX-License-Identifier: GPL-2.0
/*
 * The names of disks: vda, vdb and so on, as users expect of virtio.
 *
 * Upstream's virtio_blk gives such names too. It counts its own disks only, and
 * its probe of a disk fails where somebody else has the name: so its next names
 * have to stay free. While virtio_blk is loaded, names begin behind a gap, with
 * vdaa; else there is nobody to leave names to, and they begin with vda. A disk
 * keeps its name. Where virtio_blk is loaded later on, nothing is left to do but
 * to say what will happen.
 */
#include <linux/idr.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include "blk/name.h"

#define UPSTREAM		"virtio_blk"
#define VIRTBLK_MINORS		16
#define VIRTBLK_LETTERS		26
/* Upstream gets so many names at least for disks that are still to come. */
#define VIRTBLK_GAP		10

static int virtblk_major;
static DEFINE_IDA(virtblk_index_ida);
/* How many disks have one of the first names. */
static atomic_t virtblk_early_names;

/* 0 is "vda", 25 "vdz", 26 "vdaa". */
static void virtblk_name(char *buf, size_t size, int index)
{
	char digits[DISK_NAME_LEN];
	char *p = &digits[sizeof(digits) - 1];

	*p = '\0';
	for (; index >= 0; index = index / VIRTBLK_LETTERS - 1)
		*--p = 'a' + index % VIRTBLK_LETTERS;
	snprintf(buf, size, "vd%s", p);
}

/* The other way round; -1 of what is no such name. */
static int virtblk_index_of(const char *name)
{
	int index = -1;

	if (strncmp(name, "vd", 2))
		return -1;
	for (name += 2; *name; name++) {
		if (*name < 'a' || *name > 'z' || index > MINORMASK)
			return -1;
		index = (index + 1) * VIRTBLK_LETTERS + *name - 'a';
	}
	return index;
}

static int virtblk_has_name(struct device *dev, const void *name)
{
	return !strcmp(dev_name(dev), name);
}

/* Finds the end of the names that are in use, but not by this driver. */
static int virtblk_others_end(struct device *dev, void *data)
{
	int *end = data;

	if (MAJOR(dev->devt) != virtblk_major)
		*end = max(*end, virtblk_index_of(dev_name(dev)) + 1);
	return 0;
}

/* Has sysfs a folder of it? That of a module, or of a part of the kernel. */
static bool virtblk_upstream_loaded(void)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, UPSTREAM);

	kobject_put(kobj);
	return kobj;
}

/* The first index that upstream does not come to soon. */
static int virtblk_first_index(struct gendisk *disk)
{
	int end = 0;

	if (!virtblk_upstream_loaded())
		return 0;
	class_for_each_device(disk_to_dev(disk)->class, NULL, &end,
			      virtblk_others_end);
	return roundup(end + VIRTBLK_GAP, VIRTBLK_LETTERS);
}

/**
 * virtblk_choose_name() - give a disk a name, and the device numbers with it
 * @vblk: the disk, not added yet
 *
 * The first name that is free and that upstream's driver does not need; see the
 * top of this file. Context: may sleep. Return: 0 or an error;
 * virtblk_free_name() undoes it.
 */
int virtblk_choose_name(struct virtblk *vblk)
{
	struct gendisk *disk = vblk->disk;
	int index = virtblk_first_index(disk) - 1;
	struct device *taken;

	do {
		index = ida_alloc_min(&virtblk_index_ida, index + 1, GFP_KERNEL);
		if (index < 0)
			return index;
		virtblk_name(disk->disk_name, DISK_NAME_LEN, index);
		taken = class_find_device(disk_to_dev(disk)->class, NULL,
					  disk->disk_name, virtblk_has_name);
		if (taken) {
			put_device(taken);
			ida_free(&virtblk_index_ida, index);
		}
	} while (taken);

	if (index >= 1 << MINORBITS >> ilog2(VIRTBLK_MINORS)) {
		ida_free(&virtblk_index_ida, index);
		return -ENOSPC;
	}
	if (index < VIRTBLK_LETTERS)
		atomic_inc(&virtblk_early_names);
	vblk->index = index;
	disk->major = virtblk_major;
	disk->first_minor = index * VIRTBLK_MINORS;
	disk->minors = VIRTBLK_MINORS;
	return 0;
}

/**
 * virtblk_free_name() - undo virtblk_choose_name()
 * @vblk: the disk, which nobody uses any more
 */
void virtblk_free_name(struct virtblk *vblk)
{
	if (vblk->index < VIRTBLK_LETTERS)
		atomic_dec(&virtblk_early_names);
	ida_free(&virtblk_index_ida, vblk->index);
}

static int virtblk_module_event(struct notifier_block *nb, unsigned long action,
				void *data)
{
	const struct module *mod = data;
	int early = atomic_read(&virtblk_early_names);

	if (action == MODULE_STATE_COMING && early && !strcmp(mod->name, UPSTREAM))
		pr_warn("virtio_lite: virtio_blk is loaded after %d of the names vda to vdz were given: its probe fails for a disk whose name is taken\n",
			early);
	return NOTIFY_OK;
}

static struct notifier_block virtblk_module_nb = {
	.notifier_call = virtblk_module_event,
};

/**
 * virtblk_init_names() - get ready to name disks
 *
 * Return: 0 or an error.
 */
int virtblk_init_names(void)
{
	int err;

	virtblk_major = register_blkdev(0, "virtblk_lite");
	if (virtblk_major < 0)
		return virtblk_major;
	err = register_module_notifier(&virtblk_module_nb);
	if (err)
		unregister_blkdev(virtblk_major, "virtblk_lite");
	return err;
}

/**
 * virtblk_exit_names() - undo virtblk_init_names(); there are no disks any more
 */
void virtblk_exit_names(void)
{
	unregister_module_notifier(&virtblk_module_nb);
	unregister_blkdev(virtblk_major, "virtblk_lite");
	ida_destroy(&virtblk_index_ida);
}
