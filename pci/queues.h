/* SPDX-License-Identifier: GPL-2.0 */
/* The queues of a PCI function. */
#ifndef _PCI_QUEUES_H
#define _PCI_QUEUES_H

#include "pci/common.h"

extern const struct virtio_transport vp_transport;

#endif /* _PCI_QUEUES_H */
