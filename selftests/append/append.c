// SPDX-License-Identifier: GPL-2.0
/*
 * Appends to a zone of a disk, for tests: no program can ask for one, and file
 * systems that do are none that say where each of them went.
 *
 *	insmod append.ko disk=/dev/vda zone=8192 bytes=4096 count=8
 *	cat /sys/module/append/parameters/went
 *
 * All are sent before any is waited for. What number n, from 1 on, writes is
 * made of bytes n; went has its sector, or what it failed with.
 */
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/module.h>

#define APPEND_MAX	32

static char *disk = "";
module_param(disk, charp, 0444);

static ulong zone;
module_param(zone, ulong, 0444);

static uint bytes = 4096;
module_param(bytes, uint, 0444);

static uint count = 1;
module_param(count, uint, 0444);

/* Poll for completions: for disks with poll queues. */
static bool poll;
module_param(poll, bool, 0444);

static long went[APPEND_MAX];
static uint nwent;
module_param_array(went, long, &nwent, 0444);

struct append {
	struct bio *bio;
	struct page *pages;
	struct completion done;
};

static struct append appends[APPEND_MAX];

static void append_end(struct bio *bio)
{
	complete(bio->bi_private);
}

static int append_prepare(struct append *a, struct block_device *bdev, int fill)
{
	unsigned int order = get_order(bytes);

	a->pages = alloc_pages(GFP_KERNEL | __GFP_COMP, order);
	if (!a->pages)
		return -ENOMEM;
	memset(page_address(a->pages), fill, bytes);
	a->bio = bio_alloc(bdev, 1, REQ_OP_ZONE_APPEND | REQ_SYNC, GFP_KERNEL);
	if (poll)
		a->bio->bi_opf |= REQ_POLLED;
	a->bio->bi_iter.bi_sector = zone;
	a->bio->bi_end_io = append_end;
	a->bio->bi_private = &a->done;
	init_completion(&a->done);
	__bio_add_page(a->bio, a->pages, bytes, 0);
	return 0;
}

static long append_wait(struct append *a)
{
	while (poll && !completion_done(&a->done)) {
		bio_poll(a->bio, NULL, 0);
		cond_resched();
	}
	wait_for_completion_io(&a->done);
	return a->bio->bi_status ? blk_status_to_errno(a->bio->bi_status) :
				   (long)a->bio->bi_iter.bi_sector;
}

static void append_free(struct append *a)
{
	if (a->bio)
		bio_put(a->bio);
	if (a->pages)
		__free_pages(a->pages, get_order(bytes));
}

static int append_to(struct block_device *bdev)
{
	struct blk_plug plug;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < count; i++)
		err = append_prepare(&appends[i], bdev, i + 1);
	if (!err) {
		blk_start_plug(&plug);
		for (i = 0; i < count; i++)
			submit_bio(appends[i].bio);
		blk_finish_plug(&plug);
		for (i = 0; i < count; i++)
			went[nwent++] = append_wait(&appends[i]);
	}
	for (i = 0; i < count; i++)
		append_free(&appends[i]);
	return err;
}

static int __init append_init(void)
{
	struct file *file;
	int err;

	if (!bytes || count > APPEND_MAX)
		return -EINVAL;
	file = bdev_file_open_by_path(disk, BLK_OPEN_READ | BLK_OPEN_WRITE,
				      NULL, NULL);
	if (IS_ERR(file))
		return PTR_ERR(file);
	nwent = 0;
	err = append_to(file_bdev(file));
	bdev_fput(file);
	return err;
}
module_init(append_init);

/* There only so that it can be unloaded. */
static void __exit append_exit(void)
{
}
module_exit(append_exit);

MODULE_DESCRIPTION("Appends to zones, for tests");
MODULE_LICENSE("GPL");
