// SPDX-License-Identifier: GPL-2.0
/*
 * The ring against a device that writes whatever the fuzzer thinks of, between
 * any two steps of the driver and between any two of its loads.
 *
 * However the device lies: no access outside of what belongs to the ring, no
 * loop without end, no request back that was not in flight, none twice; once a
 * lie was found out nothing comes back any more; and after a reset all is well.
 *
 * An input is a ring (2 bytes) and then steps: a byte that says what happens,
 * and what it needs.
 */
#include <stdio.h>
#include <stdlib.h>
#include "bed.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Stores of the device in the middle of what the driver does. */
#define AMBUSHES	4
/* Loads of shared memory in one virtqueue_get_buf(), and more than there are. */
#define GLANCES		8

/**
 * struct ambush - a store right behind a load of the driver
 * @loads: so many loads from now; 0 is none
 * @same: to what was just loaded, in case it is loaded again
 * @where: or offset in the ring
 * @value: what is stored
 */
struct ambush {
	unsigned int loads;
	bool same;
	size_t where;
	u16 value;
};

/**
 * struct glance - what a load has seen, and a second one must not find again
 * @at: in the ring
 * @seen: what it was
 */
struct glance {
	u8 *at;
	u16 seen;
};

/**
 * struct fuzz - one run
 * @b: the ring; its device is asked as long as it is honest
 * @p: what is left of the input
 * @end: of the input
 * @lied: the device wrote something of its own since the last reset
 * @ambush: what it will write
 * @getting: the driver is in virtqueue_get_buf()
 * @nglances: entries of @glance
 * @glance: what it has loaded there
 */
struct fuzz {
	struct bed *b;
	const u8 *p;
	const u8 *end;
	bool lied;
	struct ambush ambush[AMBUSHES];
	bool getting;
	unsigned int nglances;
	struct glance glance[GLANCES];
};

static struct fuzz fuzz;

/* libFuzzer keeps the input of a run that ends like this. */
void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}

/* The bed can run lists of tests; there are none here. */
void ktap_point(const char *name, void (*run)(const void *arg), const void *arg)
{
	FAIL("no test point here: %s, %p of %p", name, (void *)run, arg);
}

static unsigned int next8(void)
{
	return fuzz.p < fuzz.end ? *fuzz.p++ : 0;
}

static unsigned int next16(void)
{
	unsigned int low = next8();

	return low | next8() << 8;
}

/*
 * Where the device may store: mostly where it should, but nothing keeps it from
 * the descriptors and the available ring.
 */
static size_t next_place(void)
{
	struct bed *b = fuzz.b;
	unsigned int v = next16();
	size_t used = b->dev.used - b->ring;

	if (b->cfg.packed)
		return v % (b->ring_size / 2) * 2;
	if (v & 0x8000)
		return v % (8 * b->cfg.num + 3) * 2;
	return used + v % ((b->ring_size - used) / 2) * 2;
}

static void lie(size_t where, u16 value)
{
	fuzz.lied = true;
	device_put_shared(&fuzz.b->dev, fuzz.b->ring + where, value);
}

/* The bed poisons what the driver must not touch: look at it nevertheless. */
__attribute__((no_sanitize("address")))
static u16 peek(const u8 *at)
{
	return *(const u16 *)at;
}

/*
 * What was read once is another value from then on: whoever checks one reading
 * and uses the next takes a number that is none.
 */
static void turn_over(u8 *at)
{
	struct bed *b = fuzz.b;
	struct glance *g = &fuzz.glance[fuzz.nglances];

	if (!fuzz.getting || at < b->ring || at >= b->ring + b->ring_size)
		return;
	CHECK(fuzz.nglances++ < GLANCES);
	g->at = at;
	g->seen = peek(at);
	device_put_shared(&b->dev, at, ~g->seen);
}

/* For the next time it is as it was, unless the device wrote meanwhile. */
static void turn_back(void)
{
	struct device *d = &fuzz.b->dev;
	struct glance *g;

	while (fuzz.nglances) {
		g = &fuzz.glance[--fuzz.nglances];
		if (peek(g->at) == (u16)~g->seen)
			device_put_shared(d, g->at, g->seen);
	}
}

static void on_load(const void *p)
{
	struct ambush *a;

	turn_over((u8 *)p);

	for (a = fuzz.ambush; a < fuzz.ambush + AMBUSHES; a++)
		if (a->loads && !--a->loads)
			lie(a->same ? (const u8 *)p - fuzz.b->ring : a->where,
			    a->value);
}

