// SPDX-License-Identifier: GPL-2.0
/* When does the driver ask for interrupts, and does it miss a buffer? */
#include "bed.h"

/* SPLIT-UNOTIF-01, SPLIT-UNOTIF-02 */
static void flags_ask_for_no_interrupts(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	CHECK_EQ(device_avail_flags(&b->dev), 0);
	virtqueue_disable_cb(b->vq);
	CHECK_EQ(device_avail_flags(&b->dev), 1);
	CHECK(!device_use(&b->dev, b->req[0].head, 1));
	CHECK_EQ(bed_get(b), 0);
	CHECK(virtqueue_enable_cb(b->vq));
	CHECK_EQ(device_avail_flags(&b->dev), 0);
	CHECK(device_use(&b->dev, b->req[1].head, 1));
}

/* SPLIT-UNOTIF-03 */
static void flags_stay_0_with_event_idx(struct bed *b)
{
	virtqueue_disable_cb(b->vq);
	CHECK_EQ(device_avail_flags(&b->dev), 0);
	virtqueue_enable_cb(b->vq);
	CHECK_EQ(device_avail_flags(&b->dev), 0);
}

/* Without EVENT_IDX the field behind the ring is not the device's to read. */
static void used_event_stays_0_without_event_idx(struct bed *b)
{
	bed_send(b, 0);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
	CHECK(virtqueue_enable_cb(b->vq));
	CHECK_EQ(device_used_event(&b->dev), 0);
}

/* SPLIT-UNOTIF-04 */
static void used_event_names_the_next_buffer(struct bed *b)
{
	unsigned int i;

	bed_start_at(b, 0xfffe);
	for (i = 0; i < 4; i++) {
		CHECK(virtqueue_enable_cb(b->vq));
		CHECK_EQ(device_used_event(&b->dev), (0xfffe + i) & 0xffff);
		bed_send(b, 0);
		CHECK(device_use(&b->dev, b->req[0].head, 1));
		CHECK_EQ(bed_get(b), 0);
	}
}

/* SPLIT-UNOTIF-04: one interrupt, until the driver asks for the next. */
static void used_event_stays_behind_while_not_asked(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	CHECK(virtqueue_enable_cb(b->vq));
	CHECK(device_use(&b->dev, b->req[0].head, 1));
	virtqueue_disable_cb(b->vq);
	CHECK_EQ(bed_get(b), 0);
	CHECK(!device_use(&b->dev, b->req[1].head, 1));
	CHECK_EQ(bed_get(b), 1);
}

static void first_buffer_interrupts_without_being_asked(struct bed *b)
{
	bed_send(b, 0);
	CHECK(device_use(&b->dev, b->req[0].head, 1));
}

/* SPLIT-UNOTIF-05 */
static void device_interrupts_for_nothing(struct bed *b)
{
	unsigned int i;

	bed_send(b, 0);
	for (i = 0; i < 100; i++) {
		virtqueue_disable_cb(b->vq);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
		CHECK(virtqueue_enable_cb(b->vq));
	}
	CHECK(!b->vq->broken);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
}

static void buffer_was_used_before_interrupts_were_asked_for(struct bed *b)
{
	bed_send(b, 0);
	virtqueue_disable_cb(b->vq);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	bed_use(b, 0);
	CHECK(!virtqueue_enable_cb(b->vq));
	CHECK_EQ(bed_get(b), 0);
	CHECK(virtqueue_enable_cb(b->vq));
}

/* An owner that leaves used buffers in the ring is told that there are more. */
static void buffers_are_left_when_interrupts_are_asked_for(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	bed_use(b, 0);
	bed_use(b, 1);
	CHECK_EQ(bed_get(b), 0);
	CHECK(!virtqueue_enable_cb(b->vq));
	CHECK_EQ(bed_get(b), 1);
	CHECK(virtqueue_enable_cb(b->vq));
}

static struct bed *hook_bed;
static unsigned int hook_calls;

static void device_uses_a_buffer_now(enum shim_barrier kind)
{
	struct bed *b = hook_bed;

	if (kind != (b->cfg.strong ? SHIM_MB : SHIM_VIRT_MB))
		return;
	hook_calls++;
	/* The driver must have asked by now. */
	CHECK(device_use(&b->dev, b->req[0].head, 1));
}

/* SPLIT-RECV-I01: interrupts are enabled, then a barrier, then the last check. */
static void device_uses_a_buffer_while_interrupts_are_asked_for(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	bed_send(b, 0);
	virtqueue_disable_cb(b->vq);
	shim.on_barrier = device_uses_a_buffer_now;
	CHECK(!virtqueue_enable_cb(b->vq));
	shim.on_barrier = NULL;
	CHECK_EQ(hook_calls, 1);
	CHECK_EQ(bed_get(b), 0);
	CHECK(virtqueue_enable_cb(b->vq));
}

/* Otherwise the owner would loop for ever, and get only errors. */
static void nothing_more_is_expected_of_a_broken_queue(struct bed *b)
{
	bed_send(b, 0);
	device_set_used_idx(&b->dev, b->cfg.num + 1);
	virtqueue_disable_cb(b->vq);
	bed_expect_broken(b, "used index");
	CHECK(virtqueue_enable_cb(b->vq));
}

const struct bed_test callback_tests[] = {
	TEST(flags_ask_for_no_interrupts, SPLIT | FLAGS),
	TEST(flags_stay_0_with_event_idx, SPLIT | EVENTS),
	TEST(used_event_stays_0_without_event_idx, SPLIT | FLAGS),
	TEST(used_event_names_the_next_buffer, SPLIT | EVENTS),
	TEST(used_event_stays_behind_while_not_asked, EVENTS),
	TEST(first_buffer_interrupts_without_being_asked, 0),
	TEST(device_interrupts_for_nothing, 0),
	TEST(buffer_was_used_before_interrupts_were_asked_for, 0),
	TEST(buffers_are_left_when_interrupts_are_asked_for, 0),
	TEST(device_uses_a_buffer_while_interrupts_are_asked_for, 0),
	TEST(nothing_more_is_expected_of_a_broken_queue, SPLIT),
	{}
};
