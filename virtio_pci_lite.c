// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI driver: from a function on the PCI bus to a device on ours.
 *
 * To try it, in a guest started with
 *	qemu-system-x86_64 ... -blockdev file,filename=disk.img,node-name=d0
 *		-device virtio-blk-pci,drive=d0
 * "lspci -nn" shows 1af4:1001 (transitional) or 1af4:1042 (modern only).
 *
 * This file: probe, remove, power, and the queues of a device. What the two
 * register layouts do differently is in virtio_pci_modern_lite.c and
 * virtio_pci_legacy_lite.c; interrupts are in virtio_pci_irq_lite.c.
 */
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "virtio_pci_lite.h"
#include "trace/virtio_lite_trace.h"

static bool force_legacy;
module_param(force_legacy, bool, 0444);
MODULE_PARM_DESC(force_legacy,
		 "Drive transitional devices through their legacy registers (default: no)");

/*
 * Queues
 */

/* How large a ring will be: what the device has, or less if less is wanted. */
static int vp_choose_size(struct vp_device *vp, struct virtqueue *vq)
{
	unsigned int size = vp->regs->queue_size(vp);

	if (!size) {
		dev_err(&vp->pdev->dev, "device has no queue %u\n", vq->index);
		return -ENOENT;
	}
	size = min_t(unsigned int, size, VRING_MAX_SIZE);
	vq->max = size;
	if (!vp->regs->fixed_size && vq->num)
		size = min_t(unsigned int, size, vq->num);
	if (!vq->packed && !is_power_of_2(size)) {
		if (vp->regs->fixed_size) {
			dev_err(&vp->pdev->dev,
				"queue %u: size %u is not a power of 2\n",
				vq->index, size);
			return -EINVAL;
		}
		size = rounddown_pow_of_two(size);
	}
	/* Header, data and status need 3. */
	if (size < 4) {
		dev_err(&vp->pdev->dev,
			"queue %u: %u descriptors are too few, 4 are needed\n",
			vq->index, size);
		return -EINVAL;
	}
	return size;
}

static int vp_alloc_mem(struct vp_device *vp, struct virtio_mem *mem,
			unsigned int size, bool packed, int node)
{
	return virtio_mem_alloc(&vp->vdev, mem,
				vring_size(size, vp->regs->ring_align, packed),
				node);
}

/* Large rings of a modern device can be given up for smaller ones. */
static int vp_alloc_ring(struct vp_device *vp, struct vp_queue *q,
			 unsigned int *size, int node)
{
	for (;;) {
		if (!vp_alloc_mem(vp, &q->mem, *size, q->vq->packed, node))
			return 0;
		if (vp->regs->fixed_size || *size <= 4)
			break;
		*size /= 2;
	}
	dev_err(&vp->pdev->dev, "queue %u: no memory for its ring\n",
		q->vq->index);
	return -ENOMEM;
}

static int vp_setup_queue(struct vp_device *vp, unsigned int i)
{
	struct virtio_device *vdev = &vp->vdev;
	struct vp_queue *q = &vp->queues[i];
	struct virtqueue *vq = q->vq;
	int node = virtio_queue_node(vdev, i);
	unsigned int size;
	int ret;

	vq->index = i;
	vq->device = vdev->index;
	vq->packed = virtio_has_feature(vdev, VIRTIO_F_RING_PACKED);
	vq->indirect = virtio_has_feature(vdev, VIRTIO_F_INDIRECT_DESC);
	vq->in_order = virtio_has_feature(vdev, VIRTIO_F_IN_ORDER);
	vq->event_idx = virtio_has_feature(vdev, VIRTIO_F_EVENT_IDX);
	vq->strong = virtio_has_feature(vdev, VIRTIO_F_ORDER_PLATFORM);
	vq->swap = !vdev->legacy;

	vp->regs->select(vp, i);
	ret = vp_choose_size(vp, vq);
	if (ret < 0)
		return ret;
	size = ret;
	ret = vp->regs->notify(vp, vq);
	if (ret)
		return ret;
	ret = vp_alloc_ring(vp, q, &size, node);
	if (ret)
		return ret;
	return vring_init(vq, size, q->mem.addr, vp->regs->ring_align, node);
}

static int vp_enable_queue(struct vp_device *vp, unsigned int i)
{
	struct vp_queue *q = &vp->queues[i];

	vp->regs->select(vp, i);
	return vp->regs->enable_queue(vp, q->vq, &q->mem);
}

static int vp_enable_queues(struct vp_device *vp)
{
	unsigned int i;
	int err;

	for (i = 0; i < vp->nvqs; i++) {
		err = vp_enable_queue(vp, i);
		if (err)
			return err;
	}
	return 0;
}

