// SPDX-License-Identifier: GPL-2.0
/* Used buffers, of good and of bad devices. */
#include "bed.h"

/* Requests of two descriptors that fit into any ring of this size. */
static unsigned int send_many(struct bed *b)
{
	unsigned int n = b->cfg.num / 2, i;

	for (i = 0; i < n; i++)
		bed_send(b, i);
	return n;
}

static void device_uses_nothing(struct bed *b)
{
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	send_many(b);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	CHECK(!b->vq->broken);
}

static void device_uses_buffers_in_order(struct bed *b)
{
	unsigned int n = send_many(b), i;

	for (i = 0; i < n; i++) {
		bed_use(b, i);
		CHECK_EQ(bed_get(b), i);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
	}
}

static void device_uses_buffers_out_of_order(struct bed *b)
{
	unsigned int n = send_many(b), i;

	for (i = n; i > 0; i--)
		bed_use(b, i - 1);
	for (i = n; i > 0; i--)
		CHECK_EQ(bed_get(b), i - 1);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
}

static void device_uses_a_whole_ring_at_once(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n; i++)
		bed_add(b, i, 0, 1);
	for (i = 0; i < n; i++) {
		bed_take(b);
		device_finish(&b->dev, b->req[i].head, 1);
	}
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	device_show(&b->dev);
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_get(b), i);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
}

static void used_index_wraps_around_65536(struct bed *b)
{
	unsigned int i;

	bed_start_at(b, 0xfffd);
	for (i = 0; i < 8; i++) {
		bed_send(b, 0);
		bed_use(b, 0);
		CHECK_EQ(bed_get(b), 0);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
	}
	CHECK_EQ(b->vq->used_idx, 5);
}

/* A batch on both sides of the wrap is one batch. */
static void device_shows_a_batch_across_65536(struct bed *b)
{
	unsigned int n = b->cfg.num / 2, i;

	bed_start_at(b, 0xffff);
	send_many(b);
	for (i = 0; i < n; i++)
		device_finish(&b->dev, b->req[i].head, 1);
	device_show(&b->dev);
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_get(b), i);
}

/* One read of the index finds all buffers of a batch. */
static void index_is_looked_at_once_for_a_batch(struct bed *b)
{
	unsigned int n = send_many(b), i;

	for (i = 0; i < n; i++)
		device_finish(&b->dev, b->req[i].head, 1);
	device_show(&b->dev);
	shim.loads = 0;
	for (i = 0; i < n; i++)
		bed_get(b);
	CHECK_EQ(shim.loads, n + 1);
	CHECK_EQ(shim.barriers[SHIM_DMA_RMB] + shim.barriers[SHIM_VIRT_RMB], 1);
}

/* SPLIT-USED-01: the driver learns the outcome from the status byte. */
static void device_reports_any_length(struct bed *b)
{
	static const u32 len[] = { 0, 1, 0x7fffffff, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(len); i++) {
		bed_send(b, 0);
		device_use(&b->dev, b->req[0].head, len[i]);
		CHECK_EQ(bed_get(b), 0);
	}
}

/* SPLIT-USED-I01 for all below: an error, and no memory is touched. */
static void device_returns_an_id_out_of_range(struct bed *b)
{
	const u32 n = b->cfg.num;
	const u32 bad[] = { n, n + 1, 2 * n, 0xffff, 0x10000, 0x10001,
			    0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		bed_reset(b);
		send_many(b);
		device_put_used(&b->dev, 0, bad[i], 1);
		device_set_used_idx(&b->dev, 1);
		bed_expect_broken(b, "bad used id: ");
	}
}

/* The complaint names what the device wrote. */
static void device_is_quoted(struct bed *b)
{
	device_put_used(&b->dev, 0, 4660000, 1);
	device_set_used_idx(&b->dev, 1);
	bed_expect_broken(b, "bad used id: 4660000\n");
}

