// SPDX-License-Identifier: GPL-2.0
/* The fake device: what it does with rings of both formats; see device.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "device_parts.h"
#include "shim.h"

u16 device_turn16(const struct device *d, u16 v)
{
	return d->turned ? __builtin_bswap16(v) : v;
}

u32 device_turn32(const struct device *d, u32 v)
{
	return d->turned ? __builtin_bswap32(v) : v;
}

static u64 turn64(const struct device *d, u64 v)
{
	return d->turned ? __builtin_bswap64(v) : v;
}

/* Indices, flags and events change under the reader. */
u16 device_get_shared(const struct device *d, const u8 *p)
{
	u16 v = __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);

	shim_after_load();
	return device_turn16(d, v);
}

/* Tests poison the used ring against the driver: this is how to write it. */
__attribute__((no_sanitize("address")))
void device_put_shared(const struct device *d, u8 *p, u16 v)
{
	shim_before_store();
	__atomic_store_n((u16 *)p, device_turn16(d, v), __ATOMIC_RELAXED);
}

/* Everything else is ordered by barriers. Both formats start like this. */
struct device_desc device_get_addr(const struct device *d, const u8 *table,
				   unsigned int i)
{
	const u8 *p = table + i * DESC_SIZE;

	return (struct device_desc) {
		.addr = turn64(d, *(const u64 *)p),
		.len = device_turn32(d, *(const u32 *)(p + 8)),
	};
}

int device_complain(struct device *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (!d->complaint[0])
		vsnprintf(d->complaint, sizeof(d->complaint), fmt, args);
	va_end(args);
	return DEVICE_UPSET;
}

/* @num, the addresses and what was negotiated are set. */
void device_open(struct device *d)
{
	d->buf = calloc(d->num, sizeof(*d->buf));
	d->owner = calloc(d->num, sizeof(*d->owner));
	d->then = calloc(d->num, sizeof(*d->then));
	d->slots = calloc(d->num, sizeof(*d->slots));
	d->chain = calloc(d->num, sizeof(*d->chain));
	if (!d->buf || !d->owner || !d->then || !d->slots || !d->chain)
		abort();
	device_reset(d);
	if ((uintptr_t)d->desc % 16 ||
	    (uintptr_t)d->avail % (d->packed ? 4 : 2) || (uintptr_t)d->used % 4)
		device_complain(d, "%s-ALIGN-01: part of the ring is not aligned",
				d->packed ? "PACK" : "SPLIT");
	if (!d->packed && d->num & (d->num - 1))
		device_complain(d, "SPLIT-ALIGN-I01: size is no power of 2");
}

void device_close(struct device *d)
{
	free(d->buf);
	free(d->owner);
	free(d->then);
	free(d->slots);
	free(d->chain);
}

/* Everything comes back to the driver. */
void device_reset(struct device *d)
{
	const struct device_pos start = { .slot = 0, .wrap = true };

	memset(d->buf, 0, d->num * sizeof(*d->buf));
	memset(d->owner, 0, d->num * sizeof(*d->owner));
	d->last_avail = 0;
	d->seen_avail = 0;
	d->kick_idx = 0;
	d->used_idx = 0;
	d->irq_idx = 0;
	d->avail_pos = start;
	d->kick_pos = start;
	d->used_pos = start;
	d->irq_pos = start;
	d->held_flags = 0xffff;
	d->busy = 0;
	d->flags = 0;
	d->event = 0;
}

/* Returns NULL if the device may not use any part of the area. */
u8 *device_map(struct device *d, u64 addr, u32 len)
{
	const struct device_area *a;

	for (a = d->area; a < d->area + DEVICE_AREAS; a++)
		if (addr >= a->addr && len <= a->len &&
		    addr - a->addr <= a->len - len)
			return a->mem + (addr - a->addr);
	return NULL;
}

/* Rules for descriptors that say where data is; they go to @chain. */
int device_add_data(struct device *d, const struct device_desc *e, u64 *total)
{
	const char *format = d->packed ? "PACK" : "SPLIT";

	if (d->n == d->num)
		return device_complain(d, "%s: the chain has no end",
				       d->packed ? "PACK-SG-02" :
						   "SPLIT-DESC-01");
	if (d->n && (d->chain[d->n - 1].flags & WRITE) && !(e->flags & WRITE))
		return device_complain(d, "GEN-FRAME-01: to be read, but behind what is written");
	if (!e->len)
		return device_complain(d, "a descriptor of no bytes");
	*total += e->len;
	if (*total > 1ull << 32)
		return device_complain(d, "%s-DESC-01: more than 4 GiB", format);
	d->chain[d->n++] = *e;
	return 0;
}

