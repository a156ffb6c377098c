/* SPDX-License-Identifier: GPL-2.0 */
/* Functions that the files of the fake device share; see device.h. */
#ifndef _DEVICE_PARTS_H
#define _DEVICE_PARTS_H

#include "compiler.h"
#include "device.h"

#define NEXT		1
#define WRITE		2
#define INDIRECT	4
#define DESC_SIZE	16

/* device_main.c */
__printf(2, 3)
int device_complain(struct device *d, const char *fmt, ...);

u16 device_turn16(const struct device *d, u16 v);
u32 device_turn32(const struct device *d, u32 v);
struct device_desc device_get_addr(const struct device *d, const u8 *table,
				   unsigned int i);
int device_add_data(struct device *d, const struct device_desc *e, u64 *total);
int device_check_table(struct device *d, const struct device_desc *e);

/* device_split.c, device_packed.c */
unsigned int split_pending(struct device *d);
unsigned int packed_pending(struct device *d);
int split_take(struct device *d);
int packed_take(struct device *d);
void split_finish(struct device *d, u16 head, u32 len);
void packed_finish(struct device *d, u16 id, u32 len);
void packed_show(struct device *d);
bool split_wants_irq(struct device *d);
bool packed_wants_irq(struct device *d);
void packed_arm(struct device *d);
void packed_disarm(struct device *d, u16 hint);
bool split_wants_kick(struct device *d, unsigned int added);
bool packed_wants_kick(struct device *d, unsigned int added);

#endif /* _DEVICE_PARTS_H */
