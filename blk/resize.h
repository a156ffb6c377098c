/* SPDX-License-Identifier: GPL-2.0 */
/* Resizing of the rings. */
#ifndef _BLK_RESIZE_H
#define _BLK_RESIZE_H

#include "blk/blk.h"

extern struct device_attribute virtblk_ring_size_attr;

#endif /* _BLK_RESIZE_H */
