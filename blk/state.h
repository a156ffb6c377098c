/* SPDX-License-Identifier: GPL-2.0 */
/* State of a disk: which task owns the device, and how a recovery starts. */
#ifndef _BLK_STATE_H
#define _BLK_STATE_H

#include "blk/blk.h"

int virtblk_init_state(void);
void virtblk_exit_state(void);
u32 virtblk_count_reaps(const struct virtblk *vblk);
bool virtblk_is_bounded(const struct virtblk *vblk);
bool virtblk_claim(struct virtblk *vblk, enum virtblk_state state);
void virtblk_set_dead(struct virtblk *vblk);
void virtblk_set_live(struct virtblk *vblk);
void virtblk_recover(struct virtblk *vblk, const char *why, unsigned int *count);
void virtblk_recover_queue(struct virtblk_vq *vvq, const char *why,
			   unsigned int *count);
bool virtblk_check_status(struct virtblk *vblk);

#endif /* _BLK_STATE_H */
