/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One PCI function, as all files of the transport see it.
 */
#ifndef _PCI_COMMON_H
#define _PCI_COMMON_H

#include <linux/pci.h>
#include <linux/workqueue.h>
#include "virtio_lite.h"
#include "virtio_ring_lite.h"

struct vp_device;

/**
 * struct vp_region - a structure of the device in one of its BARs
 * @base: mapped address, or NULL
 * @len: bytes that are mapped
 * @pio: in I/O space
 */
struct vp_region {
	void __iomem *base;
	unsigned int len;
	bool pio;
};

/**
 * struct vp_registers - what differs between the two register layouts
 * @device: what the bus calls
 * @name: for people
 * @unmap: undo vp_modern_map() or vp_legacy_map()
 * @select: choose the queue that the following act on
 * @queue_size: its largest size, 0 if there is no such queue
 * @notify: set where a kick of it is written; an error, with a message, if
 *	    that is outside of what was mapped
 * @set_vector: map it to a vector; returns what reads back
 * @enable_queue: give its memory to the device
 * @reset_queue: take its memory from the device; only with RING_RESET
 * @set_config_vector: map config changes to a vector; returns what reads back
 * @ring_align: alignment of the used ring, see vring_size()
 * @fixed_size: the device dictates the size of its queues (LEG-VQ-01)
 */
struct vp_registers {
	struct virtio_registers device;
	const char *name;
	void (*unmap)(struct vp_device *vp);
	void (*select)(struct vp_device *vp, u16 index);
	u16 (*queue_size)(struct vp_device *vp);
	int (*notify)(struct vp_device *vp, struct virtqueue *vq);
	u16 (*set_vector)(struct vp_device *vp, u16 vector);
	int (*enable_queue)(struct vp_device *vp, struct virtqueue *vq,
			    const struct virtio_mem *mem);
	int (*reset_queue)(struct vp_device *vp);
	u16 (*set_config_vector)(struct vp_device *vp, u16 vector);
	unsigned int ring_align;
	bool fixed_size;
};

/**
 * struct vp_queue - what the transport keeps of a virtqueue
 * @vq: the driver's
 * @mem: its ring
 * @spare: has the ring that @vq may get instead; NULL most of the time
 * @spare_mem: of that ring
 */
struct vp_queue {
	struct virtqueue *vq;
	struct virtio_mem mem;
	struct virtqueue *spare;
	struct virtio_mem spare_mem;
};

/**
 * struct vp_group - the queues that share an MSI-X vector
 * @vp: the device
 * @first: lowest queue
 * @end: one past the highest
 */
struct vp_group {
	struct vp_device *vp;
	unsigned int first;
	unsigned int end;
};

/**
 * struct vp_device - one PCI function
 * @vdev: what the bus sees of it
 * @pdev: the function
 * @regs: modern or legacy registers
 * @bars: BARs that were requested, a mask
 * @dma: the function may be a bus master: its last reset was seen to end
 * @common: common configuration; for legacy, all of BAR0
 * @isr: interrupt status
 * @config: device configuration (modern)
 * @notify: where kicks go (modern)
 * @notify_mult: bytes between the queues' notify addresses (modern)
 * @queues: of them @nvqs
 * @nvqs: queues in use
 * @nintr: of these, the first that have an interrupt; others are polled
 * @nvectors: MSI-X vectors in use, the first for config, or for all if it is the
 *	      only one; 0 with INTx
 * @groups: who shares the other vectors; NULL if each queue has its own
 * @nirqs: interrupts that were requested
 * @reset_awaited: after an error on the bus, until its slot was reset; protected
 *		   by the lock of @pdev
 * @reset_work: what to do if that never happens
 */
struct vp_device {
	struct virtio_device vdev;
	struct pci_dev *pdev;
	const struct vp_registers *regs;
	int bars;
	bool dma;

	struct vp_region common;
	struct vp_region isr;
	struct vp_region config;
	struct vp_region notify;
	u32 notify_mult;

	struct vp_queue *queues;
	unsigned int nvqs;
	unsigned int nintr;
	unsigned int nvectors;
	struct vp_group *groups;
	unsigned int nirqs;
	bool reset_awaited;
	struct delayed_work reset_work;
};

#define to_vp(v)	container_of(v, struct vp_device, vdev)

#endif /* _PCI_COMMON_H */
