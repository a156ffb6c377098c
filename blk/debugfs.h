/* SPDX-License-Identifier: GPL-2.0 */
/* What a disk does, in /sys/kernel/debug/virtio_lite/. */
#ifndef _BLK_DEBUGFS_H
#define _BLK_DEBUGFS_H

#include "blk/blk.h"

#ifdef CONFIG_DEBUG_FS
void virtblk_init_debugfs(void);
void virtblk_exit_debugfs(void);
void virtblk_add_debugfs(struct virtblk *vblk);
void virtblk_del_debugfs(struct virtblk *vblk);
#else
static inline void virtblk_init_debugfs(void) { }
static inline void virtblk_exit_debugfs(void) { }
static inline void virtblk_add_debugfs(struct virtblk *vblk) { }
static inline void virtblk_del_debugfs(struct virtblk *vblk) { }
#endif

#endif /* _BLK_DEBUGFS_H */
