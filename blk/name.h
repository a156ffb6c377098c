/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _BLK_NAME_H
#define _BLK_NAME_H

#include "blk/blk.h"

int virtblk_init_names(void);
void virtblk_exit_names(void);
int virtblk_choose_name(struct virtblk *vblk);
void virtblk_free_name(struct virtblk *vblk);

#endif /* _BLK_NAME_H */
