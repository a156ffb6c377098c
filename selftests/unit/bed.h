/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The test bed: the ring under test, a device at its other end, memory that
 * both share, and a list of what is under way between them.
 */
#ifndef _BED_H
#define _BED_H

#include "device.h"
#include "ktap.h"
#include "shim.h"
#include "virtio_ring_lite.h"

/* Descriptors in the table of each tag, if the ring has as many. */
#define BED_TABLE	8
/* Where the device finds the tables: nothing below 4 GiB. */
#define BED_TABLES_ADDR	0x123456789a000ull

/**
 * struct bed_config - what was negotiated
 * @num: descriptors
 * @packed: RING_PACKED
 * @indirect: INDIRECT_DESC
 * @event_idx: EVENT_IDX
 * @legacy: not VERSION_1: the guest's byte order, and the used ring on a page
 * @strong: ORDER_PLATFORM
 */
struct bed_config {
	unsigned int num;
	bool packed;
	bool indirect;
	bool event_idx;
	bool legacy;
	bool strong;
};

/**
 * struct bed_request - one request, by tag; its address is the token
 * @n: descriptors, 0 when the tag is free
 * @want: what the device has to find
 * @head: where the device found it; DEVICE_NONE before
 */
struct bed_request {
	unsigned int n;
	struct device_desc *want;
	int head;
};

/**
 * struct bed - one ring and what belongs to it
 * @cfg: what was negotiated
 * @vq: the ring under test
 * @dev: the device
 * @block: memory of the ring, with margins around
 * @block_size: its bytes
 * @ring: the ring in @block
 * @ring_size: its bytes
 * @tables: a table for each tag, one behind the other
 * @want: the same for bed_request.want
 * @table_len: descriptors in each of these tables
 * @req: by tag
 * @added: tags in the order in which they were added
 * @nadded: entries ever put to @added
 * @ntaken: entries of @added that the device took
 * @doorbell: where kicks go
 * @random: state of bed_random()
 */
struct bed {
	struct bed_config cfg;
	struct virtqueue *vq;
	struct device dev;
	u8 *block;
	size_t block_size;
	u8 *ring;
	size_t ring_size;
	struct vring_desc *tables;
	struct device_desc *want;
	unsigned int table_len;
	struct bed_request *req;
	u16 *added;
	unsigned int nadded;
	unsigned int ntaken;
	u16 doorbell;
	u64 random;
};

struct bed *bed_open(const struct bed_config *cfg);
void bed_close(struct bed *b);
void bed_reset(struct bed *b);
void bed_check(struct bed *b);
u32 bed_random(struct bed *b, u32 below);
void bed_show_avail(struct bed *b, u16 idx);
void bed_start_at(struct bed *b, u16 idx);

void bed_add(struct bed *b, u16 tag, unsigned int out, unsigned int in);
u16 bed_take(struct bed *b);
void bed_use(struct bed *b, u16 tag);
int bed_get(struct bed *b);
void bed_send(struct bed *b, u16 tag);
void bed_expect_broken(struct bed *b, const char *why);

/*
 * Where a test makes sense: INDIRECT alone means any ring that has indirect
 * descriptors, 0 means any ring.
 */
#define INDIRECT	1
#define DIRECT		2
#define EVENTS		4
#define FLAGS		8
#define MODERN		16
#define LEGACY		32
#define SPLIT		64
#define PACKED		128
/* Also on rings whose size is no power of 2: packed ones may have any. */
#define ANY_SIZE	256

/**
 * struct bed_test - one test point, done on every ring where it makes sense
 * @name: what happens
 * @run: the test; NULL in the last entry of a list
 * @where: INDIRECT and the like
 */
struct bed_test {
	const char *name;
	void (*run)(struct bed *b);
	unsigned int where;
};

#define TEST(what, where)	{ #what, what, where }

void bed_run(const struct bed_test *list);
unsigned int bed_count(const struct bed_test *list);

extern const struct bed_test layout_tests[];
extern const struct bed_test submit_tests[];
extern const struct bed_test kick_tests[];
extern const struct bed_test used_tests[];
extern const struct bed_test callback_tests[];
extern const struct bed_test packed_tests[];
extern const struct bed_test in_order_tests[];
extern const struct bed_test device_tests[];

#endif /* _BED_H */
