// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts of a virtio PCI function.
 *
 *	MSI-X, enough vectors	config | queue 0 | queue 1 | queue 2 | queue 3
 *	MSI-X, too few		config | queues 0-1        | queues 2-3
 *	INTx			one line; the ISR register has the cause
 *	MSI-X, one vector	for everything; only if there is no INTx line
 *	none is left		a timer looks into the rings
 *	polled queues		no interrupt
 *
 * In the first layout a vector belongs to one queue, so its handler needs no
 * look-up and no lock.
 *
 * A CPU has room for some 200 vectors, which many disks use up. The kernel finds
 * out when a handler is requested, so a layout is tried together with its handlers,
 * and if that fails, the next one.
 */
#include <linux/interrupt.h>
#include <linux/slab.h>
#include "compat/compat.h"
#include "pci/irq.h"
#include "trace/virtio_lite_trace.h"

/* Another task may exchange the callback at any time. */
static irqreturn_t vp_call(struct virtqueue *vq)
{
	irqreturn_t (*callback)(struct virtqueue *vq) = READ_ONCE(vq->callback);

	return callback(vq);
}

static noinline irqreturn_t vp_traced_call(struct virtqueue *vq, int irq,
					   bool shared)
{
	trace_vp_interrupt(vq, irq, shared);
	return vp_call(vq);
}

/* @shared: the vector or line is also for other queues */
static __always_inline irqreturn_t vp_handle(struct virtqueue *vq, int irq,
					     bool shared)
{
	/* Out of line: then the handler saves no register for the tracepoint. */
	if (tracepoint_enabled(vp_interrupt))
		return vp_traced_call(vq, irq, shared);
	return vp_call(vq);
}

/* MSI-X: the vector of one queue. */
static irqreturn_t vp_interrupt(int irq, void *data)
{
	return vp_handle(data, irq, false);
}

static irqreturn_t vp_queues_interrupt(struct vp_device *vp, int irq,
				       unsigned int first, unsigned int end)
{
	irqreturn_t ret = IRQ_NONE;
	unsigned int i;

	for (i = first; i < end; i++)
		ret |= vp_handle(vp->queues[i].vq, irq, true);
	return ret;
}

/* MSI-X: a vector that a group of queues shares. */
static irqreturn_t vp_group_interrupt(int irq, void *data)
{
	struct vp_group *group = data;

	return vp_queues_interrupt(group->vp, irq, group->first, group->end);
}

/* MSI-X: the vector of config changes. */
static irqreturn_t vp_config_interrupt(int irq, void *data)
{
	struct vp_device *vp = data;

	return IRQ_RETVAL(virtio_config_changed(&vp->vdev));
}

/*
 * INTx: reading the ISR register deasserts the line, so the handler acts on
 * every bit that was set (PCI-ISR-I01, PCI-CFGCHG-01). It returns IRQ_NONE if there
 * was nothing to do: so the kernel disables a line that is asserted for ever.
 */
static irqreturn_t vp_intx_interrupt(int irq, void *data)
{
	struct vp_device *vp = data;
	u8 isr = ioread8(vp->isr.base);
	irqreturn_t ret = IRQ_NONE;

	/* Another device shares the line, or this device is gone. */
	if (!isr || isr == 0xff)
		return IRQ_NONE;
	if (isr & VIRTIO_PCI_ISR_CONFIG)
		ret = IRQ_RETVAL(virtio_config_changed(&vp->vdev));
	return ret | vp_queues_interrupt(vp, irq, 0, vp->nintr);
}

/*
 * The only MSI-X vector, for queues and config changes. It does not tell its
 * cause, so the handler checks for both.
 */
static irqreturn_t vp_only_interrupt(int irq, void *data)
{
	struct vp_device *vp = data;

	return IRQ_RETVAL(virtio_config_changed(&vp->vdev)) |
	       vp_queues_interrupt(vp, irq, 0, vp->nintr);
}

/* Whether config has changed is asked for rarely: that takes exits to the host. */
#define VP_CONFIG_PERIOD	HZ

/**
 * vp_timer() - look for what interrupts would have told
 * @timer: of a device without any
 *
 * Context: soft interrupt.
 */
