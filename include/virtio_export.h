/* SPDX-License-Identifier: GPL-2.0 */
/* What other modules may call: see virtio_driver.h. */
#ifndef _VIRTIO_EXPORT_H
#define _VIRTIO_EXPORT_H

#include <linux/compiler.h>
#include <linux/export.h>

/* Under a name of its own: the kernel's virtio has the others. */
#define EXPORT_SYMBOL_LITE(name) \
	extern typeof(name) lite_##name __alias(name); \
	EXPORT_SYMBOL_GPL(lite_##name)

#endif /* _VIRTIO_EXPORT_H */
