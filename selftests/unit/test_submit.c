// SPDX-License-Identifier: GPL-2.0
/* What the device finds in the ring when the driver adds buffers. */
#include <stdlib.h>
#include "bed.h"

static void indirect_chain_is_one_slot(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	/* Every slot holds a whole table. */
	for (i = 0; i < n; i++) {
		CHECK(virtqueue_has_room(b->vq, b->table_len));
		bed_add(b, i, b->table_len - 1, 1);
	}
	for (i = 0; i < n; i++) {
		bed_take(b);
		CHECK_EQ(b->dev.nslots, 1);
	}
}

static void indirect_slot_is_the_tag(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n; i++) {
		u16 tag = n - 1 - i;

		bed_add(b, tag, 1, 1);
		bed_take(b);
		CHECK_EQ(b->req[tag].head, tag);
	}
}

/* SPLIT-INDIR-03: as long as the ring, but no longer. */
static void indirect_table_may_be_as_long_as_the_ring(struct bed *b)
{
	unsigned int n = b->cfg.num;

	bed_add(b, 0, n / 2, n - n / 2);
	bed_take(b);
	CHECK_EQ(b->dev.n, n);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
}

/* SPLIT-INDIR-01: the device would complain about any flag INDIRECT. */
static void direct_chain_takes_free_slots_and_gives_them_back(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n / 2; i++) {
		CHECK(virtqueue_has_room(b->vq, n - 2 * i));
		CHECK(!virtqueue_has_room(b->vq, n - 2 * i + 1));
		bed_add(b, i, 1, 1);
		bed_take(b);
		CHECK_EQ(b->dev.nslots, 2);
	}
	CHECK(!virtqueue_has_room(b->vq, 1));

	for (i = 0; i < n / 2; i++) {
		bed_use(b, i);
		CHECK(!virtqueue_has_room(b->vq, 2 * i + 1));
		CHECK_EQ(bed_get(b), i);
		CHECK(virtqueue_has_room(b->vq, 2 * i + 2));
		CHECK(!virtqueue_has_room(b->vq, 2 * i + 3));
	}
}

static void direct_chain_of_the_whole_ring(struct bed *b)
{
	unsigned int n = b->cfg.num, round;

	for (round = 0; round < 5; round++) {
		CHECK(virtqueue_has_room(b->vq, n));
		bed_add(b, 0, n / 2, n - n / 2);
		CHECK(!virtqueue_has_room(b->vq, 1));
		bed_take(b);
		CHECK_EQ(b->dev.nslots, n);
		bed_use(b, 0);
		CHECK_EQ(bed_get(b), 0);
	}
}

static void direct_chain_of_one(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < 3 * n; i++) {
		CHECK(virtqueue_has_room(b->vq, 1));
		bed_add(b, i % n, 0, 1);
		bed_take(b);
		bed_use(b, i % n);
		CHECK_EQ(bed_get(b), i % n);
	}
	CHECK(virtqueue_has_room(b->vq, n));
}

/* Chains of 1 and 3, returned in another order: slots are not in order. */
static void direct_slots_come_back_in_pieces(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n / 4; i++) {
		CHECK(virtqueue_has_room(b->vq, 4));
		bed_add(b, 2 * i, 1, 0);
		bed_add(b, 2 * i + 1, 2, 1);
	}
	for (i = 0; i < n / 2; i++)
		bed_take(b);
	for (i = 0; i < n / 2; i += 2)
		bed_use(b, i);
	for (i = n / 2; i > 1; i -= 2)
		bed_use(b, i - 1);
	for (i = 0; i < n / 2; i++)
		bed_get(b);

	CHECK(!virtqueue_has_room(b->vq, n + 1));
	CHECK(virtqueue_has_room(b->vq, n));
	bed_add(b, 0, n - 1, 1);
	bed_take(b);
	CHECK_EQ(b->dev.nslots, n);
}

/* The list of free slots must not lie where the device can write. */
static void device_scribbles_over_what_the_driver_wrote(struct bed *b)
{
	unsigned int n = b->cfg.num, round, i;

	b->dev.scribbles = true;
	for (round = 0; round < 4; round++) {
		for (i = 0; i < n / 2; i++) {
			bed_send(b, i);
			device_scribble(&b->dev, b->req[i].head,
					round & 1 ? 0xff : 0x02);
		}
		virtqueue_enable_cb(b->vq);
		for (i = n / 2; i > 0; i--)
			bed_use(b, i - 1);
		for (i = n / 2; i > 0; i--)
			CHECK_EQ(bed_get(b), i - 1);
	}
	CHECK(virtqueue_has_room(b->vq, n));
}

/* A device that is awake need not wait for the end of a batch. */
static void buffer_is_available_once_it_is_added(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n; i++) {
		bed_add(b, i, 1, 0);
		CHECK_EQ(device_pending(&b->dev), i + 1);
	}
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_take(b), i);
}

static struct bed *hook_bed;
static unsigned int hook_calls;

