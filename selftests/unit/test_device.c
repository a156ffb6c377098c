// SPDX-License-Identifier: GPL-2.0
/* Tests of the fake device: it has to find each error of a bad driver. */
#include <stdlib.h>
#include "bed.h"

/* The device takes the available buffer, and has to complain. */
static void expect_complaint(struct bed *b, const char *what)
{
	CHECK_EQ(device_take(&b->dev), DEVICE_UPSET);
	if (!strstr(b->dev.complaint, what))
		FAIL("the device says: %s", b->dev.complaint);
	b->dev.complaint[0] = '\0';
	bed_reset(b);
}

/* A good request, to be spoiled; its first descriptor as the device finds it. */
static struct vring_desc *add_one(struct bed *b, unsigned int out,
				  unsigned int in)
{
	bed_add(b, 0, out, in);
	return b->cfg.indirect ? b->tables : b->vq->desc;
}

static void checker_sees_a_loop(struct bed *b)
{
	struct vring_desc *desc = add_one(b, 2, 0);

	b->dev.in_order = false;
	desc[1].flags = vring16(b->vq, VRING_DESC_F_NEXT);
	desc[1].next = 0;
	expect_complaint(b, "SPLIT-DESC-01: the chain has no end");
}

static void checker_sees_too_many_bytes(struct bed *b)
{
	struct vring_desc *desc = add_one(b, 2, 0);

	desc[0].len = vring32(b->vq, 0xffffffff);
	desc[1].len = vring32(b->vq, 2);
	expect_complaint(b, "SPLIT-DESC-01: more than 4 GiB");
}

static void checker_sees_an_empty_descriptor(struct bed *b)
{
	add_one(b, 1, 0)->len = 0;
	expect_complaint(b, "no bytes");
}

static void checker_sees_a_chain_that_leaves_its_table(struct bed *b)
{
	add_one(b, 2, 0)->next = vring16(b->vq, b->cfg.num);
	expect_complaint(b, "next is");
}

static void checker_sees_unknown_flags(struct bed *b)
{
	add_one(b, 1, 0)->flags = vring16(b->vq, 8);
	expect_complaint(b, "unknown");
}

static void checker_sees_writing_before_reading(struct bed *b)
{
	add_one(b, 2, 0)->flags = vring16(b->vq, VRING_DESC_F_NEXT |
						 VRING_DESC_F_WRITE);
	expect_complaint(b, "GEN-FRAME-01");
}

static void checker_sees_a_table_that_was_not_negotiated(struct bed *b)
{
	add_one(b, 1, 0)->flags = vring16(b->vq, VRING_DESC_F_INDIRECT);
	expect_complaint(b, "SPLIT-INDIR-01");
}

static void checker_sees_a_table_in_a_table(struct bed *b)
{
	add_one(b, 1, 0)->flags = vring16(b->vq, VRING_DESC_F_INDIRECT);
	expect_complaint(b, "SPLIT-INDIR-02");
}

static void checker_sees_a_table_longer_than_the_ring(struct bed *b)
{
	add_one(b, 1, 1);
	b->vq->desc[0].len = vring32(b->vq, 16 * (b->cfg.num + 1));
	expect_complaint(b, "SPLIT-INDIR-03");
}

static void checker_sees_something_behind_a_table(struct bed *b)
{
	add_one(b, 1, 1);
	b->vq->desc[0].flags = vring16(b->vq, VRING_DESC_F_INDIRECT |
					      VRING_DESC_F_NEXT);
	expect_complaint(b, "SPLIT-INDIR-04");
}

static void checker_sees_entries_out_of_order(struct bed *b)
{
	struct vring_desc *desc = add_one(b, 3, 0);

	desc[0].next = vring16(b->vq, 2);
	expect_complaint(b, "SPLIT-INDIR-05");
}

static void checker_sees_part_of_a_descriptor(struct bed *b)
{
	add_one(b, 1, 1);
	b->vq->desc[0].len = vring32(b->vq, 31);
	expect_complaint(b, "a table of 31 bytes");
}

