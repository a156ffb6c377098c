// SPDX-License-Identifier: GPL-2.0
/*
 * The device status: section 2.1. One byte that says how far driver and device
 * have come with each other; 0 takes all of it back.
 */
#include <linux/delay.h>
#include "virtio_lite.h"
#include "trace/virtio_lite_trace.h"

/*
 * A reset may take as long as the slowest request in flight: QEMU finishes
 * them first. So the wait is long, and says so once.
 */
#define RESET_WARN_MS	1000
#define RESET_GIVE_UP_MS 60000
/* The specification gives no bound; a reset does as well. */
#define SUSPEND_GIVE_UP_MS 10000

/**
 * virtio_reset_device() - take everything back from the device
 * @vdev: the device
 *
 * When this returns, the device touches no memory of ours any more: it said
 * so (GEN-RESET-01), or it was cut off. Context: may sleep, for a minute if the
 * device is that slow. Return: 0; -ENODEV if it is gone; -ETIMEDOUT if it did
 * not finish.
 */
int virtio_reset_device(struct virtio_device *vdev)
{
	unsigned long start = jiffies;
	bool warned = false;
	u8 status;

	vdev->regs->set_status(vdev, 0);
	for (;;) {
		status = vdev->regs->get_status(vdev);
		if (!status)
			return 0;
		if (status == VIRTIO_S_GONE) {
			vdev->transport->disable_dma(vdev);
			return -ENODEV;
		}
		if (time_after(jiffies, start + msecs_to_jiffies(RESET_GIVE_UP_MS)))
			break;
		if (!warned && time_after(jiffies, start + msecs_to_jiffies(RESET_WARN_MS))) {
			virtio_warn(vdev, "reset takes long, status %#04x\n", status);
			warned = true;
		}
		usleep_range(100, 1000);
	}
	vdev->transport->disable_dma(vdev);
	virtio_err(vdev, "device does not finish its reset, status %#04x; its bus mastering is off\n",
		   status);
	return -ETIMEDOUT;
}

/**
 * virtio_add_status() - set bits of the device status
 * @vdev: the device
 * @status: VIRTIO_S_ bits; no other bit changes (GEN-STATUS-02)
 */
void virtio_add_status(struct virtio_device *vdev, u8 status)
{
	vdev->regs->set_status(vdev, vdev->regs->get_status(vdev) | status);
}

/**
 * virtio_device_ready() - the driver is set up: the device may work
 * @vdev: the device; its queues are set up
 */
void virtio_device_ready(struct virtio_device *vdev)
{
	virtio_add_status(vdev, VIRTIO_S_DRIVER_OK);
	trace_virtio_ready(vdev, vdev->regs->get_status(vdev));
}

/* Wait for one of two states, named by the bits of which one is set. */
static int virtio_wait_status(struct virtio_device *vdev, u8 set, u8 clear)
{
	unsigned long end = jiffies + msecs_to_jiffies(SUSPEND_GIVE_UP_MS);
	u8 status;

	for (;;) {
		status = vdev->regs->get_status(vdev);
		if (status == VIRTIO_S_GONE)
			return -ENODEV;
		if (status & VIRTIO_S_NEEDS_RESET)
			return -EIO;
		if ((status & set) && !(status & clear))
			return 0;
		if (time_after(jiffies, end)) {
			virtio_warn(vdev, "device takes too long to %s, status %#04x\n",
				    set == VIRTIO_S_SUSPEND ? "suspend" : "wake up",
				    status);
			return -ETIMEDOUT;
		}
		usleep_range(100, 1000);
	}
}

/**
 * virtio_suspend_device() - have the device pause, with its state
 * @vdev: the device, live; nothing is in flight
 *
 * Section 3.5. From here on, and until virtio_resume_device(), nothing may be made
 * available, notified or configured, also if this fails (GEN-SUSP-04 to 06).
 * Context: may sleep. Return: 0; an error if the device cannot, and has to be
 * reset instead.
 */
int virtio_suspend_device(struct virtio_device *vdev)
{
	if (!virtio_has_feature(vdev, VIRTIO_F_SUSPEND))
		return -EOPNOTSUPP;
	virtio_add_status(vdev, VIRTIO_S_SUSPEND);
	return virtio_wait_status(vdev, VIRTIO_S_SUSPEND, VIRTIO_S_DRIVER_OK);
}

/**
 * virtio_resume_device() - undo virtio_suspend_device()
 * @vdev: the device, which may have lost its state meanwhile
 *
 * Context: may sleep. Return: 0; an error if it has to be set up anew.
 */
int virtio_resume_device(struct virtio_device *vdev)
{
	u8 status = vdev->regs->get_status(vdev);

	if (status == VIRTIO_S_GONE || !(status & VIRTIO_S_SUSPEND))
		return -ENODEV;
	virtio_add_status(vdev, VIRTIO_S_DRIVER_OK);
	return virtio_wait_status(vdev, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND);
}
