// SPDX-License-Identifier: GPL-2.0
/* Does the driver kick the device when it has to, and only then? */
#include "bed.h"

/* A batch of @n buffers, used at once; returns the decision about a kick. */
static bool batch(struct bed *b, unsigned int n)
{
	unsigned int i;
	bool kick;

	for (i = 0; i < n; i++) {
		CHECK(virtqueue_has_room(b->vq, 1));
		bed_add(b, i, 1, 0);
	}
	kick = virtqueue_kick_prepare(b->vq);
	for (i = 0; i < n; i++)
		bed_use(b, bed_take(b));
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_get(b), i);
	return kick;
}

/* Some of the numbers up to the size of the ring. */
static unsigned int step(struct bed *b)
{
	return 1 + b->cfg.num / 8;
}

/* SPLIT-ANOTIF-04 */
static void device_never_suppresses(struct bed *b)
{
	unsigned int i;

	for (i = 1; i <= b->cfg.num; i += step(b))
		CHECK(batch(b, i));
}

/* SPLIT-ANOTIF-03 */
static void device_asks_for_no_kicks(struct bed *b)
{
	device_set_flags(&b->dev, 1);
	CHECK(!batch(b, 1));
	CHECK(!batch(b, 2));
	device_set_flags(&b->dev, 0);
	CHECK(batch(b, 1));
}

/* Only bit 0 is defined. */
static void device_sets_unknown_flags(struct bed *b)
{
	device_set_flags(&b->dev, 0xfffe);
	CHECK(batch(b, 1));
	device_set_flags(&b->dev, 0xffff);
	CHECK(!batch(b, 1));
}

/* SPLIT-ANOTIF-02 */
static void device_writes_avail_event_that_was_not_negotiated(struct bed *b)
{
	unsigned int event;

	for (event = 0; event < 0x10000; event += 0x0fff) {
		device_set_avail_event(&b->dev, event);
		CHECK(batch(b, 1));
	}
	device_set_flags(&b->dev, 1);
	device_set_avail_event(&b->dev, b->dev.last_avail);
	CHECK(!batch(b, 1));
}

/* SPLIT-ANOTIF-05 */
static void device_sets_a_flag_that_event_idx_replaces(struct bed *b)
{
	device_set_flags(&b->dev, 1);
	device_set_avail_event(&b->dev, 0);
	CHECK(batch(b, 1));
	device_set_flags(&b->dev, 0);
	CHECK(!batch(b, 1));
}

/* SPLIT-ANOTIF-06: the entry at avail_event is the one just placed. */
static void device_wants_the_next_buffer(struct bed *b)
{
	unsigned int i;

	for (i = 1; i <= b->cfg.num; i += step(b)) {
		device_set_avail_event(&b->dev, b->dev.last_avail);
		CHECK(batch(b, i));
	}
}

/* SPLIT-ANOTIF-06: anywhere in a batch will do. */
static void device_wants_a_buffer_within_the_batch(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n; i += step(b)) {
		device_set_avail_event(&b->dev, b->dev.last_avail + i);
		CHECK(batch(b, n));
	}
}

/* SPLIT-ANOTIF-07 */
static void device_wants_the_buffer_behind_the_batch(struct bed *b)
{
	unsigned int i;

	for (i = 1; i < b->cfg.num; i += step(b)) {
		device_set_avail_event(&b->dev, b->dev.last_avail + i);
		CHECK(!batch(b, i));
		CHECK(batch(b, 1));
	}
}

/* SPLIT-ANOTIF-07 */
static void device_parks_avail_event_far_away(struct bed *b)
{
	unsigned int i;

	device_set_avail_event(&b->dev, 0x8000);
	for (i = 1; i <= b->cfg.num; i += step(b))
		CHECK(!batch(b, 1));
	device_set_avail_event(&b->dev, b->dev.last_avail - 1);
	for (i = 1; i <= b->cfg.num; i += step(b))
		CHECK(!batch(b, i));
}

