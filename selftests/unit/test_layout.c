// SPDX-License-Identifier: GPL-2.0
/* Where the parts of a ring are, and what is in them before it is used. */
#include <stdlib.h>
#include "bed.h"

/* SPLIT-ALIGN-I01, LEG-VQ-03: worked out by hand. */
static void ring_takes_the_bytes_of_the_specification(struct bed *b)
{
	(void)b;
	/* 64 + 14 -> 128, + 38 */
	CHECK_EQ(vring_size(4, 64, false), 166);
	/* 64 + 14 -> 80, + 38 */
	CHECK_EQ(vring_size(4, 4, false), 118);
	/* 4096 + 518 -> 8192, + 2054 */
	CHECK_EQ(vring_size(256, 4096, false), 10246);
	/* 16384 + 2054 -> 18496, + 8198 */
	CHECK_EQ(vring_size(1024, 64, false), 26694);
	/* 524288 + 65542 -> 589888, + 262150 */
	CHECK_EQ(vring_size(32768, 64, false), 852038);
}

/* SPLIT-ALIGN-01 */
static void parts_of_the_ring_are_where_the_device_looks(struct bed *b)
{
	CHECK((u8 *)b->vq->desc == b->dev.desc);
	CHECK((u8 *)b->vq->avail == b->dev.avail);
	CHECK((u8 *)b->vq->used == b->dev.used);
	CHECK((u8 *)b->vq->used_event == b->dev.avail + 4 + 2 * b->cfg.num);
	CHECK((u8 *)b->vq->avail_event == b->dev.used + 4 + 8 * b->cfg.num);
	CHECK_EQ((uintptr_t)b->vq->desc % 16, 0);
	CHECK_EQ((uintptr_t)b->vq->avail % 2, 0);
	CHECK_EQ((uintptr_t)b->vq->used % 4, 0);
}

/* LEG-VQ-03 */
static void legacy_used_ring_starts_on_a_page(struct bed *b)
{
	CHECK_EQ((uintptr_t)b->vq->used % 4096, 0);
	CHECK((u8 *)b->vq->used - (u8 *)b->vq->avail <= 4096 + 6 +
	      2 * (long)b->cfg.num);
}

/* SPLIT-ANOTIF-01, SPLIT-AVAIL-I01 */
static void ring_is_zero_before_the_device_sees_it(struct bed *b)
{
	unsigned int i;

	for (i = 0; i < b->cfg.num; i++) {
		CHECK_EQ(b->vq->desc[i].addr, 0);
		CHECK_EQ(b->vq->desc[i].len, 0);
	}
	for (i = 0; i < 2 * b->cfg.num + 6; i++)
		CHECK_EQ(b->dev.avail[i], 0);
	for (i = 0; i < 3 + 4 * b->cfg.num; i++)
		CHECK_EQ(shim_load(b->dev.used + 2 * i, 2), 0);
}

static void ring_without_memory_for_tokens_fails(struct bed *b)
{
	struct virtqueue vq = {
		.packed = b->cfg.packed,
		.indirect = b->cfg.indirect,
	};
	int before = shim.allocs;

	shim.alloc_left = 0;
	CHECK_EQ(vring_init(&vq, b->cfg.num, b->ring, 4096, 0), -ENOMEM);
	CHECK(!vq.token && !vq.link);
	CHECK_EQ(shim.allocs, before);
}

static void ring_without_memory_for_links_gives_back_its_tokens(struct bed *b)
{
	struct virtqueue vq = { .packed = b->cfg.packed };
	int before = shim.allocs;

	shim.alloc_left = 1;
	CHECK_EQ(vring_init(&vq, b->cfg.num, b->ring, 4096, 0), -ENOMEM);
	CHECK(!vq.token && !vq.link);
	CHECK_EQ(shim.allocs, before);
}

static void private_memory_is_on_the_node_asked_for(struct bed *b)
{
	(void)b;
	CHECK_EQ(shim.alloc_node, 1);
}

/* With INDIRECT_DESC the tag is the slot, so nothing lists free ones. */
static void indirect_ring_has_no_list_of_slots(struct bed *b)
{
	CHECK(!b->vq->link && !b->vq->returned);
}

static void ring_that_never_was_can_be_freed(struct bed *b)
{
	struct virtqueue vq = {};

	(void)b;
	vring_free(&vq);
}

static void ring_can_be_freed_twice(struct bed *b)
{
	vring_free(b->vq);
	CHECK(!b->vq->token && !b->vq->link && !b->vq->returned);
	vring_free(b->vq);
}

