/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernels. include/compat/probe tries each interface, and
 * writes found.h; the rest of the tree uses the names below, and no kernel
 * version.
 */
#ifndef _COMPAT_H
#define _COMPAT_H

#include <linux/blk-mq.h>
#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/virtio_anchor.h>
#include <xen/xen.h>
#include "compat/found.h"

#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

/* Types of the arguments of struct bus_type's ->match and ->uevent. */
#ifdef COMPAT_HAVE_MATCH_CONST
#define compat_const_driver const struct device_driver
#else
#define compat_const_driver struct device_driver
#endif

#ifdef COMPAT_HAVE_UEVENT_CONST
#define compat_const_device const struct device
#else
#define compat_const_device struct device
#endif

/* Newer kernels merge requests on every queue, and have no flag for it. */
#ifdef COMPAT_HAVE_MERGE_FLAG
#define COMPAT_MQ_F_SHOULD_MERGE BLK_MQ_F_SHOULD_MERGE
#else
#define COMPAT_MQ_F_SHOULD_MERGE 0
#endif

static inline unsigned int compat_freeze_queue(struct request_queue *q)
{
#ifdef COMPAT_HAVE_FREEZE_MEMFLAGS
	return blk_mq_freeze_queue(q);
#else
	blk_mq_freeze_queue(q);
	return 0;
#endif
}

/* Freeze a queue without waiting; compat_unfreeze_queue() undoes it. */
static inline unsigned int compat_start_freeze(struct request_queue *q)
{
	unsigned int memflags = 0;

#ifdef COMPAT_HAVE_FREEZE_MEMFLAGS
	memflags = memalloc_noio_save();
#endif
	blk_freeze_queue_start(q);
	return memflags;
}

static inline void compat_unfreeze_queue(struct request_queue *q,
					 unsigned int memflags)
{
#ifdef COMPAT_HAVE_FREEZE_MEMFLAGS
	blk_mq_unfreeze_queue(q, memflags);
#else
	blk_mq_unfreeze_queue(q);
#endif
}

/*
 * Devices reach only the memory that the DMA API gave them: the rest is encrypted,
 * or belongs to the guest alone. The platform tells upstream's virtio, if the
 * kernel has any of it, by a function that it exchanges (s390, confidential
 * guests of other kinds); the others are asked themselves.
 */
static inline bool compat_mem_restricted(void)
{
#ifdef CONFIG_VIRTIO_ANCHOR
	if (READ_ONCE(virtio_check_mem_acc_cb) == virtio_require_restricted_mem_acc)
		return true;
#endif
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT) || xen_pv_domain() ||
	       (IS_ENABLED(CONFIG_XEN_VIRTIO_FORCE_GRANT) && xen_domain());
}

/* Does the user want this driver for a function? The caller has it locked. */
static inline bool compat_is_override(struct pci_dev *pdev,
				      const struct pci_driver *drv)
{
#ifdef COMPAT_HAVE_PCI_OVERRIDE
	return pdev->driver_override && !strcmp(pdev->driver_override, drv->name);
#else
	bool is;

	spin_lock(&pdev->dev.driver_override.lock);
	is = pdev->dev.driver_override.name &&
	     !strcmp(pdev->dev.driver_override.name, drv->name);
	spin_unlock(&pdev->dev.driver_override.lock);
	return is;
#endif
}

#endif /* _COMPAT_H */