static void avail_event_wraps_around_65536(struct bed *b)
{
	bed_start_at(b, 0xfffe);
	device_set_avail_event(&b->dev, 0xffff);
	CHECK(!batch(b, 1));			/* 0xfffe */
	CHECK(batch(b, 2));			/* 0xffff, 0 */
	device_set_avail_event(&b->dev, 3);
	CHECK(!batch(b, 2));			/* 1, 2 */
	CHECK(batch(b, 1));			/* 3 */
	bed_start_at(b, 0xffff);
	device_set_avail_event(&b->dev, 0);
	CHECK(!batch(b, 1));			/* 0xffff */
	CHECK(batch(b, 1));			/* 0 */
	bed_start_at(b, 0xfffe);
	device_set_avail_event(&b->dev, 0);
	CHECK(batch(b, 3));			/* 0xfffe to 0 */
}

/* Every avail_event against the definition, which is to count. */
static void kick_is_decided_as_the_specification_counts(struct bed *b)
{
	static const u16 starts[] = { 0, 1, 0x7fff, 0x8000, 0xfff0, 0xffff };
	unsigned int batches[] = { 0, 1, 2, 3, b->cfg.num };
	unsigned int i, j, event;

	if (b->cfg.num != 8 || b->cfg.strong || b->cfg.legacy)
		return;
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		u16 old = starts[i];

		for (j = 0; j < ARRAY_SIZE(batches); j++) {
			u16 new = old + batches[j];

			for (event = 0; event < 0x10000; event++) {
				device_set_avail_event(&b->dev, event);
				b->vq->kicked_idx = old;
				b->vq->avail_idx = new;
				CHECK_EQ(virtqueue_kick_prepare(b->vq),
					 device_idx_passed(event, old, new));
			}
		}
	}
	bed_reset(b);
}

/* What was added without a decision is part of the next one. */
static void batch_was_added_before_the_kick(struct bed *b)
{
	device_set_avail_event(&b->dev, 0);
	bed_add(b, 0, 1, 0);
	bed_add(b, 1, 1, 0);
	bed_add(b, 2, 1, 0);
	CHECK(virtqueue_kick_prepare(b->vq));
	CHECK_EQ(device_pending(&b->dev), 3);
}

/* ... and of no other. */
static void kick_was_decided_for_the_same_buffers(struct bed *b)
{
	device_set_avail_event(&b->dev, 0);
	bed_add(b, 0, 1, 0);
	CHECK(virtqueue_kick_prepare(b->vq));
	CHECK(!virtqueue_kick_prepare(b->vq));
	bed_add(b, 1, 1, 0);
	CHECK(!virtqueue_kick_prepare(b->vq));
	device_set_avail_event(&b->dev, 1);
	CHECK(!virtqueue_kick_prepare(b->vq));
}

static struct bed *hook_bed;
static unsigned int hook_calls;

static void device_goes_to_sleep_now(enum shim_barrier kind)
{
	struct bed *b = hook_bed;

	if (kind != (b->cfg.strong ? SHIM_MB : SHIM_VIRT_MB))
		return;
	hook_calls++;
	/* It has to see the index by now. */
	CHECK_EQ(device_pending(&b->dev), 1);
	device_arm(&b->dev);
}

/* SPLIT-KICK-01, PACK-KICK-01: available, barrier, then the device's event. */
static void device_goes_to_sleep_while_the_driver_decides(struct bed *b)
{
	unsigned int i;

	hook_bed = b;
	hook_calls = 0;
	for (i = 0; i < 2 * b->cfg.num; i++) {
		device_disarm(&b->dev, 0x7ffe);
		bed_add(b, 0, 1, 0);
		shim.on_barrier = device_goes_to_sleep_now;
		CHECK(virtqueue_kick_prepare(b->vq));
		shim.on_barrier = NULL;
		CHECK_EQ(bed_take(b), 0);
		bed_use(b, 0);
		CHECK_EQ(bed_get(b), 0);
		CHECK(virtqueue_has_room(b->vq, b->cfg.num));
	}
	CHECK_EQ(hook_calls, 2 * b->cfg.num);
}

