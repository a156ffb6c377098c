/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fail points: every kernel call that can fail does so on demand. A build with
 * FAIL_POINTS=1 includes this before each file of the module:
 *
 *	insmod virtio_lite.ko fail_at=7		the seventh such call fails
 *	/sys/module/virtio_lite/parameters/	fail_at, and fail_seen, the number
 *						of such calls
 *
 * The driver's own files do not refer to it.
 */
#ifndef _FAIL_POINTS_H
#define _FAIL_POINTS_H

#include <linux/blk-mq.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

bool fail_point(const char *what);

/* @call calls the kernel's function; @name is its name. */
#define fail_int(call, name) (fail_point(name) ? -ENOMEM : (call))
#define fail_null(call, name) (fail_point(name) ? NULL : (call))

static inline void *fail_kzalloc_node(size_t size, gfp_t gfp, int node)
{
	return fail_null(kzalloc_node(size, gfp, node), "kzalloc_node");
}

static inline void *fail_kzalloc(size_t size, gfp_t gfp)
{
	return fail_null(kzalloc(size, gfp), "kzalloc");
}

static inline void *fail_kcalloc(size_t n, size_t size, gfp_t gfp)
{
	return fail_null(kcalloc(n, size, gfp), "kcalloc");
}

static inline void *fail_kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	return fail_null(kvcalloc(n, size, gfp), "kvcalloc");
}

static inline void *fail_kvzalloc_node(size_t size, gfp_t gfp, int node)
{
	return fail_null(kvzalloc_node(size, gfp, node), "kvzalloc_node");
}

static inline struct page *fail_alloc_pages_node(int node, gfp_t gfp,
						 unsigned int order)
{
	return fail_null(alloc_pages_node(node, gfp, order), "alloc_pages_node");
}

static inline void *fail_dma_alloc_coherent(struct device *dev, size_t size,
					    dma_addr_t *dma, gfp_t gfp)
{
	return fail_null(dma_alloc_coherent(dev, size, dma, gfp), "dma_alloc_coherent");
}

#undef kzalloc
#undef kzalloc_node
#undef kcalloc
#undef kvcalloc
#undef kvzalloc_node
#undef alloc_pages_node
#undef dma_alloc_coherent
#define kzalloc fail_kzalloc
#define kzalloc_node fail_kzalloc_node
#define kcalloc fail_kcalloc
#define kvcalloc fail_kvcalloc
#define kvzalloc_node fail_kvzalloc_node
#define alloc_pages_node fail_alloc_pages_node
#define dma_alloc_coherent fail_dma_alloc_coherent

static inline int fail_pci_enable_device(struct pci_dev *pdev)
{
	return fail_int(pci_enable_device(pdev), "pci_enable_device");
}

static inline int fail_request_regions(struct pci_dev *pdev, int bars,
				       const char *name)
{
	return fail_int(pci_request_selected_regions(pdev, bars, name),
			"pci_request_selected_regions");
}

static inline void __iomem *fail_pci_iomap(struct pci_dev *pdev, int bar,
					   unsigned long max)
{
	return fail_null(pci_iomap(pdev, bar, max), "pci_iomap");
}

static inline void __iomem *fail_pci_iomap_range(struct pci_dev *pdev, int bar,
						 unsigned long off,
						 unsigned long max)
{
	return fail_null(pci_iomap_range(pdev, bar, off, max), "pci_iomap_range");
}

static inline int fail_alloc_vectors(struct pci_dev *pdev, unsigned int min,
				     unsigned int max, unsigned int flags)
{
	return fail_int(pci_alloc_irq_vectors(pdev, min, max, flags),
			"pci_alloc_irq_vectors");
}

static inline int fail_alloc_vectors_affinity(struct pci_dev *pdev,
					      unsigned int min,
					      unsigned int max,
					      unsigned int flags,
					      struct irq_affinity *affinity)
{
	return fail_int(pci_alloc_irq_vectors_affinity(pdev, min, max, flags,
						       affinity),
			"pci_alloc_irq_vectors_affinity");
}

static inline int fail_dma_set_mask(struct device *dev, u64 mask)
{
	return fail_int(dma_set_mask_and_coherent(dev, mask),
			"dma_set_mask_and_coherent");
}

static inline int fail_device_add(struct device *dev)
{
	return fail_int(device_add(dev), "device_add");
}

static inline int fail_ida_alloc_range(struct ida *ida, unsigned int min,
				       unsigned int max, gfp_t gfp)
{
	return fail_int(ida_alloc_range(ida, min, max, gfp), "ida_alloc_range");
}

static inline int fail_alloc_tag_set(struct blk_mq_tag_set *set)
{
	return fail_int(blk_mq_alloc_tag_set(set), "blk_mq_alloc_tag_set");
}

static inline int fail_device_add_disk(struct device *parent,
				       struct gendisk *disk,
				       const struct attribute_group **groups)
{
	return fail_int(device_add_disk(parent, disk, groups), "device_add_disk");
}

static inline int fail_register_blkdev(unsigned int major, const char *name)
{
	return fail_int(register_blkdev(major, name), "register_blkdev");
}

static inline int fail_driver_register(struct device_driver *drv)
{
	return fail_int(driver_register(drv), "driver_register");
}

#undef pci_alloc_irq_vectors
#undef ida_alloc
#undef ida_alloc_min
#undef register_blkdev
#define pci_enable_device fail_pci_enable_device
#define pci_request_selected_regions fail_request_regions
#define pci_iomap fail_pci_iomap
#define pci_iomap_range fail_pci_iomap_range
#define pci_alloc_irq_vectors fail_alloc_vectors
#define pci_alloc_irq_vectors_affinity fail_alloc_vectors_affinity
#define dma_set_mask_and_coherent fail_dma_set_mask
#define device_add fail_device_add
#define ida_alloc(ida, gfp) fail_ida_alloc_range(ida, 0, ~0, gfp)
#define ida_alloc_min(ida, min, gfp) fail_ida_alloc_range(ida, min, ~0, gfp)
#define blk_mq_alloc_tag_set fail_alloc_tag_set
#define device_add_disk fail_device_add_disk
#define register_blkdev fail_register_blkdev
#define driver_register fail_driver_register

/* These are macros in the kernel, some with a lock class for each caller. */
static __always_inline int fail_pci_register(struct pci_driver *drv,
					     struct module *owner,
					     const char *name)
{
	return fail_int(__pci_register_driver(drv, owner, name),
			"pci_register_driver");
}

#undef pci_register_driver
#define pci_register_driver(drv) \
	fail_pci_register(drv, THIS_MODULE, KBUILD_MODNAME)

#undef pci_request_irq
#define pci_request_irq(pdev, nr, handler, thread, data, ...) \
	fail_int((pci_request_irq)(pdev, nr, handler, thread, data, __VA_ARGS__), \
		 "pci_request_irq")

#undef blk_mq_alloc_disk
#define blk_mq_alloc_disk(...) ({					\
	static struct lock_class_key key;				\
	fail_point("blk_mq_alloc_disk") ? ERR_PTR(-ENOMEM) :		\
		__blk_mq_alloc_disk(__VA_ARGS__, &key);			\
})

#undef alloc_workqueue
#define alloc_workqueue(...) \
	fail_null((alloc_workqueue)(__VA_ARGS__), "alloc_workqueue")

#undef bus_register
#define bus_register(bus) fail_int((bus_register)(bus), "bus_register")

#endif /* _FAIL_POINTS_H */
