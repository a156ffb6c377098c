/* SPDX-License-Identifier: GPL-2.0 */
/* Recovery: when the device or a queue is reset, and how often. */
#ifndef _BLK_RECOVER_H
#define _BLK_RECOVER_H

#include "blk/blk.h"

void virtblk_recover_work(struct work_struct *work);

#endif /* _BLK_RECOVER_H */
