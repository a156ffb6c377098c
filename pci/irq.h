/* SPDX-License-Identifier: GPL-2.0 */
/* Interrupt vectors of a PCI function, and their handlers. */
#ifndef _PCI_IRQ_H
#define _PCI_IRQ_H

#include "pci/common.h"

void vp_timer(struct timer_list *timer);
int vp_setup_irqs(struct vp_device *vp, bool map);
int vp_restart_irqs(struct vp_device *vp);
int vp_map_vector(struct vp_device *vp, unsigned int queue);
int vp_map_vectors(struct vp_device *vp);
void vp_release_irqs(struct vp_device *vp);
void vp_free_irqs(struct vp_device *vp);
void vp_sync_irqs(struct virtio_device *vdev);
void vp_sync_irq(struct virtio_device *vdev, unsigned int queue);
const struct cpumask *vp_queue_affinity(struct virtio_device *vdev,
					unsigned int queue);

#endif /* _PCI_IRQ_H */