/* SPLIT-AVAIL-I01: after a reset both indices start from 0. */
static void reset_forgets_all_that_was_under_way(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < n / 2; i++)
		bed_send(b, i);
	bed_use(b, 0);
	bed_use(b, n / 2 - 1);
	CHECK_EQ(bed_get(b), 0);
	virtqueue_kick_prepare(b->vq);
	virtqueue_disable_cb(b->vq);
	virtqueue_enable_cb(b->vq);

	bed_reset(b);
	if (!b->cfg.packed)
		ring_is_zero_before_the_device_sees_it(b);
	CHECK(!virtqueue_get_buf(b->vq));
	CHECK(!virtqueue_has_room(b->vq, n + 1) || b->cfg.indirect);
	CHECK(virtqueue_has_room(b->vq, n));
	for (i = 0; i < n; i++)
		CHECK(!b->vq->token[i]);

	for (i = 0; i < n / 2; i++)
		bed_send(b, i);
	CHECK(virtqueue_kick_prepare(b->vq));
}

static void reset_mends_a_broken_queue(struct bed *b)
{
	bed_send(b, 0);
	device_put_used(&b->dev, 0, b->cfg.num, 0);
	device_set_used_idx(&b->dev, 1);
	bed_expect_broken(b, "used id");

	bed_reset(b);
	CHECK(!b->vq->broken);
	bed_send(b, 0);
	bed_use(b, 0);
	CHECK_EQ(bed_get(b), 0);
	CHECK_EQ(bed_get(b), DEVICE_NONE);
}

/* As many buffers as a ring has slots, twice, so that it begins again. */
static void go_round(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	for (i = 0; i < 2 * n; i++) {
		if (i % n == 0)
			CHECK(virtqueue_has_room(b->vq, n));
		bed_add(b, i % n, 1, 0);
		if (i % n < n - 1)
			continue;
		CHECK(b->cfg.indirect || !virtqueue_has_room(b->vq, 1));
		while (b->ntaken < b->nadded)
			bed_use(b, bed_take(b));
		while (bed_get(b) != DEVICE_NONE)
			;
	}
	bed_check(b);
}

/* PCI-COMMON-09: a queue that was reset may come back with another size. */
static void queues_exchange_their_rings(struct bed *b)
{
	struct bed_config c = b->cfg;
	struct bed *other;
	struct virtqueue *vq;

	c.num = c.num == 8 ? 16 : 8;
	other = bed_open(&c);
	bed_send(b, 0);
	vring_swap(b->vq, other->vq);
	vq = b->vq;
	b->vq = other->vq;
	other->vq = vq;
	b->vq->notify = &b->doorbell;
	other->vq->notify = &other->doorbell;
	bed_reset(b);
	bed_reset(other);
	CHECK_EQ(b->vq->num, b->cfg.num);
	if (!b->cfg.packed) {
		parts_of_the_ring_are_where_the_device_looks(b);
		parts_of_the_ring_are_where_the_device_looks(other);
	}
	go_round(b);
	go_round(other);
	bed_close(other);
}

/* SPLIT-ALIGN-I01: no more than 32768 descriptors, and these work. */
static void largest_ring_goes_round(struct bed *b)
{
	const unsigned int n = 32768;
	struct bed_config c = b->cfg;
	struct bed *big;
	unsigned int i;

	if (c.num != 1024 || c.strong)
		return;
	c.num = n;
	big = bed_open(&c);
	for (i = 0; i < n; i++) {
		CHECK(virtqueue_has_room(big->vq, 1));
		bed_add(big, i, 1, 0);
	}
	CHECK(c.indirect || !virtqueue_has_room(big->vq, 1));
	for (i = 0; i < n; i++)
		bed_use(big, bed_take(big));
	for (i = 0; i < n; i++)
		CHECK_EQ(bed_get(big), i);
	CHECK_EQ(bed_get(big), DEVICE_NONE);
	CHECK(virtqueue_has_room(big->vq, n));
	bed_check(big);
	bed_close(big);
}

const struct bed_test layout_tests[] = {
	TEST(ring_takes_the_bytes_of_the_specification, SPLIT),
	TEST(parts_of_the_ring_are_where_the_device_looks, SPLIT),
	TEST(legacy_used_ring_starts_on_a_page, SPLIT | LEGACY),
	TEST(ring_is_zero_before_the_device_sees_it, SPLIT),
	TEST(ring_without_memory_for_tokens_fails, 0),
	TEST(ring_without_memory_for_links_gives_back_its_tokens, DIRECT),
	TEST(private_memory_is_on_the_node_asked_for, 0),
	TEST(indirect_ring_has_no_list_of_slots, INDIRECT),
	TEST(ring_that_never_was_can_be_freed, 0),
	TEST(ring_can_be_freed_twice, 0),
	TEST(reset_forgets_all_that_was_under_way, 0),
	TEST(reset_mends_a_broken_queue, SPLIT),
	TEST(queues_exchange_their_rings, 0),
	TEST(largest_ring_goes_round, 0),
	{}
};
