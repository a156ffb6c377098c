// SPDX-License-Identifier: GPL-2.0
/* Tests that are for packed rings only. */
#include <stdlib.h>
#include "bed.h"

#define AVAIL_BIT	0x80
#define USED_BIT	0x8000

/* PACK-ALIGN-I01: any size, and two structures of 4 bytes behind. */
static void packed_ring_takes_the_bytes_of_the_specification(struct bed *b)
{
	CHECK_EQ(vring_size(5, 64, true), 88);
	CHECK_EQ(vring_size(b->cfg.num, 64, true), 16 * b->cfg.num + 8);
	CHECK_EQ(vring_size(32768, 64, true), 524296);
}

/* PACK-ALIGN-01 */
static void parts_of_a_packed_ring_are_where_the_device_looks(struct bed *b)
{
	CHECK((u8 *)b->vq->desc == b->dev.desc);
	CHECK((u8 *)b->vq->driver_event == b->dev.avail);
	CHECK((u8 *)b->vq->device_event == b->dev.used);
	CHECK_EQ((uintptr_t)b->vq->desc % 16, 0);
	CHECK_EQ((uintptr_t)b->vq->driver_event % 4, 0);
	CHECK_EQ((uintptr_t)b->vq->device_event % 4, 0);
}

static void expect_new_ring(struct bed *b)
{
	unsigned int i;

	for (i = 0; i < 16 * b->cfg.num; i++)
		CHECK_EQ(b->ring[i], 0);
	CHECK_EQ(b->vq->device_event->off_wrap, 0);
	CHECK_EQ(b->vq->device_event->flags, 0);
	/* The first used descriptor interrupts. */
	CHECK_EQ(device_avail_flags(&b->dev), b->cfg.event_idx ? 2 : 0);
	CHECK_EQ(le16_to_cpu(b->vq->driver_event->off_wrap),
		 b->cfg.event_idx ? DEVICE_WRAP : 0);
}

/* PACK-WRAP-I02 */
static void packed_ring_is_zero_before_the_device_sees_it(struct bed *b)
{
	expect_new_ring(b);
}

/* PACK-WRAP-I01: both sides start on the first lap again. */
static void reset_goes_back_to_the_first_lap(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n + n / 2; i++) {
		bed_send(b, i % n);
		bed_use(b, i % n);
		CHECK_EQ(bed_get(b), i % n);
	}
	bed_send(b, 0);
	virtqueue_disable_cb(b->vq);
	bed_reset(b);
	expect_new_ring(b);
	bed_send(b, 0);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
}

/* PACK-WRAP-I01: the device would see nothing with the wrong bits. */
static void bits_turn_over_on_each_lap(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < 5 * n; i++) {
		bool wrap = b->dev.avail_pos.wrap;
		u8 *flags = packed_flags(&b->dev, b->dev.avail_pos.slot);

		CHECK(virtqueue_has_room(b->vq, 1));
		bed_add(b, i % n, 1, 0);
		CHECK_EQ(device_get_shared(&b->dev, flags) &
			 (AVAIL_BIT | USED_BIT), wrap ? AVAIL_BIT : USED_BIT);
		bed_take(b);
		bed_use(b, i % n);
		CHECK_EQ(bed_get(b), i % n);
	}
	CHECK(!b->dev.avail_pos.wrap && !b->dev.used_pos.wrap);
}

/* PACK-CHAIN-I01: lists of 3 that lie on both sides of the end. */
static void list_goes_round_the_end_of_the_ring(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < 2 * n; i++) {
		CHECK(virtqueue_has_room(b->vq, 3));
		bed_add(b, i % n, 2, 1);
		bed_take(b);
		CHECK_EQ(b->dev.nslots, 3);
		bed_use(b, i % n);
		CHECK_EQ(bed_get(b), i % n);
	}
}

