/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bus: what a transport hands over, what a driver asks for.
 *
 * A transport (virtio_pci_lite.c) fills a struct virtio_device and registers
 * it; the driver core then asks this bus which driver matches and probes it.
 */
#ifndef _VIRTIO_LITE_H
#define _VIRTIO_LITE_H

#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/topology.h>
#include <linux/gfp_types.h>
#include <linux/irqreturn.h>
#include "virtio_spec.h"

struct virtqueue;
struct virtio_device;

/* Bit numbers: VIRTIO_F_BLK_FLUSH and so on. */
#define VIRTIO_FEATURE(bit, name, taken, needs, reason) VIRTIO_F_##name = bit,
enum virtio_feature_bit {
#include "virtio_features.h"
};
#undef VIRTIO_FEATURE

#define VIRTIO_BIT(name)	BIT_ULL(VIRTIO_F_##name)

/**
 * struct virtio_registers - the registers of a device, whatever their layout
 * @get_features: the 64 bits that the device offers
 * @set_features: tell the device which were accepted (before FEATURES_OK)
 * @get_status: device status; 0xff when the device is gone
 * @set_status: write the whole status; 0 is a reset request
 * @generation: config generation, or 0 where the transport has none
 * @get_config: read the field of @len bytes (1, 2, 4, 8) of device config at
 *		@off, in the byte order of the device
 * @set_config: write one byte of device config at @off
 * @config_len: bytes of device config that can be reached
 *
 * Register accesses are as wide as the field (PCI-ACC-01 to 03).
 */
struct virtio_registers {
	u64 (*get_features)(struct virtio_device *vdev);
	void (*set_features)(struct virtio_device *vdev, u64 features);
	u8 (*get_status)(struct virtio_device *vdev);
	void (*set_status)(struct virtio_device *vdev, u8 status);
	u8 (*generation)(struct virtio_device *vdev);
	void (*get_config)(struct virtio_device *vdev, unsigned int off,
			   void *buf, unsigned int len);
	void (*set_config)(struct virtio_device *vdev, unsigned int off, u8 val);
	unsigned int (*config_len)(struct virtio_device *vdev);
};

/**
 * struct virtio_transport - the queues and interrupts of a device
 * @find_vqs: allocate vectors and rings for @nvqs queues and hand them to the
 *	      device. Each vqs[i] has its callback set, and num to the largest
 *	      ring that is wanted or 0. Those that are polled come last
 * @reinit_vqs: hand the same queues, emptied, to a device that was reset
 * @reset_vq: take one queue back from the device (RING_RESET)
 * @reinit_vq: hand it, emptied, to the device again
 * @alloc_rings: get a second ring of @size descriptors ready for each queue, or
 *		 for none, with -ENOMEM. May sleep
 * @swap_rings: each queue gets its second ring, which gets its first one. The
 *		device knows neither
 * @free_rings: undo @alloc_rings, whichever ring is the second by now
 * @del_vqs: undo @find_vqs; the device was reset and no handler runs
 * @sync_irqs: wait until no handler of this device runs
 * @sync_irq: wait until no handler runs that is called for one queue
 * @queue_affinity: CPUs that a queue's interrupt is bound to, or NULL
 * @enable_dma: let the device reach memory, after a reset that was seen to end
 * @disable_dma: keep a device that cannot be reset from memory
 *
 * None of these is called to send or finish a request.
 */
struct virtio_transport {
	int (*find_vqs)(struct virtio_device *vdev, unsigned int nvqs,
			struct virtqueue *vqs[]);
	int (*reinit_vqs)(struct virtio_device *vdev);
	int (*reset_vq)(struct virtio_device *vdev, unsigned int queue);
	int (*reinit_vq)(struct virtio_device *vdev, unsigned int queue);
	int (*alloc_rings)(struct virtio_device *vdev, unsigned int size);
	void (*swap_rings)(struct virtio_device *vdev);
	void (*free_rings)(struct virtio_device *vdev);
	void (*del_vqs)(struct virtio_device *vdev);
	void (*sync_irqs)(struct virtio_device *vdev);
	void (*sync_irq)(struct virtio_device *vdev, unsigned int queue);
	const struct cpumask *(*queue_affinity)(struct virtio_device *vdev,
						unsigned int queue);
	void (*enable_dma)(struct virtio_device *vdev);
	void (*disable_dma)(struct virtio_device *vdev);
};

/**
 * struct virtio_device - one virtio function on the virtio-lite bus
 * @dev: child of the PCI function, named virtioN
 * @regs: how its registers are reached
 * @transport: its queues and interrupts
 * @index: N in virtioN
 * @device: virtio device id (section 5)
 * @vendor: PCI subsystem vendor
 * @legacy: reached through the legacy interface
 * @features: accepted bits; valid from probe to remove
 * @negotiated: @features were accepted since it has its driver
 * @config_lock: orders config interrupts against probe and remove
 * @config_enabled: the driver wants config changes (under @config_lock)
 * @config_pending: one came while it did not (under @config_lock)
 */
struct virtio_device {
	struct device dev;
	const struct virtio_registers *regs;
	const struct virtio_transport *transport;
	int index;
	u32 device;
	u32 vendor;
	bool legacy;
	u64 features;
	bool negotiated;

