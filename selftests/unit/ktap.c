// SPDX-License-Identifier: GPL-2.0
/* KTAP on standard output; a failure leaves the test point by a long jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ktap.h"

static jmp_buf leave;
static unsigned int done, passed, failed, skipped;

void ktap_begin(unsigned int points)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n", points);
}

void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	const char *name = strrchr(file, '/');
	va_list args;

	printf("# %s:%d: ", name ? name + 1 : file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	longjmp(leave, 1);
}

void ktap_point(const char *name, void (*run)(const void *arg), const void *arg)
{
	done++;
	if (!setjmp(leave)) {
		run(arg);
		passed++;
		printf("ok %u %s\n", done, name);
	} else {
		failed++;
		printf("not ok %u %s\n", done, name);
	}
}

void ktap_skip(const char *name, const char *why)
{
	skipped++;
	printf("ok %u %s # SKIP %s\n", ++done, name, why);
}

int ktap_end(void)
{
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:0\n",
	       passed, failed, skipped);
	return failed != 0;
}
