// SPDX-License-Identifier: GPL-2.0
/*
 * The module: init registers its parts in this order, exit unregisters them in
 * reverse.
 *
 *	virtio_bus_lite.c	the virtio-lite bus
 *	virtio_blk_lite.c	the disk driver, for devices on the bus
 *	virtio_pci_lite.c	the PCI driver, which adds devices to the bus
 *
 * virtio_ring_lite.c registers nothing: the rings are set up with each device.
 */
#include <linux/module.h>
#include "virtio_lite.h"

#define CREATE_TRACE_POINTS
#include "trace/virtio_lite_trace.h"

/**
 * virtio_trace_sector() - where a request starts, in a trace
 * @p: where it is put
 * @sector: all ones for a request that has none, such as a flush
 *
 * Context: of a reader of the trace. Return: the text, in @p.
 */
const char *virtio_trace_sector(struct trace_seq *p, u64 sector)
{
	const char *text = trace_seq_buffer_ptr(p);

	if (sector != U64_MAX)
		trace_seq_printf(p, " sector=%llu", sector);
	trace_seq_putc(p, 0);
	return text;
}

static int __init virtio_lite_init(void)
{
	int err;

	err = virtio_bus_register();
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
	virtio_bus_unregister();
	return err;
}

static void __exit virtio_lite_exit(void)
{
	virtio_pci_unregister();
	virtio_blk_unregister();
	virtio_bus_unregister();
}

/* virtio_queue.h uses it in whatever module includes it. */
EXPORT_TRACEPOINT_SYMBOL_GPL(virtqueue_notify);

module_init(virtio_lite_init);
module_exit(virtio_lite_exit);

MODULE_DESCRIPTION("virtio block disks over PCI, without the kernel's own virtio stack");
MODULE_VERSION(VIRTIO_LITE_VERSION);
MODULE_LICENSE("GPL");