static void device_changes_its_mind(const void *p)
{
	(void)p;
	device_set_flags(&hook_bed->dev, 1);
	device_set_avail_event(&hook_bed->dev, 100);
}

/* Each decision reads the device's event once. */
static void device_changes_its_mind_behind_the_look(struct bed *b)
{
	hook_bed = b;
	bed_add(b, 0, 1, 0);
	shim.loads = 0;
	shim.on_load = device_changes_its_mind;
	CHECK(virtqueue_kick_prepare(b->vq));
	CHECK_EQ(shim.loads, 1);
}

/* The device finds the new buffer by itself after the third recheck. */
static void device_comes_by_itself(const void *p)
{
	(void)p;
	if (++hook_calls == 3) {
		bed_take(hook_bed);
		device_arm(&hook_bed->dev);
	}
}

/* A device with many buffers in flight is rechecked before a kick. */
static void device_at_work_comes_by_itself(struct bed *b)
{
	unsigned int i;

	if (b->cfg.num < VRING_RECHECK_MIN + 2)
		return;
	for (i = 0; i < VRING_RECHECK_MIN; i++) {
		device_arm(&b->dev);
		bed_add(b, i, 1, 0);
		shim.loads = 0;
		CHECK(virtqueue_kick_prepare(b->vq));
		CHECK_EQ(shim.loads, 1);
		bed_take(b);
	}
	hook_bed = b;
	hook_calls = 0;
	device_arm(&b->dev);
	bed_add(b, i++, 1, 0);
	shim.on_load = device_comes_by_itself;
	CHECK(!virtqueue_kick_prepare(b->vq));
	CHECK_EQ(hook_calls, 5);
	shim.on_load = NULL;

	/* It went to sleep over all of them. */
	bed_add(b, i, 1, 0);
	shim.loads = 0;
	CHECK(virtqueue_kick_prepare(b->vq));
	CHECK_EQ(shim.loads, 3 + VRING_RECHECKS);
}

/* A device with no other buffers is kicked without a recheck. */
static void device_without_work_is_told_at_once(struct bed *b)
{
	unsigned int i;

	for (i = 0; i < 3 * b->cfg.num; i++) {
		device_arm(&b->dev);
		CHECK(virtqueue_has_room(b->vq, 2));
		bed_add(b, 0, 1, 0);
		bed_add(b, 1, 1, 0);
		shim.loads = 0;
		CHECK(virtqueue_kick_prepare(b->vq));
		CHECK_EQ(shim.loads, 1);
		bed_use(b, bed_take(b));
		bed_use(b, bed_take(b));
		CHECK_EQ(bed_get(b), 0);
		CHECK_EQ(bed_get(b), 1);
	}
}

const struct bed_test kick_tests[] = {
	TEST(device_never_suppresses, FLAGS),
	TEST(device_asks_for_no_kicks, FLAGS),
	TEST(device_sets_unknown_flags, SPLIT | FLAGS),
	TEST(device_writes_avail_event_that_was_not_negotiated, SPLIT | FLAGS),
	TEST(device_sets_a_flag_that_event_idx_replaces, SPLIT | EVENTS),
	TEST(device_wants_the_next_buffer, SPLIT | EVENTS),
	TEST(device_wants_a_buffer_within_the_batch, SPLIT | EVENTS),
	TEST(device_wants_the_buffer_behind_the_batch, SPLIT | EVENTS),
	TEST(device_parks_avail_event_far_away, SPLIT | EVENTS),
	TEST(avail_event_wraps_around_65536, SPLIT | EVENTS),
	TEST(kick_is_decided_as_the_specification_counts, SPLIT | EVENTS),
	TEST(batch_was_added_before_the_kick, SPLIT | EVENTS),
	TEST(kick_was_decided_for_the_same_buffers, SPLIT | EVENTS),
	TEST(device_goes_to_sleep_while_the_driver_decides, 0),
	TEST(device_changes_its_mind_behind_the_look, SPLIT),
	TEST(device_at_work_comes_by_itself, EVENTS),
	TEST(device_without_work_is_told_at_once, EVENTS),
	{}
};
