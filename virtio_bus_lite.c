// SPDX-License-Identifier: GPL-2.0
/*
 * Module entry and the virtio-lite bus.
 *
 *	PCI core                    finds 1af4:1001 or 1af4:1042
 *	  virtio_pci_probe          maps registers          virtio_pci_lite.c
 *	    register_virtio_device  puts virtioN on the bus       this file
 *	      virtio_dev_match      is there a driver for it?     this file
 *	      virtio_dev_probe      negotiates features           this file
 *	        virtblk_probe       queues and disk         virtio_blk_lite.c
 *
 * The bus has its own name, so upstream's virtio bus and its drivers never
 * see these devices, and both can be loaded side by side.
 */
#include <linux/cc_platform.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/module.h>
#include "compat/compat.h"
#include "virtio_lite.h"

#define CREATE_TRACE_POINTS
#include "trace/virtio_lite_trace.h"

static DEFINE_IDA(virtio_index_ida);

/* What a feature of virtio_features.h is taken on. */
enum virtio_taken { NEVER = 0, LEGACY = 1, MODERN = 2, BOTH = 3 };

struct virtio_feature {
	u8 bit;
	u8 taken;
	u64 needs;
	const char *name;
};

#define VIRTIO_FEATURE(_bit, _name, _taken, _needs, _reason) \
	{ .bit = _bit, .taken = _taken, .needs = _needs, .name = #_name },
static const struct virtio_feature virtio_features[] = {
#include "virtio_features.h"
};
#undef VIRTIO_FEATURE

/*
 * Features
 */

static u64 virtio_choose_features(struct virtio_device *vdev, u64 offered)
{
	const enum virtio_taken mode = vdev->legacy ? LEGACY : MODERN;
	const struct virtio_feature *f;
	u64 accepted = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(virtio_features); i++) {
		f = &virtio_features[i];
		if ((offered & BIT_ULL(f->bit)) && (f->taken & mode))
			accepted |= BIT_ULL(f->bit);
	}

	/* GEN-FEAT-02: nothing without what it needs */
	for (i = 0; i < ARRAY_SIZE(virtio_features); i++) {
		f = &virtio_features[i];
		if (!(accepted & BIT_ULL(f->bit)) || !(f->needs & ~accepted))
			continue;
		virtio_notice(vdev, "%s not taken: it needs features %#llx\n",
			      f->name, f->needs & ~accepted);
		accepted &= ~BIT_ULL(f->bit);
	}
	return accepted;
}

/* Features without which the device cannot be driven at all. */
static int virtio_check_required(struct virtio_device *vdev, u64 accepted)
{
	if (!vdev->legacy && !(accepted & VIRTIO_BIT(VERSION_1))) {
		virtio_err(vdev, "device has no VERSION_1, which its capabilities need, and no BAR0 to do without\n");
		return -ENODEV;
	}
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT) &&
	    !(accepted & VIRTIO_BIT(ACCESS_PLATFORM))) {
		virtio_err(vdev, "memory is encrypted, which needs ACCESS_PLATFORM, and the device does not offer it\n");
		return -ENODEV;
	}
	return 0;
}

static int virtio_negotiate_features(struct virtio_device *vdev)
{
	struct virtio_driver *drv = drv_to_virtio(vdev->dev.driver);
	u64 offered = vdev->regs->get_features(vdev);
	u64 accepted = virtio_choose_features(vdev, offered);
	int err;

	err = virtio_check_required(vdev, accepted);
	if (err)
		return err;
	err = drv->accept(vdev, &accepted);
	if (err)
		return err;

	/* Once chosen they stay: rings and limits were built on most of them. */
	if (vdev->negotiated &&
	    (vdev->features ^ accepted) & ~drv->may_change) {
		virtio_err(vdev, "device came back with features %#llx instead of %#llx\n",
			   accepted, vdev->features);
		return -ENODEV;
	}

	vdev->regs->set_features(vdev, accepted);
	vdev->features = accepted;
	vdev->negotiated = true;
	trace_virtio_negotiate(vdev, accepted);
	if (vdev->legacy)
		return 0;	/* LEG-INIT-01: there is no FEATURES_OK */

	virtio_add_status(vdev, VIRTIO_S_FEATURES_OK);
	if (!(vdev->regs->get_status(vdev) & VIRTIO_S_FEATURES_OK)) {
		virtio_err(vdev, "device refuses features %#llx out of %#llx (FEATURES_OK does not stay set)\n",
			   accepted, offered);
		return -ENODEV;
	}
	return 0;
}