static void checker_sees_a_table_that_is_too_long(struct bed *b)
{
	add_one(b, 1, 1);
	b->vq->desc[0].len = vring32(b->vq, 48);
	expect_complaint(b, "SPLIT-INDIR-I01: 2 of 3");
}

static void checker_sees_a_table_nowhere(struct bed *b)
{
	add_one(b, 1, 1);
	b->vq->desc[0].addr = vring64(b->vq, BED_TABLES_ADDR - 16);
	expect_complaint(b, "no table");
}

static void checker_sees_a_head_out_of_range(struct bed *b)
{
	add_one(b, 1, 0);
	b->vq->avail->ring[0] = vring16(b->vq, b->cfg.num);
	expect_complaint(b, "is available");
}

static void checker_sees_a_head_twice(struct bed *b)
{
	add_one(b, 1, 0);
	bed_take(b);
	bed_add(b, 1, 1, 0);
	b->vq->avail->ring[1] = vring16(b->vq, b->req[0].head);
	expect_complaint(b, "twice");
}

static void checker_sees_a_slot_in_two_chains(struct bed *b)
{
	add_one(b, 2, 0);
	bed_take(b);
	bed_add(b, 1, 2, 0);
	b->vq->desc[2].next = vring16(b->vq, 1);
	expect_complaint(b, "in two buffers");
}

static void checker_sees_the_index_jump(struct bed *b)
{
	bed_show_avail(b, b->cfg.num + 1);
	expect_complaint(b, "SPLIT-AVAIL-01");
}

static void checker_sees_the_index_go_back(struct bed *b)
{
	bed_add(b, 0, 1, 0);
	bed_add(b, 1, 1, 0);
	CHECK_EQ(device_pending(&b->dev), 2);
	bed_show_avail(b, 1);
	expect_complaint(b, "SPLIT-AVAIL-01");
}

static void checker_sees_wrong_flags(struct bed *b)
{
	b->vq->avail->flags = vring16(b->vq, b->cfg.event_idx ? 1 : 2);
	expect_complaint(b, b->cfg.event_idx ? "SPLIT-UNOTIF-03" :
					       "SPLIT-UNOTIF-01");
}

static void checker_sees_a_buffer_change(struct bed *b)
{
	struct vring_desc *desc = add_one(b, 1, 1);

	bed_take(b);
	desc[0].addr++;
	bed_use(b, 0);
	CHECK(strstr(b->dev.complaint, "changed"));
	b->dev.complaint[0] = '\0';
}

const struct bed_test device_tests[] = {
	TEST(checker_sees_a_loop, SPLIT),
	TEST(checker_sees_too_many_bytes, SPLIT),
	TEST(checker_sees_an_empty_descriptor, SPLIT),
	TEST(checker_sees_a_chain_that_leaves_its_table, SPLIT),
	TEST(checker_sees_unknown_flags, SPLIT),
	TEST(checker_sees_writing_before_reading, SPLIT),
	TEST(checker_sees_a_table_that_was_not_negotiated, SPLIT | DIRECT),
	TEST(checker_sees_a_table_in_a_table, SPLIT | INDIRECT),
	TEST(checker_sees_a_table_longer_than_the_ring, SPLIT | INDIRECT),
	TEST(checker_sees_something_behind_a_table, SPLIT | INDIRECT),
	TEST(checker_sees_entries_out_of_order, SPLIT | INDIRECT),
	TEST(checker_sees_part_of_a_descriptor, SPLIT | INDIRECT),
	TEST(checker_sees_a_table_that_is_too_long, SPLIT | INDIRECT),
	TEST(checker_sees_a_table_nowhere, SPLIT | INDIRECT),
	TEST(checker_sees_a_head_out_of_range, SPLIT),
	TEST(checker_sees_a_head_twice, SPLIT),
	TEST(checker_sees_a_slot_in_two_chains, SPLIT | DIRECT),
	TEST(checker_sees_the_index_jump, SPLIT),
	TEST(checker_sees_the_index_go_back, SPLIT),
	TEST(checker_sees_wrong_flags, SPLIT),
	TEST(checker_sees_a_buffer_change, SPLIT),
	{}
};
