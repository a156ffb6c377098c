/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: one for each step of a probe and of a request. Each costs a no-op
 * while it is off. To watch: echo 1 > /sys/kernel/tracing/events/virtio_lite/enable
 *
 * Probe:   virtio_pci_probe, virtio_register, virtio_match, virtio_negotiate,
 *	    virtblk_probe, virtio_ready
 * Request: virtblk_queue_rq, virtqueue_add, virtqueue_kick, virtqueue_notify,
 *	    vp_interrupt, virtblk_complete
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_lite

#if !defined(_TRACE_VIRTIO_LITE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VIRTIO_LITE_H

#include <linux/blk-mq.h>
#include <linux/pci.h>
#include <linux/tracepoint.h>
#include "virtio_lite.h"
#include "virtio_queue.h"

TRACE_EVENT(virtio_pci_probe,
	TP_PROTO(struct pci_dev *pdev, bool legacy),
	TP_ARGS(pdev, legacy),
	TP_STRUCT__entry(
		__field(u32, domain)
		__field(u16, bdf)
		__field(u16, device)
		__field(bool, legacy)
	),
	TP_fast_assign(
		__entry->domain = pci_domain_nr(pdev->bus);
		__entry->bdf = pci_dev_id(pdev);
		__entry->device = pdev->device;
		__entry->legacy = legacy;
	),
	TP_printk("%04x:%02x:%02x.%x id=%04x %s", __entry->domain,
		  PCI_BUS_NUM(__entry->bdf), PCI_SLOT(__entry->bdf & 0xff),
		  PCI_FUNC(__entry->bdf), __entry->device,
		  __entry->legacy ? "legacy" : "modern")
);

DECLARE_EVENT_CLASS(virtio_lite_device,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->value = value;
	),
	TP_printk("virtio%d %#llx", __entry->index, __entry->value)
);

/* value: virtio device id */
DEFINE_EVENT(virtio_lite_device, virtio_register,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

/* value: 1 if the driver matches the device */
DEFINE_EVENT(virtio_lite_device, virtio_match,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

/* value: accepted features */
DEFINE_EVENT(virtio_lite_device, virtio_negotiate,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

/* value: number of queues */
DEFINE_EVENT(virtio_lite_device, virtblk_probe,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

/* value: device status */
DEFINE_EVENT(virtio_lite_device, virtio_ready,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

/* value: capacity in sectors */
DEFINE_EVENT(virtio_lite_device, virtblk_config_changed,
	TP_PROTO(struct virtio_device *vdev, u64 value),
	TP_ARGS(vdev, value));

DECLARE_EVENT_CLASS(virtio_lite_request,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int value),
	TP_ARGS(vq, rq, value),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u16, tag)
		__field(u8, op)
		__field(sector_t, sector)
		__field(u32, bytes)
		__field(u32, value)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->tag = rq->tag;
		__entry->op = (__force u8)req_op(rq);
		__entry->sector = blk_rq_pos(rq);
		__entry->bytes = blk_rq_bytes(rq);
		__entry->value = value;
	),
	TP_printk("virtio%u queue=%u tag=%u op=%u sector=%llu bytes=%u value=%u",
		  __entry->device, __entry->queue, __entry->tag, __entry->op,
		  (unsigned long long)__entry->sector, __entry->bytes,
		  __entry->value)
);

/* value: number of descriptors */
DEFINE_EVENT(virtio_lite_request, virtblk_queue_rq,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int value),
	TP_ARGS(vq, rq, value));

/* value: status byte that the device wrote */
DEFINE_EVENT(virtio_lite_request, virtblk_complete,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int value),
	TP_ARGS(vq, rq, value));

DECLARE_EVENT_CLASS(virtio_lite_queue,
	TP_PROTO(const struct virtqueue *vq, unsigned int a, unsigned int b),
	TP_ARGS(vq, a, b),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u32, a)
		__field(u32, b)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->a = a;
		__entry->b = b;
	),
	TP_printk("virtio%u queue=%u %u %u", __entry->device, __entry->queue,
		  __entry->a, __entry->b)
);

/* a: head, b: number of descriptors */
DEFINE_EVENT(virtio_lite_queue, virtqueue_add,
	TP_PROTO(const struct virtqueue *vq, unsigned int a, unsigned int b),
	TP_ARGS(vq, a, b));

/* a: next index or slot that the driver will fill, b: 1 if the device needs a kick */
DEFINE_EVENT(virtio_lite_queue, virtqueue_kick,
	TP_PROTO(const struct virtqueue *vq, unsigned int a, unsigned int b),
	TP_ARGS(vq, a, b));

/* a: index of the queue */
DEFINE_EVENT(virtio_lite_queue, virtqueue_notify,
	TP_PROTO(const struct virtqueue *vq, unsigned int a, unsigned int b),
	TP_ARGS(vq, a, b));

/* a: interrupt number, b: 1 if queues share the vector */
DEFINE_EVENT(virtio_lite_queue, vp_interrupt,
	TP_PROTO(const struct virtqueue *vq, unsigned int a, unsigned int b),
	TP_ARGS(vq, a, b));

#endif /* _TRACE_VIRTIO_LITE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH trace
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE virtio_lite_trace
#include <trace/define_trace.h>
