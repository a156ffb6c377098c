// SPDX-License-Identifier: GPL-2.0
/*
 * The virtio-lite bus: devices that a transport found, drivers that want them.
 *
 *	PCI core                    finds 1af4:1001 or 1af4:1042
 *	  virtio_pci_probe          maps registers          virtio_pci_lite.c
 *	    register_virtio_device  puts virtioN on the bus       this file
 *	      virtio_dev_match      is there a driver for it?     this file
 *	      virtio_dev_probe      has the features negotiated   this file
 *	        virtblk_probe       queues and disk         virtio_blk_lite.c
 *
 * The bus has its own name, so upstream's virtio bus and its drivers never
 * see these devices, and both can be loaded side by side.
 *
 *	bus/status.c	the device status: reset, DRIVER_OK, suspend
 *	bus/features.c	negotiation of feature bits
 *	bus/config.c	the device's configuration space, and its changes
 *	bus/mem.c	memory that driver and device share
 */
#include <linux/idr.h>
#include <linux/module.h>
#include "compat/compat.h"
#include "virtio_lite.h"
#include "trace/virtio_lite_trace.h"

static DEFINE_IDA(virtio_index_ida);

/* What user space sees of a device: the same as on upstream's bus. */

static ssize_t device_show(struct device *d, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "0x%04x\n", dev_to_virtio(d)->device);
}
static DEVICE_ATTR_RO(device);

static ssize_t vendor_show(struct device *d, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "0x%04x\n", dev_to_virtio(d)->vendor);
}
static DEVICE_ATTR_RO(vendor);

static ssize_t status_show(struct device *d, struct device_attribute *attr,
			   char *buf)
{
	struct virtio_device *vdev = dev_to_virtio(d);

	return sysfs_emit(buf, "0x%08x\n", vdev->regs->get_status(vdev));
}
static DEVICE_ATTR_RO(status);

static ssize_t features_show(struct device *d, struct device_attribute *attr,
			     char *buf)
{
	u64 features = dev_to_virtio(d)->features;
	int i;

	for (i = 0; i < 64; i++)
		buf[i] = features & BIT_ULL(i) ? '1' : '0';
	buf[i++] = '\n';
	return i;
}
static DEVICE_ATTR_RO(features);

/* Not "virtio:", or udev would load upstream's drivers for our devices. */
#define VIRTIO_MODALIAS "virtio-lite:d%08Xv%08X"

static ssize_t modalias_show(struct device *d, struct device_attribute *attr,
			     char *buf)
{
	struct virtio_device *vdev = dev_to_virtio(d);

	return sysfs_emit(buf, VIRTIO_MODALIAS "\n", vdev->device, vdev->vendor);
}
static DEVICE_ATTR_RO(modalias);

static struct attribute *virtio_dev_attrs[] = {
	&dev_attr_device.attr,
	&dev_attr_vendor.attr,
	&dev_attr_status.attr,
	&dev_attr_features.attr,
	&dev_attr_modalias.attr,
	NULL,
};
ATTRIBUTE_GROUPS(virtio_dev);

static int virtio_dev_match(struct device *d, compat_const_driver *r)
{
	struct virtio_device *vdev = dev_to_virtio(d);
	int fits = drv_to_virtio(r)->device == vdev->device;

	trace_virtio_match(vdev, fits);
	return fits;
}

static int virtio_dev_uevent(compat_const_device *d,
			     struct kobj_uevent_env *env)
{
	const struct virtio_device *vdev = dev_to_virtio(d);

	return add_uevent_var(env, "MODALIAS=" VIRTIO_MODALIAS, vdev->device,
			      vdev->vendor);
}

static int virtio_dev_probe(struct device *d)
{
	struct virtio_device *vdev = dev_to_virtio(d);
	int err;

	vdev->features = 0;
	vdev->negotiated = false;
	vdev->config_pending = false;
	err = virtio_negotiate(vdev);
	if (err)
		return err;
	err = drv_to_virtio(d->driver)->probe(vdev);
	if (err)
		virtio_add_status(vdev, VIRTIO_S_FAILED);
	return err;
}

static void virtio_dev_remove(struct device *d)
{
	drv_to_virtio(d->driver)->remove(dev_to_virtio(d));
}

static void virtio_dev_shutdown(struct device *d)
{
	if (d->driver)
		drv_to_virtio(d->driver)->shutdown(dev_to_virtio(d));
}

