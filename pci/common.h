/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The types that the files of the PCI transport share.
 */
#ifndef _PCI_COMMON_H
#define _PCI_COMMON_H

#include <linux/pci.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include "virtio_lite.h"
#include "virtio_ring_lite.h"

struct vp_device;

/**
 * struct vp_region - registers of the device in one of its BARs
 * @base: mapped address, or NULL
 * @len: number of bytes that are mapped
 * @pio: the BAR is in I/O space
 */
struct vp_region {
	void __iomem *base;
	unsigned int len;
	bool pio;
};

/**
 * struct vp_registers - one of the two register layouts, modern or legacy
 * @device: functions that the bus calls
 * @name: name of the layout, for log messages
 * @unmap: undo vp_modern_map() or vp_legacy_map()
 * @select: select the queue that the following functions act on
 * @queue_size: return the largest size of the queue, 0 if it does not exist
 * @notify: set the address that a kick of the queue writes to; return an error,
 *	    after a message, if the address is outside of the mapped registers
 * @set_vector: map the queue to an MSI-X vector; return the value read back
 * @enable_queue: give the addresses of the ring to the device, and enable the
 *		  queue
 * @reset_queue: reset the queue, so that the device no longer owns its ring;
 *		 only with RING_RESET
 * @set_config_vector: map config changes to an MSI-X vector; return the value
 *		       read back
 * @ring_align: alignment of the used ring, see vring_size()
 * @fixed_size: the driver cannot change the size of a queue (LEG-VQ-01)
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
 * struct vp_queue - what the transport keeps for a virtqueue
 * @vq: the virtqueue, which belongs to the device's driver
 * @mem: memory of its ring
 * @spare: holds a second ring while the rings are resized, else NULL
 * @spare_mem: memory of the second ring
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
 * @first: index of the first queue
 * @end: index of the last queue, plus 1
 */
struct vp_group {
	struct vp_device *vp;
	unsigned int first;
	unsigned int end;
};

/**
 * struct vp_device - one PCI function
 * @pdev: the PCI function
 * @regs: register layout, modern or legacy
 * @bars: mask of the BARs that were requested
 * @dma: bus mastering is allowed: the last reset of the device has finished
 * @common: common configuration; for legacy, all of BAR0
 * @isr: interrupt status
 * @config: device configuration (modern)
 * @notify: registers that kicks write to (modern)
 * @notify_mult: bytes between the notify addresses of two queues (modern)
 * @queues: array of @nvqs queues
 * @nvqs: number of queues in use
 * @nintr: number of queues that have an interrupt; these are the first, the
 *	   others are polled
 * @nvectors: number of MSI-X vectors in use: the first is for config changes, or
 *	      for everything if it is the only one; 0 with INTx
 * @nirqs: number of interrupts that were requested
 * @groups: queues that share the other vectors; NULL if each queue has its own
 * @timed: there is no interrupt, and @timer looks into the rings
 * @timer: calls vp_timer()
 * @config_asked: jiffies when @timer last looked for a config change
 * @reset_awaited: a reset of the slot was announced or has happened, and the end of
 *		   it was not reported yet; protected by the device lock of @pdev
 * @reset_work: reinitialises the device if its slot is never reset
 * @vdev: the device on the virtio bus
 */
struct vp_device {
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
	unsigned int nirqs;
	struct vp_group *groups;
	bool timed;
	struct timer_list timer;
	unsigned long config_asked;
	bool reset_awaited;
	struct delayed_work reset_work;

	struct virtio_device vdev;
};

#define to_vp(v)	container_of(v, struct vp_device, vdev)

#endif /* _PCI_COMMON_H */
