/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: one for each step of a probe and of a request. Each costs a no-op
 * while it is off. To watch: echo 1 > /sys/kernel/tracing/events/virtio_lite/enable
 *
 * They exist from insmod on. To see also the first probe, have the PCI core
 * wait: echo 0 > /sys/bus/pci/drivers_autoprobe; insmod, and enable them; then
 * echo 1 > /sys/bus/pci/drivers_autoprobe, and the address of the function into
 * /sys/bus/pci/drivers_probe.
 *
 * Probe:   virtio_pci_probe, virtio_register, virtio_match, virtio_negotiate,
 *	    virtblk_probe, virtio_ready
 * Request: virtblk_queue_rq, virtqueue_add, virtqueue_kick, virtqueue_notify,
 *	    vp_interrupt, virtblk_complete
 * Config:  virtblk_config_changed
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_lite

#if !defined(_TRACE_VIRTIO_LITE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VIRTIO_LITE_H

#include <linux/blk-mq.h>
#include <linux/pci.h>
#include <linux/trace_seq.h>
#include <linux/tracepoint.h>
#include "virtio_lite.h"
#include "virtio_queue.h"

const char *virtio_trace_features(struct trace_seq *p, u64 features);
const char *virtio_trace_sector(struct trace_seq *p, u64 sector);

TRACE_EVENT(virtio_pci_probe,
	TP_PROTO(struct pci_dev *pdev, bool legacy),
	TP_ARGS(pdev, legacy),
	TP_STRUCT__entry(
		__field(u32, domain)
		__field(u16, bdf)
		__field(u16, vendor)
		__field(u16, id)
		__field(bool, legacy)
	),
	TP_fast_assign(
		__entry->domain = pci_domain_nr(pdev->bus);
		__entry->bdf = pci_dev_id(pdev);
		__entry->vendor = pdev->vendor;
		__entry->id = pdev->device;
		__entry->legacy = legacy;
	),
	TP_printk("%04x:%02x:%02x.%x vendor=%04x id=%04x registers=%s",
		  __entry->domain, PCI_BUS_NUM(__entry->bdf),
		  PCI_SLOT(__entry->bdf & 0xff), PCI_FUNC(__entry->bdf),
		  __entry->vendor, __entry->id,
		  __entry->legacy ? "legacy" : "modern")
);

TRACE_EVENT(virtio_register,
	TP_PROTO(struct virtio_device *vdev),
	TP_ARGS(vdev),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u32, id)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->id = vdev->device;
	),
	TP_printk("virtio%d id=%u", __entry->index, __entry->id)
);

TRACE_EVENT(virtio_match,
	TP_PROTO(struct virtio_device *vdev, const struct virtio_driver *drv,
		 bool match),
	TP_ARGS(vdev, drv, match),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u32, id)
		__array(char, driver, 32)
		__field(u32, wants)
		__field(bool, match)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->id = vdev->device;
		snprintf(__entry->driver, 32, "%s", drv->driver.name);
		__entry->wants = drv->device;
		__entry->match = match;
	),
	TP_printk("virtio%d id=%u driver=%s wants=%u match=%d", __entry->index,
		  __entry->id, __entry->driver, __entry->wants, __entry->match)
);

TRACE_EVENT(virtio_negotiate,
	TP_PROTO(struct virtio_device *vdev, u64 offered, u64 accepted),
	TP_ARGS(vdev, offered, accepted),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u64, offered)
		__field(u64, accepted)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->offered = offered;
		__entry->accepted = accepted;
	),
	TP_printk("virtio%d offered=%#llx (%s) accepted=%#llx (%s)",
		  __entry->index, __entry->offered,
		  virtio_trace_features(p, __entry->offered),
		  __entry->accepted,
		  virtio_trace_features(p, __entry->accepted))
);

TRACE_EVENT(virtblk_probe,
	TP_PROTO(struct virtio_device *vdev, unsigned int queues),
	TP_ARGS(vdev, queues),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u32, queues)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->queues = queues;
	),
	TP_printk("virtio%d queues=%u", __entry->index, __entry->queues)
);

TRACE_EVENT(virtio_ready,
	TP_PROTO(struct virtio_device *vdev, u8 status),
	TP_ARGS(vdev, status),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->status = status;
	),
	TP_printk("virtio%d status=%#x (%s)", __entry->index, __entry->status,
		  __print_flags(__entry->status, "|",
				{ VIRTIO_S_ACKNOWLEDGE, "ACKNOWLEDGE" },
				{ VIRTIO_S_DRIVER, "DRIVER" },
				{ VIRTIO_S_DRIVER_OK, "DRIVER_OK" },
				{ VIRTIO_S_FEATURES_OK, "FEATURES_OK" },
				{ VIRTIO_S_SUSPEND, "SUSPEND" },
				{ VIRTIO_S_NEEDS_RESET, "NEEDS_RESET" },
				{ VIRTIO_S_FAILED, "FAILED" }))
);

