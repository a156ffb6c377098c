// SPDX-License-Identifier: GPL-2.0
/* See bed.h. */
#include <stdio.h>
#include <stdlib.h>
#include "bed.h"

#define PAGE		4096
#define CACHE_LINE	64
/* A value that no ring contains by chance. */
#define MARGIN		0xa5

/*
 * The ring may read what the device writes by READ_ONCE() only, and not write it.
 * AddressSanitizer checks that, in units of 8 bytes.
 */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

static u8 *used_inside(struct bed *b, size_t *size)
{
	uintptr_t start = ALIGN((uintptr_t)b->dev.used, 8);
	uintptr_t end = (uintptr_t)(b->ring + b->ring_size) & ~7ul;

	/* Both sides write to a packed ring. */
	*size = b->cfg.packed ? 0 : end - start;
	return (u8 *)start;
}

static void lock_used(struct bed *b)
{
	size_t size;
	u8 *p = used_inside(b, &size);

	__asan_poison_memory_region(p, size);
}

static void unlock_used(struct bed *b)
{
	size_t size;
	u8 *p = used_inside(b, &size);

	__asan_unpoison_memory_region(p, size);
}
#else
static void lock_used(struct bed *b)
{
	(void)b;
}

static void unlock_used(struct bed *b)
{
	(void)b;
}
#endif

static void *alloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		abort();
	return p;
}

/* Pseudo-random numbers, the same ones for the same @random. */
u32 bed_random(struct bed *b, u32 below)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return (u32)(b->random >> 32) % below;
}

/* Offsets of the parts of a ring, worked out from section 2.7 by hand. */
static void place_ring(struct bed *b)
{
	unsigned int n = b->cfg.num;
	size_t avail_end = 16 * n + 6 + 2 * n;
	size_t align = b->cfg.legacy ? PAGE : CACHE_LINE;
	size_t used = (avail_end + align - 1) / align * align;
	size_t before = b->cfg.legacy ? PAGE : CACHE_LINE;

	b->ring_size = used + 6 + 8 * n;
	if (b->cfg.packed) {
		/* Section 2.8: descriptors, and two times 4 bytes. */
		used = 16 * n + 4;
		b->ring_size = used + 4;
	}
	b->block_size = before + b->ring_size + CACHE_LINE;
	b->block_size = ALIGN(b->block_size, PAGE);
	b->block = aligned_alloc(PAGE, b->block_size);
	if (!b->block)
		abort();
	memset(b->block, MARGIN, b->block_size);
	b->ring = b->block + before;
	b->dev.desc = b->ring;
	b->dev.avail = b->ring + 16 * n;
	b->dev.used = b->ring + used;
}

static void alloc_requests(struct bed *b)
{
	unsigned int n = b->cfg.num, i;

	b->table_len = n < BED_TABLE ? n : BED_TABLE;
	b->tables = alloc(n * b->table_len, sizeof(*b->tables));
	b->want = alloc(n * b->table_len, sizeof(*b->want));
	b->req = alloc(n, sizeof(*b->req));
	b->added = alloc(n, sizeof(*b->added));
	for (i = 0; i < n; i++)
		b->req[i].want = b->want + i * b->table_len;

	b->dev.area[0].addr = BED_TABLES_ADDR;
	b->dev.area[0].len = n * b->table_len * sizeof(*b->tables);
	b->dev.area[0].mem = (u8 *)b->tables;
}

static void init_ring(struct bed *b)
{
	struct virtqueue *vq = b->vq;

	vq->index = 3;
	vq->device = 7;
	vq->packed = b->cfg.packed;
	vq->indirect = b->cfg.indirect;
	vq->event_idx = b->cfg.event_idx;
	vq->little_endian = !b->cfg.legacy;
	vq->strong = b->cfg.strong;
	vq->notify = &b->doorbell;
	vq->notify_id = vq->index;
	CHECK_EQ(vring_size(b->cfg.num, b->cfg.legacy ? PAGE : CACHE_LINE,
			    b->cfg.packed),
		 b->ring_size);
	CHECK(!vring_init(vq, b->cfg.num, b->ring,
			  b->cfg.legacy ? PAGE : CACHE_LINE, 1));
}

struct bed *bed_open(const struct bed_config *cfg)
{
	struct bed *b = alloc(1, sizeof(*b));

