// SPDX-License-Identifier: GPL-2.0
/*
 * The names of disks: vda, vdb and so on, as users expect of virtio.
 *
 * Upstream's virtio_blk gives such names too. It counts its own disks only: for
 * the next one it takes the lowest number that none of these has, and its probe
 * fails where somebody else has that name.
 *
 *	a disk that was moved	keeps its name, and virtio_blk keeps the number:
 *	here			see pci/former.c
 *	any other		the first name that is free. virtio_blk may want
 *				it later: that is said, for the only way out
 *				would be names that no user expects
 */
#include <linux/idr.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include "blk/log.h"
#include "blk/name.h"

#define UPSTREAM		"virtio_blk"
#define VIRTBLK_MINORS		16
#define VIRTBLK_LETTERS		26
/* As many as have minor numbers. */
#define VIRTBLK_MAX_INDEX	((1 << MINORBITS) / VIRTBLK_MINORS - 1)

static int virtblk_major;
static DEFINE_IDA(virtblk_index_ida);
/* How many disks have a name that virtio_blk knows nothing of. */
static atomic_t virtblk_unreserved;

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

	if (!name || strncmp(name, "vd", 2))
		return -1;
	for (name += 2; *name; name++) {
		if (*name < 'a' || *name > 'z' || index > VIRTBLK_MAX_INDEX)
			return -1;
		index = (index + 1) * VIRTBLK_LETTERS + *name - 'a';
	}
	return index <= VIRTBLK_MAX_INDEX ? index : -1;
}

static int virtblk_has_name(struct device *dev, const void *name)
{
	return !strcmp(dev_name(dev), name);
}

/* The first name from @least to @most that is free, also of others' disks. */
static int virtblk_find_name(struct gendisk *disk, int least, int most)
{
	struct device *taken;
	int index = least - 1;

	for (;;) {
		index = ida_alloc_range(&virtblk_index_ida, index + 1, most,
					GFP_KERNEL);
		if (index < 0)
			return index;
		virtblk_name(disk->disk_name, DISK_NAME_LEN, index);
		taken = class_find_device(disk_to_dev(disk)->class, NULL,
					  disk->disk_name, virtblk_has_name);
		if (!taken)
			return index;
		put_device(taken);
		ida_free(&virtblk_index_ida, index);
		if (index == most)
			return -ENOSPC;
	}
}

/* Has sysfs a folder of it? That of a module, or of a part of the kernel. */
static bool virtblk_upstream_loaded(void)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, UPSTREAM);

	kobject_put(kobj);
	return kobj;
}

/**
 * virtblk_choose_name() - give a disk a name, and the device numbers with it
 * @vblk: the disk, not added yet
 *
 * See the top of this file. Context: may sleep. Return: 0 or an error;
 * virtblk_free_name() undoes it.
 */
int virtblk_choose_name(struct virtblk *vblk)
{
	int wanted = virtblk_index_of(vblk->vdev->former_name);
	struct gendisk *disk = vblk->disk;
	int index = -ENOSPC;

	if (wanted >= 0)
		index = virtblk_find_name(disk, wanted, wanted);
	vblk->reserved = index >= 0;
	if (index < 0)
		index = virtblk_find_name(disk, 0, VIRTBLK_MAX_INDEX);
	if (index < 0)
		return index;
	vblk->index = index;
	disk->major = virtblk_major;
	disk->first_minor = index * VIRTBLK_MINORS;
	disk->minors = VIRTBLK_MINORS;

	if (!vblk->reserved) {
		atomic_inc(&virtblk_unreserved);
		if (virtblk_upstream_loaded())
			virtblk_warn(vblk, "virtio_blk may want this name for a disk that comes later, and then fails to probe that one: give both to one driver (bind-lite)\n");
	}
	return 0;
}

/**
 * virtblk_free_name() - undo virtblk_choose_name()
 * @vblk: the disk, which nobody uses any more
 */
void virtblk_free_name(struct virtblk *vblk)
{
	if (!vblk->reserved)
		atomic_dec(&virtblk_unreserved);
	ida_free(&virtblk_index_ida, vblk->index);
}

static int virtblk_module_event(struct notifier_block *nb, unsigned long action,
				void *data)
{
	const struct module *mod = data;
	int n = atomic_read(&virtblk_unreserved);

	if (action == MODULE_STATE_COMING && n && !strcmp(mod->name, UPSTREAM))
		pr_warn("virtio_lite: virtio_blk is loaded, and knows nothing of %d names given before: it fails to probe a disk whose name is taken\n",
			n);
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
int __init virtblk_init_names(void)
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
