// SPDX-License-Identifier: GPL-2.0
/*
 * The device's configuration space: section 2.5. These functions read a whole
 * field and return it in the guest's byte order, and report config changes to the
 * driver.
 */
#include "virtio_lite.h"

/**
 * virtio_cread() - read a field of device config
 * @vdev: the device
 * @off: offset of the field; its feature bit was checked (GEN-CFG-04)
 * @len: number of its bytes: 1, 2 or 4; virtio_cread64() is for 8
 *
 * Return: the value, in the guest's byte order; 0 if the config space ends before
 * the field (GEN-CFG-06), which every caller handles.
 */
u64 virtio_cread(struct virtio_device *vdev, unsigned int off, unsigned int len)
{
	unsigned int end = vdev->regs->config_len(vdev);

	if (off + len <= end)
		return vdev->regs->get_config(vdev, off, len);
	virtio_warn_ratelimited(vdev, "config space ends at %u, before the field at %u\n",
				end, off);
	return 0;
}

/**
 * virtio_cread64() - read 64 bits of device config, consistently
 * @vdev: the device
 * @off: offset of the field
 *
 * GEN-CFG-01, GEN-CFG-03, LEG-CFG-01: the read is repeated until the generation
 * does not change or, for a legacy device, two reads agree. If the config never
 * stops changing, the last value is returned; the caller validates it anyway.
 */
u64 virtio_cread64(struct virtio_device *vdev, unsigned int off)
{
	u64 v = 0, before;
	u8 generation;
	int tries;

	for (tries = 0; tries < 100; tries++) {
		before = v;
		generation = vdev->regs->generation(vdev);
		v = virtio_cread(vdev, off, sizeof(v));
		if (vdev->legacy ? tries && v == before :
		    generation == vdev->regs->generation(vdev))
			return v;
	}
	virtio_warn_ratelimited(vdev, "config at %u changes faster than it can be read\n",
				off);
	return v;
}

/**
 * virtio_cwrite8() - write a byte of device config
 * @vdev: the device, after FEATURES_OK (GEN-INIT-04)
 * @off: offset of the field
 * @val: the value
 */
void virtio_cwrite8(struct virtio_device *vdev, unsigned int off, u8 val)
{
	if (off < vdev->regs->config_len(vdev))
		vdev->regs->set_config(vdev, off, val);
}

static bool virtio_tell_config_changed(struct virtio_device *vdev)
{
	struct virtio_driver *drv = drv_to_virtio(vdev->dev.driver);

	return drv->config_changed && drv->config_changed(vdev);
}

/**
 * virtio_config_changed() - report a config change to the driver
 * @vdev: the device, which raised a config interrupt
 *
 * After virtio_config_disable() the change is kept until virtio_config_enable().
 * Context: any, interrupts included. Return: false if a change was reported before,
 * and the driver has not looked yet.
 */
bool virtio_config_changed(struct virtio_device *vdev)
{
	unsigned long flags;
	bool first;

	spin_lock_irqsave(&vdev->config_lock, flags);
	if (vdev->config_enabled) {
		first = virtio_tell_config_changed(vdev);
	} else {
		first = !vdev->config_pending;
		vdev->config_pending = true;
	}
	spin_unlock_irqrestore(&vdev->config_lock, flags);
	return first;
}

/**
 * virtio_config_enable() - report config changes to the driver from now on
 * @vdev: the device
 *
 * A change that was kept is reported at once.
 */
void virtio_config_enable(struct virtio_device *vdev)
{
	spin_lock_irq(&vdev->config_lock);
	vdev->config_enabled = true;
	if (vdev->config_pending)
		virtio_tell_config_changed(vdev);
	vdev->config_pending = false;
	spin_unlock_irq(&vdev->config_lock);
}

/**
 * virtio_config_disable() - keep config changes until virtio_config_enable()
 * @vdev: the device
 */
void virtio_config_disable(struct virtio_device *vdev)
{
	spin_lock_irq(&vdev->config_lock);
	vdev->config_enabled = false;
	spin_unlock_irq(&vdev->config_lock);
}
