/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface of the bus, to the transport below it and the driver above it.
 *
 * A transport (virtio_pci_lite.c) fills a struct virtio_device and registers
 * it. The driver core then asks this bus which driver matches (virtio_blk_lite.c
 * has one; another module may bring another), and the bus probes the device with
 * it.
 */
#ifndef _VIRTIO_LITE_H
#define _VIRTIO_LITE_H

#include <linux/cpumask.h>
#include <linux/device.h>
#include <linux/gfp_types.h>
#include <linux/irqreturn.h>
#include <linux/ratelimit.h>
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

/* Bits of which the meaning depends on the kind of device (section 2.2). */
#define VIRTIO_DEVICE_FEATURES	(GENMASK_ULL(23, 0) | GENMASK_ULL(63, 50))

/**
 * struct virtio_registers - the registers of a device, in either layout
 * @get_features: read the 64 feature bits that the device offers
 * @set_features: write the accepted feature bits, before FEATURES_OK
 * @get_status: read the device status; it reads 0xff when the device is gone
 * @set_status: write the device status; 0 requests a reset
 * @generation: read the config generation; 0 where the transport has none
 * @get_config: read the field of @len bytes (1, 2, 4, 8) of device config at
 *		@off; its value, in the guest's byte order
 * @set_config: write one byte of device config at @off
 * @config_len: number of bytes of device config that the transport can reach
 *
 * An access is as wide as the field (PCI-ACC-01 to 03).
 */
struct virtio_registers {
	u64 (*get_features)(struct virtio_device *vdev);
	void (*set_features)(struct virtio_device *vdev, u64 features);
	u8 (*get_status)(struct virtio_device *vdev);
	void (*set_status)(struct virtio_device *vdev, u8 status);
	u8 (*generation)(struct virtio_device *vdev);
	u64 (*get_config)(struct virtio_device *vdev, unsigned int off,
			  unsigned int len);
	void (*set_config)(struct virtio_device *vdev, unsigned int off, u8 val);
	unsigned int (*config_len)(struct virtio_device *vdev);
};

/**
 * struct virtio_transport - the queues and interrupts of a device
 * @find_vqs: allocate vectors and rings for @nvqs queues and enable the queues
 *	      in the device. The caller sets the callback and the name of each
 *	      vqs[i], its num to the largest ring that it wants, or 0 for no such
 *	      limit, and least to the smallest. Polled queues come last
 * @reinit_vqs: empty all queues and enable them in a device that was reset
 * @reset_vq: reset one queue in the device (RING_RESET)
 * @reinit_vq: empty a queue that was reset and enable it in the device again
 * @alloc_rings: allocate a second ring of @size descriptors for each queue; on
 *		 -ENOMEM no queue has one. May sleep
 * @swap_rings: exchange the two rings of each queue, while no queue is enabled
 *		in the device
 * @free_rings: free the ring of each queue that is not in use: the second one,
 *		or the first one after @swap_rings
 * @del_vqs: undo @find_vqs; the device was reset and no handler runs
 * @sync_irqs: wait until no interrupt handler of this device runs
 * @sync_irq: wait until no interrupt handler of one queue runs
 * @queue_affinity: CPUs that a queue's interrupt is bound to, or NULL
 * @enable_dma: allow the device to do DMA; it was reset, and the reset ended
 * @disable_dma: forbid DMA to a device that cannot be reset
 *
 * None of these is called to submit or complete a request.
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
 * @regs: functions that access its registers
 * @transport: functions for its queues and interrupts
 * @features: accepted feature bits; valid from probe to remove
 * @index: N in virtioN
 * @device: virtio device id (section 5)
 * @vendor: PCI subsystem vendor
 * @legacy: the transport uses the legacy interface
 * @negotiated: @features were accepted at least once since probe began
 * @former_name: of the disk that it was with another driver, which keeps that
 *		 name for it; or NULL
 * @dev: child of the PCI function, named virtioN
 * @config_lock: orders config interrupts against probe and remove
 * @config_enabled: config events are passed to the driver (under @config_lock)
 * @config_pending: a config event came while they were not (under @config_lock)
 * @errors_limit: how many errors and warnings it may provoke in some time
 * @infos_limit: how many other messages
 *
 * What is used most is in front of @dev, which is large: instructions that reach
 * the first 128 bytes of a structure are shorter.
 */