/* One used descriptor stands for a list; the driver knows how long it was. */
static void lists_of_many_lengths_come_back_in_any_order(struct bed *b)
{
	unsigned int round, i;

	for (round = 0; round < 2 * b->cfg.num; round++) {
		CHECK(virtqueue_has_room(b->vq, 4));
		bed_add(b, 0, 1, 0);
		bed_add(b, 1, 1, 1);
		bed_add(b, 2, 0, 1);
		for (i = 0; i < 3; i++)
			bed_take(b);
		bed_use(b, 1);
		bed_use(b, 2);
		CHECK_EQ(bed_get(b), 1);
		CHECK_EQ(bed_get(b), 2);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
		CHECK(!virtqueue_has_room(b->vq, b->cfg.num));
		bed_use(b, 0);
		CHECK_EQ(bed_get(b), 0);
		CHECK(virtqueue_has_room(b->vq, b->cfg.num));
	}
}

static struct bed *hook_bed;
static unsigned int hook_calls;
static const void *hook_address;

static void device_looks_at_the_write_barrier(enum shim_barrier kind)
{
	struct bed *b = hook_bed;
	const struct device_desc *want = b->req[0].want;
	u16 slot = b->dev.avail_pos.slot;
	struct device_desc e = packed_get_desc(&b->dev, slot);

	if (kind != (b->cfg.strong ? SHIM_DMA_WMB : SHIM_VIRT_WMB))
		return;
	hook_calls++;
	CHECK(!device_pending(&b->dev));
	CHECK_EQ(e.addr, b->cfg.indirect ? BED_TABLES_ADDR : want->addr);
	CHECK_EQ(e.len, b->cfg.indirect ? 48 : want->len);
	CHECK(b->vq->token[0]);
	if (b->cfg.indirect)
		return;
	/* PACK-SG-06: all others were made available before. */
	e = packed_get_desc(&b->dev, slot + 2);
	CHECK_EQ(e.addr, want[2].addr);
	CHECK_EQ(e.flags, AVAIL_BIT | VRING_DESC_F_WRITE);
	CHECK_EQ(e.next, 0);
}

/* PACK-FLAGS-01: all other fields, a barrier, then the flags of the first slot. */
static void list_is_complete_before_it_is_available(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	shim.on_barrier = device_looks_at_the_write_barrier;
	bed_add(b, 0, 2, 1);
	shim.on_barrier = NULL;
	CHECK_EQ(hook_calls, 1);
	CHECK(device_pending(&b->dev));
	CHECK_EQ(bed_take(b), 0);
}

/* Without VERSION_1 there is no packed ring: it is always little-endian. */
static void packed_fields_are_little_endian(struct bed *b)
{
	struct vring_packed_desc *desc = (void *)b->vq->desc;

	bed_add(b, 3, 1, 1);
	CHECK_EQ(desc->addr, cpu_to_le64(b->cfg.indirect ?
					 BED_TABLES_ADDR + 3 * 16 * b->table_len :
					 b->req[3].want[0].addr));
	CHECK_EQ(desc->len, cpu_to_le32(b->cfg.indirect ?
					32 : b->req[3].want[0].len));
	CHECK_EQ(*(u32 *)&desc->id,
		 cpu_to_le32((b->cfg.indirect ? 0x84 : 0x81) << 16 | 3));
}

static void each_step_of_a_packed_ring_has_its_tracepoint(struct bed *b)
{
	shim.tracing = true;
	bed_add(b, 1, 1, 2);
	CHECK_EQ(shim.traces[SHIM_TRACE_ADD], 1);
	CHECK_EQ(shim.trace_a[SHIM_TRACE_ADD], 1);
	CHECK_EQ(shim.trace_b[SHIM_TRACE_ADD], 3);
	virtqueue_kick_prepare(b->vq);
	CHECK_EQ(shim.traces[SHIM_TRACE_KICK], 1);
	CHECK_EQ(shim.trace_b[SHIM_TRACE_KICK], 1);
}

/*
 * Kicks
 */

