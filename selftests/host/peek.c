// SPDX-License-Identifier: GPL-2.0
/*
 * peek FILE: read the first 4 KiB past the page cache, into a buffer of bytes of
 * one value. Print what the read returned, and how many bytes have another value.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SIZE	4096
#define VALUE	0xa5

static unsigned char buf[SIZE] __attribute__((aligned(SIZE)));

int main(int argc, char **argv)
{
	int fd, i, changed = 0;
	ssize_t n;

	fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECT) : -1;
	if (fd < 0) {
		fprintf(stderr, "peek: cannot open %s\n", argc == 2 ? argv[1] :
			"a file: none is named");
		return 2;
	}
	memset(buf, VALUE, SIZE);
	n = read(fd, buf, SIZE);
	if (n < 0)
		n = -errno;
	for (i = 0; i < SIZE; i++)
		changed += buf[i] != VALUE;
	printf("%zd %d\n", n, changed);
	return 0;
}
