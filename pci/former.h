/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _PCI_FORMER_H
#define _PCI_FORMER_H

#include <linux/pci.h>

int vp_init_formers(const struct pci_driver *ours);
void vp_exit_formers(void);
const char *vp_former_name(struct pci_dev *pdev);
void vp_forget_former(struct pci_dev *pdev);

#endif /* _PCI_FORMER_H */