/* @n more slots; returns the decision about a kick, which is checked. */
static bool batch(struct bed *b, unsigned int n)
{
	bool kick = device_wants_kick(&b->dev, n);
	unsigned int i;

	for (i = 0; i < n; i++)
		bed_add(b, i, 1, 0);
	CHECK_EQ(virtqueue_kick_prepare(b->vq), kick);
	for (i = 0; i < n; i++)
		bed_use(b, bed_take(b));
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_get(b), i);
	return kick;
}

/* PACK-KICK-I01: every place, both laps, against counting. */
static void packed_kick_is_decided_as_one_counts(struct bed *b)
{
	unsigned int n = b->cfg.num, size, slot;

	if (n > 16 || b->cfg.strong)
		return;
	for (size = 0; size <= n; size++) {
		for (slot = 0; slot < n; slot++) {
			packed_set_event(&b->dev, slot, 2);
			batch(b, size);
			packed_set_event(&b->dev, slot | DEVICE_WRAP, 2);
			batch(b, size);
		}
		/* Start elsewhere next time. */
		batch(b, 1);
	}
}

static void device_wants_the_next_slot(struct bed *b)
{
	unsigned int i;

	for (i = 0; i < 3 * b->cfg.num; i++) {
		device_arm(&b->dev);
		CHECK(batch(b, 1 + i % 3));
		CHECK(!batch(b, 1));
	}
}

/* Flags 2 mean nothing without EVENT_IDX; rather one kick too many. */
static void device_names_a_slot_without_event_idx(struct bed *b)
{
	packed_set_event(&b->dev, DEVICE_WRAP | (b->cfg.num - 1), 2);
	CHECK(batch(b, 1));
	packed_set_event(&b->dev, 0x7fff, 2);
	CHECK(batch(b, 1));
}

static void device_sets_reserved_event_flags(struct bed *b)
{
	packed_set_event(&b->dev, 0x7fff, 3);
	CHECK(batch(b, 1));
	packed_set_event(&b->dev, 0x7fff, 1);
	CHECK(!batch(b, 1));
}

/* Both fields of the device event are read at once, so that they match. */
static void event_and_flags_are_read_together(struct bed *b)
{
	unsigned int before;

	packed_set_event(&b->dev, 3, 2);
	bed_add(b, 0, 1, 0);
	before = shim.loads;
	CHECK(!virtqueue_kick_prepare(b->vq));
	CHECK_EQ(shim.loads, before + 1);
}

/*
 * Used descriptors
 */

static void descriptor_is_half_used(struct bed *b)
{
	u8 *flags = packed_flags(&b->dev, 0);

	bed_send(b, 0);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	/* As on the lap before, which this is not. */
	device_put_shared(&b->dev, flags, 0);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	device_put_shared(&b->dev, flags, USED_BIT);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	CHECK(virtqueue_enable_cb(b->vq));
	device_put_shared(&b->dev, flags, USED_BIT | AVAIL_BIT);
	CHECK_EQ(bed_get(b), 0);
}

/* PACK-ELEM-I01 */
static void device_sets_flags_that_mean_nothing_when_used(struct bed *b)
{
	bed_send(b, 0);
	device_put_shared(&b->dev, packed_flags(&b->dev, 0), 0xffff);
	CHECK_EQ(bed_get(b), 0);
}

/* PACK-RECV-I01 for all below: an error, and no memory is touched. */
static void device_uses_an_id_out_of_range(struct bed *b)
{
	const u16 n = b->cfg.num;
	const u16 bad[] = { n, n + 1, 0x7fff, 0x8000, 0xffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		bed_reset(b);
		bed_send(b, 0);
		packed_put_used(&b->dev, b->dev.used_pos, bad[i]);
		bed_expect_broken(b, "bad used id: ");
	}
}

static void device_uses_an_id_twice(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	bed_use(b, 0);
	packed_put_used(&b->dev, b->dev.used_pos, 0);
	CHECK_EQ(bed_get(b), 0);
	bed_expect_broken(b, "not in flight");
}

