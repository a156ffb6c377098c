// SPDX-License-Identifier: GPL-2.0
/*
 * Writes blocks to a disk and says which of them are safe: for powercut.py.
 *
 *	ack DISK PORT SEED FLUSH
 *
 * Block n is 4096 bytes, each word of which follows from n and SEED, and goes
 * to a place that follows from them too. Behind every FLUSH blocks comes
 * fdatasync(), and then a line with n on PORT: n and all before it are safe. A
 * FLUSH below 0 leaves fdatasync() out, and lies.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK		4096
#define WORDS		(BLOCK / sizeof(uint64_t))
#define BLOCKS		1024

/* splitmix64, by its published constants; powercut.py does the same. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

int main(int argc, char **argv)
{
	static uint64_t block[WORDS] __attribute__((aligned(BLOCK)));
	uint64_t n, seed;
	int disk, port, flush;
	unsigned int i;

	if (argc != 5)
		return 2;
	disk = open(argv[1], O_RDWR | O_DIRECT);
	port = open(argv[2], O_WRONLY | O_NOCTTY);
	seed = strtoull(argv[3], NULL, 10);
	flush = atoi(argv[4]);
	if (disk < 0 || port < 0 || !flush) {
		perror("ack");
		return 2;
	}

	for (n = 1;; n++) {
		block[0] = n;
		for (i = 1; i < WORDS; i++)
			block[i] = mix(seed ^ (n << 16) ^ i);
		if (pwrite(disk, block, BLOCK,
			   mix(seed ^ n) % BLOCKS * BLOCK) != BLOCK) {
			perror("pwrite");
			return 1;
		}
		if (n % abs(flush))
			continue;
		if (flush > 0 && fdatasync(disk)) {
			perror("fdatasync");
			return 1;
		}
		if (dprintf(port, "%llu\n", (unsigned long long)n) < 0) {
			perror("port");
			return 1;
		}
	}
}
