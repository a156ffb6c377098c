/* SPDX-License-Identifier: GPL-2.0 */
/* Messages of a disk. */
#ifndef _BLK_LOG_H
#define _BLK_LOG_H

#include <linux/kern_levels.h>
#include "blk/blk.h"

/* In a level: the device may provoke so many messages in some time, no more. */
#define VIRTBLK_LIMITED		0x10

__printf(3, 4)
void virtblk_log(const struct virtblk *vblk, int level, const char *format, ...);

#define virtblk_err(vblk, ...)	virtblk_log(vblk, LOGLEVEL_ERR, __VA_ARGS__)
#define virtblk_warn(vblk, ...)	virtblk_log(vblk, LOGLEVEL_WARNING, __VA_ARGS__)
#define virtblk_notice(vblk, ...) virtblk_log(vblk, LOGLEVEL_NOTICE, __VA_ARGS__)
#define virtblk_info(vblk, ...)	virtblk_log(vblk, LOGLEVEL_INFO, __VA_ARGS__)

#define virtblk_err_ratelimited(vblk, ...) \
	virtblk_log(vblk, VIRTBLK_LIMITED | LOGLEVEL_ERR, __VA_ARGS__)
#define virtblk_warn_ratelimited(vblk, ...) \
	virtblk_log(vblk, VIRTBLK_LIMITED | LOGLEVEL_WARNING, __VA_ARGS__)
#define virtblk_info_ratelimited(vblk, ...) \
	virtblk_log(vblk, VIRTBLK_LIMITED | LOGLEVEL_INFO, __VA_ARGS__)

#endif /* _BLK_LOG_H */
