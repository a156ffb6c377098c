/* SPDX-License-Identifier: GPL-2.0 */
/* How the device or a queue is reset and reinitialised. */
#ifndef _BLK_RESET_H
#define _BLK_RESET_H

#include "blk/blk.h"

unsigned int virtblk_reset_attempts(void);
void virtblk_enable_events(struct virtblk *vblk);
void virtblk_disable_events(struct virtblk *vblk);
void virtblk_hold_completions(struct virtblk *vblk);
void virtblk_release_completions(struct virtblk *vblk);
void virtblk_init_all_mem(struct virtblk *vblk);
void virtblk_swap_rings(struct virtblk *vblk);
void virtblk_empty_rings(struct virtblk *vblk);
int virtblk_reset_device(struct virtblk *vblk, bool swap);
int virtblk_quiesce_and_reset(struct virtblk *vblk, bool swap);
void virtblk_requeue_all(struct virtblk *vblk,
			 enum virtblk_disposition disposition);
void virtblk_unquiesce(struct virtblk *vblk);
int virtblk_finish_reset(struct virtblk *vblk, int err);
void virtblk_end_recovery(struct virtblk *vblk, int err);
void virtblk_resume_service(struct virtblk *vblk);
bool virtblk_may_reset_vq(struct virtblk_vq *vvq);
bool virtblk_reset_vq(struct virtblk_vq *vvq);

#endif /* _BLK_RESET_H */