/**
 * vp_del_vqs() - undo vp_find_vqs()
 * @vdev: the device, which was reset
 */
static void vp_del_vqs(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;

	vp_free_irqs(vp);
	for (i = 0; i < vp->nvqs; i++) {
		vring_free(vp->queues[i].vq);
		virtio_mem_free(vdev, &vp->queues[i].mem);
	}
	kfree(vp->queues);
	vp->queues = NULL;
	vp->nvqs = 0;
}

/**
 * vp_find_vqs() - interrupts and rings for a driver's queues
 * @vdev: the device, between FEATURES_OK and DRIVER_OK
 * @nvqs: how many
 * @vqs: the queues; see struct virtio_transport
 *
 * Section 4.1.5.1.3. Return: 0 or an error, with a message and undone.
 */
static int vp_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
		       struct virtqueue *vqs[])
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;
	int err;

	vp->queues = kcalloc(nvqs, sizeof(*vp->queues), GFP_KERNEL);
	if (!vp->queues)
		return -ENOMEM;
	vp->nvqs = nvqs;
	vp->nintr = 0;
	for (i = 0; i < nvqs; i++) {
		vp->queues[i].vq = vqs[i];
		if (!vqs[i]->polled)
			vp->nintr++;
	}

	err = vp_alloc_irqs(vp, vp->nintr);
	for (i = 0; !err && i < nvqs; i++)
		err = vp_setup_queue(vp, i);
	if (!err)
		err = vp_request_irqs(vp);
	if (!err)
		err = vp_enable_queues(vp);
	if (!err)
		return 0;

	/* Some queues may be the device's by now. */
	virtio_reset_device(vdev);
	vp_del_vqs(vdev);
	return err;
}

/* A queue that was reset: is it what it was? Then it starts anew. */
static int vp_empty_queue(struct vp_device *vp, unsigned int i)
{
	struct virtqueue *vq = vp->queues[i].vq;
	u16 size;

	vp->regs->select(vp, i);
	size = vp->regs->queue_size(vp);
	if (size < vq->num || (vp->regs->fixed_size && size != vq->num) ||
	    vp->regs->notify(vp, vq))
		return -ENODEV;
	vring_reset(vq);
	return 0;
}

/**
 * vp_start_vqs() - hand the same queues to a device that was reset
 * @vdev: the device, between FEATURES_OK and DRIVER_OK
 *
 * Nothing is allocated. Return: 0; -ENODEV if the device is not as it was.
 */
static int vp_start_vqs(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;

	/* Somebody may have switched it off; or vp_cut_off() did. */
	pci_set_master(vp->pdev);
	if (vp_map_vectors(vp))
		return -ENODEV;
	for (i = 0; i < vp->nvqs; i++) {
		if (vp_empty_queue(vp, i))
			return -ENODEV;
	}
	return vp_enable_queues(vp);
}

/**
 * vp_stop_vq() - take one queue back from the device
 * @vdev: the device, with RING_RESET
 * @queue: which one
 *
 * Section 2.6.1. The device no longer knows the ring when this returns 0, and
 * its memory still is as it was. Context: may sleep; one at a time. Return: 0
 * or an error, after which only a reset of the device helps.
 */
static int vp_stop_vq(struct virtio_device *vdev, unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);

	vp->regs->select(vp, queue);
	return vp->regs->reset_queue(vp);
}

/**
 * vp_start_vq() - hand a queue, emptied, to the device again
 * @vdev: the device
 * @queue: vp_stop_vq() took it back
 *
 * Section 2.6.1.3, as at first discovery (GEN-QRST-03). Return: 0; an error if
 * the queue is not what it was.
 */
static int vp_start_vq(struct virtio_device *vdev, unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);
	int err;

	err = vp_empty_queue(vp, queue);
	if (!err)
		err = vp_map_vector(vp, queue);
	if (!err)
		err = vp_enable_queue(vp, queue);
	/* Writes may be under way for a while, and buffers are not. */
	if (!err && vp->regs->queue_size(vp) != vp->queues[queue].vq->num)
		err = -EIO;
	return err;
}

/**
 * vp_free_rings() - undo vp_alloc_rings()
 * @vdev: the device, which knows none of the second rings
 */
static void vp_free_rings(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	struct vp_queue *q;

	for (q = vp->queues; q < vp->queues + vp->nvqs; q++) {
		if (!q->spare)
			continue;
		vring_free(q->spare);
		virtio_mem_free(vdev, &q->spare_mem);
		kfree(q->spare);
		q->spare = NULL;
	}
}