static void device_looks_at_the_write_barrier(enum shim_barrier kind)
{
	struct bed *b = hook_bed;
	u16 last = b->dev.last_avail;

	if (kind != (b->cfg.strong ? SHIM_DMA_WMB : SHIM_VIRT_WMB))
		return;
	hook_calls++;
	/* Not shown yet, but all there if one looks behind the index. */
	CHECK_EQ(device_avail_idx(&b->dev), last);
	shim.on_barrier = NULL;
	bed_show_avail(b, last + 1);
	CHECK_EQ(bed_take(b), hook_calls - 1);
}

/* SPLIT-IDX-01 */
static void buffer_is_complete_before_the_index_moves(struct bed *b)
{
	unsigned int i;

	hook_bed = b;
	hook_calls = 0;
	for (i = 0; i < 2; i++) {
		shim.on_barrier = device_looks_at_the_write_barrier;
		bed_add(b, i, 1, 1);
		CHECK_EQ(device_avail_idx(&b->dev), i + 1);
	}
	CHECK_EQ(hook_calls, 2);
}

/* GEN-RSVD-08, and a device in software gets the cheap ones. */
static void barriers_are_those_that_were_negotiated(struct bed *b)
{
	bool strong = b->cfg.strong;

	bed_send(b, 0);
	virtqueue_kick_prepare(b->vq);
	bed_use(b, 0);
	bed_get(b);
	virtqueue_enable_cb(b->vq);

	CHECK_EQ(shim.barriers[SHIM_DMA_WMB], strong ? 1 : 0);
	CHECK_EQ(shim.barriers[SHIM_VIRT_WMB], strong ? 0 : 1);
	CHECK_EQ(shim.barriers[SHIM_DMA_RMB], strong ? 1 : 0);
	CHECK_EQ(shim.barriers[SHIM_VIRT_RMB], strong ? 0 : 1);
	CHECK_EQ(shim.barriers[SHIM_MB], strong ? 2 : 0);
	CHECK_EQ(shim.barriers[SHIM_VIRT_MB], strong ? 0 : 2);
}

/* SPLIT-AVAIL-I01 */
static void avail_index_wraps_around_65536(struct bed *b)
{
	unsigned int i;

	bed_start_at(b, 0xfffe);
	for (i = 0; i < 4; i++) {
		bed_send(b, i % 2);
		CHECK_EQ(device_avail_idx(&b->dev), (0xffff + i) & 0xffff);
		bed_use(b, i % 2);
		CHECK_EQ(bed_get(b), i % 2);
	}
	CHECK_EQ(device_avail_idx(&b->dev), 2);
}

/* Descriptors whose flags were prepared are the same as those that are filled. */
static void prepared_descriptors_are_the_same(struct bed *b)
{
	u16 flags[] = { VRING_DESC_F_NEXT, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE };
	struct vring_desc filled, prepared;
	unsigned int i, next;
	u64 rest;

	for (i = 0; i < 2; i++) {
		rest = virtqueue_prepare_rest(b->vq, 254, flags[i]);
		for (next = 254; next < 259; next++) {
			memset(&prepared, 0xff, sizeof(prepared));
			memset(&filled, 0xff, sizeof(filled));
			vring_set_desc(b->vq, b->vq->packed, &filled, next,
				       0x1122334455667788, 0x99aabbcc, flags[i]);
			virtqueue_fill_desc(b->vq, &prepared, 0x1122334455667788,
					    0x99aabbcc, rest);
			CHECK(!memcmp(&filled, &prepared, sizeof(prepared)));
			rest = virtqueue_next_rest(b->vq, b->vq->packed, rest);
		}
	}
}

static void expect_bytes(const u8 *p, u64 value, unsigned int n, bool reverse)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK_EQ(p[reverse ? n - 1 - i : i], value >> (8 * i) & 0xff);
}

/*
 * Section 2.4.3: VERSION_1 makes all fields little-endian. This host is, too,
 * so that a modern ring of a big-endian guest is one whose bytes are reversed.
 */
static void fields_have_the_byte_order_of_the_device(struct bed *b)
{
	bool reverse = SHIM_BE && !b->cfg.legacy;
	struct vring_desc desc;
	const u8 *p = (u8 *)&desc;

	virtqueue_set_desc(b->vq, &desc, 0, 0x1122334455667788, 0x99aabbcc,
			   0xddee);
	expect_bytes(p, 0x1122334455667788, 8, reverse);
	expect_bytes(p + 8, 0x99aabbcc, 4, reverse);
	expect_bytes(p + 12, 0xddee, 2, reverse);
	expect_bytes(p + 14, 1, 2, reverse);

	bed_start_at(b, 0x1234);
	expect_bytes(b->dev.avail + 2, 0x1234, 2, reverse);
	bed_add(b, 2, 1, 1);
	p = b->ring + (b->cfg.indirect ? 2 * 16 : 0);
	if (b->cfg.indirect)
		expect_bytes(p, BED_TABLES_ADDR + 2 * b->table_len * 16, 8,
			     reverse);
	else
		expect_bytes(p, b->req[2].want[0].addr, 8, reverse);
	expect_bytes(p + 8, b->cfg.indirect ? 32 : b->req[2].want[0].len, 4,
		     reverse);
	expect_bytes(p + 12, b->cfg.indirect ? 4 : 1, 2, reverse);
	expect_bytes(b->dev.avail + 4 + 2 * (0x1234 % b->cfg.num),
		     b->cfg.indirect ? 2 : 0, 2, reverse);
}

