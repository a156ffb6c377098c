// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI driver: it adds a device to the virtio-lite bus for each PCI function
 * that is a virtio disk.
 *
 * To try it, in a guest started with
 *	qemu-system-x86_64 ... -blockdev file,filename=disk.img,node-name=d0
 *		-device virtio-blk-pci,drive=d0
 * "lspci -nn" shows 1af4:1001 (transitional) or 1af4:1042 (modern only).
 *
 * This file has ids, probe, remove, power management, and resets from outside of
 * the driver. The rest is in pci/:
 *
 *	common.h	struct vp_device: one PCI function
 *	queues.c	set-up and reset of queues, exchange of their rings
 *	irq.c		vectors and their handlers, vp_interrupt
 *	modern.c	modern registers, found through PCI capabilities
 *	legacy.c	legacy registers, at the start of BAR0
 *	former.c	the disk that a function had with another driver
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "pci/former.h"
#include "pci/irq.h"
#include "pci/legacy.h"
#include "pci/modern.h"
#include "pci/queues.h"
#include "trace/virtio_lite_trace.h"

static bool force_legacy;
module_param(force_legacy, bool, 0444);
MODULE_PARM_DESC(force_legacy,
		 "Drive transitional devices through their legacy registers (default: no)");

static void vp_release_dev(struct device *d)
{
	kfree(to_vp(dev_to_virtio(d)));
}

/* Sections 4.1.2.1 and 4.1.4.8: modern registers if there are any, else legacy. */
static int vp_map(struct vp_device *vp, unsigned int config_len)
{
	int err;

	if (force_legacy) {
		err = vp_legacy_map(vp, config_len);
		if (err != -ENODEV)
			return err;
		pci_notice(vp->pdev, "no legacy registers to force: trying the modern ones\n");
		return vp_modern_map(vp, config_len);
	}
	err = vp_modern_map(vp, config_len);
	if (err == -ENODEV)
		err = vp_legacy_map(vp, config_len);
	return err;
}

static int vp_set_dma_mask(struct vp_device *vp)
{
	struct device *dev = &vp->pdev->dev;
	int err;

	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (err)
		err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(32));
	if (err)
		dev_err(dev, "no usable DMA mask\n");
	else
		dma_set_max_seg_size(dev, UINT_MAX);
	return err;
}

/*
 * Resets from outside of the driver: by a user (FLR), or by the kernel after a
 * bus error (AER). The device loses its state.
 */

/* The kernel itself waits for a device no longer than this. */
#define VP_RESET_WAIT		(60 * HZ)

/*
 * The PCI core may restore a state from before a reset that did not finish, with
 * bus mastering on. The driver enables DMA again when a reset has finished.
 */
static void vp_restore_master(struct vp_device *vp)
{
	if (!vp->dma)
		pci_clear_master(vp->pdev);
}

static void virtio_pci_reset_prepare(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	virtio_device_reset_prepare(&vp->vdev);
}

static void virtio_pci_reset_done(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	vp_restore_master(vp);
	/* Restoring the state used it up, and a slot reset may need it next. */
	pci_save_state(pdev);
	virtio_device_reset_done(&vp->vdev, 0);
}

static pci_ers_result_t virtio_pci_error_detected(struct pci_dev *pdev,
						  pci_channel_state_t state)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	if (state == pci_channel_io_normal)
		return PCI_ERS_RESULT_CAN_RECOVER;
	virtio_device_reset_prepare(&vp->vdev);
	if (state == pci_channel_io_frozen) {
		vp->reset_awaited = true;
		mod_delayed_work(system_freezable_wq, &vp->reset_work, VP_RESET_WAIT);
		return PCI_ERS_RESULT_NEED_RESET;
	}
	vp->reset_awaited = false;
	virtio_device_reset_done(&vp->vdev, -ENODEV);
	return PCI_ERS_RESULT_DISCONNECT;
}

