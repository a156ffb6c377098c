/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of the kernel that the rings use, for user space.
 *
 * Each barrier, load, kick, allocation and message of the ring calls a function
 * here, which counts it in @shim and may call a hook: so a test can have the device
 * act in the middle of a barrier, or right after a load.
 *
 * SHIM_BE=1 makes the guest look big-endian to the ring: the guest's byte order
 * stays the host's, and the cpu_to_le functions reverse the bytes.
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

/* The two threads of the driver, and that of the device. */
enum shim_thread {
	SHIM_SUBMIT,
	SHIM_COMPLETE,
	SHIM_DEVICE,
	SHIM_THREADS
};

/**
 * struct shim - hooks, and counts of what the ring did
 * @on_barrier: called in the middle of each barrier
 * @on_load: called after each READ_ONCE(), with the address
 * @on_notify: called by each kick, with the value that it writes
 * @hook_data: data for the hooks
 * @thread: role of this thread, in a program with several
 * @tracing: tracepoints are enabled
 * @barriers: number of barriers of each kind
 * @loads: number of READ_ONCE()
 * @notifies: number of kicks
 * @notify_value: value that the last kick wrote
 * @notify_bytes: number of bytes that it wrote
 * @notify_addr: address that it wrote to
 * @notify_pio: it used an accessor that can write to an I/O port
 * @traces: number of hits of each tracepoint while they were enabled
 * @trace_a: first value of the last hit
 * @trace_b: second value of the last hit
 * @allocs: number of allocations that are not freed
 * @alloc_left: number of allocations that will succeed, if not negative
 * @alloc_node: NUMA node of the last allocation
 * @messages: number of messages
 * @message: the last message
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

/* These are called around accesses that fences order; see shim.c. */
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

/* rwonce.h: relaxed atomics, the only way to access what a device writes. */
u32 shim_load(const void *p, size_t size);

#define READ_ONCE(x)							\
({									\
	__typeof__(x) __read = shim_load(&(x), sizeof(x));		\
									\
	__read;								\
})

u32 shim_peek(const void *p, size_t size);

/* compiler.h: an estimate, whose race ThreadSanitizer must not report. */
#define data_race(x)	((__typeof__(x))shim_peek(&(x), sizeof(x)))

#define WRITE_ONCE(x, v)						\
do {									\
	shim_before_store();						\
	__atomic_store_n(&(x), (v), __ATOMIC_RELAXED);			\
} while (0)

/* barrier.h */
void shim_barrier(enum shim_barrier kind);

#define mb()		shim_barrier(SHIM_MB)	/* counted */
#define dma_rmb()	shim_barrier(SHIM_DMA_RMB)	/* counted */
#define dma_wmb()	shim_barrier(SHIM_DMA_WMB)	/* counted */
#define virt_mb()	shim_barrier(SHIM_VIRT_MB)	/* counted */
#define virt_rmb()	shim_barrier(SHIM_VIRT_RMB)	/* counted */
#define virt_wmb()	shim_barrier(SHIM_VIRT_WMB)	/* counted */

/* C11 acquire. */
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
/* C11 release. */
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
#define le64_to_cpu(v)	cpu_to_le64(v)

/* irqreturn.h */
#define irqreturn_t	int
#define IRQ_NONE	0
#define IRQ_HANDLED	1

/* slab.h */
#define GFP_KERNEL	0

#define array_size(n, size)	((n) * (size))

void *kvzalloc_node(size_t size, int gfp, int node);
void kvfree(const void *p);

/* io.h */
void writew(u16 value, void *addr);
void iowrite16(u16 value, void *addr);
void iowrite32(u32 value, void *addr);

/* printk.h */
__printf(1, 2)
void pr_err(const char *fmt, ...);
#define pr_err_ratelimited	pr_err

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
