/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device's end of a ring, from the specification alone: it knows the
 * three addresses that a transport hands over, and nothing of the driver.
 * Whatever the driver must not do is found, named and stays in @complaint.
 */
#ifndef _DEVICE_H
#define _DEVICE_H

#include <linux/types.h>

#define DEVICE_AREAS	4

/* Of a packed ring, @next is the id. */
struct device_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

/* Memory that addresses in descriptors may point to. */
struct device_area {
	u64 addr;
	u64 len;
	u8 *mem;
};

/**
 * struct device_buf - a buffer that the device owns
 * @n: descriptors; 0 if the device does not own it
 * @nslots: of these, in the ring
 * @slot: the first one in the ring
 * @sum: what was in them
 */
struct device_buf {
	u16 n;
	u16 nslots;
	u16 slot;
	u64 sum;
};

/* A place in a packed ring: on odd laps @wrap is set. */
struct device_pos {
	u16 slot;
	bool wrap;
};

/**
 * struct device - one queue, as the device sees it
 * @num: descriptors
 * @packed: RING_PACKED was negotiated
 * @indirect: INDIRECT_DESC was negotiated
 * @event_idx: EVENT_IDX was negotiated
 * @in_order: complain about chains that are not sequential
 * @turned: fields in the ring are not in the host's byte order
 * @scribbles: buffers are not looked at again when they are used
 * @desc: descriptors
 * @avail: available ring; packed: driver event suppression
 * @used: used ring; packed: device event suppression
 * @area: where tables and data may be
 * @last_avail: next entry of the available ring to take
 * @seen_avail: avail.idx as last seen
 * @kick_idx: next entry that nobody decided to kick for
 * @used_idx: used.idx as last written
 * @irq_idx: @used_idx at the last decision about an interrupt
 * @avail_pos: packed, instead of @last_avail
 * @kick_pos: packed, instead of @kick_idx
 * @used_pos: packed, instead of @used_idx
 * @irq_pos: packed, instead of @irq_idx
 * @held: packed: the first of the descriptors that device_show() will show
 * @held_flags: its flags, if not 0xffff
 * @busy: packed: slots in buffers that the device owns
 * @flags: as last written: whether it wants kicks
 * @event: as last written: which kick it wants
 * @buf: by head or id: what the device owns
 * @owner: by slot: 1 + head of the buffer it belongs to
 * @then: by slot: the next one of the same buffer, or DEVICE_LAST
 * @slots: slots of the chain in @chain, before an indirect table
 * @nslots: entries of @slots
 * @chain: the buffer that device_take() took
 * @n: entries of @chain
 * @complaint: the first rule that the driver broke, or empty
 */
struct device {
	unsigned int num;
	bool packed;
	bool indirect;
	bool event_idx;
	bool in_order;
	bool turned;
	bool scribbles;
	u8 *desc;
	u8 *avail;
	u8 *used;
	struct device_area area[DEVICE_AREAS];

	u16 last_avail;
	u16 seen_avail;
	u16 kick_idx;
	u16 used_idx;
	u16 irq_idx;
	struct device_pos avail_pos;
	struct device_pos kick_pos;
	struct device_pos used_pos;
	struct device_pos irq_pos;
	u16 held;
	u16 held_flags;
	unsigned int busy;
	u16 flags;
	u16 event;

	struct device_buf *buf;
	u16 *owner;
	u16 *then;
	u16 *slots;
	unsigned int nslots;
	struct device_desc *chain;
	unsigned int n;
	char complaint[160];
};

#define DEVICE_NONE	(-1)
#define DEVICE_UPSET	(-2)
#define DEVICE_LAST	0xffff
#define DEVICE_WRAP	0x8000

void device_open(struct device *d);
void device_close(struct device *d);
void device_reset(struct device *d);

/* How a device reads and writes; then, what it does. */
u16 device_get_shared(const struct device *d, const u8 *p);
void device_put_shared(const struct device *d, u8 *p, u16 v);
u8 *device_map(struct device *d, u64 addr, u32 len);
unsigned int device_pending(struct device *d);
int device_take(struct device *d);
void device_finish(struct device *d, u16 head, u32 len);
void device_show(struct device *d);
bool device_use(struct device *d, u16 head, u32 len);
bool device_wants_irq(struct device *d);
void device_arm(struct device *d);
void device_disarm(struct device *d, u16 hint);
bool device_wants_kick(struct device *d, unsigned int added);
void device_set_flags(struct device *d, u16 flags);
u16 device_avail_flags(struct device *d);
void device_scribble(struct device *d, u16 head, u8 with);

/* A split ring, and what a bad device does there. */
void device_put_used(struct device *d, u16 at, u32 id, u32 len);
void device_set_used_idx(struct device *d, u16 idx);
void device_set_avail_event(struct device *d, u16 idx);
u16 device_avail_idx(struct device *d);
u16 device_used_event(struct device *d);
bool device_idx_passed(u16 event, u16 from, u16 to);

/* A packed ring. */
void packed_step(const struct device *d, struct device_pos *pos);
u16 packed_event(struct device_pos pos);
u8 *packed_id(const struct device *d, u16 slot);
u8 *packed_flags(const struct device *d, u16 slot);
u8 *packed_kick_flags(const struct device *d);
struct device_desc packed_get_desc(const struct device *d, u16 slot);
void packed_put_used(struct device *d, struct device_pos at, u16 id);
void packed_set_event(struct device *d, u16 event, u16 flags);

#endif /* _DEVICE_H */
