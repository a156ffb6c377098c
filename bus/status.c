// SPDX-License-Identifier: GPL-2.0
/*
 * The device status: section 2.1. This register shows the progress of the
 * device's initialisation; writing 0 resets the device.
 */
#include <linux/delay.h>
#include "virtio_export.h"
#include "virtio_lite.h"
#include "trace/virtio_lite_trace.h"

/*
 * A reset may take as long as the slowest request in flight, because QEMU
 * finishes them first. So the wait is long, with one warning.
 */
#define RESET_WARN_MS	1000
#define RESET_GIVE_UP_MS 60000
/* The specification has no bound; after this the device is reset instead. */
#define SUSPEND_GIVE_UP_MS 10000

/**
 * virtio_reset_device() - reset the device
 * @vdev: the device
 *
 * When this returns, the device no longer uses any memory of the driver: the
 * reset has finished (GEN-RESET-01), or the device may not be a bus master.
 * Context: may sleep, for up to a minute. Return: 0; -ENODEV if the device is
 * gone; -ETIMEDOUT if the reset did not finish.
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
EXPORT_SYMBOL_LITE(virtio_reset_device);

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
 * virtio_device_ready() - set DRIVER_OK: the device may use its queues
 * @vdev: the device; its queues are set up
 */
void virtio_device_ready(struct virtio_device *vdev)
{
	virtio_add_status(vdev, VIRTIO_S_DRIVER_OK);
	trace_virtio_ready(vdev, vdev->regs->get_status(vdev));
}
EXPORT_SYMBOL_LITE(virtio_device_ready);

/* Wait until the status bits @set are set and the bits @clear are clear. */
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
 * virtio_suspend_device() - suspend the device, which keeps its state
 * @vdev: the device; DRIVER_OK is set, and no request is in flight
 *
 * Section 3.5. Until virtio_resume_device() the driver may make no buffer
 * available, send no kick and write no config, also after an error (GEN-SUSP-04
 * to 06). Context: may sleep. Return: 0; an error if the device has to be reset
 * instead.
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
 * Context: may sleep. Return: 0; an error if the device has to be reset and
 * reinitialised.
 */
int virtio_resume_device(struct virtio_device *vdev)
{
	u8 status = vdev->regs->get_status(vdev);

	if (status == VIRTIO_S_GONE || !(status & VIRTIO_S_SUSPEND))
		return -ENODEV;
	virtio_add_status(vdev, VIRTIO_S_DRIVER_OK);
	return virtio_wait_status(vdev, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND);
}
