// SPDX-License-Identifier: GPL-2.0
/* A packed ring. Offsets and bits are those of section 2.8. */
#include "device_parts.h"
#include "shim.h"

#define AVAIL		0x80
#define USED		0x8000
#define EVENT_ENABLE	0
#define EVENT_DISABLE	1
#define EVENT_DESC	2
#define NOTHING_HELD	0xffff

void packed_step(const struct device *d, struct device_pos *pos)
{
	if (++pos->slot == d->num) {
		pos->slot = 0;
		pos->wrap = !pos->wrap;
	}
}

/* How an event suppression structure names a place. */
u16 packed_event(struct device_pos pos)
{
	return pos.slot | (pos.wrap ? DEVICE_WRAP : 0);
}

/*
 * A driver may write or read id and flags together, as 32 bits. Where bytes are
 * reversed to make this host look like the other kind, they change places then.
 */
u8 *packed_id(const struct device *d, u16 slot)
{
	return d->desc + slot * DESC_SIZE + (d->turned ? 14 : 12);
}

u8 *packed_flags(const struct device *d, u16 slot)
{
	return d->desc + slot * DESC_SIZE + (d->turned ? 12 : 14);
}

/* So for when a kick is wanted. */
static u8 *packed_kick_event(const struct device *d)
{
	return d->used + (d->turned ? 2 : 0);
}

u8 *packed_kick_flags(const struct device *d)
{
	return d->used + (d->turned ? 0 : 2);
}

/* The store of the flags orders what came before it, which the id may not. */
struct device_desc packed_get_desc(const struct device *d, u16 slot)
{
	struct device_desc e = device_get_addr(d, d->desc, slot);

	e.flags = device_get_shared(d, packed_flags(d, slot));
	e.next = device_get_shared(d, packed_id(d, slot));
	return e;
}

/* PACK-WRAP-I01 */
static bool is_available(struct device_pos at, u16 flags)
{
	return !!(flags & AVAIL) == at.wrap && !!(flags & USED) != at.wrap;
}

/* PACK-EVT-I01 */
static void check_driver_event(struct device *d)
{
	u16 flags = device_avail_flags(d);
	u16 event = device_get_shared(d, d->avail) & ~DEVICE_WRAP;

	if (flags > (d->event_idx ? EVENT_DESC : EVENT_DISABLE))
		device_complain(d, "PACK-EVT-I01: driver event flags are %#x",
				flags);
	if (event >= d->num)
		device_complain(d, "PACK-EVT-I01: driver event is at %u", event);
}

unsigned int packed_pending(struct device *d)
{
	const u8 *flags = packed_flags(d, d->avail_pos.slot);

	check_driver_event(d);
	return !d->complaint[0] &&
	       is_available(d->avail_pos, device_get_shared(d, flags));
}

/* The table that @e points to goes to @chain. */
static int walk_table(struct device *d, const struct device_desc *e)
{
	const u8 *table = device_map(d, e->addr, e->len);
	struct device_desc in;
	unsigned int i;
	u64 total = 0;

	for (i = 0; i < e->len / DESC_SIZE; i++) {
		in = device_get_addr(d, table, i);
		in.flags = device_turn16(d, *(const u16 *)(table + i * DESC_SIZE + 14));
		if (in.flags & ~WRITE)
			return device_complain(d, "PACK-INDIR-02: flags %#x in a table",
					       in.flags);
		if (device_add_data(d, &in, &total))
			return DEVICE_UPSET;
	}
	return 0;
}

/* Follow the list at @at into @chain and @slots; returns its id. */
static int walk_list(struct device *d, struct device_pos at)
{
	struct device_desc e;
	u64 total = 0;

	d->n = 0;
	d->nslots = 0;
	do {
		e = packed_get_desc(d, at.slot);
		if (e.flags & ~(NEXT | WRITE | INDIRECT | AVAIL | USED))
			return device_complain(d, "unknown descriptor flags %#x",
					       e.flags);
		if (!is_available(at, e.flags))
			return device_complain(d, "PACK-SG-06: slot %u of a list is not available",
					       at.slot);
		d->slots[d->nslots++] = at.slot;
		packed_step(d, &at);

		if (e.flags & INDIRECT) {
			if (d->nslots > 1)
				return device_complain(d, "PACK-INDIR-04: a table within a list");
			if (device_check_table(d, &e) || walk_table(d, &e))
				return DEVICE_UPSET;
			break;
		}
		if (device_add_data(d, &e, &total))
			return DEVICE_UPSET;
		d->chain[d->n - 1].flags &= WRITE;
	} while (e.flags & NEXT);
	return e.next;
}

