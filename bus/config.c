// SPDX-License-Identifier: GPL-2.0
/*
 * The device's configuration space: section 2.5. Its fields are read whole, in
 * the guest's byte order; a change of them is reported to the driver.
 */
#include "virtio_lite.h"

static void virtio_cread(struct virtio_device *vdev, unsigned int off,
			 void *buf, unsigned int len)
{
	/* GEN-CFG-06: a field that is not there reads as 0, which all can bear */
	if (off + len <= vdev->regs->config_len(vdev)) {
		vdev->regs->get_config(vdev, off, buf, len);
		return;
	}
	memset(buf, 0, len);
	dev_warn_once(vdev->dev.parent,
		      "config space ends at %u, before the field at %u\n",
		      vdev->regs->config_len(vdev), off);
}

/**
 * virtio_cread8() - read a byte of device config
 * @vdev: the device
 * @off: offset; its feature bit was checked (GEN-CFG-04)
 *
 * This and its wider kin return the guest's byte order, and 0 beyond the end
 * of a config space that is too short.
 */
u8 virtio_cread8(struct virtio_device *vdev, unsigned int off)
{
	u8 v;

	virtio_cread(vdev, off, &v, sizeof(v));
	return v;
}

/**
 * virtio_cread16() - read 16 bits of device config
 * @vdev: the device
 * @off: offset
 */
u16 virtio_cread16(struct virtio_device *vdev, unsigned int off)
{
	__le16 v;

	virtio_cread(vdev, off, &v, sizeof(v));
	return vdev->legacy ? (__force u16)v : le16_to_cpu(v);
}

/**
 * virtio_cread32() - read 32 bits of device config
 * @vdev: the device
 * @off: offset
 */
u32 virtio_cread32(struct virtio_device *vdev, unsigned int off)
{
	__le32 v;

	virtio_cread(vdev, off, &v, sizeof(v));
	return vdev->legacy ? (__force u32)v : le32_to_cpu(v);
}

/**
 * virtio_cread64() - read 64 bits of device config that belong together
 * @vdev: the device
 * @off: offset
 *
 * GEN-CFG-01, GEN-CFG-03, LEG-CFG-01: repeated until the generation stands
 * still or, where there is none, two readings agree. A device that never comes
 * to rest gets its last value believed; whoever uses it bounds it anyway.
 */
u64 virtio_cread64(struct virtio_device *vdev, unsigned int off)
{
	__le64 v = 0, before;
	u8 generation;
	int tries;

	for (tries = 0; tries < 100; tries++) {
		before = v;
		generation = vdev->regs->generation(vdev);
		virtio_cread(vdev, off, &v, sizeof(v));
		if (vdev->legacy ? tries && v == before :
		    generation == vdev->regs->generation(vdev))
			return vdev->legacy ? (__force u64)v : le64_to_cpu(v);
	}
	virtio_warn(vdev, "config at %u changes faster than it can be read\n",
		    off);
	return vdev->legacy ? (__force u64)v : le64_to_cpu(v);
}

/**
 * virtio_cwrite8() - write a byte of device config
 * @vdev: the device, after FEATURES_OK (GEN-INIT-04)
 * @off: offset
 * @val: what to write
 */
void virtio_cwrite8(struct virtio_device *vdev, unsigned int off, u8 val)
{
	if (off < vdev->regs->config_len(vdev))
		vdev->regs->set_config(vdev, off, val);
}

static void virtio_tell_config_changed(struct virtio_device *vdev)
{
	drv_to_virtio(vdev->dev.driver)->config_changed(vdev);
}

/**
 * virtio_config_changed() - a config interrupt came
 * @vdev: the device
 *
 * Context: hard interrupt. Kept for later while the driver is not ready.
 */
void virtio_config_changed(struct virtio_device *vdev)
{
	unsigned long flags;

	spin_lock_irqsave(&vdev->config_lock, flags);
	if (vdev->config_enabled)
		virtio_tell_config_changed(vdev);
	else
		vdev->config_pending = true;
	spin_unlock_irqrestore(&vdev->config_lock, flags);
}

/**
 * virtio_config_enable() - from now on the driver hears of config changes
 * @vdev: the device
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
 * virtio_config_disable() - the driver hears of no more config changes
 * @vdev: the device
 */
void virtio_config_disable(struct virtio_device *vdev)
{
	spin_lock_irq(&vdev->config_lock);
	vdev->config_enabled = false;
	spin_unlock_irq(&vdev->config_lock);
}
