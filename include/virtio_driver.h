/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a driver in a module of its own includes: the bus, the transport and the
 * rings of virtio_lite.ko. samples/virtio_rng_lite.c is such a driver.
 *
 * The kernel's own virtio exports some of these names, so they have others between
 * modules.
 */
#ifndef _VIRTIO_DRIVER_H
#define _VIRTIO_DRIVER_H

#define __register_virtio_driver lite___register_virtio_driver
#define unregister_virtio_driver lite_unregister_virtio_driver
#define virtio_negotiate lite_virtio_negotiate
#define virtio_queue_node lite_virtio_queue_node
#define virtio_mem_alloc lite_virtio_mem_alloc
#define virtio_mem_free lite_virtio_mem_free
#define virtio_reset_device lite_virtio_reset_device
#define virtio_device_ready lite_virtio_device_ready
#define virtqueue_has_free_slots lite_virtqueue_has_free_slots
#define virtqueue_add lite_virtqueue_add
#define virtqueue_kick_prepare lite_virtqueue_kick_prepare
#define virtqueue_return_chain lite_virtqueue_return_chain
#define virtqueue_get_in_order lite_virtqueue_get_in_order
#define virtqueue_suppress lite_virtqueue_suppress
#define virtqueue_unsuppress lite_virtqueue_unsuppress
#define virtqueue_packed_has_room lite_virtqueue_packed_has_room
#define virtqueue_packed_return_chain lite_virtqueue_packed_return_chain
#define virtqueue_trace_notify lite_virtqueue_trace_notify
#define virtqueue_notify_other lite_virtqueue_notify_other
#define virtqueue_break lite_virtqueue_break

#include "virtio_lite.h"
#include "virtio_ring_lite.h"

#endif /* _VIRTIO_DRIVER_H */