int packed_take(struct device *d)
{
	int id = walk_list(d, d->avail_pos);
	unsigned int i;

	if (id < 0)
		return id;
	if ((unsigned int)id >= d->num)
		return device_complain(d, "id %u of %u is available", id, d->num);
	if (d->buf[id].n)
		return device_complain(d, "id %u is available twice", id);
	d->busy += d->nslots;
	if (d->busy > d->num)
		return device_complain(d, "PACK-DESC-01: slots in two buffers");
	for (i = 0; i < d->nslots; i++) {
		d->then[d->slots[i]] = i + 1 < d->nslots ? d->slots[i + 1] :
							   DEVICE_LAST;
		packed_step(d, &d->avail_pos);
	}
	d->buf[id] = (struct device_buf) {
		.n = d->n,
		.nslots = d->nslots,
		.slot = d->slots[0],
	};
	return id;
}

static u16 used_flags(struct device_pos at)
{
	return at.wrap ? AVAIL | USED : 0;
}

static void put_id(struct device *d, u16 slot, u16 id)
{
	device_put_shared(d, packed_id(d, slot), id);
}

static void put_flags(struct device *d, u16 slot, u16 flags)
{
	device_put_shared(d, packed_flags(d, slot), flags);
}

/* A used descriptor, good or bad. */
void packed_put_used(struct device *d, struct device_pos at, u16 id)
{
	put_id(d, at.slot, id);
	shim_fence(SHIM_VIRT_WMB);
	put_flags(d, at.slot, used_flags(at));
}

/* The flags of the first descriptor of a batch hold back all others. */
void packed_finish(struct device *d, u16 id, u32 len)
{
	u16 slot = d->used_pos.slot, i;

	*(u32 *)(d->desc + slot * DESC_SIZE + 8) = device_turn32(d, len);
	put_id(d, slot, id);
	if (d->held_flags == NOTHING_HELD) {
		d->held = slot;
		d->held_flags = used_flags(d->used_pos);
	} else {
		put_flags(d, slot, used_flags(d->used_pos));
	}
	d->busy -= d->buf[id].nslots;
	for (i = 0; i < d->buf[id].nslots; i++)
		packed_step(d, &d->used_pos);
}

void packed_show(struct device *d)
{
	if (d->held_flags == NOTHING_HELD)
		return;
	shim_fence(SHIM_VIRT_WMB);
	put_flags(d, d->held, d->held_flags);
	d->held_flags = NOTHING_HELD;
}

static bool same(struct device_pos a, struct device_pos b)
{
	return a.slot == b.slot && a.wrap == b.wrap;
}

bool packed_wants_irq(struct device *d)
{
	struct device_pos from = d->irq_pos;
	u16 flags = device_avail_flags(d);
	u16 event = device_get_shared(d, d->avail);

	check_driver_event(d);
	d->irq_pos = d->used_pos;
	if (flags != EVENT_DESC)
		return flags == EVENT_ENABLE && !same(from, d->used_pos);
	for (; !same(from, d->used_pos); packed_step(d, &from))
		if (packed_event(from) == event)
			return true;
	return false;
}

void packed_set_event(struct device *d, u16 event, u16 flags)
{
	d->event = event;
	device_put_shared(d, packed_kick_event(d), event);
	shim_fence(SHIM_VIRT_WMB);
	device_set_flags(d, flags);
}

void packed_arm(struct device *d)
{
	packed_set_event(d, packed_event(d->avail_pos),
			 d->event_idx ? EVENT_DESC : EVENT_ENABLE);
}

void packed_disarm(struct device *d, u16 hint)
{
	u16 slot = (hint & ~DEVICE_WRAP) % d->num;

	if (d->event_idx && hint & 1)
		packed_set_event(d, slot | (hint & DEVICE_WRAP), EVENT_DESC);
	else
		device_set_flags(d, EVENT_DISABLE);
}

/* PACK-KICK-I01, counted out. */
bool packed_wants_kick(struct device *d, unsigned int added)
{
	bool passed = false;

	while (added--) {
		if (packed_event(d->kick_pos) == d->event)
			passed = true;
		packed_step(d, &d->kick_pos);
	}
	switch (d->flags) {
	case EVENT_DISABLE:
		return false;
	case EVENT_DESC:
		return passed || !d->event_idx;
	default:
		return true;
	}
}