static pci_ers_result_t virtio_pci_slot_reset(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	pci_restore_state(pdev);
	vp_restore_master(vp);
	pci_save_state(pdev);
	/* After an error that was not fatal, another function wanted the reset. */
	if (!vp->reset_awaited) {
		virtio_device_reset_prepare(&vp->vdev);
		vp->reset_awaited = true;
	}
	return PCI_ERS_RESULT_RECOVERED;
}

static void virtio_pci_error_resume(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	/* An error that was not fatal, and no reset: the device has gone on. */
	if (!vp->reset_awaited)
		return;
	vp->reset_awaited = false;
	virtio_device_reset_done(&vp->vdev, 0);
}

/*
 * If the slot cannot be reset, the kernel logs that, but does not tell the driver.
 * The function may still be there, so try to reinitialise the device.
 */
static void vp_reset_work(struct work_struct *work)
{
	struct vp_device *vp = container_of(to_delayed_work(work),
					    struct vp_device, reset_work);

	/* The owner of the lock may be removing this device, and wait for this work. */
	if (!device_trylock(&vp->pdev->dev)) {
		mod_delayed_work(system_freezable_wq, &vp->reset_work, HZ);
		return;
	}
	if (vp->reset_awaited) {
		pci_warn(vp->pdev, "its slot was not reset in %u seconds: trying without\n",
			 VP_RESET_WAIT / HZ);
		virtio_pci_slot_reset(vp->pdev);
		virtio_pci_error_resume(vp->pdev);
	}
	device_unlock(&vp->pdev->dev);
}

static const struct pci_error_handlers virtio_pci_errors = {
	.error_detected = virtio_pci_error_detected,
	.slot_reset = virtio_pci_slot_reset,
	.resume = virtio_pci_error_resume,
	.reset_prepare = virtio_pci_reset_prepare,
	.reset_done = virtio_pci_reset_done,
};

/*
 * The kind of a device, or 0 if it is no virtio device (PCI-DISC-01 to 04). What
 * a transitional one is, its subsystem tells (section 4.1.2.1).
 */
static u32 vp_device_id(struct pci_dev *pdev)
{
	if (pdev->vendor != VIRTIO_PCI_VENDOR ||
	    pdev->device < VIRTIO_PCI_TRANSITIONAL_FIRST ||
	    pdev->device > VIRTIO_PCI_MODERN_LAST)
		return 0;
	if (pdev->device < VIRTIO_PCI_MODERN_FIRST)
		return pdev->subsystem_device;
	return pdev->device - VIRTIO_PCI_MODERN_FIRST;
}

static int virtio_pci_probe(struct pci_dev *pdev,
			    const struct pci_device_id *id)
{
	int config_len = virtio_driver_config_len(vp_device_id(pdev));
	struct vp_device *vp;
	int err;

	/* A user can have any function probed (driver_override, new_id). */
	if (config_len < 0) {
		pci_err(pdev, "not a virtio device that has a driver here: ids %04x:%04x, subsystem %04x:%04x\n",
			pdev->vendor, pdev->device, pdev->subsystem_vendor,
			pdev->subsystem_device);
		return -ENODEV;
	}
	vp = kzalloc(sizeof(*vp), GFP_KERNEL);
	if (!vp)
		return -ENOMEM;
	vp->pdev = pdev;
	vp->vdev.dev.parent = &pdev->dev;
	vp->vdev.dev.release = vp_release_dev;
	vp->vdev.device = vp_device_id(pdev);
	vp->vdev.vendor = pdev->subsystem_vendor;
	vp->vdev.former_name = vp_former_name(pdev);
	INIT_DELAYED_WORK(&vp->reset_work, vp_reset_work);
	timer_setup(&vp->timer, vp_timer, 0);
	pci_set_drvdata(pdev, vp);

	err = pci_enable_device(pdev);
	if (err)
		goto err_enable;
	/* INTx stays off until vp_setup_irqs() allocates it. */
	pci_intx(pdev, 0);
	err = vp_set_dma_mask(vp);
	if (err)
		goto err_map;
	err = vp_map(vp, config_len);
	if (err) {
		if (err == -ENODEV)
			pci_err(pdev, "neither modern capabilities with VERSION_1 nor legacy registers that this kernel can map\n");
		goto err_map;
	}
	vp->vdev.regs = &vp->regs->device;
	vp->vdev.transport = &vp_transport;
	trace_virtio_pci_probe(pdev, vp->vdev.legacy);

	/* vp_enable_dma() makes it a bus master when its queues are set up. */
	pci_clear_master(pdev);
	err = register_virtio_device(&vp->vdev);
	if (err)
		goto err_register;
	return 0;

err_register:
	pci_clear_master(pdev);
	vp->regs->unmap(vp);
	pci_disable_device(pdev);
	put_device(&vp->vdev.dev);
	return err;
err_map:
	pci_disable_device(pdev);
err_enable:
	kfree(vp);
	return err;
}

