// SPDX-License-Identifier: GPL-2.0
/*
 * The disk that a function had with another driver, before a user moved it here
 * (driver_override, unbind). It is gone, but virtio_blk frees the number behind
 * its name only when its last user lets go of it. So it is held as long as our
 * disk has its name: no disk that virtio_blk gets meanwhile wants that name, and
 * a disk that goes back gets it again.
 */
#include <linux/blkdev.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "pci/former.h"
#include "virtio_spec.h"

/**
 * struct vp_former - a disk that is held
 * @list: of all of them
 * @pdev: the function; not a reference: the entry goes with the function
 * @disk: was the disk of it
 */
struct vp_former {
	struct list_head list;
	struct pci_dev *pdev;
	struct gendisk *disk;
};

static LIST_HEAD(vp_formers);
static DEFINE_MUTEX(vp_formers_lock);
static const struct pci_driver *vp_ours;

/* A device of a class, below a device of the virtio bus. */
static int vp_hold_disk(struct device *dev, void *data)
{
	struct gendisk **held = data;
	struct gendisk *disk;

	if (!dev->class || strcmp(dev->class->name, "block"))
		return 0;
	disk = dev_to_disk(dev);
	/* Freeing the disk is up to its driver. */
	if (!try_module_get(disk->fops->owner))
		return 0;
	get_device(dev);
	*held = disk;
	return 1;
}

/* Its driver cannot go as long as it is locked. */
static int vp_hold_disk_of_child(struct device *dev, void *data)
{
	int found = 0;

	device_lock(dev);
	if (dev->driver)
		found = device_for_each_child(dev, data, vp_hold_disk);
	device_unlock(dev);
	return found;
}

static void vp_release_disk(struct gendisk *disk)
{
	struct module *owner = disk->fops->owner;

	put_disk(disk);
	module_put(owner);
}

static struct vp_former *vp_find_former(const struct pci_dev *pdev)
{
	struct vp_former *former;

	list_for_each_entry(former, &vp_formers, list) {
		if (former->pdev == pdev)
			return former;
	}
	return NULL;
}

/* Another driver is about to let go of the function, and the user wants ours. */
static void vp_keep_former(struct pci_dev *pdev)
{
	struct gendisk *disk = NULL;
	struct vp_former *former;

	device_for_each_child(&pdev->dev, &disk, vp_hold_disk_of_child);
	if (!disk)
		return;
	former = kzalloc(sizeof(*former), GFP_KERNEL);
	if (!former) {
		vp_release_disk(disk);
		return;
	}
	former->pdev = pdev;
	former->disk = disk;
	mutex_lock(&vp_formers_lock);
	list_add(&former->list, &vp_formers);
	mutex_unlock(&vp_formers_lock);
}

/**
 * vp_forget_former() - let go of the disk that a function had before, if any
 * @pdev: the function, which has no disk of ours any more
 *
 * Context: may sleep.
 */
void vp_forget_former(struct pci_dev *pdev)
{
	struct vp_former *former;

	mutex_lock(&vp_formers_lock);
	former = vp_find_former(pdev);
	if (former)
		list_del(&former->list);
	mutex_unlock(&vp_formers_lock);
	if (former) {
		vp_release_disk(former->disk);
		kfree(former);
	}
}

/**
 * vp_former_name() - the name of the disk that a function had before
 * @pdev: the function, which is being probed
 *
 * Return: the name, which stays until vp_forget_former(), or NULL.
 */
const char *vp_former_name(struct pci_dev *pdev)
{
	struct vp_former *former;

	mutex_lock(&vp_formers_lock);
	former = vp_find_former(pdev);
	mutex_unlock(&vp_formers_lock);
	return former ? former->disk->disk_name : NULL;
}

static int vp_bus_event(struct notifier_block *nb, unsigned long action,
			void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);
	bool ours = pdev->dev.driver == &vp_ours->driver;

	if (action == BUS_NOTIFY_UNBIND_DRIVER && !ours &&
	    pdev->vendor == VIRTIO_PCI_VENDOR && compat_is_override(pdev, vp_ours))
		vp_keep_former(pdev);
	/* Before its probe, which may take the number. */
	if ((action == BUS_NOTIFY_BIND_DRIVER && !ours) ||
	    action == BUS_NOTIFY_REMOVED_DEVICE)
		vp_forget_former(pdev);
	return NOTIFY_OK;
}

static struct notifier_block vp_bus_nb = {
	.notifier_call = vp_bus_event,
};

/**
 * vp_init_formers() - from now on disks that are moved here are held
 * @ours: the PCI driver
 *
 * Return: 0 or an error.
 */
int __init vp_init_formers(const struct pci_driver *ours)
{
	vp_ours = ours;
	return bus_register_notifier(&pci_bus_type, &vp_bus_nb);
}

/**
 * vp_exit_formers() - undo vp_init_formers(); no function is ours any more
 */
void vp_exit_formers(void)
{
	struct vp_former *former, *next;

	bus_unregister_notifier(&pci_bus_type, &vp_bus_nb);
	list_for_each_entry_safe(former, next, &vp_formers, list) {
		vp_release_disk(former->disk);
		kfree(former);
	}
	INIT_LIST_HEAD(&vp_formers);
}
