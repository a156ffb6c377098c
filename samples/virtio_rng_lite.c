// SPDX-License-Identifier: GPL-2.0
/*
 * A driver for virtio's entropy device (section 5.4), as small as one can be: it
 * shows what the bus, the transport and the rings of virtio_lite.ko do for a
 * device that is no disk.
 *
 *	make samples
 *	insmod virtio_lite.ko; modprobe rng_core; insmod samples/virtio_rng_lite.ko
 *	head -c 32 /dev/hwrng | xxd
 *
 * As with disks, a device that the kernel's own driver has is unbound first.
 *
 * The device has one queue, and no configuration. It fills the one buffer that
 * the driver gives it with random bytes, and says how many:
 *
 *	rng_read		called by whoever reads /dev/hwrng
 *	  rng_ask		the buffer becomes available, kick
 *	  rng_done		it was used: the interrupt
 */
#include <linux/completion.h>
#include <linux/hw_random.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "virtio_driver.h"

#define VIRTIO_ID_ENTROPY		4
#define VIRTIO_PCI_TRANSITIONAL_ENTROPY	0x1005

/* Bytes that the device is asked for at a time. */
#define RNG_BYTES	64
/* How long a reader waits at a time. */
#define RNG_WAIT	HZ
/* The only tag: one buffer is in flight at most. */
#define RNG_TAG		0

/**
 * struct rng_shared - memory that the device reaches
 * @table: the descriptor of @data
 * @data: random bytes, written by the device
 */
struct rng_shared {
	struct vring_desc table[1];
	u8 data[RNG_BYTES];
};

/**
 * struct rng - one device
 * @vq: its queue; the core of hwrng lets one reader in at a time, which is what
 *	serialises submission
 * @mem: has @shared
 * @shared: the buffer
 * @hwrng: what the kernel knows of the device
 * @done: the buffer came back, or never will
 * @asked: the device has the buffer
 * @len: bytes that the device wrote, bounded
 * @taken: of these, what readers have got
 * @registered: readers may come: the core of hwrng knows @hwrng
 * @dead: the device is of no use, or not now
 */
struct rng {
	struct virtqueue vq;
	struct virtio_mem mem;
	struct rng_shared *shared;
	struct hwrng hwrng;
	struct completion done;
	bool asked;
	unsigned int len;
	unsigned int taken;
	bool registered;
	bool dead;
};

/* The interrupt. Nobody else reaps. */
static irqreturn_t rng_done(struct virtqueue *vq)
{
	irqreturn_t ret = IRQ_NONE;
	struct rng *rng;

	virtqueue_disable_cb(vq);
	do {
		while ((rng = virtqueue_get_buf(vq))) {
			ret = IRQ_HANDLED;
			rng->len = min_t(u32, virtqueue_used_len(vq, 1), RNG_BYTES);
			complete(&rng->done);
		}
	} while (!virtqueue_enable_cb(vq));
	if (vq->broken) {
		rng = container_of(vq, struct rng, vq);
		WRITE_ONCE(rng->dead, true);
		complete(&rng->done);
	}
	return ret;
}

/* Give the buffer to the device. There is room, as no other is in flight. */
static int rng_ask(struct rng *rng)
{
	struct virtqueue *vq = &rng->vq;
	dma_addr_t dma = rng->mem.dma;

	/* Without INDIRECT_DESC this also takes back the slot of the last one. */
	if (!virtqueue_has_room(vq, 1))
		return -ENOSPC;
	reinit_completion(&rng->done);
	/* Pairs with rng_stop(), which sets it before it completes. */
	smp_mb();
	if (READ_ONCE(rng->dead))
		return -ENODEV;
	rng->asked = true;
	virtqueue_set_desc(vq, rng->shared->table, 0,
			   dma + offsetof(struct rng_shared, data), RNG_BYTES,
			   VRING_DESC_F_WRITE);
	virtqueue_add(vq, rng->shared->table,
		      dma + offsetof(struct rng_shared, table), 1, RNG_TAG, rng);
	if (virtqueue_kick_prepare(vq))
		virtqueue_notify(vq);
	return 0;
}

/*
 * Wait for the buffer, for some time: until Linux 6.1 hwrng_register() does not
 * return while a reader waits. The caller asks again. The buffer stays with the
 * device meanwhile, and also if the reader is killed.
 */
static int rng_fill(struct rng *rng, bool wait)
{
	long left;
	int err;

	if (!rng->asked) {
		err = rng_ask(rng);
		if (err)
			return err;
	}
	left = wait ? wait_for_completion_killable_timeout(&rng->done, RNG_WAIT) :
		      try_wait_for_completion(&rng->done);
	if (left <= 0)
		return left ? -ERESTARTSYS : -EAGAIN;
	if (READ_ONCE(rng->dead))
		return -ENODEV;
	rng->asked = false;
	rng->taken = 0;
	return rng->len ? 0 : -EIO;
}

