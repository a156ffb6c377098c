/* SPDX-License-Identifier: GPL-2.0 */
/* Modern registers: found through PCI capabilities. */
#ifndef _PCI_MODERN_H
#define _PCI_MODERN_H

#include "pci/common.h"

int vp_modern_map(struct vp_device *vp, unsigned int config_len);

#endif /* _PCI_MODERN_H */
