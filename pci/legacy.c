// SPDX-License-Identifier: GPL-2.0
/*
 * Legacy registers: section 4.1.4.10. They are at the start of BAR0, usually in
 * I/O space; the device config follows them, in the guest's byte order.
 */
#include "compat/compat.h"
#include "pci/legacy.h"

static void __iomem *vp_bar0(struct virtio_device *vdev, unsigned int off)
{
	return to_vp(vdev)->common.base + off;
}

static u64 vp_legacy_get_features(struct virtio_device *vdev)
{
	return ioread32(vp_bar0(vdev, VIRTIO_PCI_LEGACY_DF));
}

static void vp_legacy_set_features(struct virtio_device *vdev, u64 features)
{
	iowrite32(features, vp_bar0(vdev, VIRTIO_PCI_LEGACY_GF));
}

static u8 vp_legacy_get_status(struct virtio_device *vdev)
{
	return ioread8(vp_bar0(vdev, VIRTIO_PCI_LEGACY_STATUS));
}

static void vp_legacy_set_status(struct virtio_device *vdev, u8 status)
{
	iowrite8(status, vp_bar0(vdev, VIRTIO_PCI_LEGACY_STATUS));
}

static u8 vp_legacy_generation(struct virtio_device *vdev)
{
	return 0;
}

/* LEG-PCI-03: device config moves when MSI-X is enabled or disabled. */
static unsigned int vp_legacy_config_start(struct virtio_device *vdev)
{
	return to_vp(vdev)->pdev->msix_enabled ? VIRTIO_PCI_LEGACY_CONFIG_MSIX :
						 VIRTIO_PCI_LEGACY_CONFIG;
}

static unsigned int vp_legacy_config_len(struct virtio_device *vdev)
{
	return to_vp(vdev)->common.len - vp_legacy_config_start(vdev);
}

/* LEG-PCI-02: any width is allowed; bytes keep the guest's byte order. */
static u64 vp_legacy_get_config(struct virtio_device *vdev, unsigned int off,
				unsigned int len)
{
	const bool big = IS_ENABLED(CONFIG_CPU_BIG_ENDIAN);
	unsigned int i;
	u64 val = 0;

	off += vp_legacy_config_start(vdev);
	for (i = 0; i < len; i++)
		val |= (u64)ioread8(vp_bar0(vdev, off + i)) <<
		       BITS_PER_BYTE * (big ? len - 1 - i : i);
	return val;
}

static void vp_legacy_set_config(struct virtio_device *vdev, unsigned int off,
				 u8 val)
{
	iowrite8(val, vp_bar0(vdev, vp_legacy_config_start(vdev) + off));
}

static void vp_legacy_select(struct vp_device *vp, u16 index)
{
	iowrite16(index, vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QSELECT));
}

static u16 vp_legacy_queue_size(struct vp_device *vp)
{
	return ioread16(vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QSIZE));
}

static u16 vp_legacy_set_vector(struct vp_device *vp, u16 vector)
{
	iowrite16(vector, vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QVECTOR));
	return ioread16(vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QVECTOR));
}

static u16 vp_legacy_set_config_vector(struct vp_device *vp, u16 vector)
{
	iowrite16(vector, vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_CFGVECTOR));
	return ioread16(vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_CFGVECTOR));
}

static int vp_legacy_notify(struct vp_device *vp, struct virtqueue *vq)
{
	vq->notify = vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QNOTIFY);
	vq->notify_id = vq->index;
	vq->notify_other = vp->common.pio;
	return 0;
}

/* LEG-VQCFG-I01: the device takes a page number of 32 bits. */
static int vp_legacy_enable_queue(struct vp_device *vp, struct virtqueue *vq,
				  const struct virtio_mem *mem)
{
	u64 pfn = mem->dma >> VIRTIO_PCI_LEGACY_PFN_SHIFT;

	if (pfn != (u32)pfn) {
		dev_err(&vp->pdev->dev,
			"queue %u: ring at %pad is beyond what a legacy device can reach\n",
			vq->index, &mem->dma);
		return -ERANGE;
	}
	iowrite32(pfn, vp_bar0(&vp->vdev, VIRTIO_PCI_LEGACY_QPFN));
	return 0;
}

static void vp_legacy_unmap(struct vp_device *vp)
{
	pci_iounmap(vp->pdev, vp->common.base);
	vp->common.base = NULL;
	vp->isr.base = NULL;
	pci_release_selected_regions(vp->pdev, vp->bars);
	vp->bars = 0;
}

static const struct vp_registers vp_legacy_registers = {
	.device = {
		.get_features = vp_legacy_get_features,
		.set_features = vp_legacy_set_features,
		.get_status = vp_legacy_get_status,
		.set_status = vp_legacy_set_status,
		.generation = vp_legacy_generation,
		.get_config = vp_legacy_get_config,
		.set_config = vp_legacy_set_config,
		.config_len = vp_legacy_config_len,
	},
	.name = "legacy",
	.unmap = vp_legacy_unmap,
	.select = vp_legacy_select,
	.queue_size = vp_legacy_queue_size,
	.notify = vp_legacy_notify,
	.set_vector = vp_legacy_set_vector,
	.enable_queue = vp_legacy_enable_queue,
	.set_config_vector = vp_legacy_set_config_vector,
	.ring_align = VRING_LEGACY_ALIGN,
	.fixed_size = true,
};

/**
 * vp_legacy_map() - map BAR0 of a legacy or transitional device
 * @vp: the device; its PCI function is enabled
 * @config_len: bytes of device config that its driver needs
 *
 * Return: 0; -ENODEV if the device is not transitional (section 4.1.2.1), its
 * BAR0 is too short, or this kernel maps no I/O space; another error if BAR0
 * cannot be requested or mapped.
 */
int vp_legacy_map(struct vp_device *vp, unsigned int config_len)
{
	struct pci_dev *pdev = vp->pdev;
	int err;

	if (pdev->device >= VIRTIO_PCI_MODERN_FIRST ||
	    pci_resource_len(pdev, 0) < VIRTIO_PCI_LEGACY_CONFIG + config_len)
		return -ENODEV;
	err = pci_request_selected_regions(pdev, BIT(0), "virtio-pci-lite");
	if (err)
		return err;
	vp->bars = BIT(0);

	vp->common.len = min_t(u64, pci_resource_len(pdev, 0), PAGE_SIZE);
	vp->common.pio = pci_resource_flags(pdev, 0) & IORESOURCE_IO;
	vp->common.base = pci_iomap(pdev, 0, vp->common.len);
	if (!vp->common.base) {
		pci_release_selected_regions(pdev, vp->bars);
		vp->bars = 0;
		/* Kernels with NO_IOPORT_MAP, Debian's for armhf, map no I/O space. */
		if (vp->common.pio)
			return -ENODEV;
		pci_err(pdev, "cannot map BAR0\n");
		return -ENOMEM;
	}
	vp->isr.base = vp->common.base + VIRTIO_PCI_LEGACY_ISR;
	vp->regs = &vp_legacy_registers;
	vp->vdev.legacy = true;
	return 0;
}
