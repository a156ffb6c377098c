// SPDX-License-Identifier: GPL-2.0
/* The kernel's functions that the ring calls; each call is counted. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "shim.h"

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

__thread struct shim shim = { .alloc_left = -1 };

/* Clear all counts except that of allocations. */
void shim_reset(void)
{
	shim = (struct shim) { .alloc_left = -1, .allocs = shim.allocs };
}

/*
 * ThreadSanitizer does not understand fences, so it is told what they mean. A
 * write barrier remembers what came before it, and the next store shows which
 * barrier was last. Who loads that value and then comes to a read barrier, sees
 * all that lies before the write barrier. This goes between driver and device
 * only: within the driver there is acquire and release, which the tool knows.
 */
#ifdef __SANITIZE_THREAD__
#define REMEMBERED	64

static char before[SHIM_THREADS][REMEMBERED];
static unsigned int shown[SHIM_THREADS];
static __thread unsigned int barriers_done, seen[SHIM_THREADS];

void shim_before_store(void)
{
	__atomic_store_n(&shown[shim.thread], barriers_done, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void shim_after_load(void)
{
	unsigned int i;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (i = 0; i < SHIM_THREADS; i++)
		seen[i] = __atomic_load_n(&shown[i], __ATOMIC_RELAXED);
}

static void explain_fence(bool reads, bool writes)
{
	unsigned int i, self = shim.thread;

	if (writes)
		__tsan_release(&before[self][++barriers_done % REMEMBERED]);
	for (i = 0; reads && i < SHIM_THREADS; i++)
		if (i == SHIM_DEVICE || self == SHIM_DEVICE)
			__tsan_acquire(&before[i][seen[i] % REMEMBERED]);
}
#else
static void explain_fence(bool reads, bool writes)
{
	(void)reads;
	(void)writes;
}
#endif

/* A barrier that is not counted and calls no hook: the device's. */
void shim_fence(enum shim_barrier kind)
{
	switch (kind) {
	case SHIM_DMA_RMB:
	case SHIM_VIRT_RMB:
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		explain_fence(true, false);
		break;
	case SHIM_DMA_WMB:
	case SHIM_VIRT_WMB:
		__atomic_thread_fence(__ATOMIC_RELEASE);
		explain_fence(false, true);
		break;
	default:
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		explain_fence(true, true);
	}
}

void shim_barrier(enum shim_barrier kind)
{
	shim.barriers[kind]++;
	shim_fence(kind);
	if (shim.on_barrier)
		shim.on_barrier(kind);
}

/* The tests poison what the device writes: this is the one way to read it. */
__attribute__((no_sanitize("address")))
u32 shim_load(const void *p, size_t size)
{
	u32 v;

	if (size == sizeof(u16))
		v = __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);
	else if (size == sizeof(u32))
		v = __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
	else
		abort();
	shim_after_load();
	shim.loads++;
	if (shim.on_load)
		shim.on_load(p);
	return v;
}

__attribute__((no_sanitize("thread")))
u32 shim_peek(const void *p, size_t size)
{
	if (size == sizeof(u16))
		return *(const volatile u16 *)p;
	if (size == sizeof(u32))
		return *(const volatile u32 *)p;
	abort();
}

void *kvzalloc_node(size_t size, int gfp, int node)
{
	(void)gfp;
	shim.alloc_node = node;
	if (!shim.alloc_left)
		return NULL;
	if (shim.alloc_left > 0)
		shim.alloc_left--;
	shim.allocs++;
	return calloc(1, size);
}

void kvfree(const void *p)
{
	if (p)
		shim.allocs--;
	free((void *)p);
}

static void notify(u32 value, unsigned int bytes, void *addr, bool pio)
{
	shim.notifies++;
	shim.notify_value = value;
	shim.notify_bytes = bytes;
	shim.notify_addr = addr;
	shim.notify_pio = pio;
	if (shim.on_notify)
		shim.on_notify(value);
}

void writew(u16 value, void *addr)
{
	notify(value, 2, addr, false);
}

void iowrite16(u16 value, void *addr)
{
	notify(value, 2, addr, true);
}

void iowrite32(u32 value, void *addr)
{
	notify(value, 4, addr, true);
}

void pr_err(const char *fmt, ...)
{
	va_list args;

	shim.messages++;
	va_start(args, fmt);
	vsnprintf(shim.message, sizeof(shim.message), fmt, args);
	va_end(args);
}

void shim_trace(enum shim_trace what, unsigned int a, unsigned int b)
{
	if (!shim.tracing)
		return;
	shim.traces[what]++;
	shim.trace_a[what] = a;
	shim.trace_b[what] = b;
}