void vp_timer(struct timer_list *timer)
{
	struct vp_device *vp = container_of(timer, struct vp_device, timer);

	vp_queues_interrupt(vp, 0, 0, vp->nintr);
	if (time_after_eq(jiffies, vp->config_asked + VP_CONFIG_PERIOD)) {
		vp->config_asked = jiffies;
		virtio_config_changed(&vp->vdev);
	}
	mod_timer(&vp->timer, jiffies + 1);
}

static int vp_make_groups(struct vp_device *vp)
{
	unsigned int n = vp->nvectors - 1, i;

	vp->groups = kcalloc(n, sizeof(*vp->groups), GFP_KERNEL);
	if (!vp->groups)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		vp->groups[i].vp = vp;
		vp->groups[i].first = i * vp->nintr / n;
		vp->groups[i].end = (i + 1) * vp->nintr / n;
	}
	return 0;
}

/* A vector for each queue, bound to the CPUs that use the queue. */
static int vp_alloc_own(struct vp_device *vp)
{
	struct irq_affinity affinity = { .pre_vectors = 1 };
	unsigned int n = vp->nintr + 1;
	int ret = pci_alloc_irq_vectors_affinity(vp->pdev, n, n,
						 PCI_IRQ_MSIX | PCI_IRQ_AFFINITY,
						 &affinity);

	if (ret < 0)
		return ret;
	vp->nvectors = n;
	return 0;
}

/*
 * No PCI_IRQ_AFFINITY here: the kernel shuts a managed vector down when its CPUs
 * go offline, while other queues still need this one.
 */
static int vp_alloc_shared(struct vp_device *vp, unsigned int max)
{
	int ret = pci_alloc_irq_vectors(vp->pdev, 2, max, PCI_IRQ_MSIX);

	if (ret < 0)
		return ret;
	vp->nvectors = ret;
	return vp_make_groups(vp);
}

static int vp_alloc_one(struct vp_device *vp, unsigned int type)
{
	int ret = pci_alloc_irq_vectors(vp->pdev, 1, 1, type);

	if (ret < 0)
		return ret;
	vp->nvectors = type == PCI_IRQ_MSIX;
	return 0;
}

static void vp_release_vectors(struct vp_device *vp)
{
	pci_free_irq_vectors(vp->pdev);
	/* Nobody answers the line any more, which other devices may share. */
	pci_intx(vp->pdev, 0);
	kfree(vp->groups);
	vp->groups = NULL;
	vp->nvectors = 0;
	vp->timed = false;
}

static u16 vp_queue_vector(struct vp_device *vp, unsigned int queue)
{
	unsigned int i;

	if (!vp->nvectors || queue >= vp->nintr)
		return VIRTIO_MSI_NO_VECTOR;
	if (vp->nvectors == 1)
		return 0;
	if (!vp->groups)
		return 1 + queue;
	for (i = 0; queue >= vp->groups[i].end; i++)
		;
	return 1 + i;
}

/**
 * vp_map_vector() - map a queue to its MSI-X vector
 * @vp: the device; its vectors are allocated
 * @queue: index of the queue, which is selected and not enabled
 *
 * Return: 0, or -EBUSY if the device refuses the vector (PCI-MSIX-05).
 */
int vp_map_vector(struct vp_device *vp, unsigned int queue)
{
	u16 vector = vp_queue_vector(vp, queue);

	if (!vp->nvectors)
		return 0;
	return vp->regs->set_vector(vp, vector) == vector ? 0 : -EBUSY;
}

/**
 * vp_map_vectors() - map config changes and all queues to their MSI-X vectors
 * @vp: the device; its vectors are allocated, its queues not enabled yet
 *
 * Return: 0, or -EBUSY if the device refuses a vector (PCI-MSIX-05).
 */
int vp_map_vectors(struct vp_device *vp)
{
	unsigned int i;

	if (!vp->nvectors)
		return 0;
	/* A single vector is the last resort: then config changes go unseen. */
	if (vp->regs->set_config_vector(vp, 0) != 0) {
		if (vp->nvectors > 1)
			return -EBUSY;
		virtio_notice_ratelimited(&vp->vdev,
					  "device refuses a vector for config changes: they go unseen\n");
	}
	for (i = 0; i < vp->nvqs; i++) {
		vp->regs->select(vp, i);
		if (vp_map_vector(vp, i))
			return -EBUSY;
	}
	return 0;
}

