// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that driver and device share. ACCESS_PLATFORM decides which kind of
 * address the device uses for it.
 */
#include <linux/dma-mapping.h>
#include <linux/topology.h>
#include "virtio_export.h"
#include "virtio_lite.h"

/**
 * virtio_queue_node() - NUMA node for the memory of a queue
 * @vdev: the device; its vectors are allocated
 * @queue: number of the queue
 *
 * Return: the node of the CPUs that the queue's interrupt is bound to, or else
 * the node of the device.
 */
int virtio_queue_node(struct virtio_device *vdev, unsigned int queue)
{
	const struct cpumask *mask = vdev->transport->queue_affinity(vdev, queue);

	if (mask && !cpumask_empty(mask))
		return cpu_to_node(cpumask_first(mask));
	return dev_to_node(vdev->dev.parent);
}
EXPORT_SYMBOL_LITE(virtio_queue_node);

/* As many pages as @size needs: alloc_pages_exact() of a node. */
static struct page *virtio_alloc_pages(int node, gfp_t gfp, size_t size)
{
	unsigned int order = get_order(size), i;
	struct page *page = alloc_pages_node(node, gfp, order);

	if (!page || !order)
		return page;
	split_page(page, order);
	for (i = DIV_ROUND_UP(size, PAGE_SIZE); i < 1U << order; i++)
		__free_page(page + i);
	return page;
}

/**
 * virtio_mem_alloc() - allocate memory that the device can reach
 * @vdev: the device; its features are negotiated
 * @mem: filled; the memory is zeroed, contiguous for the device, page aligned
 * @size: number of bytes
 * @node: preferred NUMA node
 * @must: nothing smaller will do
 *
 * Large pieces of memory can be rare. Where a smaller one will do, the kernel does
 * not take memory from others for a large one.
 *
 * With ACCESS_PLATFORM the device uses bus addresses, else guest physical ones
 * (GEN-RSVD-04, GEN-RSVD-05). Context: may sleep. Return: 0 or -ENOMEM.
 */
int virtio_mem_alloc(struct virtio_device *vdev, struct virtio_mem *mem,
		     size_t size, int node, bool must)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct page *page;

	if (size > PAGE_SIZE)
		gfp |= must ? __GFP_RETRY_MAYFAIL : __GFP_NORETRY;
	mem->size = size;
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		mem->addr = dma_alloc_coherent(vdev->dev.parent, size,
					       &mem->dma, gfp);
		return mem->addr ? 0 : -ENOMEM;
	}

	page = virtio_alloc_pages(node, gfp | __GFP_ZERO, size);
	if (!page)
		return -ENOMEM;
	mem->addr = page_address(page);
	mem->dma = page_to_phys(page);
	return 0;
}
EXPORT_SYMBOL_LITE(virtio_mem_alloc);

/**
 * virtio_mem_free() - undo virtio_mem_alloc()
 * @vdev: the device, which no longer uses @mem
 * @mem: the memory; nothing happens if it was never allocated
 */
void virtio_mem_free(struct virtio_device *vdev, struct virtio_mem *mem)
{
	if (!mem->addr)
		return;
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM))
		dma_free_coherent(vdev->dev.parent, mem->size, mem->addr,
				  mem->dma);
	else
		free_pages_exact(mem->addr, mem->size);
	mem->addr = NULL;
}
EXPORT_SYMBOL_LITE(virtio_mem_free);