static void device_returns_an_id_twice(struct bed *b)
{
	send_many(b);
	bed_use(b, 0);
	device_put_used(&b->dev, 1, b->req[0].head, 1);
	device_set_used_idx(&b->dev, 2);
	CHECK_EQ(bed_get(b), 0);
	bed_expect_broken(b, "not in flight");
}

static void device_returns_an_id_that_was_never_given(struct bed *b)
{
	bed_send(b, 0);
	device_put_used(&b->dev, 0, b->cfg.num - 1, 1);
	device_set_used_idx(&b->dev, 1);
	bed_expect_broken(b, "not in flight");
}

/* A slot in flight, but not the head of a chain. */
static void device_returns_the_middle_of_a_chain(struct bed *b)
{
	bed_send(b, 0);
	bed_send(b, 1);
	device_put_used(&b->dev, 0, b->dev.slots[1], 1);
	device_set_used_idx(&b->dev, 1);
	bed_expect_broken(b, "not in flight");
	CHECK(!virtqueue_has_room(b->vq, b->cfg.num - 3));
}

static void device_jumps_the_used_index(struct bed *b)
{
	static const u16 starts[] = { 0, 0x7fff, 0xfff0, 0xffff };
	unsigned int n = b->cfg.num, i, j;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		const u16 jumps[] = { n + 1, n + 2, 2 * n, 0x8000, 0xff00 };

		for (j = 0; j < ARRAY_SIZE(jumps); j++) {
			bed_start_at(b, starts[i]);
			send_many(b);
			device_set_used_idx(&b->dev, starts[i] + jumps[j]);
			bed_expect_broken(b, "bad used index: ");
		}
	}
}

static void device_moves_the_used_index_back(struct bed *b)
{
	send_many(b);
	bed_use(b, 1);
	CHECK_EQ(bed_get(b), 1);
	device_set_used_idx(&b->dev, 0);
	bed_expect_broken(b, "bad used index: 0\n");
}

/* The index moves, but nobody wrote the elements: they are as old as the ring. */
static void device_forgets_to_write_an_element(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n; i++) {
		bed_send(b, 0);
		bed_use(b, 0);
		CHECK_EQ(bed_get(b), 0);
	}
	bed_send(b, 0);
	device_set_used_idx(&b->dev, n + 2);
	/* Slot 0 is in flight again, so once it is believed. */
	CHECK_EQ(bed_get(b), 0);
	bed_expect_broken(b, "not in flight");
}

static void device_mends_the_index_after_a_jump(struct bed *b)
{
	bed_send(b, 0);
	device_set_used_idx(&b->dev, b->cfg.num + 1);
	bed_expect_broken(b, "used index");
	device_put_used(&b->dev, 0, b->req[0].head, 1);
	device_set_used_idx(&b->dev, 1);
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK_EQ(shim.messages, 1);
}

static void device_mends_the_id(struct bed *b)
{
	bed_send(b, 0);
	device_put_used(&b->dev, 0, b->cfg.num, 1);
	device_set_used_idx(&b->dev, 1);
	bed_expect_broken(b, "used id");
	device_put_used(&b->dev, 0, b->req[0].head, 1);
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK_EQ(shim.messages, 1);
}

/* The owner can break a queue, too, even if the used ring is valid. */
static void owner_calls_the_queue_broken(struct bed *b)
{
	send_many(b);
	bed_use(b, 0);
	bed_use(b, 1);
	CHECK_EQ(bed_get(b), 0);
	CHECK(!virtqueue_break(b->vq, "answer", 42));
	CHECK(!strcmp(shim.message,
		      "virtio7: queue 3: device wrote a bad answer: 42\n"));
	CHECK(!virtqueue_break(b->vq, "answer", 43));
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK_EQ(shim.messages, 1);
}