struct virtio_device {
	const struct virtio_registers *regs;
	const struct virtio_transport *transport;
	u64 features;
	int index;
	u32 device;
	u32 vendor;
	bool legacy;
	bool negotiated;
	const char *former_name;
	struct device dev;

	spinlock_t config_lock; /* see above */
	bool config_enabled;
	bool config_pending;

	struct ratelimit_state errors_limit;
	struct ratelimit_state infos_limit;
};

/**
 * struct virtio_driver - a driver of one kind of virtio device
 * @device: the virtio device id that it drives
 * @transitional: the PCI device id of its transitional devices, or 0. The ids of
 *		  modern ones follow from @device
 * @config_len: bytes of device config that every such device has
 * @features: bits of VIRTIO_DEVICE_FEATURES that it knows; which of them are
 *	      taken, virtio_features.h says
 * @may_change: features that the device may offer or not after a reset,
 *		whatever it offered before
 * @accept: called with the features that are about to be accepted; may clear
 *	    some of them, and may read config (GEN-INIT-03). After an error the
 *	    device is not probed. Optional
 * @probe: set up the device; called between FEATURES_OK and DRIVER_OK, and has
 *	   to call virtio_device_ready()
 * @remove: undo @probe; the device may be gone already
 * @config_changed: config or status changed; called in atomic context. Returns false
 *	if it was called before, and the change was not looked at yet. Optional
 * @shutdown: quiesce and reset the device, because the machine shuts down
 * @freeze: quiesce the device, because it is about to lose power or state.
 *	    @keeps: the same kernel restores it, so the device may be suspended
 *	    with its state instead of being reset
 * @restore: undo @freeze; @err says that the device cannot be used any more
 * @reset_prepare: quiesce the device, because its PCI function is about to be
 *		   reset; may be called again before @reset_done
 * @reset_done: the PCI function was reset, after @reset_prepare; @err says that the
 *		device cannot be used any more
 * @driver: the driver, as the driver core knows it
 */
struct virtio_driver {
	u32 device;
	u16 transitional;
	u16 config_len;
	u64 features;
	u64 may_change;
	int (*accept)(struct virtio_device *vdev, u64 *features);
	int (*probe)(struct virtio_device *vdev);
	void (*remove)(struct virtio_device *vdev);
	bool (*config_changed)(struct virtio_device *vdev);
	void (*shutdown)(struct virtio_device *vdev);
	int (*freeze)(struct virtio_device *vdev, bool keeps);
	int (*restore)(struct virtio_device *vdev, int err);
	void ((*reset_prepare))(struct virtio_device *vdev);
	void ((*reset_done))(struct virtio_device *vdev, int err);
	struct device_driver driver;
};

#define dev_to_virtio(d)	container_of(d, struct virtio_device, dev)
#define drv_to_virtio(d)	container_of(d, struct virtio_driver, driver)

/* A message names the PCI address, which a user can look up. */
#define virtio_err(vdev, ...)	dev_err((vdev)->dev.parent, __VA_ARGS__)
#define virtio_warn(vdev, ...)	dev_warn((vdev)->dev.parent, __VA_ARGS__)
#define virtio_notice(vdev, ...) dev_notice((vdev)->dev.parent, __VA_ARGS__)
#define virtio_info(vdev, ...)	dev_info((vdev)->dev.parent, __VA_ARGS__)

/*
 * For what a device can provoke as often as it likes: each has a limit of its
 * own, so that one that fills the log hides nothing of others.
 */