static void device_uses_an_id_that_was_never_given(struct bed *b)
{
	bed_send(b, 0);
	packed_put_used(&b->dev, b->dev.used_pos, b->cfg.num - 1);
	bed_expect_broken(b, "not in flight");
}

static void device_mends_the_id_of_a_packed_ring(struct bed *b)
{
	bed_send(b, 0);
	packed_put_used(&b->dev, b->dev.used_pos, b->cfg.num);
	bed_expect_broken(b, "used id");
	packed_put_used(&b->dev, b->dev.used_pos, 0);
	CHECK(!virtqueue_get_buf(b->vq));
	/* Otherwise the owner would loop for ever. */
	CHECK(virtqueue_enable_cb(b->vq));
	bed_reset(b);
	bed_send(b, 0);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
}

static void memory_changes_behind_the_look(const void *p)
{
	if (p != hook_address)
		return;
	hook_calls++;
	packed_put_used(&hook_bed->dev,
			(struct device_pos) { .slot = 0, .wrap = true }, 0xffff);
}

/* Id and flags are one read. */
static void device_changes_a_packed_id_behind_the_look(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	hook_address = b->dev.desc + 12;
	bed_send(b, 1);
	bed_use(b, 1);
	shim.on_load = memory_changes_behind_the_look;
	shim.loads = 0;
	CHECK_EQ(bed_get(b), 1);
	CHECK_EQ(hook_calls, 1);
	CHECK_EQ(shim.loads, 1);
}

/*
 * Interrupts
 */

static u16 driver_event(struct bed *b)
{
	return device_get_shared(&b->dev, b->dev.avail);
}

/* PACK-EVT-I01 */
static void driver_event_says_no_interrupts(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	virtqueue_disable_cb(b->vq);
	CHECK_EQ(device_avail_flags(&b->dev), 1);
	CHECK(!device_use(&b->dev, 0, 1));
	CHECK_EQ(bed_get(b), 0);
	CHECK(virtqueue_enable_cb(b->vq));
	CHECK_EQ(device_avail_flags(&b->dev), 0);
	CHECK(device_use(&b->dev, 1, 1));
	CHECK_EQ(driver_event(b), 0);
}

static void driver_event_names_the_next_place(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < 5 * n; i++) {
		CHECK(virtqueue_enable_cb(b->vq));
		CHECK_EQ(driver_event(b), packed_event(b->dev.used_pos));
		virtqueue_disable_cb(b->vq);
		CHECK_EQ(device_avail_flags(&b->dev), 2);
		bed_send(b, i % n);
		CHECK(device_use(&b->dev, i % n, 1));
		CHECK_EQ(bed_get(b), i % n);
	}
}

/*
 * Does the fake device see what a driver must not do with a packed ring?
 */

static void expect_complaint(struct bed *b, const char *what)
{
	CHECK_EQ(device_take(&b->dev), DEVICE_UPSET);
	if (!strstr(b->dev.complaint, what))
		FAIL("the device says: %s", b->dev.complaint);
	b->dev.complaint[0] = '\0';
	bed_reset(b);
}

static void packed_checker_sees_a_list_that_is_not_there_yet(struct bed *b)
{
	bed_add(b, 0, 2, 1);
	device_put_shared(&b->dev, packed_flags(&b->dev, 1), 0);
	expect_complaint(b, "PACK-SG-06");
}

static void packed_checker_sees_flags_in_a_table(struct bed *b)
{
	bed_add(b, 0, 2, 1);
	((struct vring_packed_desc *)b->tables)->flags =
		cpu_to_le16(VRING_DESC_F_NEXT);
	expect_complaint(b, "PACK-INDIR-02");
}

static void packed_checker_sees_a_table_in_a_list(struct bed *b)
{
	bed_add(b, 0, 2, 1);
	device_put_shared(&b->dev, packed_flags(&b->dev, 1),
			  AVAIL_BIT | VRING_DESC_F_INDIRECT);
	expect_complaint(b, "PACK-INDIR-04");
}

