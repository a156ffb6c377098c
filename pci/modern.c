// SPDX-License-Identifier: GPL-2.0
/*
 * Modern registers: section 4.1.4. Capabilities in PCI config space say in
 * which BAR and at what offset each structure of the device is.
 */
#include <linux/delay.h>
#include "compat/compat.h"
#include "pci/modern.h"

/* Enough for any device with a notify address per queue; bounds the mapping. */
#define VP_NOTIFY_MAX	SZ_16M
/* If the reset of a queue takes longer, the device is reset instead. */
#define VP_QUEUE_RESET_MS 10000

static u8 vp_read8(struct vp_device *vp, unsigned int off)
{
	return ioread8(vp->common.base + off);
}

static u16 vp_read16(struct vp_device *vp, unsigned int off)
{
	return ioread16(vp->common.base + off);
}

static u32 vp_read32(struct vp_device *vp, unsigned int off)
{
	return ioread32(vp->common.base + off);
}

static void vp_write16(struct vp_device *vp, unsigned int off, u16 val)
{
	iowrite16(val, vp->common.base + off);
}

static void vp_write32(struct vp_device *vp, unsigned int off, u32 val)
{
	iowrite32(val, vp->common.base + off);
}

/* PCI-ACC-03: 64 bits are two accesses of 32 bits. */
static void vp_write64(struct vp_device *vp, unsigned int off, u64 val)
{
	vp_write32(vp, off, lower_32_bits(val));
	vp_write32(vp, off + 4, upper_32_bits(val));
}

static u64 vp_modern_get_features(struct virtio_device *vdev)
{
	struct vp_device *vp = to_vp(vdev);
	u64 features;

	vp_write32(vp, VIRTIO_PCI_COMMON_DFSELECT, 0);
	features = vp_read32(vp, VIRTIO_PCI_COMMON_DF);
	vp_write32(vp, VIRTIO_PCI_COMMON_DFSELECT, 1);
	features |= (u64)vp_read32(vp, VIRTIO_PCI_COMMON_DF) << 32;

	/* Each of these features needs its register (section 4.1.4.3). */
	if (vp->common.len < VIRTIO_PCI_COMMON_QNOTIFY_DATA + sizeof(u16))
		features &= ~VIRTIO_BIT(NOTIF_CONFIG_DATA);
	if (vp->common.len < VIRTIO_PCI_COMMON_QRESET + sizeof(u16))
		features &= ~VIRTIO_BIT(RING_RESET);
	return features;
}

static void vp_modern_set_features(struct virtio_device *vdev, u64 features)
{
	struct vp_device *vp = to_vp(vdev);

	vp_write32(vp, VIRTIO_PCI_COMMON_GFSELECT, 0);
	vp_write32(vp, VIRTIO_PCI_COMMON_GF, lower_32_bits(features));
	vp_write32(vp, VIRTIO_PCI_COMMON_GFSELECT, 1);
	vp_write32(vp, VIRTIO_PCI_COMMON_GF, upper_32_bits(features));
}

static u8 vp_modern_get_status(struct virtio_device *vdev)
{
	return vp_read8(to_vp(vdev), VIRTIO_PCI_COMMON_STATUS);
}

static void vp_modern_set_status(struct virtio_device *vdev, u8 status)
{
	iowrite8(status, to_vp(vdev)->common.base + VIRTIO_PCI_COMMON_STATUS);
}

static u8 vp_modern_generation(struct virtio_device *vdev)
{
	return vp_read8(to_vp(vdev), VIRTIO_PCI_COMMON_GENERATION);
}

static unsigned int vp_modern_config_len(struct virtio_device *vdev)
{
	return to_vp(vdev)->config.len;
}

/* PCI-ACC-01 to 03: accesses are as wide as the field. */
static u64 vp_modern_get_config(struct virtio_device *vdev, unsigned int off,
				unsigned int len)
{
	void __iomem *base = to_vp(vdev)->config.base + off;
	u64 high = 0;

	switch (len) {
	case 1:
		return ioread8(base);
	case 2:
		return ioread16(base);
	case 8:
		high = ioread32(base + 4);
		fallthrough;
	default:
		return high << 32 | ioread32(base);
	}
}

static void vp_modern_set_config(struct virtio_device *vdev, unsigned int off,
				 u8 val)
{
	iowrite8(val, to_vp(vdev)->config.base + off);
}

static void vp_modern_select(struct vp_device *vp, u16 index)
{
	vp_write16(vp, VIRTIO_PCI_COMMON_QSELECT, index);
}

static u16 vp_modern_queue_size(struct vp_device *vp)
{
	return vp_read16(vp, VIRTIO_PCI_COMMON_QSIZE);
}

static u16 vp_modern_set_vector(struct vp_device *vp, u16 vector)
{
	vp_write16(vp, VIRTIO_PCI_COMMON_QVECTOR, vector);
	return vp_read16(vp, VIRTIO_PCI_COMMON_QVECTOR);
}