/* Request interrupt @nr of the device with its handler. */
static int vp_request_irq(struct vp_device *vp, unsigned int nr)
{
	const char *name = dev_name(&vp->vdev.dev);
	struct vp_group *group;

	if (!vp->nvectors)
		return pci_request_irq(vp->pdev, nr, vp_intx_interrupt, NULL,
				       vp, "%s", name);
	if (vp->nvectors == 1)
		return pci_request_irq(vp->pdev, nr, vp_only_interrupt, NULL,
				       vp, "%s", name);
	if (!nr)
		return pci_request_irq(vp->pdev, nr, vp_config_interrupt, NULL,
				       vp, "%s-config", name);
	if (!vp->groups)
		return pci_request_irq(vp->pdev, nr, vp_interrupt, NULL,
				       vp->queues[nr - 1].vq, "%s-%s.%u",
				       name, vp->queues[nr - 1].vq->name, nr - 1);
	group = &vp->groups[nr - 1];
	return pci_request_irq(vp->pdev, nr, vp_group_interrupt, NULL, group,
			       "%s-%s.%u-%u", name,
			       vp->queues[group->first].vq->name, group->first,
			       group->end - 1);
}

static void *vp_irq_data(struct vp_device *vp, unsigned int nr)
{
	if (!nr)
		return vp;
	if (!vp->groups)
		return vp->queues[nr - 1].vq;
	return &vp->groups[nr - 1];
}

/*
 * Request all interrupts; all rings are set up. Returns 0; an error, after a
 * message: vp_release_irqs() undoes the rest.
 */
static int vp_request_irqs(struct vp_device *vp)
{
	unsigned int want = max(vp->nvectors, 1u);
	int err;

	if (vp->timed) {
		vp->config_asked = jiffies;
		mod_timer(&vp->timer, jiffies + 1);
		want = 0;
	}
	for (vp->nirqs = 0; vp->nirqs < want; vp->nirqs++) {
		err = vp_request_irq(vp, vp->nirqs);
		if (err) {
			dev_notice(&vp->pdev->dev, "interrupt %u of %u: %d\n",
				   vp->nirqs + 1, want, err);
			return err;
		}
	}
	/* virtio_pci_slot_reset() restores this state. */
	pci_save_state(vp->pdev);
	return 0;
}

/**
 * vp_release_irqs() - listen no more
 * @vp: the device, which was reset
 *
 * No handler runs any more when this returns.
 */
void vp_release_irqs(struct vp_device *vp)
{
	if (vp->timed)
		timer_delete_sync(&vp->timer);
	while (vp->nirqs) {
		vp->nirqs--;
		pci_free_irq(vp->pdev, vp->nirqs, vp_irq_data(vp, vp->nirqs));
	}
}

/**
 * vp_free_irqs() - undo vp_setup_irqs()
 * @vp: the device, which was reset, or none of whose queues is enabled
 */
void vp_free_irqs(struct vp_device *vp)
{
	vp_release_irqs(vp);
	vp_release_vectors(vp);
}

/* What a device may have, from the best to what needs nothing at all. */
enum vp_layout {
	VP_OWN,		/* a vector for each queue, one for config changes */
	VP_SHARED,	/* the same with fewer: as many as the device has */
	VP_TWO,		/* one for all queues, to leave others some */
	VP_INTX,
	VP_ONE,		/* one vector for all */
	VP_TIMED,	/* no interrupt */
	VP_LAYOUTS,
};

static int vp_alloc_irqs(struct vp_device *vp, enum vp_layout layout)
{
	switch (layout) {
	case VP_OWN:
		return vp_alloc_own(vp);
	case VP_SHARED:
		return vp_alloc_shared(vp, max(vp->nintr, 2u));
	case VP_TWO:
		return vp_alloc_shared(vp, 2);
	case VP_INTX:
		return vp_alloc_one(vp, PCI_IRQ_INTX);
	case VP_ONE:
		return vp_alloc_one(vp, PCI_IRQ_MSIX);
	default:
		vp->timed = true;
		return 0;
	}
}