/* Section 4.1.5.2: the queue's index, 16 bits wide. */
static void notification_is_the_index_of_the_queue(struct bed *b)
{
	virtqueue_notify(b->vq);
	CHECK_EQ(shim.notifies, 1);
	CHECK_EQ(shim.notify_value, 3);
	CHECK(shim.notify_addr == &b->doorbell);
	CHECK(!shim.notify_pio);
	CHECK_EQ(shim.notify_bytes, 2);

	b->vq->notify_other = true;
	virtqueue_notify(b->vq);
	CHECK_EQ(shim.notifies, 2);
	CHECK_EQ(shim.notify_value, 3);
	CHECK(shim.notify_addr == &b->doorbell);
	CHECK(shim.notify_pio);
	CHECK_EQ(shim.notify_bytes, 2);
}

/* PCI-NOTIF-05: a kick writes the id that the device chose for the queue. */
static void notification_is_what_the_device_wants(struct bed *b)
{
	b->vq->notify_id = 0xbee3;
	virtqueue_notify(b->vq);
	CHECK_EQ(shim.notify_value, 0xbee3);
	CHECK_EQ(shim.notify_bytes, 2);
}

/*
 * PCI-NOTIF-02, PCI-NOTIF-04, PCI-NOTIF-06: and in the upper half of 32 bits,
 * where the next buffer will be, counted here by hand.
 */
static void notification_has_the_place_of_the_next_buffer(struct bed *b)
{
	unsigned int n = b->cfg.num, lap, i, next;

	b->vq->notify_id = 0xbee3;
	b->vq->notify_data = true;
	b->vq->notify_other = true;
	for (lap = 0, next = 0; lap < 3; lap++) {
		for (i = 0; i < n; i++) {
			CHECK(virtqueue_has_room(b->vq, 1));
			bed_add(b, i, 1, 0);
			virtqueue_kick_prepare(b->vq);
			next++;
			virtqueue_notify(b->vq);
			CHECK_EQ(shim.notify_bytes, 4);
			CHECK_EQ(shim.notify_value & 0xffff, 0xbee3);
			CHECK_EQ(shim.notify_value >> 16,
				 b->cfg.packed ? next % n |
				 (next / n % 2 ? 0 : 0x8000) : next);
			bed_use(b, bed_take(b));
			CHECK_EQ(bed_get(b), i);
		}
	}
}

static void each_step_has_its_tracepoint(struct bed *b)
{
	shim.tracing = true;
	bed_add(b, 1, 1, 2);
	CHECK_EQ(shim.traces[SHIM_TRACE_ADD], 1);
	CHECK_EQ(shim.trace_a[SHIM_TRACE_ADD], b->cfg.indirect ? 1 : 0);
	CHECK_EQ(shim.trace_b[SHIM_TRACE_ADD], 3);

	virtqueue_kick_prepare(b->vq);
	CHECK_EQ(shim.traces[SHIM_TRACE_KICK], 1);
	CHECK_EQ(shim.trace_a[SHIM_TRACE_KICK], 1);
	CHECK_EQ(shim.trace_b[SHIM_TRACE_KICK], 1);

	CHECK_EQ(shim.traces[SHIM_TRACE_NOTIFY], 0);
	virtqueue_notify(b->vq);
	CHECK_EQ(shim.traces[SHIM_TRACE_NOTIFY], 1);
	CHECK_EQ(shim.trace_a[SHIM_TRACE_NOTIFY], 3);
}

const struct bed_test submit_tests[] = {
	TEST(indirect_chain_is_one_slot, INDIRECT),
	TEST(indirect_slot_is_the_tag, INDIRECT),
	TEST(indirect_table_may_be_as_long_as_the_ring, INDIRECT),
	TEST(direct_chain_takes_free_slots_and_gives_them_back, DIRECT),
	TEST(direct_chain_of_the_whole_ring, DIRECT),
	TEST(direct_chain_of_one, DIRECT),
	TEST(direct_slots_come_back_in_pieces, DIRECT),
	TEST(device_scribbles_over_what_the_driver_wrote, 0),
	TEST(buffer_is_available_once_it_is_added, SPLIT),
	TEST(buffer_is_complete_before_the_index_moves, SPLIT),
	TEST(barriers_are_those_that_were_negotiated, 0),
	TEST(avail_index_wraps_around_65536, SPLIT),
	TEST(prepared_descriptors_are_the_same, 0),
	TEST(fields_have_the_byte_order_of_the_device, SPLIT),
	TEST(notification_is_the_index_of_the_queue, 0),
	TEST(notification_is_what_the_device_wants, 0),
	TEST(notification_has_the_place_of_the_next_buffer, ANY_SIZE),
	TEST(each_step_has_its_tracepoint, SPLIT),
	{}
};
