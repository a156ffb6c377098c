// SPDX-License-Identifier: GPL-2.0
/*
 * Long random traffic. Each step is compared with a model, which lists the state
 * of every tag. SEED=number in the environment repeats a run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "bed.h"

/* Steps on each ring, and buffers for a few laps of a 16 bit index. */
#define STEPS		6000
#define LAPS		(3 * 65536)

static u64 seed;
static unsigned long long steps, buffers;

/* A first-in first-out list of tags, as long as the ring. */
struct fifo {
	u16 *tag;
	unsigned int in;
	unsigned int out;
	unsigned int size;
};

static void fifo_put(struct fifo *f, u16 tag)
{
	f->tag[f->in++ % f->size] = tag;
}

static u16 fifo_get(struct fifo *f)
{
	return f->tag[f->out++ % f->size];
}

static unsigned int fifo_len(const struct fifo *f)
{
	return f->in - f->out;
}

/**
 * struct model - where everything should be
 * @b: the ring and its device
 * @free: tags that nobody uses
 * @taken: tags that the device works on
 * @used: tags that the device has done with, in its order
 * @slots: free slots of a direct ring
 * @added: entries of the ring since the last decision about a kick
 * @awake: the device looks at the available ring by itself
 * @irq: an interrupt is on its way to the driver
 * @handling: the driver is in its interrupt handler
 */
struct model {
	struct bed *b;
	struct fifo free;
	struct fifo taken;
	struct fifo used;
	unsigned int slots;
	unsigned int added;
	bool awake;
	bool irq;
	bool handling;
};

static void fifo_open(struct fifo *f, unsigned int size)
{
	f->size = size;
	f->in = 0;
	f->out = 0;
	f->tag = calloc(size, sizeof(*f->tag));
	if (!f->tag)
		abort();
}

static void model_reset(struct model *m)
{
	unsigned int i;

	m->free.in = 0;
	m->free.out = 0;
	m->taken.in = 0;
	m->taken.out = 0;
	m->used.in = 0;
	m->used.out = 0;
	for (i = 0; i < m->b->cfg.num; i++)
		fifo_put(&m->free, i);
	m->slots = m->b->cfg.num;
	m->added = 0;
	m->awake = false;
	m->irq = false;
	m->handling = false;
}

/* Other numbers for each ring. */
static void sow(struct bed *b)
{
	u64 ring = b->cfg.num << 5 | b->cfg.packed << 4 |
		   b->cfg.indirect << 3 | b->cfg.event_idx << 2 |
		   b->cfg.legacy << 1 | b->cfg.strong;

	b->random = (seed + ring) * 0x9e3779b97f4a7c15 | 1;
}

static void model_open(struct model *m, struct bed *b)
{
	m->b = b;
	sow(b);
	fifo_open(&m->free, b->cfg.num);
	fifo_open(&m->taken, b->cfg.num);
	fifo_open(&m->used, b->cfg.num);
	model_reset(m);
}

static void model_close(struct model *m)
{
	free(m->free.tag);
	free(m->taken.tag);
	free(m->used.tag);
}

/* Take any entry of a list, not only the first. */
static u16 fifo_pick(struct bed *b, struct fifo *f)
{
	unsigned int i = f->out + bed_random(b, fifo_len(f));
	u16 tag = f->tag[i % f->size];

	f->tag[i % f->size] = f->tag[f->out % f->size];
	f->out++;
	return tag;
}

/*
 * The driver submits
 */

static void kick(struct model *m)
{
	struct bed *b = m->b;
	bool want = m->added && device_wants_kick(&b->dev, m->added);

	m->added = 0;
	CHECK_EQ(virtqueue_kick_prepare(b->vq), want);
	if (want) {
		virtqueue_notify(b->vq);
		m->awake = true;
	}
	/* The device sleeps with a buffer available: it would sleep for ever. */
	if (!m->awake)
		CHECK_EQ(device_pending(&b->dev), 0);
}

static void submit(struct model *m)
{
	struct bed *b = m->b;
	unsigned int i = bed_random(b, 4), n;

	do {
		if (!fifo_len(&m->free))
			break;
		n = 1 + bed_random(b, b->table_len);
		CHECK_EQ(virtqueue_has_room(b->vq, n),
			 b->cfg.indirect || n <= m->slots);
		if (!b->cfg.indirect && n > m->slots)
			break;
		/* No batch is longer than the ring. */
		if (m->added + n > b->cfg.num)
			break;
		m->slots -= n;
		m->added += b->cfg.packed && !b->cfg.indirect ? n : 1;
		bed_add(b, fifo_pick(b, &m->free), n / 2, n - n / 2);
		if (!b->cfg.packed)
			CHECK_EQ(device_avail_idx(&b->dev), (u16)b->nadded);
		buffers++;
	} while (i--);

	if (bed_random(b, 2) || m->added + BED_TABLE > b->cfg.num)
		kick(m);
}

