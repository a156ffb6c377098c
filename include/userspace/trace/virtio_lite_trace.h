/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoints that the ring knows. */
#include "../shim.h"

static inline void trace_virtqueue_add(const struct virtqueue *vq,
				       unsigned int head, unsigned int descs)
{
	(void)vq;
	shim_trace(SHIM_TRACE_ADD, head, descs);
}

static inline void trace_virtqueue_kick(const struct virtqueue *vq,
					unsigned int avail, bool kick)
{
	(void)vq;
	shim_trace(SHIM_TRACE_KICK, avail, kick);
}

static inline void trace_virtqueue_notify(const struct virtqueue *vq)
{
	shim_trace(SHIM_TRACE_NOTIFY, virtqueue_notify_value(vq), 0);
}
