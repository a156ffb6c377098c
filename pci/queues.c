// SPDX-License-Identifier: GPL-2.0
/*
 * The queues of a device: the driver allocates their rings, gives them to the
 * device, and takes them back by a reset of the device or of one queue.
 */
#include <linux/log2.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "pci/irq.h"
#include "pci/queues.h"

/* Choose the size of a ring: the device's largest, or vq->num if that is less. */
static int vp_choose_size(struct vp_device *vp, struct virtqueue *vq)
{
	unsigned int size = vp->regs->queue_size(vp);

	if (!size) {
		dev_err(&vp->pdev->dev, "device has no queue %u\n", vq->index);
		return -ENOENT;
	}
	/* A fixed size that is too large is no power of 2: it is refused below. */
	if (!vp->regs->fixed_size)
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
	if (size < vq->least) {
		dev_err(&vp->pdev->dev,
			"queue %u: %u descriptors are too few, %u are needed\n",
			vq->index, size, vq->least);
		return -EINVAL;
	}
	return size;
}

static int vp_alloc_mem(struct vp_device *vp, struct virtio_mem *mem,
			unsigned int size, bool packed, int node)
{
	return virtio_mem_alloc(&vp->vdev, mem,
				vring_size(size, vp->regs->ring_align, packed),
				node, vp->regs->fixed_size);
}

/* Where there is no memory for a large ring, a modern device gets a smaller one. */
static int vp_alloc_ring(struct vp_device *vp, struct vp_queue *q,
			 unsigned int *size, int node)
{
	unsigned int wanted = *size;

	for (;;) {
		if (!vp_alloc_mem(vp, &q->mem, *size, q->vq->packed, node))
			break;
		if (vp->regs->fixed_size || *size / 2 < q->vq->least)
			goto err;
		*size /= 2;
	}
	if (*size < wanted)
		dev_notice(&vp->pdev->dev,
			   "queue %u: no memory for a ring of %u descriptors: it has %u\n",
			   q->vq->index, wanted, *size);
	return 0;

err:
	dev_err(&vp->pdev->dev, "queue %u: no memory for its ring\n",
		q->vq->index);
	return -ENOMEM;
}

static int vp_setup_queue(struct vp_device *vp, unsigned int i)
{
	struct virtio_device *vdev = &vp->vdev;
	struct vp_queue *q = &vp->queues[i];
	struct virtqueue *vq = q->vq;
	/* The queue has no interrupt yet, whose CPUs could tell another node. */
	int node = dev_to_node(vdev->dev.parent);
	unsigned int size;
	int ret;

	vq->index = i;
	vq->device = vdev->index;
	vq->packed = virtio_has_feature(vdev, VIRTIO_F_RING_PACKED);
	vq->indirect = virtio_has_feature(vdev, VIRTIO_F_INDIRECT_DESC);
	vq->in_order = virtio_has_feature(vdev, VIRTIO_F_IN_ORDER);
	vq->event_idx = virtio_has_feature(vdev, VIRTIO_F_EVENT_IDX);
	vq->strong = virtio_has_feature(vdev, VIRTIO_F_ORDER_PLATFORM);
	vq->little_endian = !vdev->legacy;

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
 * vp_enable_dma() - let the device reach memory and raise MSI-X interrupts
 * @vdev: the device; its reset has finished, or it was suspended
 */
static void vp_enable_dma(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);

	vp->dma = true;
	pci_set_master(vp->pdev);
}

/**
 * vp_disable_dma() - keep the device from memory and from MSI-X interrupts
 * @vdev: the device; its reset does not finish, or it has no driver
 */
static void vp_disable_dma(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);

	vp->dma = false;
	pci_clear_master(vp->pdev);
}

/**
 * vp_del_vqs() - undo vp_find_vqs()
 * @vdev: the device, which was reset
 */