/* A broken queue stays broken when the device uses no further buffer. */
static void owner_calls_an_empty_queue_broken(struct bed *b)
{
	bed_send(b, 0);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
	virtqueue_break(b->vq, "answer", 42);
	bed_send(b, 1);
	bed_use(b, 1);
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK(virtqueue_enable_cb(b->vq));
}

static struct bed *hook_bed;
static unsigned int hook_calls;
static const void *hook_address;

static void element_arrives_now(enum shim_barrier kind)
{
	struct bed *b = hook_bed;

	if (kind != (b->cfg.strong ? SHIM_DMA_RMB : SHIM_VIRT_RMB))
		return;
	hook_calls++;
	device_put_used(&b->dev, 0, b->req[1].head, 1);
}

/* SPLIT-USED-I01: the index is read, then a barrier, then the element. */
static void element_is_read_behind_the_barrier(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	send_many(b);
	device_put_used(&b->dev, 0, 0xdead, 1);
	device_set_used_idx(&b->dev, 1);
	shim.on_barrier = element_arrives_now;
	CHECK_EQ(bed_get(b), 1);
	CHECK_EQ(hook_calls, 1);
}

static void memory_changes_behind_the_look(const void *p)
{
	if (p != hook_address)
		return;
	hook_calls++;
	device_put_used(&hook_bed->dev, 0, 0xffffffff, 1);
}

/* A second read would return an id that was not validated. */
static void device_changes_an_id_behind_the_look(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	hook_address = b->dev.used + 4;
	send_many(b);
	bed_use(b, 1);
	shim.on_load = memory_changes_behind_the_look;
	CHECK_EQ(bed_get(b), 1);
	CHECK_EQ(hook_calls, 1);
}

static void index_changes_behind_the_look(const void *p)
{
	if (p != hook_address)
		return;
	hook_calls++;
	device_set_used_idx(&hook_bed->dev, 0x4000);
}

static void device_changes_the_index_behind_the_look(struct bed *b)
{
	hook_bed = b;
	hook_calls = 0;
	hook_address = b->dev.used + 2;
	send_many(b);
	bed_use(b, 1);
	bed_use(b, 0);
	shim.on_load = index_changes_behind_the_look;
	CHECK_EQ(bed_get(b), 1);
	CHECK_EQ(bed_get(b), 0);
	CHECK_EQ(hook_calls, 1);
	shim.on_load = NULL;
	bed_expect_broken(b, "used index");
}

const struct bed_test used_tests[] = {
	TEST(device_uses_nothing, SPLIT),
	TEST(device_uses_buffers_in_order, 0),
	TEST(device_uses_buffers_out_of_order, 0),
	TEST(device_uses_a_whole_ring_at_once, 0),
	TEST(used_index_wraps_around_65536, SPLIT),
	TEST(device_shows_a_batch_across_65536, SPLIT),
	TEST(index_is_looked_at_once_for_a_batch, SPLIT),
	TEST(device_reports_any_length, 0),
	TEST(device_returns_an_id_out_of_range, SPLIT),
	TEST(device_is_quoted, SPLIT),
	TEST(device_returns_an_id_twice, SPLIT),
	TEST(device_returns_an_id_that_was_never_given, SPLIT),
	TEST(device_returns_the_middle_of_a_chain, SPLIT | DIRECT),
	TEST(device_jumps_the_used_index, SPLIT),
	TEST(device_moves_the_used_index_back, SPLIT),
	TEST(device_forgets_to_write_an_element, SPLIT),
	TEST(device_mends_the_index_after_a_jump, SPLIT),
	TEST(device_mends_the_id, SPLIT),
	TEST(owner_calls_the_queue_broken, 0),
	TEST(owner_calls_an_empty_queue_broken, 0),
	TEST(element_is_read_behind_the_barrier, SPLIT),
	TEST(device_changes_an_id_behind_the_look, SPLIT),
	TEST(device_changes_the_index_behind_the_look, SPLIT),
	{}
};
