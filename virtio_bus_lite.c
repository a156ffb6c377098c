// SPDX-License-Identifier: GPL-2.0
/*
 * The virtio-lite bus: it connects the devices of a transport with drivers.
 *
 *	PCI core                    finds 1af4:1001 or 1af4:1042, a disk
 *	  virtio_pci_probe          maps registers          virtio_pci_lite.c
 *	    register_virtio_device  puts virtioN on the bus       this file
 *	      virtio_dev_match      is there a driver for it?     this file
 *	      virtio_dev_probe      negotiates the features       this file
 *	        virtblk_probe       queues and disk         virtio_blk_lite.c
 *
 * The bus has its own name, so upstream's virtio bus and its drivers do not see
 * these devices, and both buses can be loaded at the same time.
 *
 *	bus/status.c	the device status: reset, DRIVER_OK, suspend
 *	bus/features.c	negotiation of feature bits
 *	bus/config.c	the device's configuration space, and its changes
 *	bus/mem.c	memory that driver and device share
 */
#include <linux/idr.h>
#include <linux/module.h>
#include "compat/compat.h"
#include "virtio_export.h"
#include "virtio_lite.h"
#include "trace/virtio_lite_trace.h"

/* So many lines of the log a device may provoke in so long, of each kind. */
#define MESSAGES_BURST		10
#define MESSAGES_INTERVAL	(10 * HZ)

static DEFINE_IDA(virtio_index_ida);

/* Attributes of a device: the same as on upstream's bus. */

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

/* Not "virtio:", or udev would load upstream's drivers for these devices. */
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

	trace_virtio_match(vdev, drv_to_virtio(r), fits);
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
 * register_virtio_device() - reset a device, and add it to the bus
 * @vdev: the device, filled by the transport, with dev.parent and dev.release
 *
 * The bus probes the device if it has a driver. After this, also after an error,
 * only put_device() frees @vdev. Context: may sleep. Return: 0, also if no driver
 * matches or its probe fails; an error if the device was not added.
 */
int register_virtio_device(struct virtio_device *vdev)
{
	int err;

	spin_lock_init(&vdev->config_lock);
	ratelimit_state_init(&vdev->errors_limit, MESSAGES_INTERVAL, MESSAGES_BURST);
	ratelimit_state_init(&vdev->infos_limit, MESSAGES_INTERVAL, MESSAGES_BURST);
	vdev->dev.bus = &virtio_lite_bus;
	device_initialize(&vdev->dev);

	/* Firmware or an earlier kernel may have left the device running. */
	err = virtio_reset_device(vdev);
	if (err)
		return err;

	vdev->index = ida_alloc(&virtio_index_ida, GFP_KERNEL);
	if (vdev->index < 0)
		return vdev->index;
	trace_virtio_register(vdev);

	err = dev_set_name(&vdev->dev, "virtio%d", vdev->index);
	if (!err)
		err = device_add(&vdev->dev);
	if (err)
		ida_free(&virtio_index_ida, vdev->index);
	return err;
}

/**
 * unregister_virtio_device() - remove a device from the bus
 * @vdev: a registered device
 *
 * This calls remove of the device's driver. Context: may sleep.
 */
void unregister_virtio_device(struct virtio_device *vdev)
{
	device_del(&vdev->dev);
	ida_free(&virtio_index_ida, vdev->index);
}

/**
 * virtio_device_freeze() - call the driver's freeze before the system sleeps
 * @vdev: the device, which may have no driver
 * @keeps: see struct virtio_driver
 *
 * Return: 0; the driver's error, which aborts the suspend.
 */
int virtio_device_freeze(struct virtio_device *vdev, bool keeps)
{
	if (!vdev->dev.driver)
		return 0;
	return drv_to_virtio(vdev->dev.driver)->freeze(vdev, keeps);
}

/**
 * virtio_device_restore() - call the driver's restore after the system slept
 * @vdev: the device, after virtio_device_freeze()
 * @err: 0, or the error that makes the device unusable
 *
 * A device without a driver is reset. Return: 0 or an error.
 */
int virtio_device_restore(struct virtio_device *vdev, int err)
{
	if (vdev->dev.driver)
		return drv_to_virtio(vdev->dev.driver)->restore(vdev, err);
	return err ?: virtio_reset_device(vdev);
}

