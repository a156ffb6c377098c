/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The test bed: the ring under test, a device at its other end, the memory that
 * they share, and the requests that are in flight.
 */
#ifndef _BED_H
#define _BED_H

#include "device.h"
#include "ktap.h"
#include "shim.h"
#include "virtio_ring_lite.h"

/* Descriptors in the table of each tag, if the ring has as many. */
#define BED_TABLE	8
/* Device address of the tables: above 4 GiB, so a lost upper half is noticed. */
#define BED_TABLES_ADDR	0x123456789a000ull

/**
 * struct bed_config - size and features of the ring
 * @num: number of descriptors
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
 * struct bed_request - one request; its address is the token
 * @n: number of descriptors, 0 if the tag is free
 * @want: the descriptors that the device has to find
 * @head: head at which the device found it; DEVICE_NONE before
 */
struct bed_request {
	unsigned int n;
	struct device_desc *want;
	int head;
};

/**
 * struct bed - the test bed of one ring
 * @cfg: size and features of the ring
 * @vq: the ring under test
 * @dev: the device
 * @block: memory of the ring, with margins on both sides
 * @block_size: number of bytes of @block
 * @ring: the ring in @block
 * @ring_size: number of bytes of the ring
 * @tables: tables of all tags, one behind the other
 * @want: memory of bed_request.want of all tags
 * @table_len: number of descriptors in each table
 * @req: requests by tag
 * @added: tags in the order in which they were added
 * @nadded: number of tags ever added to @added
 * @ntaken: number of tags of @added that the device took
 * @doorbell: address that kicks write to
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
 * Rings that a test is for: INDIRECT alone means any ring with indirect
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
 * struct bed_test - one test point, which runs on every ring that it is for
 * @name: name of the test point
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
