/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoints that the ring knows. */
#include "../shim.h"

static inline void trace_virtqueue_add(const struct virtqueue *vq,
				       unsigned int a, unsigned int b)
{
	(void)vq;
	shim_trace(SHIM_TRACE_ADD, a, b);
}

static inline void trace_virtqueue_kick(const struct virtqueue *vq,
					unsigned int a, unsigned int b)
{
	(void)vq;
	shim_trace(SHIM_TRACE_KICK, a, b);
}

static inline void trace_virtqueue_notify(const struct virtqueue *vq,
					  unsigned int a, unsigned int b)
{
	(void)vq;
	shim_trace(SHIM_TRACE_NOTIFY, a, b);
}