/* After sleep the function may not have been enabled again. */
static void vp_disable(struct vp_device *vp)
{
	if (pci_is_enabled(vp->pdev))
		pci_disable_device(vp->pdev);
}

static void virtio_pci_remove(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	cancel_delayed_work_sync(&vp->reset_work);
	unregister_virtio_device(&vp->vdev);
	pci_clear_master(pdev);
	vp->regs->unmap(vp);
	vp_disable(vp);
	put_device(&vp->vdev.dev);
	vp_forget_former(pdev);
}

static int vp_sleep(struct device *dev, bool keeps)
{
	struct vp_device *vp = dev_get_drvdata(dev);
	int err;

	err = virtio_device_freeze(&vp->vdev, keeps);
	if (err)
		return err;
	/*
	 * The kernel shuts a managed vector down with its CPU, and older kernels
	 * fail to start it again when the CPU comes back.
	 */
	vp_release_irqs(vp);
	vp_disable(vp);
	return 0;
}

static int virtio_pci_suspend(struct device *dev)
{
	return vp_sleep(dev, true);
}

/* During hibernation another kernel may use the device, so it keeps no state. */
static int virtio_pci_freeze(struct device *dev)
{
	return vp_sleep(dev, false);
}

static int virtio_pci_resume(struct device *dev)
{
	struct vp_device *vp = dev_get_drvdata(dev);
	int err;

	/* The function was restored with all others, whatever had happened to it. */
	vp->reset_awaited = false;
	err = pci_enable_device(vp->pdev);
	vp_restore_master(vp);
	if (!err && vp->nvqs)
		err = vp_restart_irqs(vp);
	/* With other vectors it is set up anew, even if it kept its state. */
	if (err > 0)
		err = virtio_reset_device(&vp->vdev);
	/* Its driver needs the error, too, or requests would wait for ever. */
	return virtio_device_restore(&vp->vdev, err);
}

static const struct dev_pm_ops virtio_pci_pm_ops = {
	.suspend = pm_sleep_ptr(virtio_pci_suspend),
	.resume = pm_sleep_ptr(virtio_pci_resume),
	.freeze = pm_sleep_ptr(virtio_pci_freeze),
	.thaw = pm_sleep_ptr(virtio_pci_resume),
	.poweroff = pm_sleep_ptr(virtio_pci_freeze),
	.restore = pm_sleep_ptr(virtio_pci_resume),
};

/*
 * The ids that the drivers on the bus want: those of disks and, while another
 * module has a driver for them, of other devices; see vp_drivers_changed().
 *
 * There is no MODULE_DEVICE_TABLE: with its aliases udev would load this module at
 * boot once it is installed, and it would race for devices with the kernel's own
 * driver. The user chooses this driver by loading the module.
 */
#define VP_MAX_IDS	32
static struct pci_device_id virtio_pci_ids[VP_MAX_IDS + 1];

