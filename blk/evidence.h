/* SPDX-License-Identifier: GPL-2.0 */
/* Evidence that tells a lost request from a slow one. */
#ifndef _BLK_EVIDENCE_H
#define _BLK_EVIDENCE_H

#include "blk/blk.h"

int virtblk_alloc_evidence(struct virtblk *vblk);
void virtblk_free_evidence(struct virtblk *vblk);
void virtblk_scan(struct virtblk *vblk);
void virtblk_note_late(struct virtblk *vblk, struct request *rq);
bool virtblk_is_quiet(struct virtblk *vblk, struct request *rq,
		      unsigned long limit);
bool virtblk_younger_came_back(struct virtblk *vblk, struct request *rq);
bool virtblk_check(struct virtblk_vq *vvq, struct request *rq);
bool virtblk_check_in_flight(struct virtblk_vq *vvq);
void virtblk_forget_evidence(struct virtblk_vq *vvq);

#endif /* _BLK_EVIDENCE_H */
