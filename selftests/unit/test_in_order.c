// SPDX-License-Identifier: GPL-2.0
/* IN_ORDER: one used entry stands for all buffers up to the one it names. */
#include "bed.h"

static void in_order(struct bed *b)
{
	b->vq->in_order = true;
}

/* Tags in no order at all, on their way to the device. */
static void send(struct bed *b, unsigned int n, u16 *tags)
{
	unsigned int i, step = b->cfg.num - 1;
	static u16 next;

	for (i = 0; i < n; i++) {
		do
			next = (next + step) % b->cfg.num;
		while (b->req[next].n);
		tags[i] = next;
		bed_send(b, next);
	}
}

static u16 place(struct bed *b)
{
	return b->cfg.packed ? b->dev.used_pos.slot :
			       b->dev.used_idx % b->cfg.num;
}

/* The device ends @n of the oldest with one entry, and skips the rest. */
static void use_batch(struct bed *b, unsigned int n, u16 last)
{
	struct device_pos at = b->dev.used_pos;
	u16 slot, i;

	for (i = 0; i < n; i++) {
		slot = (place(b) + (b->cfg.packed ? 0 : i)) % b->cfg.num;
		b->dev.buf[slot].n = 0;
		b->dev.owner[slot] = 0;
		if (b->cfg.packed) {
			b->dev.busy--;
			packed_step(&b->dev, &b->dev.used_pos);
		} else {
			device_put_used(&b->dev, b->dev.used_idx + i,
					i ? 0xdeadbeef : last, 0);
		}
	}
	if (b->cfg.packed)
		packed_put_used(&b->dev, at, last);
	else
		device_set_used_idx(&b->dev, b->dev.used_idx + n);
}

static u16 nth(struct bed *b, unsigned int n)
{
	return (place(b) + n - 1) % b->cfg.num;
}

static void slots_are_taken_in_order(struct bed *b)
{
	u16 tags[4], i, lap;

	in_order(b);
	for (lap = 0; lap < 3 * b->cfg.num; lap++) {
		send(b, 4, tags);
		for (i = 0; i < 4; i++) {
			CHECK_EQ(b->req[tags[i]].head, (4 * lap + i) % b->cfg.num);
			bed_use(b, tags[i]);
			CHECK_EQ(bed_get(b), tags[i]);
			CHECK_EQ(bed_get(b), DEVICE_NONE);
		}
	}
}

static void one_entry_ends_many(struct bed *b)
{
	u16 tags[4], i, n, lap;

	in_order(b);
	for (lap = 0; lap < 3 * b->cfg.num; lap++) {
		for (n = 1; n <= 4; n++) {
			send(b, n, tags);
			use_batch(b, n, nth(b, n));
			for (i = 0; i < n; i++)
				CHECK_EQ(bed_get(b), tags[i]);
			CHECK_EQ(bed_get(b), DEVICE_NONE);
			CHECK(virtqueue_enable_cb(b->vq));
		}
	}
}

static void two_batches_at_once(struct bed *b)
{
	u16 tags[4], i;

	in_order(b);
	send(b, 4, tags);
	use_batch(b, 3, nth(b, 3));
	CHECK_EQ(bed_get(b), tags[0]);
	use_batch(b, 1, nth(b, 1));
	for (i = 1; i < 4; i++)
		CHECK_EQ(bed_get(b), tags[i]);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
}

/* All of the ring, which is as many as can be. */
static void batch_of_the_whole_ring(struct bed *b)
{
	u16 tags[1024], i, lap;

	in_order(b);
	for (lap = 0; lap < 3; lap++) {
		send(b, b->cfg.num, tags);
		use_batch(b, b->cfg.num, nth(b, b->cfg.num));
		for (i = 0; i < b->cfg.num; i++)
			CHECK_EQ(bed_get(b), tags[i]);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
	}
}

static void entry_names_one_that_was_not_sent(struct bed *b)
{
	u16 tags[3], i;

	in_order(b);
	send(b, 2, tags);
	use_batch(b, 2, nth(b, 3));
	if (b->cfg.packed)
		for (i = 0; i < 2; i++)
			CHECK_EQ(bed_get(b), tags[i]);
	bed_expect_broken(b, "bad used id");
}

static void entry_names_no_slot(struct bed *b)
{
	u16 tags[2];

	in_order(b);
	send(b, 2, tags);
	use_batch(b, 1, b->cfg.num);
	bed_expect_broken(b, "bad used id");
}

static void index_beyond_the_batch(struct bed *b)
{
	u16 tags[2];

	in_order(b);
	send(b, 2, tags);
	device_put_used(&b->dev, 0, 1, 0);
	device_set_used_idx(&b->dev, b->cfg.num + 1);
	bed_expect_broken(b, "bad used index");
}

/* Broken in the middle of a batch, a reset makes it whole. */
static void reset_in_a_batch(struct bed *b)
{
	u16 tags[4], i;

	in_order(b);
	send(b, 4, tags);
	use_batch(b, 4, nth(b, 4));
	CHECK_EQ(bed_get(b), tags[0]);
	virtqueue_break(b->vq, "test", 0);
	CHECK(!virtqueue_get_buf(b->vq));
	bed_reset(b);
	send(b, 4, tags);
	use_batch(b, 2, nth(b, 2));
	for (i = 0; i < 2; i++)
		CHECK_EQ(bed_get(b), tags[i]);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
}

const struct bed_test in_order_tests[] = {
	TEST(slots_are_taken_in_order, INDIRECT | ANY_SIZE),
	TEST(one_entry_ends_many, INDIRECT | ANY_SIZE),
	TEST(two_batches_at_once, INDIRECT | ANY_SIZE),
	TEST(batch_of_the_whole_ring, INDIRECT | ANY_SIZE),
	TEST(entry_names_one_that_was_not_sent, INDIRECT | ANY_SIZE),
	TEST(entry_names_no_slot, INDIRECT | ANY_SIZE),
	TEST(index_beyond_the_batch, INDIRECT | SPLIT),
	TEST(reset_in_a_batch, INDIRECT | ANY_SIZE),
	{}
};