static struct pci_driver virtio_pci_driver = {
	.name = "virtio-pci-lite",
	.id_table = virtio_pci_ids,
	.probe = virtio_pci_probe,
	.remove = virtio_pci_remove,
	.err_handler = &virtio_pci_errors,
	.driver.pm = pm_sleep_ptr(&virtio_pci_pm_ops),
};

/*
 * Firmware that read from a disk leaves its INTx asserted. When the first disk on
 * that line is probed, the others have no handler yet, so disable their INTx
 * before. Allocating its interrupt enables the INTx of a function again.
 */
static void vp_silence_unowned(void)
{
	struct pci_dev *pdev = NULL;

	while ((pdev = pci_get_device(VIRTIO_PCI_VENDOR, PCI_ANY_ID, pdev))) {
		if (virtio_driver_config_len(vp_device_id(pdev)) < 0)
			continue;
		device_lock(&pdev->dev);
		if (!pdev->dev.driver && !pci_is_enabled(pdev))
			pci_intx(pdev, 0);
		device_unlock(&pdev->dev);
	}
}

/* Ends at its first entry that is all 0; a device id of 0 matches nothing. */
static void vp_set_id(struct pci_device_id *id, u32 device)
{
	id->device = device;
	id->subvendor = PCI_ANY_ID;
	id->subdevice = PCI_ANY_ID;
	/* The PCI core may read the table meanwhile: the entry is complete now. */
	smp_store_release(&id->vendor, VIRTIO_PCI_VENDOR);
}

static int vp_replace_id(u32 old, u32 new)
{
	unsigned int i;

	for (i = 0; i < VP_MAX_IDS; i++) {
		if (virtio_pci_ids[i].device == old) {
			vp_set_id(&virtio_pci_ids[i], new);
			return 0;
		}
	}
	return -ENOSPC;
}

static int vp_add_ids(const struct virtio_driver *drv)
{
	int err = vp_replace_id(0, VIRTIO_PCI_MODERN_FIRST + drv->device);

	if (!err && drv->transitional)
		err = vp_replace_id(0, drv->transitional);
	return err;
}

static void vp_drop_ids(const struct virtio_driver *drv)
{
	vp_replace_id(VIRTIO_PCI_MODERN_FIRST + drv->device, 0);
	if (drv->transitional)
		vp_replace_id(drv->transitional, 0);
}

/* Functions that nobody drives any more are free for another PCI driver. */
static void vp_release_unwanted(void)
{
	struct pci_dev *pdev = NULL;

	while ((pdev = pci_get_device(VIRTIO_PCI_VENDOR, PCI_ANY_ID, pdev))) {
		if (pci_dev_driver(pdev) == &virtio_pci_driver &&
		    virtio_driver_config_len(vp_device_id(pdev)) < 0)
			device_release_driver(&pdev->dev);
	}
}

static bool vp_registered;

static void vp_drivers_changed(const struct virtio_driver *drv, bool there)
{
	int err;

	if (!there) {
		vp_drop_ids(drv);
		vp_release_unwanted();
		return;
	}
	err = vp_add_ids(drv);
	if (err)
		pr_err("virtio-pci-lite: no room for the PCI ids of the driver %s\n",
		       drv->driver.name);
	vp_silence_unowned();
	/* Functions that had no driver are probed; each has its own messages. */
	if (vp_registered && driver_attach(&virtio_pci_driver.driver))
		pr_err("virtio-pci-lite: not all functions could be probed\n");
}

int __init virtio_pci_register(void)
{
	int err;

	err = vp_init_formers(&virtio_pci_driver);
	if (err)
		return err;
	virtio_follow_drivers(vp_drivers_changed);
	err = pci_register_driver(&virtio_pci_driver);
	if (err) {
		virtio_follow_drivers(NULL);
		vp_exit_formers();
	}
	vp_registered = !err;
	return err;
}

void virtio_pci_unregister(void)
{
	vp_registered = false;
	virtio_follow_drivers(NULL);
	pci_unregister_driver(&virtio_pci_driver);
	vp_exit_formers();
}