	b->cfg = *cfg;
	b->random = 0x9e3779b97f4a7c15;
	b->vq = aligned_alloc(CACHE_LINE, sizeof(*b->vq));
	if (!b->vq)
		abort();
	memset(b->vq, 0, sizeof(*b->vq));
	b->dev.num = cfg->num;
	b->dev.packed = cfg->packed;
	b->dev.indirect = cfg->indirect;
	b->dev.event_idx = cfg->event_idx;
	b->dev.in_order = true;
	b->dev.turned = SHIM_BE && !cfg->legacy;
	place_ring(b);
	alloc_requests(b);
	device_open(&b->dev);
	init_ring(b);
	lock_used(b);
	return b;
}

void bed_close(struct bed *b)
{
	unlock_used(b);
	vring_free(b->vq);
	device_close(&b->dev);
	free(b->vq);
	free(b->block);
	free(b->tables);
	free(b->want);
	free(b->req);
	free(b->added);
	free(b);
}

/* The device is reset, and gets the same ring again. */
void bed_reset(struct bed *b)
{
	unsigned int i;

	device_reset(&b->dev);
	unlock_used(b);
	vring_reset(b->vq);
	lock_used(b);
	for (i = 0; i < b->cfg.num; i++)
		b->req[i].n = 0;
	b->nadded = 0;
	b->ntaken = 0;
}

static void check_margin(struct bed *b, const u8 *from, const u8 *to)
{
	for (; from < to; from++)
		if (*from != MARGIN)
			FAIL("written outside of the ring: offset %td",
			     from - b->ring);
}

/* Check what is true at any time: no complaint, nothing written outside. */
void bed_check(struct bed *b)
{
	device_pending(&b->dev);
	if (b->dev.complaint[0])
		FAIL("%s", b->dev.complaint);
	check_margin(b, b->block, b->ring);
	if (!b->cfg.packed)
		check_margin(b, b->dev.avail + 6 + 2 * b->cfg.num, b->dev.used);
	check_margin(b, b->ring + b->ring_size, b->block + b->block_size);
}

/* Write the available index without the ring's own functions. */
void bed_show_avail(struct bed *b, u16 idx)
{
	b->vq->avail->idx = vring16(b->vq, idx);
}

/* Reset the ring, and set all indices as if @idx buffers had been used. */
void bed_start_at(struct bed *b, u16 idx)
{
	bed_reset(b);
	b->vq->avail_idx = idx;
	b->vq->kicked_idx = idx;
	b->vq->used_idx = idx;
	b->vq->used_end = idx;
	b->vq->returned_cons = idx;
	b->vq->returned_prod = idx;
	b->dev.last_avail = idx;
	b->dev.seen_avail = idx;
	b->dev.kick_idx = idx;
	b->dev.irq_idx = idx;
	bed_show_avail(b, idx);
	device_set_used_idx(&b->dev, idx);
}

/*
 * Add a request of @out descriptors that the device reads and @in that it
 * writes. A long one takes the tables of the following tags too.
 */