static int vp_try_layout(struct vp_device *vp, enum vp_layout layout, bool map)
{
	int err = vp_alloc_irqs(vp, layout);

	if (!err && map) {
		err = vp_map_vectors(vp);
		if (err)
			dev_notice(&vp->pdev->dev,
				   "device refuses one of %u interrupt vectors\n",
				   vp->nvectors);
	}
	if (!err)
		err = vp_request_irqs(vp);
	if (err)
		vp_free_irqs(vp);
	return err;
}

static void vp_tell_layout(struct vp_device *vp, enum vp_layout layout)
{
	struct device *dev = &vp->pdev->dev;

	switch (layout) {
	case VP_OWN:
		break;
	case VP_INTX:
		dev_info(dev, "no 2 MSI-X vectors: using INTx\n");
		break;
	case VP_ONE:
		dev_info(dev, "one interrupt vector for all: no others, and no INTx line\n");
		break;
	case VP_TIMED:
		dev_warn(dev, "neither an MSI-X vector nor an INTx line is left: looking for what is done %u times a second\n",
			 HZ);
		break;
	default:
		dev_info(dev, "%u queues share %u interrupt vectors\n",
			 vp->nintr, vp->nvectors - 1);
	}
}

/**
 * vp_setup_irqs() - get the best interrupts there are, and listen to them
 * @vp: the device, whose rings are set up, and not enabled
 * @map: tell the device which vector is for what; else vp_map_vectors() follows
 *
 * Return: 0 or an error.
 */
int vp_setup_irqs(struct vp_device *vp, bool map)
{
	enum vp_layout layout;
	int err = -ENOSPC;

	for (layout = VP_OWN; err && layout < VP_LAYOUTS; layout++) {
		err = vp_try_layout(vp, layout, map);
		if (!err)
			vp_tell_layout(vp, layout);
	}
	return err;
}

/**
 * vp_restart_irqs() - listen again after vp_release_irqs()
 * @vp: the device
 *
 * Others may have taken the room that its vectors had. Return: 0; 1 if it has
 * other vectors now, which the device does not know of; or an error.
 */
int vp_restart_irqs(struct vp_device *vp)
{
	if (!vp_request_irqs(vp))
		return 0;
	vp_free_irqs(vp);
	return vp_setup_irqs(vp, false) ?: 1;
}

/* Wait until the timer does not run; it goes on afterwards. */
static void vp_sync_timer(struct vp_device *vp)
{
	timer_delete_sync(&vp->timer);
	mod_timer(&vp->timer, jiffies + 1);
}

/**
 * vp_sync_irqs() - wait until no handler of this device runs
 * @vdev: the device
 *
 * Context: may sleep.
 */
void vp_sync_irqs(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int i;

	if (vp->timed)
		vp_sync_timer(vp);
	for (i = 0; i < vp->nirqs; i++)
		synchronize_irq(pci_irq_vector(vp->pdev, i));
}

/**
 * vp_sync_irq() - wait until the interrupt handler of a queue does not run
 * @vdev: the device
 * @queue: index of the queue
 *
 * Does nothing for a polled queue. Context: may sleep.
 */
void vp_sync_irq(struct virtio_device *vdev, unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);
	unsigned int nr = vp->nvectors ? vp_queue_vector(vp, queue) : 0;

	if (vp->timed)
		vp_sync_timer(vp);
	else if (queue < vp->nintr && nr < vp->nirqs)
		synchronize_irq(pci_irq_vector(vp->pdev, nr));
}

/**
 * vp_queue_affinity() - the CPUs that a queue's interrupt is bound to
 * @vdev: the device; its vectors are allocated
 * @queue: index of the queue
 *
 * Return: the CPUs, or NULL if the queue shares its interrupt or has none.
 */
const struct cpumask *vp_queue_affinity(struct virtio_device *vdev,
					unsigned int queue)
{
	struct vp_device *vp = to_vp(vdev);

	if (vp->nvectors < 2 || vp->groups || queue >= vp->nintr)
		return NULL;
	return pci_irq_get_affinity(vp->pdev, 1 + queue);
}
