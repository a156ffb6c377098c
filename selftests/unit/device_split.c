// SPDX-License-Identifier: GPL-2.0
/* A split ring. Offsets are those of section 2.7, counted by hand. */
#include "device_parts.h"
#include "shim.h"

static struct device_desc get_desc(const struct device *d, const u8 *table,
				   unsigned int i)
{
	struct device_desc e = device_get_addr(d, table, i);
	const u16 *p = (const u16 *)(table + i * DESC_SIZE + 12);

	e.flags = device_turn16(d, p[0]);
	e.next = device_turn16(d, p[1]);
	return e;
}

static int check_flags(struct device *d, const struct device_desc *e,
		       bool in_table)
{
	if (e->flags & ~(NEXT | WRITE | INDIRECT))
		return device_complain(d, "unknown descriptor flags %#x",
				       e->flags);
	if (in_table && e->flags & INDIRECT)
		return device_complain(d, "SPLIT-INDIR-02: a table in a table");
	return e->flags & INDIRECT ? device_check_table(d, e) : 0;
}

/* Follow the chain at @head into @chain and @slots. */
static int walk(struct device *d, u16 head)
{
	unsigned int limit = d->num, i = head;
	const u8 *table = d->desc;
	struct device_desc e;
	u64 total = 0;

	d->n = 0;
	d->nslots = 0;
	for (;;) {
		e = get_desc(d, table, i);
		if (check_flags(d, &e, table != d->desc))
			return DEVICE_UPSET;
		if (table == d->desc && d->nslots < d->num)
			d->slots[d->nslots++] = i;

		if (e.flags & INDIRECT) {
			table = device_map(d, e.addr, e.len);
			limit = e.len / DESC_SIZE;
			i = 0;
			continue;
		}

		if (device_add_data(d, &e, &total))
			return DEVICE_UPSET;
		if (!(e.flags & NEXT))
			break;
		if (e.next >= limit)
			return device_complain(d, "next is %u of %u", e.next,
					       limit);
		if (d->in_order && table != d->desc && e.next != i + 1)
			return device_complain(d, "SPLIT-INDIR-05: %u follows %u",
					       e.next, i);
		i = e.next;
	}
	if (table != d->desc && d->n != limit)
		return device_complain(d, "SPLIT-INDIR-I01: %u of %u descriptors are used",
				       d->n, limit);
	return 0;
}

/* To find out whether a buffer changes while the device owns it. */
static u64 chain_sum(const struct device *d)
{
	u64 sum = 0xcbf29ce484222325;
	unsigned int i;

	for (i = 0; i < d->n; i++) {
		sum = (sum ^ d->chain[i].addr) * 0x100000001b3;
		sum = (sum ^ d->chain[i].len) * 0x100000001b3;
		sum = (sum ^ d->chain[i].flags) * 0x100000001b3;
	}
	return sum;
}

static void check_avail_flags(struct device *d)
{
	u16 flags = device_avail_flags(d);

	if (d->event_idx && flags)
		device_complain(d, "SPLIT-UNOTIF-03: avail.flags is %#x", flags);
	if (flags > 1)
		device_complain(d, "SPLIT-UNOTIF-01: avail.flags is %#x", flags);
}

unsigned int split_pending(struct device *d)
{
	u16 idx = device_avail_idx(d);

	if ((u16)(idx - d->last_avail) > d->num ||
	    (u16)(idx - d->last_avail) < (u16)(d->seen_avail - d->last_avail))
		device_complain(d, "SPLIT-AVAIL-01: avail.idx went from %u to %u",
				d->seen_avail, idx);
	d->seen_avail = idx;
	check_avail_flags(d);
	return d->complaint[0] ? 0 : (u16)(idx - d->last_avail);
}

int split_take(struct device *d)
{
	const u8 *p = d->avail + 4 + 2 * (d->last_avail % d->num);
	u16 head = device_turn16(d, *(const u16 *)p);
	unsigned int i;

	if (head >= d->num)
		return device_complain(d, "head %u of %u is available", head,
				       d->num);
	if (d->buf[head].n)
		return device_complain(d, "head %u is available twice", head);
	if (walk(d, head))
		return DEVICE_UPSET;
	for (i = 0; i < d->nslots; i++) {
		u16 slot = d->slots[i];

		if (d->owner[slot])
			return device_complain(d, "slot %u is in two buffers",
					       slot);
		d->owner[slot] = 1 + head;
		d->then[slot] = i + 1 < d->nslots ? d->slots[i + 1] :
						    DEVICE_LAST;
	}
	d->buf[head] = (struct device_buf) {
		.n = d->n,
		.nslots = d->nslots,
		.slot = head,
		.sum = chain_sum(d),
	};
	d->last_avail++;
	return head;
}

__attribute__((no_sanitize("address")))
void device_put_used(struct device *d, u16 at, u32 id, u32 len)
{
	u8 *p = d->used + 4 + 8 * (at % d->num);

	*(u32 *)p = device_turn32(d, id);
	*(u32 *)(p + 4) = device_turn32(d, len);
}

void device_set_used_idx(struct device *d, u16 idx)
{
	d->used_idx = idx;
	shim_fence(SHIM_VIRT_WMB);
	device_put_shared(d, d->used + 2, idx);
}

void split_finish(struct device *d, u16 head, u32 len)
{
	u16 slot;

	if (!d->scribbles &&
	    (walk(d, head) || d->buf[head].n != d->n ||
	     d->buf[head].sum != chain_sum(d)))
		device_complain(d, "buffer %u changed while the device had it",
				head);
	for (slot = head; slot != DEVICE_LAST; slot = d->then[slot])
		d->owner[slot] = 0;
	device_put_used(d, d->used_idx++, head, len);
}

/*
 * Was an entry placed at index @event, on the way from @from to @to? Counted
 * out, so that it owes nothing to the specification's formula.
 */
bool device_idx_passed(u16 event, u16 from, u16 to)
{
	for (; from != to; from++)
		if (from == event)
			return true;
	return false;
}

bool split_wants_irq(struct device *d)
{
	u16 from = d->irq_idx;

	check_avail_flags(d);
	d->irq_idx = d->used_idx;
	if (d->event_idx)
		return device_idx_passed(device_used_event(d), from,
					 d->used_idx);
	return from != d->used_idx && !device_avail_flags(d);
}

bool split_wants_kick(struct device *d, unsigned int added)
{
	u16 from = d->kick_idx;

	d->kick_idx += added;
	if (d->event_idx)
		return device_idx_passed(d->event, from, d->kick_idx);
	return !(d->flags & 1);
}

void device_set_avail_event(struct device *d, u16 idx)
{
	d->event = idx;
	device_put_shared(d, d->used + 4 + 8 * d->num, idx);
}

u16 device_avail_idx(struct device *d)
{
	return device_get_shared(d, d->avail + 2);
}

u16 device_used_event(struct device *d)
{
	return device_get_shared(d, d->avail + 4 + 2 * d->num);
}
