/* SPDX-License-Identifier: GPL-2.0 */
/* What user space reads of a disk: attributes, unique id, geometry. */
#ifndef _BLK_ATTRS_H
#define _BLK_ATTRS_H

#include "blk/blk.h"
#include "compat/blk.h"

const struct attribute_group **virtblk_groups(struct virtblk *vblk);
void virtblk_link_errors(struct virtblk *vblk);
int virtblk_get_unique_id(struct gendisk *disk, u8 id[16],
			  enum blk_unique_id type);
int virtblk_getgeo(compat_getgeo_arg *arg, struct hd_geometry *geo);

#endif /* _BLK_ATTRS_H */