/*
 * The device works
 */

static void take(struct model *m)
{
	struct bed *b = m->b;
	unsigned int i = bed_random(b, 6);

	if (!m->awake)
		return;
	while (device_pending(&b->dev)) {
		fifo_put(&m->taken, bed_take(b));
		if (!i--)
			return;
	}
	device_arm(&b->dev);
	shim_fence(SHIM_VIRT_MB);
	m->awake = device_pending(&b->dev);
	if (m->awake)
		device_disarm(&b->dev, bed_random(b, 0x10000));
}

static void use(struct model *m)
{
	struct bed *b = m->b;
	unsigned int i = bed_random(b, 4);

	while (fifo_len(&m->taken) && i--) {
		u16 tag = fifo_pick(b, &m->taken);

		device_finish(&b->dev, b->req[tag].head, bed_random(b, ~0u));
		fifo_put(&m->used, tag);
	}
	device_show(&b->dev);
	if (device_wants_irq(&b->dev))
		m->irq = true;
}

/*
 * The driver reaps
 */

static void harvest(struct model *m)
{
	struct bed *b = m->b;
	unsigned int i = bed_random(b, 6), n;
	int tag;

	if (!m->handling) {
		/* Now and then an interrupt for nothing (SPLIT-UNOTIF-05). */
		if (!m->irq && bed_random(b, 16))
			return;
		m->irq = false;
		m->handling = true;
		virtqueue_disable_cb(b->vq);
	}
	while (fifo_len(&m->used) && i--) {
		tag = fifo_get(&m->used);
		n = b->req[tag].n;
		CHECK_EQ(bed_get(b), tag);
		fifo_put(&m->free, tag);
		m->slots += n;
	}
	if (fifo_len(&m->used)) {
		/* Not done yet, and no way to overlook it. */
		if (!bed_random(b, 4))
			CHECK(!virtqueue_enable_cb(b->vq));
		return;
	}
	CHECK_EQ(bed_get(b), DEVICE_NONE);
	if (bed_random(b, 3))
		return;
	CHECK(virtqueue_enable_cb(b->vq));
	m->handling = false;
}

static void reset(struct model *m)
{
	bed_reset(m->b);
	model_reset(m);
}

static void step(struct model *m)
{
	static void (*const steps_of[])(struct model *m) = {
		submit, take, use, harvest
	};

	steps++;
	steps_of[bed_random(m->b, 4)](m);
	if (m->b->dev.complaint[0])
		FAIL("%s", m->b->dev.complaint);
	/* A buffer is used without an interrupt: the driver would never reap it. */
	if (!m->handling && !m->irq)
		CHECK_EQ(fifo_len(&m->used), 0);
}

/* With nothing new, all that is under way comes back by kicks and interrupts. */
static void drain(struct model *m)
{
	unsigned int i;

	kick(m);
	for (i = 0; fifo_len(&m->free) < m->b->cfg.num; i++) {
		if (i == 100 * m->b->cfg.num)
			FAIL("%u buffers never come back",
			     m->b->cfg.num - fifo_len(&m->free));
		take(m);
		use(m);
		harvest(m);
	}
	CHECK(virtqueue_has_room(m->b->vq, m->b->cfg.num));
}

static void traffic(struct bed *b)
{
	struct model m;
	unsigned int i;

	model_open(&m, b);
	for (i = 0; i < STEPS; i++) {
		step(&m);
		if (!bed_random(b, STEPS / 3))
			reset(&m);
	}
	drain(&m);
	model_close(&m);
}

/* Traffic on one ring, so long that all indices wrap around a few times. */
static void laps(struct bed *b)
{
	struct model m;

	if (b->cfg.num != 16 || b->cfg.strong || b->cfg.legacy)
		return;
	model_open(&m, b);
	while (b->nadded < LAPS)
		step(&m);
	drain(&m);
	model_close(&m);
}

/*
 * A device that breaks any rule
 */