static int vp_alloc_spare(struct vp_device *vp, unsigned int i,
			  unsigned int size)
{
	int node = virtio_queue_node(&vp->vdev, i);
	struct vp_queue *q = &vp->queues[i];
	int err;

	q->spare = kzalloc_node(sizeof(*q->spare), GFP_KERNEL, node);
	if (!q->spare)
		return -ENOMEM;
	q->spare->packed = q->vq->packed;
	q->spare->indirect = q->vq->indirect;
	err = vp_alloc_mem(vp, &q->spare_mem, size, q->spare->packed, node);
	if (err)
		return err;
	return vring_init(q->spare, size, q->spare_mem.addr,
			  vp->regs->ring_align, node);
}

/**
 * vp_alloc_rings() - a second ring for each queue
 * @vdev: the device, whose queues are and stay in use
 * @size: descriptors, of a split ring a power of 2
 *
 * Context: may sleep; one at a time. Return: 0, or -ENOMEM with nothing done.
 */
static int vp_alloc_rings(struct virtio_device *vdev, unsigned int size)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < vp->nvqs; i++)
		err = vp_alloc_spare(vp, i, size);
	if (err)
		vp_free_rings(vdev);
	return err;
}

/**
 * vp_swap_rings() - exchange the rings of all queues for the second ones
 * @vdev: the device, which vp_stop_vq() took all queues from, or was reset
 */
static void vp_swap_rings(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	struct vp_queue *q;

	for (q = vp->queues; q < vp->queues + vp->nvqs; q++) {
		vring_swap(q->vq, q->spare);
		swap(q->mem, q->spare_mem);
	}
}

/**
 * vp_cut_off() - the device can no longer reach memory or raise an MSI-X
 * @vdev: a device that does not reset
 */
static void vp_cut_off(struct virtio_device *vdev)
{
	pci_clear_master(to_vp(vdev)->pdev);
}

static const struct virtio_transport vp_transport = {
	.find_vqs = vp_find_vqs,
	.start_vqs = vp_start_vqs,
	.stop_vq = vp_stop_vq,
	.start_vq = vp_start_vq,
	.alloc_rings = vp_alloc_rings,
	.swap_rings = vp_swap_rings,
	.free_rings = vp_free_rings,
	.del_vqs = vp_del_vqs,
	.sync_irqs = vp_sync_irqs,
	.queue_affinity = vp_queue_affinity,
	.mask_irq = vp_mask_irq,
	.cut_off = vp_cut_off,
};

/*
 * The PCI function
 */

static void vp_release_dev(struct device *d)
{
	kfree(to_vp(dev_to_virtio(d)));
}

/* Section 4.1.2.1 and 4.1.4.8: modern where it can be, else legacy. */
static int vp_map(struct vp_device *vp)
{
	int err;

	if (force_legacy) {
		err = vp_legacy_map(vp);
		if (err != -ENODEV)
			return err;
		pci_notice(vp->pdev, "no legacy registers to force: trying the modern ones\n");
		return vp_modern_map(vp);
	}
	err = vp_modern_map(vp);
	if (err == -ENODEV)
		err = vp_legacy_map(vp);
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
 * Resets from outside: by a user (FLR), or by the kernel after an error on the
 * bus (AER). The device forgets everything; the disk goes on.
 */

/* The kernel itself waits no longer for a device to come back. */
#define VP_RESET_WAIT		(60 * HZ)

static void virtio_pci_reset_prepare(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	virtio_device_pause(&vp->vdev);
}

static void virtio_pci_reset_done(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	pci_set_master(pdev);
	/* It was used up when it was restored; the next may be a slot reset. */
	pci_save_state(pdev);
	virtio_device_resume(&vp->vdev, 0);
}

static pci_ers_result_t virtio_pci_error_detected(struct pci_dev *pdev,
						  pci_channel_state_t state)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	if (state == pci_channel_io_normal)
		return PCI_ERS_RESULT_CAN_RECOVER;
	virtio_device_pause(&vp->vdev);
	if (state == pci_channel_io_frozen) {
		vp->reset_awaited = true;
		mod_delayed_work(system_unbound_wq, &vp->reset_work, VP_RESET_WAIT);
		return PCI_ERS_RESULT_NEED_RESET;
	}
	vp->reset_awaited = false;
	virtio_device_resume(&vp->vdev, -ENODEV);
	return PCI_ERS_RESULT_DISCONNECT;
}

static pci_ers_result_t virtio_pci_slot_reset(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
	pci_set_master(pdev);
	pci_save_state(pdev);
	return PCI_ERS_RESULT_RECOVERED;
}

static void virtio_pci_error_resume(struct pci_dev *pdev)
{
	struct vp_device *vp = pci_get_drvdata(pdev);

	vp->reset_awaited = false;
	virtio_device_resume(&vp->vdev, 0);
}

/*
 * Where the slot cannot be reset, the kernel says so to the user, but not to the
 * driver. The function may still be there, with its registers cleared or not.
 */
