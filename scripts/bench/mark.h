/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's load generator tells the plugin. A mark is an instruction
 * that does nothing, nopl with a displacement that no compiler would choose:
 *
 *	0f 1f 84 00 <verb> 'L' 'B' 'V'
 */
#ifndef VBL_MARK_H
#define VBL_MARK_H

#define MARK_ARM	0x01	/* read the roots, count from here on */
#define MARK_BEGIN	0x02	/* all counters are 0 */
#define MARK_END	0x03	/* write them to a file */

#define MARK_SIZE	8

#endif /* VBL_MARK_H */
