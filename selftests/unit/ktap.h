/* SPDX-License-Identifier: GPL-2.0 */
/* Test points, and their results. */
#ifndef _KTAP_H
#define _KTAP_H

#include <stdbool.h>
#include "compiler.h"

void ktap_begin(unsigned int points);
void ktap_point(const char *name, void (*run)(const void *arg), const void *arg);
void ktap_skip(const char *name, const char *why);
int ktap_end(void);

/* The current test point has failed; does not come back. */
__noreturn __printf(3, 4)
void ktap_fail(const char *file, int line, const char *fmt, ...);

#define FAIL(...)	ktap_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(what)							\
do {									\
	if (!(what))							\
		FAIL("not so: %s", #what);				\
} while (0)

#define CHECK_EQ(a, b)							\
do {									\
	unsigned long long __a = (a), __b = (b);			\
									\
	if (__a != __b)							\
		FAIL("%s is %#llx, not %#llx", #a, __a, __b);		\
} while (0)

#endif /* _KTAP_H */