static void packed_checker_sees_an_id_twice(struct bed *b)
{
	bed_add(b, 0, 2, 1);
	bed_take(b);
	bed_add(b, 1, 1, 0);
	device_put_shared(&b->dev, packed_id(&b->dev, b->dev.avail_pos.slot), 0);
	expect_complaint(b, "twice");
}

static void packed_checker_sees_an_id_out_of_range(struct bed *b)
{
	bed_add(b, 0, 1, 0);
	device_put_shared(&b->dev, packed_id(&b->dev, 0), b->cfg.num);
	expect_complaint(b, "is available");
}

static void packed_checker_sees_wrong_event_flags(struct bed *b)
{
	bed_add(b, 0, 1, 0);
	b->vq->driver_event->flags = cpu_to_le16(3);
	expect_complaint(b, "PACK-EVT-I01");
}

static void packed_checker_sees_an_event_out_of_range(struct bed *b)
{
	bed_add(b, 0, 1, 0);
	b->vq->driver_event->off_wrap = cpu_to_le16(b->cfg.num);
	expect_complaint(b, "PACK-EVT-I01");
}

const struct bed_test packed_tests[] = {
	TEST(packed_ring_takes_the_bytes_of_the_specification,
	     PACKED | ANY_SIZE),
	TEST(parts_of_a_packed_ring_are_where_the_device_looks,
	     PACKED | ANY_SIZE),
	TEST(packed_ring_is_zero_before_the_device_sees_it, PACKED | ANY_SIZE),
	TEST(reset_goes_back_to_the_first_lap, PACKED | ANY_SIZE),
	TEST(bits_turn_over_on_each_lap, PACKED | ANY_SIZE),
	TEST(list_goes_round_the_end_of_the_ring, PACKED | DIRECT | ANY_SIZE),
	TEST(lists_of_many_lengths_come_back_in_any_order,
	     PACKED | DIRECT | ANY_SIZE),
	TEST(list_is_complete_before_it_is_available, PACKED | ANY_SIZE),
	TEST(packed_fields_are_little_endian, PACKED | ANY_SIZE),
	TEST(each_step_of_a_packed_ring_has_its_tracepoint, PACKED),
	TEST(packed_kick_is_decided_as_one_counts, PACKED | EVENTS | ANY_SIZE),
	TEST(device_wants_the_next_slot, PACKED | EVENTS | ANY_SIZE),
	TEST(device_names_a_slot_without_event_idx, PACKED | FLAGS | ANY_SIZE),
	TEST(device_sets_reserved_event_flags, PACKED | ANY_SIZE),
	TEST(event_and_flags_are_read_together, PACKED | EVENTS | ANY_SIZE),
	TEST(descriptor_is_half_used, PACKED | ANY_SIZE),
	TEST(device_sets_flags_that_mean_nothing_when_used, PACKED | ANY_SIZE),
	TEST(device_uses_an_id_out_of_range, PACKED | ANY_SIZE),
	TEST(device_uses_an_id_twice, PACKED | ANY_SIZE),
	TEST(device_uses_an_id_that_was_never_given, PACKED | ANY_SIZE),
	TEST(device_mends_the_id_of_a_packed_ring, PACKED | ANY_SIZE),
	TEST(device_changes_a_packed_id_behind_the_look, PACKED | ANY_SIZE),
	TEST(driver_event_says_no_interrupts, PACKED | FLAGS | ANY_SIZE),
	TEST(driver_event_names_the_next_place, PACKED | EVENTS | ANY_SIZE),
	TEST(packed_checker_sees_a_list_that_is_not_there_yet, PACKED | DIRECT),
	TEST(packed_checker_sees_flags_in_a_table, PACKED | INDIRECT),
	TEST(packed_checker_sees_a_table_in_a_list, PACKED | DIRECT),
	TEST(packed_checker_sees_an_id_twice, PACKED),
	TEST(packed_checker_sees_an_id_out_of_range, PACKED),
	TEST(packed_checker_sees_wrong_event_flags, PACKED),
	TEST(packed_checker_sees_an_event_out_of_range, PACKED),
	{}
};