static u16 vp_modern_set_config_vector(struct vp_device *vp, u16 vector)
{
	vp_write16(vp, VIRTIO_PCI_COMMON_CFGVECTOR, vector);
	return vp_read16(vp, VIRTIO_PCI_COMMON_CFGVECTOR);
}

/* Section 4.1.4.4; PCI-NADDR-I01 */
static int vp_modern_notify(struct vp_device *vp, struct virtqueue *vq)
{
	bool data = virtio_has_feature(&vp->vdev, VIRTIO_F_NOTIFICATION_DATA);
	u64 off = (u64)vp_read16(vp, VIRTIO_PCI_COMMON_QNOTIFY_OFF) *
		  vp->notify_mult;
	unsigned int size = data ? sizeof(u32) : sizeof(u16);
	unsigned long addr = (unsigned long)vp->notify.base + off;

	if (off + size > vp->notify.len || addr % size) {
		dev_err(&vp->pdev->dev,
			"queue %u: notify address %#llx is odd, or outside of %#x bytes\n",
			vq->index, off, vp->notify.len);
		return -EINVAL;
	}
	vq->notify = vp->notify.base + off;
	vq->notify_data = data;
	vq->notify_other = vp->notify.pio || data;
	vq->notify_id = vq->index;
	if (virtio_has_feature(&vp->vdev, VIRTIO_F_NOTIF_CONFIG_DATA))
		vq->notify_id = vp_read16(vp, VIRTIO_PCI_COMMON_QNOTIFY_DATA);
	return 0;
}

static int vp_modern_enable_queue(struct vp_device *vp, struct virtqueue *vq,
				  const struct virtio_mem *mem)
{
	vp_write16(vp, VIRTIO_PCI_COMMON_QSIZE, vq->num);
	vp_write64(vp, VIRTIO_PCI_COMMON_QDESC, mem->dma);
	vp_write64(vp, VIRTIO_PCI_COMMON_QDRIVER,
		   mem->dma + ((void *)vq->avail - mem->addr));
	vp_write64(vp, VIRTIO_PCI_COMMON_QDEVICE,
		   mem->dma + ((void *)vq->used - mem->addr));
	vp_write16(vp, VIRTIO_PCI_COMMON_QENABLE, 1);
	return 0;
}

/* Section 4.1.4.3.2, PCI-COMMON-07: the reset has finished when QRESET reads 0. */
static int vp_modern_reset_queue(struct vp_device *vp)
{
	unsigned long end = jiffies + msecs_to_jiffies(VP_QUEUE_RESET_MS);
	u16 left;

	vp_write16(vp, VIRTIO_PCI_COMMON_QRESET, 1);
	while ((left = vp_read16(vp, VIRTIO_PCI_COMMON_QRESET))) {
		if (left == (u16)~0)
			return -ENODEV;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		usleep_range(100, 1000);
	}
	return vp_read16(vp, VIRTIO_PCI_COMMON_QENABLE) ? -EIO : 0;
}

static void vp_unmap_region(struct vp_device *vp, struct vp_region *region)
{
	if (region->base)
		pci_iounmap(vp->pdev, region->base);
	region->base = NULL;
	region->len = 0;
}

static void vp_modern_unmap(struct vp_device *vp)
{
	vp_unmap_region(vp, &vp->notify);
	vp_unmap_region(vp, &vp->config);
	vp_unmap_region(vp, &vp->isr);
	vp_unmap_region(vp, &vp->common);
	pci_release_selected_regions(vp->pdev, vp->bars);
	vp->bars = 0;
}

static const struct vp_registers vp_modern_registers = {
	.device = {
		.get_features = vp_modern_get_features,
		.set_features = vp_modern_set_features,
		.get_status = vp_modern_get_status,
		.set_status = vp_modern_set_status,
		.generation = vp_modern_generation,
		.get_config = vp_modern_get_config,
		.set_config = vp_modern_set_config,
		.config_len = vp_modern_config_len,
	},
	.name = "modern",
	.unmap = vp_modern_unmap,
	.select = vp_modern_select,
	.queue_size = vp_modern_queue_size,
	.notify = vp_modern_notify,
	.set_vector = vp_modern_set_vector,
	.enable_queue = vp_modern_enable_queue,
	.reset_queue = vp_modern_reset_queue,
	.set_config_vector = vp_modern_set_config_vector,
	.ring_align = SMP_CACHE_BYTES,
};

/* A capability whose values were validated. */
struct vp_cap {
	int pos;
	u8 bar;
	u32 offset;
	u32 length;
};

/* No more capabilities fit into config space: a longer list is circular. */
#define VP_MAX_CAPS	((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)

/* Kernels with NO_IOPORT_MAP, Debian's for armhf, map no I/O space. */
static bool vp_can_map(struct pci_dev *pdev, u8 bar)
{
	return IS_ENABLED(CONFIG_HAS_IOPORT_MAP) ||
	       !(pci_resource_flags(pdev, bar) & IORESOURCE_IO);
}