void bed_add(struct bed *b, u16 tag, unsigned int out, unsigned int in)
{
	struct vring_desc *table = b->tables + tag * b->table_len;
	struct bed_request *req = &b->req[tag];
	unsigned int n = out + in, i;

	CHECK(!req->n);
	for (i = 0; i < n; i++) {
		struct device_desc *want = &req->want[i];

		want->addr = (u64)bed_random(b, ~0u) << 32 | bed_random(b, ~0u);
		want->len = 1 + bed_random(b, 1 << 20);
		want->flags = (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
			      (i < out ? 0 : VRING_DESC_F_WRITE);
		virtqueue_set_desc(b->vq, table, i, want->addr, want->len,
				   want->flags);
	}
	req->n = n;
	req->head = DEVICE_NONE;
	b->added[b->nadded++ % b->cfg.num] = tag;
	virtqueue_add(b->vq, table,
		      BED_TABLES_ADDR + tag * b->table_len * sizeof(*table), n,
		      tag, req);
}

/* The device takes the next buffer, which must be the next one added. */
u16 bed_take(struct bed *b)
{
	u16 tag = b->added[b->ntaken++ % b->cfg.num];
	struct bed_request *req = &b->req[tag];
	int head = device_take(&b->dev);
	unsigned int i;
	u16 mask = ~0;

	if (head == DEVICE_UPSET)
		FAIL("%s", b->dev.complaint);
	CHECK(head != DEVICE_NONE);
	CHECK_EQ(b->dev.n, req->n);
	/* Where a packed list ends is told otherwise. */
	if (b->cfg.packed)
		mask = VRING_DESC_F_WRITE;
	for (i = 0; i < req->n; i++) {
		CHECK_EQ(b->dev.chain[i].addr, req->want[i].addr);
		CHECK_EQ(b->dev.chain[i].len, req->want[i].len);
		CHECK_EQ(b->dev.chain[i].flags, req->want[i].flags & mask);
	}
	req->head = head;
	return tag;
}

/* The device uses a request that it took. */
void bed_use(struct bed *b, u16 tag)
{
	CHECK(b->req[tag].head >= 0);
	device_use(&b->dev, b->req[tag].head, 1);
}

/* Get a request back. Returns its tag; DEVICE_NONE if there is none. */
int bed_get(struct bed *b)
{
	struct bed_request *req = virtqueue_get_buf(b->vq);

	if (b->vq->broken)
		FAIL("broken: %s", shim.message);
	if (!req)
		return DEVICE_NONE;
	CHECK(req >= b->req && req < b->req + b->cfg.num);
	CHECK(req->n);
	req->n = 0;
	return req - b->req;
}

/* Add a request, and have the device take it. */
void bed_send(struct bed *b, u16 tag)
{
	CHECK(virtqueue_has_room(b->vq, 2));
	bed_add(b, tag, 1, 1);
	CHECK_EQ(bed_take(b), tag);
}

/* The ring finds that the device broke the protocol, and stays broken. */
void bed_expect_broken(struct bed *b, const char *why)
{
	int i;

	shim.messages = 0;
	for (i = 0; i < 3; i++)
		CHECK(!virtqueue_get_buf(b->vq));
	CHECK(b->vq->broken);
	CHECK_EQ(shim.messages, 1);
	if (!strstr(shim.message, why) ||
	    !strstr(shim.message, "virtio7: queue 3: "))
		FAIL("it says: %s", shim.message);
}

/*
 * Every ring there can be: sizes 4 to 1024, and some switches.
 */

static const unsigned int sizes[] = {
	4, 8, 16, 32, 64, 128, 256, 512, 1024,
	5, 7, 100, 1000		/* packed only */
};

#define SWITCHES	32
#define CONFIGS		(ARRAY_SIZE(sizes) * SWITCHES)

static struct bed_config config(unsigned int i)
{
	return (struct bed_config) {
		.num = sizes[i / SWITCHES],
		.indirect = i & 1,
		.event_idx = i & 2,
		.legacy = i & 4,
		.strong = i & 8,
		.packed = i & 16,
	};
}

static bool fits(const struct bed_config *c, unsigned int where)
{
	if (c->num & (c->num - 1) && !(c->packed && where & ANY_SIZE))
		return false;
	if (c->packed && c->legacy)
		return false;
	return !(where & (c->packed ? SPLIT : PACKED)) &&
	       !(where & (c->indirect ? DIRECT : INDIRECT)) &&
	       !(where & (c->event_idx ? FLAGS : EVENTS)) &&
	       !(where & (c->legacy ? MODERN : LEGACY));
}

static void describe(const struct bed *b)
{
	printf("# on a %s ring of %u, %s, %s%s\n",
	       b->cfg.packed ? "packed" : b->cfg.legacy ? "legacy" : "modern",
	       b->cfg.num, b->cfg.indirect ? "indirect" : "direct",
	       b->cfg.event_idx ? "event index" : "flags",
	       b->cfg.strong ? ", strong barriers" : "");
}

static struct bed *bed;

static void run_everywhere(const void *arg)
{
	const struct bed_test *test = arg;
	const int allocs = shim.allocs;
	struct bed_config c;
	unsigned int i;

	for (i = 0; i < CONFIGS; i++) {
		c = config(i);
		if (!fits(&c, test->where))
			continue;
		shim_reset();
		bed = bed_open(&c);
		test->run(bed);
		shim.on_barrier = NULL;
		shim.on_load = NULL;
		bed_check(bed);
		bed_close(bed);
		bed = NULL;
		CHECK_EQ(shim.allocs, allocs);
	}
}

void bed_run(const struct bed_test *list)
{
	const struct bed_test *t;

	for (t = list; t->run; t++) {
		ktap_point(t->name, run_everywhere, t);
		if (!bed)
			continue;
		describe(bed);
		bed_close(bed);
		bed = NULL;
	}
}

unsigned int bed_count(const struct bed_test *list)
{
	unsigned int n = 0;

	while (list[n].run)
		n++;
	return n;
}