TRACE_EVENT(virtblk_config_changed,
	TP_PROTO(struct virtio_device *vdev, u64 capacity),
	TP_ARGS(vdev, capacity),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u64, capacity)
	),
	TP_fast_assign(
		__entry->index = vdev->index;
		__entry->capacity = capacity;
	),
	TP_printk("virtio%d capacity=%llu", __entry->index, __entry->capacity)
);

/*
 * Both events of a request have the same fields. status: what the device wrote;
 * VIRTIO_BLK_S_UNWRITTEN (255) until then. descs: known when the request is sent.
 */
DECLARE_EVENT_CLASS(virtblk_request,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int descs, u8 status),
	TP_ARGS(vq, rq, descs, status),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u16, tag)
		__field(u8, op)
		__field(u64, sector)
		__field(u32, bytes)
		__field(u32, descs)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->tag = rq->tag;
		__entry->op = (__force u8)req_op(rq);
		__entry->sector = blk_rq_pos(rq);
		__entry->bytes = blk_rq_bytes(rq);
		__entry->descs = descs;
		__entry->status = status;
	),
	TP_printk("virtio%u queue=%u tag=%u op=%s%s bytes=%u descs=%u",
		  __entry->device, __entry->queue, __entry->tag,
		  blk_op_str((__force enum req_op)__entry->op),
		  virtio_trace_sector(p, __entry->sector), __entry->bytes,
		  __entry->descs)
);

DEFINE_EVENT(virtblk_request, virtblk_queue_rq,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int descs, u8 status),
	TP_ARGS(vq, rq, descs, status)
);

DEFINE_EVENT_PRINT(virtblk_request, virtblk_complete,
	TP_PROTO(const struct virtqueue *vq, const struct request *rq,
		 unsigned int descs, u8 status),
	TP_ARGS(vq, rq, descs, status),
	TP_printk("virtio%u queue=%u tag=%u op=%s%s bytes=%u status=%u",
		  __entry->device, __entry->queue, __entry->tag,
		  blk_op_str((__force enum req_op)__entry->op),
		  virtio_trace_sector(p, __entry->sector), __entry->bytes,
		  __entry->status)
);

TRACE_EVENT(virtqueue_add,
	TP_PROTO(const struct virtqueue *vq, unsigned int slot,
		 unsigned int descs),
	TP_ARGS(vq, slot, descs),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u16, head)
		__field(u32, descs)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->head = slot;
		__entry->descs = descs;
	),
	TP_printk("virtio%u queue=%u head=%u descs=%u", __entry->device,
		  __entry->queue, __entry->head, __entry->descs)
);

/* avail: the index (split) or slot (packed) that the driver fills next */
TRACE_EVENT(virtqueue_kick,
	TP_PROTO(const struct virtqueue *vq, unsigned int avail, bool kick),
	TP_ARGS(vq, avail, kick),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u16, avail)
		__field(bool, kick)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->avail = avail;
		__entry->kick = kick;
	),
	TP_printk("virtio%u queue=%u avail=%u kick=%d", __entry->device,
		  __entry->queue, __entry->avail, __entry->kick)
);

/* value: what the kick writes */
TRACE_EVENT(virtqueue_notify,
	TP_PROTO(const struct virtqueue *vq),
	TP_ARGS(vq),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(u32, value)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->value = virtqueue_notify_value(vq);
	),
	TP_printk("virtio%u queue=%u value=%#x", __entry->device,
		  __entry->queue, __entry->value)
);

/* shared: the vector or line is also for other queues */
TRACE_EVENT(vp_interrupt,
	TP_PROTO(const struct virtqueue *vq, int irq, bool shared),
	TP_ARGS(vq, irq, shared),
	TP_STRUCT__entry(
		__field(u16, device)
		__field(u16, queue)
		__field(int, irq)
		__field(bool, shared)
	),
	TP_fast_assign(
		__entry->device = vq->device;
		__entry->queue = vq->index;
		__entry->irq = irq;
		__entry->shared = shared;
	),
	TP_printk("virtio%u queue=%u irq=%d shared=%d", __entry->device,
		  __entry->queue, __entry->irq, __entry->shared)
);

#endif /* _TRACE_VIRTIO_LITE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH trace
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE virtio_lite_trace
#include <trace/define_trace.h>