static void submit_blindly(struct bed *b)
{
	u16 tag = bed_random(b, b->cfg.num);
	unsigned int n = 1 + bed_random(b, b->table_len);

	if (b->req[tag].n || !virtqueue_has_room(b->vq, n))
		return;
	bed_add(b, tag, n, 0);
	buffers++;
	if (bed_random(b, 2))
		virtqueue_kick_prepare(b->vq);
}

static void write_garbage(struct bed *b)
{
	unsigned int n = b->cfg.num, i = bed_random(b, n);
	u32 id = bed_random(b, 64) ? bed_random(b, n) : bed_random(b, ~0u);
	u16 idx = b->dev.used_idx + bed_random(b, 4);

	if (!bed_random(b, 200))
		idx = bed_random(b, 0x10000);
	device_put_used(&b->dev, idx + i, id, bed_random(b, ~0u));
	device_set_used_idx(&b->dev, idx);
	device_set_flags(&b->dev, bed_random(b, 0x10000));
	device_set_avail_event(&b->dev, bed_random(b, 0x10000));
	memset(b->dev.desc + 16 * i, bed_random(b, 0x100), 16);
	memset(b->dev.avail + 2 * bed_random(b, n + 3), bed_random(b, 0x100), 2);
}

static void write_packed_garbage(struct bed *b)
{
	unsigned int n = b->cfg.num;
	/* Where the driver looks, and with luck in a way that it believes. */
	struct device_pos at = {
		.slot = bed_random(b, 2) ? vring_packed_slot(b->vq, &b->vq->used_pos) :
					   bed_random(b, n),
		.wrap = bed_random(b, 8) ? b->vq->used_pos.lap >> 31 :
					   bed_random(b, 2),
	};

	packed_put_used(&b->dev, at, bed_random(b, 64) ?
				     bed_random(b, n) : bed_random(b, 0x10000));
	packed_set_event(&b->dev, bed_random(b, 0x10000),
			 bed_random(b, 64) ? bed_random(b, 4) :
					     bed_random(b, 0x10000));
	memset(b->dev.desc + 16 * bed_random(b, n), bed_random(b, 0x100), 12);
	device_put_shared(&b->dev, b->dev.avail, bed_random(b, 0x10000));
}

/* Returns false if the driver found that the device broke the protocol. */
static bool harvest_blindly(struct bed *b)
{
	struct bed_request *req;
	unsigned int i;

	virtqueue_disable_cb(b->vq);
	/* No more than there are, whatever the device says. */
	for (i = 0; i <= b->cfg.num; i++) {
		req = virtqueue_get_buf(b->vq);
		if (!req) {
			CHECK(virtqueue_enable_cb(b->vq) || !b->vq->broken);
			return !b->vq->broken;
		}
		CHECK(!b->vq->broken);
		CHECK(req >= b->req && req < b->req + b->cfg.num);
		CHECK(req->n);
		req->n = 0;
	}
	FAIL("more buffers come back than went there");
}

static void garbage(struct bed *b)
{
	unsigned int i;

	sow(b);
	for (i = 0; i < STEPS; i++) {
		steps++;
		submit_blindly(b);
		if (b->cfg.packed)
			write_packed_garbage(b);
		else
			write_garbage(b);
		if (harvest_blindly(b))
			continue;
		CHECK(!harvest_blindly(b));
		bed_reset(b);
	}
	bed_reset(b);
}

static const struct bed_test tests[] = {
	{ "direct_rings_with_flags_under_random_traffic", traffic,
	  DIRECT | FLAGS | ANY_SIZE },
	{ "direct_rings_with_event_idx_under_random_traffic", traffic,
	  DIRECT | EVENTS | ANY_SIZE },
	{ "indirect_rings_with_flags_under_random_traffic", traffic,
	  INDIRECT | FLAGS | ANY_SIZE },
	{ "indirect_rings_with_event_idx_under_random_traffic", traffic,
	  INDIRECT | EVENTS | ANY_SIZE },
	{ "direct_indices_wrap_around_65536_many_times", laps, DIRECT },
	{ "indirect_indices_wrap_around_65536_many_times", laps, INDIRECT },
	{ "device_writes_garbage", garbage, ANY_SIZE },
	{}
};

int main(void)
{
	const char *given = getenv("SEED");

	seed = given ? strtoull(given, NULL, 0) : (u64)time(NULL);
	ktap_begin(bed_count(tests));
	printf("# SEED=%#llx\n", seed);
	bed_run(tests);
	printf("# %llu steps, %llu buffers\n", steps, buffers);
	return ktap_end();
}