	spinlock_t config_lock; /* see above */
	bool config_enabled;
	bool config_pending;
};

/**
 * struct virtio_driver - a driver of one kind of virtio device
 * @driver: its place in the driver core
 * @device: the virtio device id it drives
 * @may_change: features that may differ when a device comes back after a reset
 * @accept: last word on the features that were going to be accepted; may
 *	    return fewer, and may read config (GEN-INIT-03). On error the
 *	    device is refused
 * @probe: set up; called between FEATURES_OK and DRIVER_OK, and has to call
 *	   virtio_device_ready()
 * @remove: undo @probe; the device may be gone already
 * @config_changed: config or status changed; atomic context
 * @shutdown: stop the device for good: the machine goes down
 * @freeze: let go of the device before it loses power or state; @keeps: it will
 *	    be the same kernel that takes it again, so it may keep its state
 * @restore: take it again; or an error says that it is of no use any more
 * @reset_prepare: the function is about to be reset from outside
 * @reset_done: it was; or an error says that it is of no use any more
 */
struct virtio_driver {
	struct device_driver driver;
	u32 device;
	u64 may_change;
	int (*accept)(struct virtio_device *vdev, u64 *features);
	int (*probe)(struct virtio_device *vdev);
	void (*remove)(struct virtio_device *vdev);
	void (*config_changed)(struct virtio_device *vdev);
	void (*shutdown)(struct virtio_device *vdev);
	int (*freeze)(struct virtio_device *vdev, bool keeps);
	int (*restore)(struct virtio_device *vdev, int err);
	void ((*reset_prepare))(struct virtio_device *vdev);
	void ((*reset_done))(struct virtio_device *vdev, int err);
};

#define dev_to_virtio(d)	container_of(d, struct virtio_device, dev)
#define drv_to_virtio(d)	container_of(d, struct virtio_driver, driver)

/* Messages carry the PCI address, which is what a person can look up. */
#define virtio_err(vdev, ...)	dev_err((vdev)->dev.parent, __VA_ARGS__)
#define virtio_warn(vdev, ...)	dev_warn((vdev)->dev.parent, __VA_ARGS__)
#define virtio_notice(vdev, ...) dev_notice((vdev)->dev.parent, __VA_ARGS__)
#define virtio_info(vdev, ...)	dev_info((vdev)->dev.parent, __VA_ARGS__)

static inline bool virtio_has_feature(const struct virtio_device *vdev,
				      enum virtio_feature_bit bit)
{
	return vdev->features & BIT_ULL(bit);
}

/**
 * virtio_queue_node() - NUMA node for the memory of a queue
 * @vdev: the device, with its interrupts
 * @queue: which one
 *
 * Near the CPUs that use it, where its interrupt is bound to some.
 */
static inline int virtio_queue_node(struct virtio_device *vdev,
				    unsigned int queue)
{
	const struct cpumask *mask = vdev->transport->queue_affinity(vdev, queue);

	if (mask && !cpumask_empty(mask))
		return cpu_to_node(cpumask_first(mask));
	return dev_to_node(vdev->dev.parent);
}

int register_virtio_device(struct virtio_device *vdev);
void unregister_virtio_device(struct virtio_device *vdev);
int register_virtio_driver(struct virtio_driver *drv);
void unregister_virtio_driver(struct virtio_driver *drv);

int virtio_reset_device(struct virtio_device *vdev);
void virtio_add_status(struct virtio_device *vdev, u8 status);
int virtio_negotiate(struct virtio_device *vdev);
void virtio_device_ready(struct virtio_device *vdev);
void virtio_config_changed(struct virtio_device *vdev);
void virtio_config_enable(struct virtio_device *vdev);
void virtio_config_disable(struct virtio_device *vdev);
int virtio_suspend_device(struct virtio_device *vdev);
int virtio_resume_device(struct virtio_device *vdev);
int virtio_device_freeze(struct virtio_device *vdev, bool keeps);
int virtio_device_restore(struct virtio_device *vdev, int err);
void virtio_device_reset_prepare(struct virtio_device *vdev);
void virtio_device_reset_done(struct virtio_device *vdev, int err);

u8 virtio_cread8(struct virtio_device *vdev, unsigned int off);
u16 virtio_cread16(struct virtio_device *vdev, unsigned int off);
u32 virtio_cread32(struct virtio_device *vdev, unsigned int off);
u64 virtio_cread64(struct virtio_device *vdev, unsigned int off);
void virtio_cwrite8(struct virtio_device *vdev, unsigned int off, u8 val);

/**
 * struct virtio_mem - memory that driver and device share
 * @addr: where the driver finds it; zeroed
 * @dma: where the device finds it
 * @size: bytes
 */
struct virtio_mem {
	void *addr;
	dma_addr_t dma;
	size_t size;
};

int virtio_mem_alloc(struct virtio_device *vdev, struct virtio_mem *mem,
		     size_t size, int node);
void virtio_mem_free(struct virtio_device *vdev, struct virtio_mem *mem);

/* What virtio_main_lite.c starts and stops. */
int virtio_bus_register(void);
void virtio_bus_unregister(void);
int virtio_blk_register(void);
void virtio_blk_unregister(void);
int virtio_pci_register(void);
void virtio_pci_unregister(void);

#endif /* _VIRTIO_LITE_H */