static void vp_del_vqs(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;

	vp_disable_dma(vdev);
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
 * vp_find_vqs() - allocate interrupts and rings, and enable the queues
 * @vdev: the device, between FEATURES_OK and DRIVER_OK
 * @nvqs: number of queues
 * @vqs: the queues; see struct virtio_transport
 *
 * Section 4.1.5.1.3. Context: may sleep. Return: 0; an error with everything
 * undone. If the device may own queues by then, it is reset.
 */
static int vp_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
		       struct virtqueue *vqs[])
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;
	int err = 0;

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

	vp_enable_dma(vdev);
	for (i = 0; !err && i < nvqs; i++)
		err = vp_setup_queue(vp, i);
	if (!err)
		err = vp_setup_irqs(vp, true);
	if (!err)
		err = vp_enable_queues(vp);
	if (!err)
		return 0;

	/* The device may own some of the queues already. */
	virtio_reset_device(vdev);
	vp_del_vqs(vdev);
	return err;
}

/* Check that a queue has not changed with its reset, and empty its ring. */
static int vp_empty_queue(struct vp_device *vp, unsigned int i)
{
	struct virtqueue *vq = vp->queues[i].vq;
	u16 size;

	vp->regs->select(vp, i);
	size = vp->regs->queue_size(vp);
	if (size < vq->num || (vp->regs->fixed_size && size != vq->num) ||
	    vp->regs->notify(vp, vq))
		return -ENODEV;
	vq->max = min_t(unsigned int, size, VRING_MAX_SIZE);
	vring_reset(vq);
	return 0;
}

/**
 * vp_reinit_vqs() - reinitialise all queues of a device that was reset
 * @vdev: the device, between FEATURES_OK and DRIVER_OK
 *
 * Nothing is allocated. Return: 0; -ENODEV if the device came back with other
 * queues or refuses a vector; another error if a queue cannot be enabled.
 */
static int vp_reinit_vqs(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;

	vp_enable_dma(vdev);
	if (vp_map_vectors(vp))
		return -ENODEV;
	for (i = 0; i < vp->nvqs; i++) {
		if (vp_empty_queue(vp, i))
			return -ENODEV;
	}
	return vp_enable_queues(vp);
}

/**
 * vp_reset_vq() - reset one queue
 * @vdev: the device, with RING_RESET
 * @queue: index of the queue
 *
 * Section 2.6.1. When this returns 0, the device no longer owns the ring, whose
 * memory has not changed. Context: may sleep; the caller is the only user of the
 * registers. Return: 0; an error if the device has to be reset.
 */
static int vp_reset_vq(struct virtio_device *vdev, unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);

	vp->regs->select(vp, queue);
	return vp->regs->reset_queue(vp);
}

/**
 * vp_reinit_vq() - empty the ring of a queue, and enable the queue again
 * @vdev: the device
 * @queue: index of the queue, which vp_reset_vq() has reset
 *
 * Section 2.6.1.3, as at first discovery (GEN-QRST-03). Context: as
 * vp_reset_vq(). Return: 0; an error if the queue has changed or cannot be
 * enabled.
 */
static int vp_reinit_vq(struct virtio_device *vdev, unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);
	int err;

	err = vp_empty_queue(vp, queue);
	if (!err)
		err = vp_map_vector(vp, queue);
	if (!err)
		err = vp_enable_queue(vp, queue);
	/* Reading a register makes sure that the posted writes have arrived. */
	if (!err && vp->regs->queue_size(vp) != vp->queues[queue].vq->num)
		err = -EIO;
	return err;
}

/**
 * vp_free_rings() - undo vp_alloc_rings()
 * @vdev: the device, which owns none of the second rings
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
 * vp_alloc_rings() - allocate a second ring for each queue
 * @vdev: the device, whose queues stay in use
 * @size: number of descriptors; a power of 2 if the rings are split
 *
 * Context: may sleep; the caller serialises resizing. Return: 0, or -ENOMEM with
 * everything undone.
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
 * vp_swap_rings() - exchange the rings of all queues with the second ones
 * @vdev: the device; it was reset, or vp_reset_vq() has reset every queue
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

const struct virtio_transport vp_transport = {
	.find_vqs = vp_find_vqs,
	.reinit_vqs = vp_reinit_vqs,
	.reset_vq = vp_reset_vq,
	.reinit_vq = vp_reinit_vq,
	.alloc_rings = vp_alloc_rings,
	.swap_rings = vp_swap_rings,
	.free_rings = vp_free_rings,
	.del_vqs = vp_del_vqs,
	.sync_irqs = vp_sync_irqs,
	.sync_irq = vp_sync_irq,
	.queue_affinity = vp_queue_affinity,
	.enable_dma = vp_enable_dma,
	.disable_dma = vp_disable_dma,
};