/*
 * Find the first usable capability of a type (PCI-CAP-01 to 04). One whose
 * structure is outside of its BAR, too short, misaligned, or in a BAR that cannot
 * be mapped is skipped.
 */
static bool vp_find_cap(struct pci_dev *pdev, u8 type, u32 min_len, u32 align,
			struct vp_cap *cap)
{
	int left = VP_MAX_CAPS, pos;
	u8 cfg_type;

	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos > 0 && left--;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_OFF_TYPE, &cfg_type);
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_OFF_BAR, &cap->bar);
		if (cfg_type != type || cap->bar >= PCI_STD_NUM_BARS ||
		    !vp_can_map(pdev, cap->bar))
			continue;
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_OFF_OFFSET, &cap->offset);
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_OFF_LENGTH, &cap->length);
		cap->pos = pos;
		if (cap->length >= min_len && cap->offset % align == 0 &&
		    (u64)cap->offset + min_len <= pci_resource_len(pdev, cap->bar))
			return true;
		pci_warn(pdev, "capability at %#x, type %u: bytes %#x+%#x do not fit BAR%u\n",
			 pos, type, cap->offset, cap->length, cap->bar);
	}
	return false;
}

static int vp_map_cap(struct vp_device *vp, const struct vp_cap *cap, u32 max,
		      struct vp_region *region)
{
	u64 room = pci_resource_len(vp->pdev, cap->bar) - cap->offset;

	/* PCI-CAP-06: the length may be huge, but not exceed the BAR. */
	region->len = min3((u64)cap->length, room, (u64)max);
	region->pio = pci_resource_flags(vp->pdev, cap->bar) & IORESOURCE_IO;
	region->base = pci_iomap_range(vp->pdev, cap->bar, cap->offset, region->len);
	if (region->base)
		return 0;
	pci_err(vp->pdev, "cannot map BAR%u\n", cap->bar);
	return -ENOMEM;
}

/* @config is NULL for a device without device config. */
static int vp_modern_map_all(struct vp_device *vp, const struct vp_cap *common,
			     const struct vp_cap *isr,
			     const struct vp_cap *notify,
			     const struct vp_cap *config)
{
	int err;

	err = vp_map_cap(vp, common, PAGE_SIZE, &vp->common);
	if (!err)
		err = vp_map_cap(vp, isr, PAGE_SIZE, &vp->isr);
	if (!err)
		err = vp_map_cap(vp, notify, VP_NOTIFY_MAX, &vp->notify);
	if (!err && config)
		err = vp_map_cap(vp, config, PAGE_SIZE, &vp->config);
	return err;
}

/**
 * vp_modern_map() - find and map the modern registers
 * @vp: the device; its PCI function is enabled
 * @config_len: bytes of device config that its driver needs
 *
 * Return: 0; -ENODEV if there are no modern registers or the device does not
 * offer VERSION_1 through them: the caller tries the legacy ones then
 * (LEG-DETECT-02, LEG-FEAT-01); another error if the BARs cannot be requested
 * or mapped.
 */
int vp_modern_map(struct vp_device *vp, unsigned int config_len)
{
	struct vp_cap common, isr, notify, config = { };
	struct pci_dev *pdev = vp->pdev;
	int err;

	if (!vp_find_cap(pdev, VIRTIO_PCI_CAP_COMMON, VIRTIO_PCI_COMMON_MIN_LEN, 4, &common) ||
	    !vp_find_cap(pdev, VIRTIO_PCI_CAP_ISR, 1, 1, &isr) ||
	    !vp_find_cap(pdev, VIRTIO_PCI_CAP_NOTIFY, 2, 2, &notify) ||
	    (config_len &&
	     !vp_find_cap(pdev, VIRTIO_PCI_CAP_DEVICE, config_len, 4, &config)))
		return -ENODEV;
	pci_read_config_dword(pdev, notify.pos + VIRTIO_PCI_CAP_OFF_MULTIPLIER,
			      &vp->notify_mult);

	vp->bars = BIT(common.bar) | BIT(isr.bar) | BIT(notify.bar);
	if (config_len)
		vp->bars |= BIT(config.bar);
	err = pci_request_selected_regions(pdev, vp->bars, "virtio-pci-lite");
	if (err) {
		vp->bars = 0;
		return err;
	}
	err = vp_modern_map_all(vp, &common, &isr, &notify,
				config_len ? &config : NULL);
	if (!err && !(vp_modern_get_features(&vp->vdev) & VIRTIO_BIT(VERSION_1))) {
		/* GEN-FEAT-07: this device has no legacy registers to try. */
		if (pdev->device >= VIRTIO_PCI_MODERN_FIRST)
			vp_modern_set_status(&vp->vdev, VIRTIO_S_FAILED);
		err = -ENODEV;
	}
	if (err) {
		vp_modern_unmap(vp);
		return err;
	}
	vp->regs = &vp_modern_registers;
	vp->vdev.legacy = false;
	return 0;
}
