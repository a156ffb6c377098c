// SPDX-License-Identifier: GPL-2.0
/*
 * One thread adds, one gets, and one is the device. What they hand over is
 * ordered by the ring's own barriers and nothing else: all that this file adds
 * are relaxed atomics, and the list of free tags that the block layer keeps.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "bed.h"

#define REQUESTS	20000
#define HELD		8
#define WIRE_ADDR	0x70000000000
#define PATIENCE	10

/* A request, used once. @number goes to the device, @answer comes from it. */
struct wire {
	u64 number;
	u64 answer;
	u16 tag;
};

/**
 * struct variant - one test point
 * @name: what is special
 * @cfg: the ring
 * @sleeps: device and driver sleep until a kick or an interrupt; else they poll
 */
struct variant {
	const char *name;
	struct bed_config cfg;
	bool sleeps;
};

static const struct variant *variant;
static struct bed *bed;
static struct wire *wire;
static bool doorbell, irq, stop;
static const char *trouble;

/*
 * Tags on their way back to the submitter: one puts, one takes. It looks at
 * @tags_in only when it knows of no other, so that most tags order nothing.
 */
static u16 *tags;
static unsigned int tags_in, tags_out, tags_known;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void give_up(const char *why)
{
	if (!__atomic_exchange_n(&stop, true, __ATOMIC_RELAXED))
		__atomic_store_n(&trouble, why, __ATOMIC_RELAXED);
}

#ifdef __SANITIZE_THREAD__
void __tsan_on_report(void *report);

/* Each report of a race takes a lot of time, and one is enough. */
void __tsan_on_report(void *report)
{
	(void)report;
	give_up("ThreadSanitizer reports a race");
}
#endif

static void let_others_run(time_t *since, const char *what)
{
	time_t now = time(NULL);

	sched_yield();
	if (!*since)
		*since = now;
	else if (now - *since > PATIENCE)
		give_up(what);
}

/* Wait until another thread raises @flag, and lower it. */
static void wait_for(bool *flag, const char *what)
{
	time_t since = 0;

	while (!stopped() && !__atomic_exchange_n(flag, false, __ATOMIC_RELAXED))
		let_others_run(&since, what);
}

static void ring_doorbell(u16 index)
{
	(void)index;
	__atomic_store_n(&doorbell, true, __ATOMIC_RELAXED);
}

/*
 * Submission
 */

static void submit_kick(struct virtqueue *vq)
{
	if (virtqueue_kick_prepare(vq))
		virtqueue_notify(vq);
}

static u16 take_tag(struct virtqueue *vq)
{
	time_t since = 0;

	while (tags_out == tags_known && !stopped()) {
		submit_kick(vq);
		let_others_run(&since, "no tag comes back");
		tags_known = __atomic_load_n(&tags_in, __ATOMIC_ACQUIRE);
	}
	return tags[tags_out++ % bed->cfg.num];
}

static void wait_for_room(struct virtqueue *vq)
{
	time_t since = 0;

	while (!virtqueue_has_room(vq, 2) && !stopped()) {
		submit_kick(vq);
		let_others_run(&since, "no slot comes back");
	}
}

static void *submit_all(void *arg)
{
	struct virtqueue *vq = bed->vq;
	struct vring_desc *table = bed->tables;
	unsigned int i;
	u16 tag = 0;

	shim.thread = SHIM_SUBMIT;
	shim.on_notify = ring_doorbell;
	for (i = 0; i < REQUESTS && !stopped(); i++) {
		u64 addr = WIRE_ADDR + i * sizeof(*wire);

		if (vq->indirect || vq->packed) {
			tag = take_tag(vq);
			table = bed->tables + tag * bed->table_len;
		}
		wait_for_room(vq);
		if (stopped())
			break;
		wire[i].number = i;
		wire[i].tag = tag;
		virtqueue_set_desc(vq, table, 0, addr, 8, VRING_DESC_F_NEXT);
		virtqueue_set_desc(vq, table, 1, addr + 8, 8,
				   VRING_DESC_F_WRITE);
		virtqueue_add(vq, table, BED_TABLES_ADDR +
			      tag * bed->table_len * sizeof(*table), 2, tag,
			      &wire[i]);
		if (i % 7 == 0)
			submit_kick(vq);
	}
	submit_kick(vq);
	return arg;
}

/*
 * The device
 */

static void device_answer(struct device *d)
{
	u64 *in, *out;

	if (d->n != 2) {
		give_up("chain is not what was added");
		return;
	}
	in = (u64 *)device_map(d, d->chain[0].addr, 8);
	out = (u64 *)device_map(d, d->chain[1].addr, 8);
	if (!in || !out)
		give_up("address is not what was added");
	else
		*out = ~*in;
}

/* Nothing to do and nothing held back. */
static void device_wait(struct device *d, time_t *since)
{
	if (!variant->sleeps) {
		let_others_run(since, "device sees nothing");
		return;
	}
	device_arm(d);
	shim_fence(SHIM_VIRT_MB);
	if (!device_pending(d))
		wait_for(&doorbell, "nobody kicks the device");
	device_disarm(d, d->last_avail + 0x8000);
}

/* Use the requests in @held in another order than they came. */
static void device_use_held(struct device *d, const u16 *held, unsigned int n)
{
	while (n--)
		device_finish(d, held[n], 8);
	device_show(d);
	if (device_wants_irq(d))
		__atomic_store_n(&irq, true, __ATOMIC_RELAXED);
}

