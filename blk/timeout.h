/* SPDX-License-Identifier: GPL-2.0 */
/* Requests that do not come back in time. */
#ifndef _BLK_TIMEOUT_H
#define _BLK_TIMEOUT_H

#include "blk/blk.h"

unsigned int virtblk_request_timeout(void);
u32 virtblk_lost_timeout(const struct request *rq);
enum blk_eh_timer_return virtblk_timeout(struct request *rq);

#endif /* _BLK_TIMEOUT_H */