/**
 * virtio_device_reset_prepare() - call the driver's reset_prepare
 * @vdev: the device, which is about to be reset from outside of the driver; it
 *	  may have none
 */
void virtio_device_reset_prepare(struct virtio_device *vdev)
{
	/* A driver may be bound or unbound at this moment. */
	device_lock(&vdev->dev);
	if (vdev->dev.driver)
		drv_to_virtio(vdev->dev.driver)->reset_prepare(vdev);
	device_unlock(&vdev->dev);
}

/**
 * virtio_device_reset_done() - call the driver's reset_done
 * @vdev: the device, after virtio_device_reset_prepare()
 * @err: 0, or the error that makes the device unusable
 */
void virtio_device_reset_done(struct virtio_device *vdev, int err)
{
	struct virtio_driver *drv;

	device_lock(&vdev->dev);
	if (vdev->dev.driver) {
		drv = drv_to_virtio(vdev->dev.driver);
		/* It may have been bound after the reset was announced. */
		drv->reset_prepare(vdev);
		drv->reset_done(vdev, err);
	}
	device_unlock(&vdev->dev);
}

/*
 * The transport finds devices, and takes only those that a driver is there for.
 * So it has to know which drivers come and go. Protects @virtio_tell.
 */
static DEFINE_MUTEX(virtio_drivers_mutex);
static virtio_drivers_fn virtio_tell;

static int virtio_tell_of(struct device_driver *r, void *unused)
{
	virtio_tell(drv_to_virtio(r), true);
	return 0;
}

/**
 * virtio_follow_drivers() - have a transport told of each driver
 * @tell: called for each driver that is there or comes, with true, and for each
 *	  that has gone, with false; NULL to end that
 *
 * Context: may sleep, and so may @tell, which does not register a driver.
 */
void virtio_follow_drivers(virtio_drivers_fn tell)
{
	mutex_lock(&virtio_drivers_mutex);
	virtio_tell = tell;
	if (tell)
		bus_for_each_drv(&virtio_lite_bus, NULL, NULL, virtio_tell_of);
	mutex_unlock(&virtio_drivers_mutex);
}

struct virtio_search {
	u32 device;
	int config_len;
};

static int virtio_drives(struct device_driver *r, void *data)
{
	const struct virtio_driver *drv = drv_to_virtio(r);
	struct virtio_search *search = data;

	if (drv->device != search->device)
		return 0;
	search->config_len = drv->config_len;
	return 1;
}

/**
 * virtio_driver_config_len() - what a kind of device needs for its driver
 * @device: the virtio device id
 *
 * Return: bytes of device config that its driver needs, or -ENODEV if there is
 * no driver for such devices.
 */
int virtio_driver_config_len(u32 device)
{
	struct virtio_search search = { .device = device };

	if (!bus_for_each_drv(&virtio_lite_bus, NULL, &search, virtio_drives))
		return -ENODEV;
	return search.config_len;
}

/**
 * __register_virtio_driver() - register_virtio_driver() of a module
 * @drv: the driver
 * @owner: the module
 */
int __register_virtio_driver(struct virtio_driver *drv, struct module *owner)
{
	int err;

	drv->driver.bus = &virtio_lite_bus;
	drv->driver.owner = owner;
	err = driver_register(&drv->driver);
	if (err)
		return err;
	mutex_lock(&virtio_drivers_mutex);
	if (virtio_tell)
		virtio_tell(drv, true);
	mutex_unlock(&virtio_drivers_mutex);
	return 0;
}
EXPORT_SYMBOL_LITE(__register_virtio_driver);

/**
 * unregister_virtio_driver() - undo register_virtio_driver()
 * @drv: the driver; its remove is called for each of its devices, and the
 *	 transport lets go of them
 */
void unregister_virtio_driver(struct virtio_driver *drv)
{
	driver_unregister(&drv->driver);
	mutex_lock(&virtio_drivers_mutex);
	if (virtio_tell)
		virtio_tell(drv, false);
	mutex_unlock(&virtio_drivers_mutex);
}
EXPORT_SYMBOL_LITE(unregister_virtio_driver);

/**
 * virtio_bus_register() - register the bus with the driver core
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
 * There is no device and no driver on the bus any more.
 */
void virtio_bus_unregister(void)
{
	bus_unregister(&virtio_lite_bus);
	ida_destroy(&virtio_index_ida);
}
