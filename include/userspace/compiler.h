/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's names of compiler attributes. */
#ifndef _SHIM_COMPILER_H
#define _SHIM_COMPILER_H

#define __attr(what)		__attribute__((what))
#define __noreturn		__attr(noreturn)
#define __printf(fmt, args)	__attr(format(printf, fmt, args))
#define ____cacheline_aligned_in_smp	__attr(aligned(64))

#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof(*(array)))

#endif /* _SHIM_COMPILER_H */