/**
 * virtio_negotiate() - first half of initialization, section 3.1.1
 * @vdev: a device with a driver
 *
 * Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. A device that was driven
 * before has to take the same features again. On failure FAILED is set.
 * Context: may sleep. Return: 0 or an error, with a message.
 */
int virtio_negotiate(struct virtio_device *vdev)
{
	int err;

	err = virtio_reset_device(vdev);
	if (err)
		return err;
	virtio_add_status(vdev, VIRTIO_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_S_DRIVER);
	err = virtio_negotiate_features(vdev);
	if (err)
		virtio_add_status(vdev, VIRTIO_S_FAILED);
	return err;
}

/*
 * Device configuration
 */

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

/*
 * Shared memory
 */

/**
 * virtio_mem_alloc() - zeroed memory that the device can reach
 * @vdev: the device, features negotiated
 * @mem: filled
 * @size: bytes; physically contiguous, page aligned
 * @node: preferred NUMA node
 *
 * ACCESS_PLATFORM decides whether the device sees bus addresses or guest
 * physical ones (GEN-RSVD-04, GEN-RSVD-05). Context: may sleep. Return: 0 or
 * -ENOMEM.
 */
int virtio_mem_alloc(struct virtio_device *vdev, struct virtio_mem *mem,
		     size_t size, int node)
{
	struct page *page;

	mem->size = size;
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		mem->addr = dma_alloc_coherent(vdev->dev.parent, size,
					       &mem->dma, GFP_KERNEL);
		return mem->addr ? 0 : -ENOMEM;
	}

	page = alloc_pages_node(node, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN,
				get_order(size));
	if (!page)
		return -ENOMEM;
	mem->addr = page_address(page);
	mem->dma = page_to_phys(page);
	return 0;
}

/**
 * virtio_mem_free() - undo virtio_mem_alloc()
 * @vdev: the device, which no longer uses @mem
 * @mem: may be empty
 */
void virtio_mem_free(struct virtio_device *vdev, struct virtio_mem *mem)
{
	if (!mem->addr)
		return;
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM))
		dma_free_coherent(vdev->dev.parent, mem->size, mem->addr,
				  mem->dma);
	else
		free_pages((unsigned long)mem->addr, get_order(mem->size));
	mem->addr = NULL;
}

/*
 * What user space sees of a device: the same as on upstream's bus
 */

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

/*
 * The bus
 */

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
 * virtio_device_pause() - the function is about to be reset from outside
 * @vdev: the device; may have no driver
 */
void virtio_device_pause(struct virtio_device *vdev)
{
	/* Its driver may come or go at this moment. */
	device_lock(&vdev->dev);
	if (vdev->dev.driver)
		drv_to_virtio(vdev->dev.driver)->pause(vdev);
	device_unlock(&vdev->dev);
}

/**
 * virtio_device_resume() - the function was reset from outside
 * @vdev: a device that virtio_device_pause() was called for
 * @err: 0, or why it is of no use any more
 */
void virtio_device_resume(struct virtio_device *vdev, int err)
{
	device_lock(&vdev->dev);
	if (vdev->dev.driver)
		drv_to_virtio(vdev->dev.driver)->resume(vdev, err);
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

static int __init virtio_lite_init(void)
{
	int err;

	err = bus_register(&virtio_lite_bus);
	if (err)
		return err;
	err = virtio_blk_register();
	if (err)
		goto err_blk;
	err = virtio_pci_register();
	if (err)
		goto err_pci;
	return 0;

err_pci:
	virtio_blk_unregister();
err_blk:
	bus_unregister(&virtio_lite_bus);
	return err;
}

static void __exit virtio_lite_exit(void)
{
	virtio_pci_unregister();
	virtio_blk_unregister();
	bus_unregister(&virtio_lite_bus);
	ida_destroy(&virtio_index_ida);
}

module_init(virtio_lite_init);
module_exit(virtio_lite_exit);

MODULE_DESCRIPTION("virtio block disks over PCI, without the kernel's own virtio stack");
MODULE_LICENSE("GPL");