#define virtio_warn_ratelimited(vdev, ...)				\
do {									\
	struct virtio_device *__vdev = (vdev);				\
									\
	if (__ratelimit(&__vdev->errors_limit))				\
		virtio_warn(__vdev, __VA_ARGS__);			\
} while (0)

#define virtio_notice_ratelimited(vdev, ...)				\
do {									\
	struct virtio_device *__vdev = (vdev);				\
									\
	if (__ratelimit(&__vdev->infos_limit))				\
		virtio_notice(__vdev, __VA_ARGS__);			\
} while (0)

static inline bool virtio_has_feature(const struct virtio_device *vdev,
				      enum virtio_feature_bit bit)
{
	return vdev->features & BIT_ULL(bit);
}

int register_virtio_device(struct virtio_device *vdev);
void unregister_virtio_device(struct virtio_device *vdev);
int __register_virtio_driver(struct virtio_driver *drv, struct module *owner);
void unregister_virtio_driver(struct virtio_driver *drv);

/**
 * register_virtio_driver() - offer a driver to the devices on the bus
 * @drv: the driver
 *
 * The transports offer it their devices that no driver was there for. Context:
 * may sleep. Return: 0 or an error.
 */
#define register_virtio_driver(drv) __register_virtio_driver(drv, THIS_MODULE)

typedef void (*virtio_drivers_fn)(const struct virtio_driver *drv, bool there);
void virtio_follow_drivers(virtio_drivers_fn tell);
int virtio_driver_config_len(u32 device);

int virtio_reset_device(struct virtio_device *vdev);
void virtio_add_status(struct virtio_device *vdev, u8 status);
int virtio_negotiate(struct virtio_device *vdev);
void virtio_device_ready(struct virtio_device *vdev);
bool virtio_config_changed(struct virtio_device *vdev);
void virtio_config_enable(struct virtio_device *vdev);
void virtio_config_disable(struct virtio_device *vdev);
int virtio_suspend_device(struct virtio_device *vdev);
int virtio_resume_device(struct virtio_device *vdev);
int virtio_device_freeze(struct virtio_device *vdev, bool keeps);
int virtio_device_restore(struct virtio_device *vdev, int err);
void virtio_device_reset_prepare(struct virtio_device *vdev);
void virtio_device_reset_done(struct virtio_device *vdev, int err);

u64 virtio_cread(struct virtio_device *vdev, unsigned int off, unsigned int len);
u64 virtio_cread64(struct virtio_device *vdev, unsigned int off);
void virtio_cwrite8(struct virtio_device *vdev, unsigned int off, u8 val);

static inline u8 virtio_cread8(struct virtio_device *vdev, unsigned int off)
{
	return virtio_cread(vdev, off, sizeof(u8));
}

static inline u16 virtio_cread16(struct virtio_device *vdev, unsigned int off)
{
	return virtio_cread(vdev, off, sizeof(u16));
}

static inline u32 virtio_cread32(struct virtio_device *vdev, unsigned int off)
{
	return virtio_cread(vdev, off, sizeof(u32));
}

/**
 * struct virtio_mem - memory that the driver and the device share
 * @addr: its address for the driver
 * @dma: its address for the device
 * @size: its size in bytes
 */
struct virtio_mem {
	void *addr;
	dma_addr_t dma;
	size_t size;
};

int virtio_queue_node(struct virtio_device *vdev, unsigned int queue);
int virtio_mem_alloc(struct virtio_device *vdev, struct virtio_mem *mem,
		     size_t size, int node, bool must);
void virtio_mem_free(struct virtio_device *vdev, struct virtio_mem *mem);

/* virtio_main_lite.c registers these in this order. */
int virtio_bus_register(void);
void virtio_bus_unregister(void);
int virtio_blk_register(void);
void virtio_blk_unregister(void);
int virtio_pci_register(void);
void virtio_pci_unregister(void);

#endif /* _VIRTIO_LITE_H */
