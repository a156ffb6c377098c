/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel as virtio_ring_lite.c needs, in userspace.
 *
 * Whatever the ring does to the world outside of its memory comes by here, is
 * counted in @shim, and may be answered by a hook: a test can let the device
 * act in the middle of a barrier, or right behind a load.
 *
 * SHIM_BE=1 makes the guest big-endian as far as the ring can tell: its own
 * order stays the host's, and cpu_to_le*() turns bytes round.
 */
#ifndef _SHIM_H
#define _SHIM_H

#include <errno.h>
#include <string.h>
#include <linux/types.h>
#include "compiler.h"

struct virtqueue;

enum shim_barrier {
	SHIM_MB,
	SHIM_DMA_RMB,
	SHIM_DMA_WMB,
	SHIM_VIRT_MB,
	SHIM_VIRT_RMB,
	SHIM_VIRT_WMB,
	SHIM_BARRIERS
};

enum shim_trace {
	SHIM_TRACE_ADD,
	SHIM_TRACE_KICK,
	SHIM_TRACE_NOTIFY,
	SHIM_TRACES
};

/* The driver's threads, and then the device. */
enum shim_thread {
	SHIM_SUBMIT,
	SHIM_COMPLETE,
	SHIM_DEVICE,
	SHIM_THREADS
};

/**
 * struct shim - what the ring did, and what happens when it does something
 * @on_barrier: called in the middle of every barrier
 * @on_load: called after every READ_ONCE(), with the address
 * @on_notify: called by a kick, with the value written
 * @hook_data: for the hooks
 * @thread: who this thread is, if there are more
 * @tracing: tracepoints are on
 * @barriers: how many there were of each kind
 * @loads: how many READ_ONCE() there were
 * @notifies: how many kicks there were
 * @notify_value: last value written
 * @notify_bytes: its width
 * @notify_addr: where to
 * @notify_pio: by an instruction for I/O ports
 * @traces: how often each tracepoint was reached while they were on
 * @trace_a: its first value
 * @trace_b: its second value
 * @allocs: allocations that are not freed
 * @alloc_left: so many allocations will succeed, if not negative
 * @alloc_node: NUMA node last asked for
 * @messages: lines printed
 * @message: the last one
 */
struct shim {
	void (*on_barrier)(enum shim_barrier kind);
	void (*on_load)(const void *p);
	void (*on_notify)(u16 value);
	void *hook_data;
	enum shim_thread thread;
	bool tracing;

	unsigned int barriers[SHIM_BARRIERS];
	unsigned int loads;
	unsigned int notifies;
	u32 notify_value;
	unsigned int notify_bytes;
	void *notify_addr;
	bool notify_pio;
	unsigned int traces[SHIM_TRACES];
	unsigned int trace_a[SHIM_TRACES];
	unsigned int trace_b[SHIM_TRACES];
	int allocs;
	int alloc_left;
	int alloc_node;
	unsigned int messages;
	char message[200];
};

extern __thread struct shim shim;

void shim_reset(void);
void shim_fence(enum shim_barrier kind);

/* Around accesses that fences order; see shim.c. */
#ifdef __SANITIZE_THREAD__
void shim_before_store(void);
void shim_after_load(void);
#else
static inline void shim_before_store(void)
{
}

static inline void shim_after_load(void)
{
}
#endif

/* align.h */
static inline size_t shim_align(size_t x, size_t to)
{
	return (x + to - 1) / to * to;
}

#define ALIGN(x, to)	shim_align(x, to)

/* processor.h */
#define cpu_relax()	((void)0)

/* minmax.h */
#define swap(a, b)							\
	do {								\
		__typeof__(a) shim_swap = (a);				\
									\
		(a) = (b);						\
		(b) = shim_swap;					\
	} while (0)

/* rwonce.h: relaxed atomics, and no other access to what a device writes. */
u32 shim_load(const void *p, size_t size);

#define READ_ONCE(x)							\
({									\
	__typeof__(x) __read = shim_load(&(x), sizeof(x));		\
									\
	__read;								\
})

u32 shim_peek(const void *p, size_t size);

/* compiler.h: a guess, of which ThreadSanitizer need not hear. */
#define data_race(x)	((__typeof__(x))shim_peek(&(x), sizeof(x)))

#define WRITE_ONCE(x, v)						\
do {									\
	shim_before_store();						\
	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED);			\
} while (0)

/* barrier.h */
void shim_barrier(enum shim_barrier kind);

#define mb()		shim_barrier(SHIM_MB)	/* on record */
#define dma_rmb()	shim_barrier(SHIM_DMA_RMB)	/* on record */
#define dma_wmb()	shim_barrier(SHIM_DMA_WMB)	/* on record */
#define virt_mb()	shim_barrier(SHIM_VIRT_MB)	/* on record */
#define virt_rmb()	shim_barrier(SHIM_VIRT_RMB)	/* on record */
#define virt_wmb()	shim_barrier(SHIM_VIRT_WMB)	/* on record */

/* As C11 has it. */
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
/* As C11 has it. */
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/* byteorder.h */
static inline u16 cpu_to_le16(u16 v)
{
	return SHIM_BE ? __builtin_bswap16(v) : v;
}

static inline u32 cpu_to_le32(u32 v)
{
	return SHIM_BE ? __builtin_bswap32(v) : v;
}

static inline u64 cpu_to_le64(u64 v)
{
	return SHIM_BE ? __builtin_bswap64(v) : v;
}

#define le16_to_cpu(v)	cpu_to_le16(v)
#define le32_to_cpu(v)	cpu_to_le32(v)

/* irqreturn.h */
#define irqreturn_t	int
#define IRQ_NONE	0
#define IRQ_HANDLED	1

/* slab.h */
#define GFP_KERNEL	0

void *kcalloc_node(size_t n, size_t size, int gfp, int node);
void kfree(const void *p);

/* io.h */
void writew(u16 value, void *addr);
void iowrite16(u16 value, void *addr);
void iowrite32(u32 value, void *addr);

/* printk.h */
__printf(1, 2)
void pr_err(const char *fmt, ...);

/* tracepoint-defs.h, trace/virtio_lite_trace.h */
#define DECLARE_TRACEPOINT(name)	struct shim_tracepoint_##name
#define tracepoint_enabled(name)	shim_tracing(#name)

static inline bool shim_tracing(const char *name)
{
	(void)name;
	return shim.tracing;
}

void shim_trace(enum shim_trace what, unsigned int a, unsigned int b);

#endif /* _SHIM_H */