static void *device_run(void *arg)
{
	struct device *d = &bed->dev;
	unsigned int done = 0, n = 0;
	u16 held[HELD];
	time_t since = 0;
	int head;

	shim.thread = SHIM_DEVICE;
	while (done < REQUESTS && !stopped()) {
		head = device_take(d);
		if (head >= 0) {
			device_answer(d);
			held[n++] = head;
			since = 0;
		}
		if (n == HELD || (n && head < 0)) {
			device_use_held(d, held, n);
			done += n;
			n = 0;
		} else if (head < 0) {
			device_wait(d, &since);
		}
		if (d->complaint[0])
			give_up(d->complaint);
	}
	return arg;
}

/*
 * Completion
 */

static void complete_one(const struct wire *w)
{
	u64 number = w - wire;

	if (w->number != number || w->answer != ~number)
		give_up("answer belongs to another request");
	if (bed->vq->indirect || bed->vq->packed) {
		tags[tags_in % bed->cfg.num] = w->tag;
		__atomic_store_n(&tags_in, tags_in + 1, __ATOMIC_RELEASE);
	}
}

/* All that is there now; returns how many that was. */
static unsigned int complete_some(struct virtqueue *vq)
{
	unsigned int n = 0;
	struct wire *w;

	while (!stopped() && (w = virtqueue_get_buf(vq))) {
		complete_one(w);
		n++;
	}
	if (vq->broken)
		give_up("driver calls the ring broken");
	return n;
}

static void *complete_all(void *arg)
{
	struct virtqueue *vq = bed->vq;
	unsigned int done = 0, n;
	time_t since = 0;

	shim.thread = SHIM_COMPLETE;
	while (!stopped()) {
		virtqueue_disable_cb(vq);
		do {
			n = complete_some(vq);
			done += n;
		} while (variant->sleeps && !stopped() &&
			 !virtqueue_enable_cb(vq));
		if (done == REQUESTS)
			break;
		if (n)
			since = 0;
		if (variant->sleeps)
			wait_for(&irq, "nobody interrupts the driver");
		else
			let_others_run(&since, "driver sees nothing");
	}
	return arg;
}

static void run(const void *arg)
{
	static void *(*const parts[])(void *) = {
		submit_all, device_run, complete_all
	};
	char why[sizeof(bed->dev.complaint)];
	pthread_t thread[3];
	unsigned int i;

	variant = arg;
	bed = bed_open(&variant->cfg);
	wire = calloc(REQUESTS, sizeof(*wire));
	tags = calloc(bed->cfg.num, sizeof(*tags));
	if (!wire || !tags)
		abort();
	for (i = 0; i < bed->cfg.num; i++)
		tags[i] = i;
	tags_in = bed->cfg.num;
	tags_out = 0;
	tags_known = tags_in;
	doorbell = false;
	irq = false;
	stop = false;
	trouble = NULL;
	bed->dev.area[1] = (struct device_area) {
		WIRE_ADDR, REQUESTS * sizeof(*wire), (u8 *)wire
	};

	for (i = 0; i < 3; i++)
		if (pthread_create(&thread[i], NULL, parts[i], NULL))
			abort();
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);

	snprintf(why, sizeof(why), "%s", trouble ? trouble : "");
	if (!trouble)
		bed_check(bed);
	bed_close(bed);
	free(wire);
	free(tags);
	if (why[0])
		FAIL("%s", why);
}

#define RING(size, pack, ind, ev, leg, str) \
	{ .num = size, .packed = pack, .indirect = ind, .event_idx = ev, \
	  .legacy = leg, .strong = str }

static const struct variant variants[] = {
	{ "direct_ring_is_polled", RING(16, 0, 0, 0, 0, 0), false },
	{ "indirect_ring_is_polled", RING(16, 0, 1, 1, 0, 0), false },
	{ "packed_direct_ring_is_polled", RING(15, 1, 0, 0, 0, 0), false },
	{ "packed_indirect_ring_is_polled", RING(16, 1, 1, 1, 0, 0), false },
	{ "smallest_ring_is_polled_with_strong_barriers",
	  RING(4, 0, 0, 1, 1, 1), false },
	{ "direct_ring_with_flags_loses_no_wakeup",
	  RING(16, 0, 0, 0, 0, 0), true },
	{ "direct_ring_with_event_idx_loses_no_wakeup",
	  RING(16, 0, 0, 1, 1, 0), true },
	{ "indirect_ring_with_flags_loses_no_wakeup",
	  RING(16, 0, 1, 0, 1, 0), true },
	{ "indirect_ring_with_event_idx_loses_no_wakeup",
	  RING(256, 0, 1, 1, 0, 0), true },
	{ "packed_direct_ring_with_flags_loses_no_wakeup",
	  RING(16, 1, 0, 0, 0, 0), true },
	{ "packed_direct_ring_with_event_idx_loses_no_wakeup",
	  RING(15, 1, 0, 1, 0, 0), true },
	{ "packed_indirect_ring_with_flags_loses_no_wakeup",
	  RING(16, 1, 1, 0, 0, 0), true },
	{ "packed_indirect_ring_with_event_idx_loses_no_wakeup",
	  RING(256, 1, 1, 1, 0, 0), true },
	{ "strong_barriers_lose_no_wakeup", RING(8, 0, 1, 1, 0, 1), true },
};

int main(void)
{
	unsigned int n = ARRAY_SIZE(variants), i;

	ktap_begin(n);
	for (i = 0; i < n; i++)
		ktap_point(variants[i].name, run, &variants[i]);
	return ktap_end();
}