static int rng_read(struct hwrng *hwrng, void *data, size_t max, bool wait)
{
	struct rng *rng = container_of(hwrng, struct rng, hwrng);
	size_t n;
	int err;

	if (READ_ONCE(rng->dead))
		return -ENODEV;
	if (rng->asked || rng->taken == rng->len) {
		err = rng_fill(rng, wait);
		if (err)
			return err == -EAGAIN ? 0 : err;
	}
	n = min_t(size_t, max, rng->len - rng->taken);
	memcpy(data, rng->shared->data + rng->taken, n);
	rng->taken += n;
	return n;
}

/* The queue is empty, and the device was set up. */
static int rng_start(struct virtio_device *vdev)
{
	struct rng *rng = dev_get_drvdata(&vdev->dev);
	int err;

	rng->asked = false;
	rng->len = 0;
	rng->taken = 0;
	rng->dead = false;
	virtio_device_ready(vdev);
	err = hwrng_register(&rng->hwrng);
	rng->registered = !err;
	return err;
}

/*
 * Undo rng_start(), however far it came: nobody reads, and the device has nothing
 * of ours. A device that did not come back is stopped once more when it goes.
 */
static void rng_stop(struct virtio_device *vdev)
{
	struct rng *rng = dev_get_drvdata(&vdev->dev);

	WRITE_ONCE(rng->dead, true);
	/* Pairs with rng_ask(): a reader either sees it, or is woken. */
	smp_mb();
	complete_all(&rng->done);
	if (rng->registered)
		hwrng_unregister(&rng->hwrng);
	rng->registered = false;
	virtio_reset_device(vdev);
	vdev->transport->sync_irqs(vdev);
}

static int rng_probe(struct virtio_device *vdev)
{
	struct virtqueue *vqs[1];
	struct rng *rng;
	int err;

	rng = kzalloc(sizeof(*rng), GFP_KERNEL);
	if (!rng)
		return -ENOMEM;
	dev_set_drvdata(&vdev->dev, rng);
	init_completion(&rng->done);
	rng->hwrng.name = dev_name(&vdev->dev);
	rng->hwrng.read = rng_read;
	rng->vq.handler = rng_done;
	rng->vq.callback = rng_done;
	rng->vq.name = "input";
	rng->vq.least = 1;
	vqs[0] = &rng->vq;

	err = vdev->transport->find_vqs(vdev, 1, vqs);
	if (err)
		goto err_vqs;
	err = virtio_mem_alloc(vdev, &rng->mem, sizeof(*rng->shared),
			       virtio_queue_node(vdev, 0), true);
	if (err)
		goto err_mem;
	rng->shared = rng->mem.addr;
	err = rng_start(vdev);
	if (err)
		goto err_start;
	virtio_info(vdev, "%s: %s entropy device\n", rng->hwrng.name,
		    vdev->legacy ? "legacy" : "modern");
	return 0;

err_start:
	rng_stop(vdev);
	virtio_mem_free(vdev, &rng->mem);
err_mem:
	virtio_reset_device(vdev);
	vdev->transport->del_vqs(vdev);
err_vqs:
	kfree(rng);
	return err;
}

static void rng_remove(struct virtio_device *vdev)
{
	struct rng *rng = dev_get_drvdata(&vdev->dev);

	rng_stop(vdev);
	vdev->transport->del_vqs(vdev);
	virtio_mem_free(vdev, &rng->mem);
	kfree(rng);
}

/* Sleep, and resets from outside: the queue stays, the device forgets. */

static int rng_freeze(struct virtio_device *vdev, bool keeps)
{
	rng_stop(vdev);
	return 0;
}

static int rng_restore(struct virtio_device *vdev, int err)
{
	if (!err)
		err = virtio_negotiate(vdev);
	if (!err)
		err = vdev->transport->reinit_vqs(vdev);
	if (!err)
		err = rng_start(vdev);
	if (err)
		virtio_err(vdev, "the entropy device does not come back: %d\n", err);
	return err;
}

static void rng_reset_prepare(struct virtio_device *vdev)
{
	rng_stop(vdev);
}

static void rng_reset_done(struct virtio_device *vdev, int err)
{
	rng_restore(vdev, err);
}

static struct virtio_driver rng_driver = {
	.driver.name = "virtio_rng_lite",
	.device = VIRTIO_ID_ENTROPY,
	.transitional = VIRTIO_PCI_TRANSITIONAL_ENTROPY,
	.probe = rng_probe,
	.remove = rng_remove,
	.shutdown = rng_stop,
	.freeze = rng_freeze,
	.restore = rng_restore,
	.reset_prepare = rng_reset_prepare,
	.reset_done = rng_reset_done,
};

static int __init rng_init(void)
{
	return register_virtio_driver(&rng_driver);
}

static void __exit rng_exit(void)
{
	unregister_virtio_driver(&rng_driver);
}

module_init(rng_init);
module_exit(rng_exit);

MODULE_DESCRIPTION("virtio entropy devices, on the bus of virtio_lite");
MODULE_LICENSE("GPL");