static void vp_reset_work(struct work_struct *work)
{
	struct vp_device *vp = container_of(to_delayed_work(work),
					    struct vp_device, reset_work);

	/* Whoever has it may be removing this device, and wait for this work. */
	if (!device_trylock(&vp->pdev->dev)) {
		mod_delayed_work(system_unbound_wq, &vp->reset_work, HZ);
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

static int virtio_pci_probe(struct pci_dev *pdev,
			    const struct pci_device_id *id)
{
	struct vp_device *vp;
	int err;

	vp = kzalloc(sizeof(*vp), GFP_KERNEL);
	if (!vp)
		return -ENOMEM;
	vp->pdev = pdev;
	vp->vdev.dev.parent = &pdev->dev;
	vp->vdev.dev.release = vp_release_dev;
	vp->vdev.device = VIRTIO_ID_BLOCK;
	vp->vdev.vendor = pdev->subsystem_vendor;
	INIT_DELAYED_WORK(&vp->reset_work, vp_reset_work);
	pci_set_drvdata(pdev, vp);

	err = pci_enable_device(pdev);
	if (err)
		goto err_enable;
	/* Allocating the interrupt lets it through, when somebody answers. */
	pci_intx(pdev, 0);
	err = vp_set_dma_mask(vp);
	if (err)
		goto err_map;
	err = vp_map(vp);
	if (err) {
		if (err == -ENODEV)
			pci_err(pdev, "neither modern capabilities with VERSION_1 nor a legacy BAR0\n");
		goto err_map;
	}
	vp->vdev.regs = &vp->regs->device;
	vp->vdev.transport = &vp_transport;
	trace_virtio_pci_probe(pdev, vp->vdev.legacy);

	pci_set_master(pdev);
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

/* It may have slept and not been enabled again. */
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
}

static int vp_sleep(struct device *dev, bool keeps)
{
	struct vp_device *vp = dev_get_drvdata(dev);
	int err;

	err = virtio_device_freeze(&vp->vdev, keeps);
	if (err)
		return err;
	/*
	 * A vector that is bound to a CPU goes down with it, and older kernels
	 * stumble over its handler when both come back.
	 */
	vp_release_irqs(vp);
	vp_disable(vp);
	return 0;
}

static int virtio_pci_suspend(struct device *dev)
{
	return vp_sleep(dev, true);
}

/* After hibernation another kernel may have had the device in between. */
static int virtio_pci_freeze(struct device *dev)
{
	return vp_sleep(dev, false);
}

static int virtio_pci_resume(struct device *dev)
{
	struct vp_device *vp = dev_get_drvdata(dev);
	int err;

	err = pci_enable_device(vp->pdev);
	if (!err) {
		pci_set_master(vp->pdev);
		if (vp->nvqs)
			err = vp_request_irqs(vp);
	}
	/* Also the bad news has to get there, or requests wait for ever. */
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

/* Only disks: no other virtio device is ever taken (PCI-DISC-01 to 04). */
static const struct pci_device_id virtio_pci_ids[] = {
	{ PCI_DEVICE(VIRTIO_PCI_VENDOR, VIRTIO_PCI_TRANSITIONAL_BLOCK) },
	{ PCI_DEVICE(VIRTIO_PCI_VENDOR, VIRTIO_PCI_MODERN_BLOCK) },
	{ }
};
MODULE_DEVICE_TABLE(pci, virtio_pci_ids);

static struct pci_driver virtio_pci_driver = {
	.name = "virtio-pci-lite",
	.id_table = virtio_pci_ids,
	.probe = virtio_pci_probe,
	.remove = virtio_pci_remove,
	.err_handler = &virtio_pci_errors,
	.driver.pm = pm_sleep_ptr(&virtio_pci_pm_ops),
};

/*
 * Firmware that read from a disk leaves its INTx up, and while the first one on
 * that line is probed, nobody would answer for the others. Enabling a function
 * lets its INTx through again.
 */
static void vp_silence_unowned(void)
{
	struct pci_dev *pdev = NULL;

	while ((pdev = pci_get_device(VIRTIO_PCI_VENDOR, PCI_ANY_ID, pdev))) {
		if (!pci_match_id(virtio_pci_ids, pdev))
			continue;
		device_lock(&pdev->dev);
		if (!pdev->dev.driver && !pci_is_enabled(pdev))
			pci_intx(pdev, 0);
		device_unlock(&pdev->dev);
	}
}

int virtio_pci_register(void)
{
	vp_silence_unowned();
	return pci_register_driver(&virtio_pci_driver);
}

void virtio_pci_unregister(void)
{
	pci_unregister_driver(&virtio_pci_driver);
}
