/* SPDX-License-Identifier: GPL-2.0 */
/* Legacy registers: at the start of BAR0. */
#ifndef _PCI_LEGACY_H
#define _PCI_LEGACY_H

#include "pci/common.h"

int vp_legacy_map(struct vp_device *vp, unsigned int config_len);

#endif /* _PCI_LEGACY_H */