/* Rules for a descriptor that says where a table is. */
int device_check_table(struct device *d, const struct device_desc *e)
{
	const char *format = d->packed ? "PACK" : "SPLIT";

	if (!d->indirect)
		return device_complain(d, "%s-INDIR-01: not negotiated", format);
	if (e->flags & NEXT)
		return device_complain(d, "%s-INDIR-04: INDIRECT and NEXT",
				       format);
	if (!e->len || e->len % DESC_SIZE)
		return device_complain(d, "a table of %u bytes", e->len);
	if (e->len / DESC_SIZE > d->num)
		return device_complain(d, "%s-INDIR-03: a table of %u descriptors",
				       format, e->len / DESC_SIZE);
	if (!device_map(d, e->addr, e->len))
		return device_complain(d, "no table at %#llx", e->addr);
	return 0;
}

/* How many buffers are available; of a packed ring, whether any is. */
unsigned int device_pending(struct device *d)
{
	return d->packed ? packed_pending(d) : split_pending(d);
}

/*
 * Take the next buffer. Returns its head or id, DEVICE_NONE or DEVICE_UPSET.
 */
int device_take(struct device *d)
{
	if (!device_pending(d))
		return d->complaint[0] ? DEVICE_UPSET : DEVICE_NONE;
	shim_fence(SHIM_VIRT_RMB);
	return d->packed ? packed_take(d) : split_take(d);
}

/* Use a buffer, but do not show it to the driver yet. */
void device_finish(struct device *d, u16 head, u32 len)
{
	if (d->packed)
		packed_finish(d, head, len);
	else
		split_finish(d, head, len);
	d->buf[head].n = 0;
}

/* Show the driver all used buffers. */
void device_show(struct device *d)
{
	if (d->packed)
		packed_show(d);
	else
		device_set_used_idx(d, d->used_idx);
}

/* Use one buffer. Returns true if the driver wants an interrupt for it. */
bool device_use(struct device *d, u16 head, u32 len)
{
	device_finish(d, head, len);
	device_show(d);
	return device_wants_irq(d);
}

/* Does what was used since the last call need an interrupt? */
bool device_wants_irq(struct device *d)
{
	shim_fence(SHIM_VIRT_MB);
	return d->packed ? packed_wants_irq(d) : split_wants_irq(d);
}

/* Ask for a kick when there is one more buffer. */
void device_arm(struct device *d)
{
	if (d->packed) {
		packed_arm(d);
		return;
	}
	device_set_flags(d, 0);
	device_set_avail_event(d, d->last_avail);
}

/* Ask for no kicks, or with EVENT_IDX for one at the place that @hint says. */
void device_disarm(struct device *d, u16 hint)
{
	if (d->packed) {
		packed_disarm(d, hint);
		return;
	}
	device_set_flags(d, d->event_idx ? hint >> 1 : 1);
	device_set_avail_event(d, hint);
}

/* @added more entries are in the ring: is the driver to kick? */
bool device_wants_kick(struct device *d, unsigned int added)
{
	return d->packed ? packed_wants_kick(d, added) :
			   split_wants_kick(d, added);
}

/* Bit 0: the driver should send no kicks. */
void device_set_flags(struct device *d, u16 flags)
{
	d->flags = flags;
	device_put_shared(d, d->packed ? packed_kick_flags(d) : d->used, flags);
}

/* Bit 0: the driver wants no interrupts. */
u16 device_avail_flags(struct device *d)
{
	return device_get_shared(d, d->packed ? d->avail + 2 : d->avail);
}

/*
 * Overwrite what the driver wrote for a buffer that the device took. Flags that
 * the driver may write once, or that say whose turn it is, stay, or this device
 * could not go on.
 */
void device_scribble(struct device *d, u16 head, u8 with)
{
	size_t n = d->packed || d->indirect ? 12 : DESC_SIZE;
	u16 slot = d->buf[head].slot;

	for (; slot != DEVICE_LAST; slot = d->then[slot])
		memset(d->desc + slot * DESC_SIZE, with, n);
	if (!d->packed)
		memset(d->avail + 4 + 2 * ((u16)(d->last_avail - 1) % d->num),
		       with, 2);
}