/* One way to take a request back, and everything that has to be true of it. */
static bool get_one(void)
{
	struct bed *b = fuzz.b;
	bool broken = b->vq->broken;
	struct bed_request *req;

	fuzz.getting = true;
	req = virtqueue_get_buf(b->vq);
	fuzz.getting = false;
	turn_back();
	CHECK(fuzz.lied || !b->vq->broken);
	if (!req)
		return false;
	CHECK(!broken);
	CHECK(req >= b->req && req < b->req + b->cfg.num);
	CHECK(req->n);
	req->n = 0;
	return true;
}

/* As an interrupt handler would; at most what is in flight can come. */
static void get_all(void)
{
	unsigned int left = fuzz.b->cfg.num;

	virtqueue_disable_cb(fuzz.b->vq);
	do {
		while (get_one())
			CHECK(left--);
	} while (!virtqueue_enable_cb(fuzz.b->vq) && fuzz.p++ < fuzz.end);
}

static void add(void)
{
	struct bed *b = fuzz.b;
	unsigned int tag = next8() % b->cfg.num, in = 1 + next8() % 3;

	if (b->req[tag].n || !virtqueue_has_room(b->vq, 1 + in))
		return;
	bed_add(b, tag, 1, in);
}

/* As long as nobody lied, the device works: deep states need that. */
static void work(void)
{
	struct bed *b = fuzz.b;
	unsigned int n = 1 + next8() % 4;

	if (fuzz.lied || b->vq->broken)
		return;
	while (n-- && device_pending(&b->dev) && !b->dev.complaint[0])
		bed_use(b, bed_take(b));
	bed_check(b);
}

/* The next used element is one of the fuzzer's. */
static void give(bool wild)
{
	struct bed *b = fuzz.b;
	u32 id = wild ? next16() << 16 | next16() : next8() % b->cfg.num;
	struct device *d = &b->dev;

	fuzz.lied = true;
	if (b->cfg.packed) {
		packed_put_used(d, d->used_pos, id);
		packed_step(d, &d->used_pos);
	} else {
		device_put_used(d, d->used_idx, id, next16());
		device_set_used_idx(d, d->used_idx + 1);
	}
}

static void set_ambush(void)
{
	unsigned int which = next8();
	struct ambush *a = &fuzz.ambush[which % AMBUSHES];

	a->same = which & 0x80;
	a->loads = 1 + next8() % 16;
	a->where = next_place();
	a->value = next16();
}

/* A reset makes up for everything: all tags there and back, in any order. */
static void reset(void)
{
	struct bed *b = fuzz.b;
	unsigned int n, tag, lap;

	memset(fuzz.ambush, 0, sizeof(fuzz.ambush));
	b->dev.complaint[0] = '\0';
	bed_reset(b);
	fuzz.lied = false;
	shim.messages = 0;
	for (lap = 0; lap < 2; lap++) {
		for (n = 0; n < b->cfg.num && virtqueue_has_room(b->vq, 2); n++)
			bed_send(b, n);
		CHECK(n == b->cfg.num || !b->cfg.indirect);
		for (tag = n; tag--;)
			bed_use(b, tag);
		for (tag = n; tag--;)
			CHECK_EQ(bed_get(b), (int)tag);
		CHECK_EQ(bed_get(b), DEVICE_NONE);
		bed_check(b);
	}
}

static void step(unsigned int what)
{
	struct virtqueue *vq = fuzz.b->vq;

	switch (what % 16) {
	case 0: case 1: case 2:
		add();
		break;
	case 3: case 4:
		if (virtqueue_kick_prepare(vq))
			virtqueue_notify(vq);
		break;
	case 5: case 6:
		work();
		break;
	case 7:
		give(false);
		break;
	case 8:
		give(true);
		break;
	case 9: case 10:
		lie(next_place(), next16());
		break;
	case 11:
		get_one();
		break;
	case 12: case 13:
		get_all();
		break;
	case 14:
		set_ambush();
		break;
	case 15:
		reset();
		break;
	}
	CHECK(shim.messages <= 1);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const unsigned int sizes[] = { 4, 8, 16, 4, 64, 32, 5, 7 };
	struct bed_config cfg = {};
	unsigned int flags;
	int allocs;

	fuzz = (struct fuzz) { .p = data, .end = data + size };
	flags = next8();
	cfg.packed = flags & 1;
	cfg.indirect = flags & 2;
	cfg.event_idx = flags & 4;
	cfg.legacy = flags & 8 && !cfg.packed;
	cfg.strong = flags & 16;
	cfg.num = sizes[next8() % (cfg.packed ? 8 : 5)];

	shim_reset();
	allocs = shim.allocs;
	fuzz.b = bed_open(&cfg);
	shim.on_load = on_load;
	while (fuzz.p < fuzz.end)
		step(next8());
	reset();
	shim.on_load = NULL;
	bed_close(fuzz.b);
	CHECK_EQ(shim.allocs, allocs);
	return 0;
}
