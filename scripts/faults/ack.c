// SPDX-License-Identifier: GPL-2.0
/*
 * Writes blocks to a disk, reads older ones back, and says which are safe.
 *
 *	ack DISK PORT SEED FLUSH [FROM AREA]
 *
 * Block n is 4096 bytes, each word of which follows from n and SEED, and goes
 * to a place that follows from them too. Behind every FLUSH blocks comes
 * fdatasync(), and then a line with n on PORT: n and all before it are safe. A
 * FLUSH below 0 leaves fdatasync() out, and lies. powercut.py reads the disk.
 *
 * With FROM all blocks up to that one have to be there, from an earlier run, and
 * the next ones follow. AREA, a number, is which 4 MB of the disk are used, and
 * then stands before n in each line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static uint64_t seed, last[BLOCKS];
static off_t start;

static void fill(uint64_t *block, uint64_t n)
{
	unsigned int i;

	block[0] = n;
	for (i = 1; i < WORDS; i++)
		block[i] = mix(seed ^ (n << 16) ^ i);
}

/*
 * Is what was written last to @place there? An earlier run may have written
 * something younger, without a chance to say so.
 */
static int check(int disk, unsigned int place)
{
	static uint64_t is[WORDS] __attribute__((aligned(BLOCK)));
	static uint64_t want[WORDS];
	uint64_t n = last[place];

	if (!n)
		return 0;
	if (pread(disk, is, BLOCK, start + (off_t)place * BLOCK) != BLOCK) {
		perror("pread");
		return -1;
	}
	fill(want, is[0]);
	if (is[0] >= n && mix(seed ^ is[0]) % BLOCKS == place &&
	    !memcmp(is, want, BLOCK))
		return 0;
	fprintf(stderr, "block %llu is not at %u, but %llu\n",
		(unsigned long long)n, place, (unsigned long long)is[0]);
	return -1;
}

int main(int argc, char **argv)
{
	static uint64_t block[WORDS] __attribute__((aligned(BLOCK)));
	unsigned int place;
	int disk, port, flush;
	char area[16] = "";
	uint64_t n, from = 0;

	if (argc != 5 && argc != 7)
		return 2;
	disk = open(argv[1], O_RDWR | O_DIRECT);
	port = open(argv[2], O_WRONLY | O_NOCTTY);
	seed = strtoull(argv[3], NULL, 10);
	flush = atoi(argv[4]);
	if (disk < 0 || port < 0 || !flush) {
		perror("ack");
		return 2;
	}
	if (argc == 7) {
		from = strtoull(argv[5], NULL, 10);
		start = (off_t)atoi(argv[6]) * BLOCKS * BLOCK;
		snprintf(area, sizeof(area), "%s ", argv[6]);
	}
	for (n = 1; n <= from; n++)
		last[mix(seed ^ n) % BLOCKS] = n;
	for (place = 0; place < BLOCKS; place++)
		if (check(disk, place))
			return 1;

	for (n = from + 1;; n++) {
		fill(block, n);
		place = mix(seed ^ n) % BLOCKS;
		if (pwrite(disk, block, BLOCK,
			   start + (off_t)place * BLOCK) != BLOCK) {
			perror("pwrite");
			return 1;
		}
		last[place] = n;
		place = mix(n) % BLOCKS;
		if (check(disk, place))
			return 1;
		if (n % abs(flush))
			continue;
		if (flush > 0 && fdatasync(disk)) {
			perror("fdatasync");
			return 1;
		}
		if (dprintf(port, "%s%llu\n", area,
			    (unsigned long long)n) < 0) {
			perror("port");
			return 1;
		}
	}
}