static struct bus_type virtio_lite_bus = {
	.name = "virtio-lite",
	.match = virtio_dev_match,
	.uevent = virtio_dev_uevent,
	.probe = virtio_dev_probe,
	.remove = virtio_dev_remove,
	.shutdown = virtio_dev_shutdown,
	.dev_groups = virtio_dev_groups,
};

/**
 * register_virtio_device() - put a device on the bus, which probes it
 * @vdev: filled by the transport, with dev.parent and dev.release
 *
 * After this, also on failure, @vdev is let go of with put_device() only.
 * Context: may sleep. Return: 0, even where no driver wants it, or an error.
 */
int register_virtio_device(struct virtio_device *vdev)
{
	int err;

	spin_lock_init(&vdev->config_lock);
	vdev->dev.bus = &virtio_lite_bus;
	device_initialize(&vdev->dev);

	/* Whatever firmware or an earlier kernel left running stops here. */
	err = virtio_reset_device(vdev);
	if (err)
		return err;

	vdev->index = ida_alloc(&virtio_index_ida, GFP_KERNEL);
	if (vdev->index < 0)
		return vdev->index;
	trace_virtio_register(vdev, vdev->device);

	err = dev_set_name(&vdev->dev, "virtio%d", vdev->index);
	if (!err)
		err = device_add(&vdev->dev);
	if (err)
		ida_free(&virtio_index_ida, vdev->index);
	return err;
}

/**
 * unregister_virtio_device() - take a device off the bus
 * @vdev: a registered device; its driver's remove was called when this returns
 */
void unregister_virtio_device(struct virtio_device *vdev)
{
	device_del(&vdev->dev);
	ida_free(&virtio_index_ida, vdev->index);
}

/**
 * virtio_device_freeze() - the device is about to lose its state
 * @vdev: the device; may have no driver
 * @keeps: see struct virtio_driver
 *
 * Return: 0 or the driver's error, which stops the suspend.
 */
int virtio_device_freeze(struct virtio_device *vdev, bool keeps)
{
	if (!vdev->dev.driver)
		return 0;
	return drv_to_virtio(vdev->dev.driver)->freeze(vdev, keeps);
}

/**
 * virtio_device_restore() - the device has power again
 * @vdev: a device that virtio_device_freeze() was called for
 * @err: 0, or why it is of no use any more
 */
int virtio_device_restore(struct virtio_device *vdev, int err)
{
	if (vdev->dev.driver)
		return drv_to_virtio(vdev->dev.driver)->restore(vdev, err);
	return err ?: virtio_reset_device(vdev);
}

/**
 * virtio_device_reset_prepare() - the function is about to be reset from outside
 * @vdev: the device; may have no driver
 */
void virtio_device_reset_prepare(struct virtio_device *vdev)
{
	/* Its driver may come or go at this moment. */
	device_lock(&vdev->dev);
	if (vdev->dev.driver)
		drv_to_virtio(vdev->dev.driver)->reset_prepare(vdev);
	device_unlock(&vdev->dev);
}

/**
 * virtio_device_reset_done() - the function was reset from outside
 * @vdev: a device that virtio_device_reset_prepare() was called for
 * @err: 0, or why it is of no use any more
 */
void virtio_device_reset_done(struct virtio_device *vdev, int err)
{
	device_lock(&vdev->dev);
	if (vdev->dev.driver)
		drv_to_virtio(vdev->dev.driver)->reset_done(vdev, err);
	device_unlock(&vdev->dev);
}

/**
 * register_virtio_driver() - offer a driver to the devices on the bus
 * @drv: the driver
 */
int register_virtio_driver(struct virtio_driver *drv)
{
	drv->driver.bus = &virtio_lite_bus;
	drv->driver.owner = THIS_MODULE;
	return driver_register(&drv->driver);
}

/**
 * unregister_virtio_driver() - undo register_virtio_driver()
 * @drv: the driver; its remove is called for each of its devices
 */
void unregister_virtio_driver(struct virtio_driver *drv)
{
	driver_unregister(&drv->driver);
}

/**
 * virtio_bus_register() - make the bus known to the driver core
 *
 * Context: may sleep. Return: 0 or an error.
 */
int __init virtio_bus_register(void)
{
	return bus_register(&virtio_lite_bus);
}

/**
 * virtio_bus_unregister() - undo virtio_bus_register()
 *
 * No device and no driver is left on the bus.
 */
void virtio_bus_unregister(void)
{
	bus_unregister(&virtio_lite_bus);
	ida_destroy(&virtio_index_ida);
}
