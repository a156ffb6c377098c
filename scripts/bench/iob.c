// SPDX-License-Identifier: GPL-2.0
/*
 * I/O bench: a fixed number of requests to a disk, the same in every run,
 * between two marks that the counting plugin of QEMU sees.
 *
 *	iob /dev/vda OP[s|p][u|i][b] SIZE DEPTH COUNT BATCH [WARM [JOBS]]
 *
 * OP is r or w at random places, R or W one after the other, d for discard,
 * f for flush. BATCH requests are submitted together, and as many are waited
 * for; with BATCH equal to DEPTH the disk is drained in between, which makes
 * every run take the same path through the kernel. Discards of a batch are one
 * system call, which the kernel cuts by the disk's limit.
 *
 *	s	the data is scattered: a vector for each page, which is a segment
 *	p	one buffer, but each of its pages is a segment of its own
 *	u	io_uring with a registered file and registered buffers
 *	i	the same, and the disk is polled for what is done (IOPOLL)
 *	b	never idle, as whether it would depends on the host's speed: wait
 *		in user space for r and w, keep somebody else running for d and f;
 *		ib is for r and R of a disk of zeroes, whose data tells that it came
 *	JOBS	as many at the same time, COUNT requests each, from CPU 0 on
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include "mark.h"

static __always_inline void mark(const int verb)
{
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0, %c0, 'L', 'B', 'V'"
		     : : "i"(verb) : "memory");
}

#define PAGE	4096ul
#define HUGE	(2ul << 20)
#define SAID_NS	100000

static int fd;
static char op;
static bool scattered, apart, uring, polled, busy;
static unsigned long disk_size, size, depth, batch;
static aio_context_t aio;
static struct iocb *iocbs;
static struct iocb **idle;	/* the first nidle of them are not in flight */
static unsigned long nidle;
static unsigned long random_state = 88172645463325252ull, next_place;

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "iob: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static unsigned long place(void)
{
	if (op == 'R' || op == 'W')
		return next_place++ % (disk_size / size) * size;
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % (disk_size / size) * size;
}

/* The rings that io_uring shares with us. */
static struct {
	int fd;
	unsigned int *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	const struct io_uring_cqe *cqes;
} ring;

static void *map_ring(unsigned long bytes, unsigned long what)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, ring.fd, what);

	if (p == MAP_FAILED)
		die("io_uring: mmap: %m");
	return p;
}

static void prepare_uring(void)
{
	struct io_uring_params p = { .flags = polled ? IORING_SETUP_IOPOLL : 0 };
	struct iovec *buffers = calloc(depth, sizeof(*buffers));
	unsigned int *array, i;
	char *sq, *cq;

	ring.fd = syscall(SYS_io_uring_setup, depth, &p);
	if (ring.fd < 0 || !buffers)
		die("io_uring_setup: %m");
	sq = map_ring(p.sq_off.array + p.sq_entries * sizeof(*array),
		      IORING_OFF_SQ_RING);
	cq = map_ring(p.cq_off.cqes + p.cq_entries * sizeof(*ring.cqes),
		      IORING_OFF_CQ_RING);
	ring.sqes = map_ring(p.sq_entries * sizeof(*ring.sqes), IORING_OFF_SQES);
	ring.sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	ring.sq_mask = p.sq_entries - 1;
	ring.cq_head = (unsigned int *)(cq + p.cq_off.head);
	ring.cq_tail = (unsigned int *)(cq + p.cq_off.tail);
	ring.cq_mask = p.cq_entries - 1;
	ring.cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	array = (unsigned int *)(sq + p.sq_off.array);
	for (i = 0; i < p.sq_entries; i++)
		array[i] = i;

	for (i = 0; i < depth; i++) {
		buffers[i].iov_base = (void *)(uintptr_t)iocbs[i].aio_buf;
		buffers[i].iov_len = size;
	}
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
		    buffers, depth) ||
	    syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &fd, 1))
		die("io_uring_register: %m");
}

/* The last byte of a request's data, which a disk of zeroes makes 0. */
static volatile char *last_byte(const struct iocb *cb)
{
	return (volatile char *)(uintptr_t)cb->aio_buf + size - 1;
}

static void submit_uring(unsigned long n, struct iocb **first)
{
	unsigned int tail = *ring.sq_tail;
	unsigned long i;
	long got;

	for (i = 0; i < n; i++) {
		struct io_uring_sqe *sqe = &ring.sqes[tail++ & ring.sq_mask];

		*sqe = (struct io_uring_sqe) {
			.opcode = first[i]->aio_lio_opcode == IOCB_CMD_PWRITE ?
				  IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
			.flags = IOSQE_FIXED_FILE,
			.off = place(),
			.addr = first[i]->aio_buf,
			.len = size,
			.buf_index = first[i] - iocbs,
			.user_data = first[i] - iocbs,
		};
		if (busy && polled)
			*last_byte(first[i]) = 1;
	}
	__atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
	got = syscall(SYS_io_uring_enter, ring.fd, n, 0, 0, NULL, 0);
	if (got != (long)n)
		die("io_uring_enter: %ld of %lu: %m", got, n);
}

static unsigned long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * Wait until the disk has ended all requests, as polling sooner would count the
 * host's speed. It writes the used ring after the data, and only the kernel sees
 * that.
 */
static void wait_for_data(void)
{
	unsigned long i, until;

	for (i = 0; i < depth; i++) {
		while (*last_byte(&iocbs[i]))
			;
	}
	for (until = now() + SAID_NS; now() < until;)
		;
}

static void reap_uring(unsigned long n)
{
	unsigned int head = *ring.cq_head, tail;

	if (busy && polled)
		wait_for_data();
	for (;;) {
		tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
		if (tail - head >= n)
			break;
		if (busy && !polled)
			continue;
		if (syscall(SYS_io_uring_enter, ring.fd, 0, n - (tail - head),
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			die("io_uring_enter: %m");
	}
	for (; head != tail; head++) {
		const struct io_uring_cqe *cqe = &ring.cqes[head & ring.cq_mask];

		if (cqe->res != (int)size)
			die("I/O ended with %d", cqe->res);
		idle[nidle++] = &iocbs[cqe->user_data];
	}
	__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
}

static void submit(unsigned long n)
{
	struct iocb **first = idle + nidle - n;
	unsigned long i;
	long got;

	nidle -= n;
	if (uring) {
		submit_uring(n, first);
		return;
	}
	for (i = 0; i < n; i++)
		first[i]->aio_offset = place();
	got = syscall(SYS_io_submit, aio, n, first);
	if (got != (long)n)
		die("io_submit: %ld of %lu: %m", got, n);
}

/* Events that wait in the ring that the kernel shares with us. */
static unsigned long events_there(void)
{
	const volatile struct {
		unsigned int id, entries, head, tail;
	} *ring = (const volatile void *)aio;

	return (ring->tail + ring->entries - ring->head) % ring->entries;
}

static void reap(unsigned long n)
{
	static struct io_event events[1024];
	long got, i;

	if (uring) {
		reap_uring(n);
		return;
	}
	while (busy && events_there() < n)
		;
	got = syscall(SYS_io_getevents, aio, n, depth, events, NULL);
	if (got < (long)n)
		die("io_getevents: %ld of %lu: %m", got, n);
	for (i = 0; i < got; i++) {
		if (events[i].res != (long)size)
			die("I/O ended with %lld", events[i].res);
		idle[nidle++] = (struct iocb *)(uintptr_t)events[i].obj;
	}
}

static void run_async(unsigned long count)
{
	while (count) {
		unsigned long n = batch < count ? batch : count;

		while (nidle < n)
			reap(n - nidle);
		submit(n);
		count -= n;
		/* Lock-step when a batch is all there is. */
		if (nidle < batch)
			reap(batch < depth ? batch : n);
	}
	if (nidle < depth)
		reap(depth - nidle);
}

static void run_sync(unsigned long count)
{
	unsigned long range[2] = { 0, size * batch };

	for (; count >= batch; count -= batch) {
		range[0] = op == 'd' ? place() / range[1] * range[1] : 0;
		if (op == 'd' && ioctl(fd, BLKDISCARD, range))
			die("discard: %m");
		if (op == 'f' && fdatasync(fd))
			die("flush: %m");
	}
}

static void run(unsigned long count)
{
	if (op == 'd' || op == 'f')
		run_sync(count);
	else
		run_async(count);
}

/*
 * Memory in huge pages where there are any: a request's data is contiguous, or
 * every other page of it, so that no two pages make one segment.
 */
static char *prepare_data(unsigned long bytes)
{
	char *data;

	bytes = (bytes + HUGE - 1) & -HUGE;
	data = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		die("out of memory");
	data = (char *)(((uintptr_t)data + HUGE - 1) & -HUGE);
	if (scattered || apart || size > PAGE)
		madvise(data, bytes, MADV_HUGEPAGE);
	memset(data, 0x5a, bytes);
	return data;
}

/* Every other page of a huge one, moved together. */
static char *move_together(char *data)
{
	char *buffer = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	unsigned long i;

	if (buffer == MAP_FAILED)
		die("out of memory");
	for (i = 0; i < size / PAGE; i++)
		if (mremap(data + 2 * i * PAGE, PAGE, PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED,
			   buffer + i * PAGE) == MAP_FAILED)
			die("mremap: %m");
	return buffer;
}

static void scatter(struct iocb *cb, char *data)
{
	unsigned long n = size / PAGE, i;
	struct iovec *v = calloc(n, sizeof(*v));

	if (!v)
		die("out of memory");
	for (i = 0; i < n; i++) {
		v[i].iov_base = data + 2 * i * PAGE;
		v[i].iov_len = PAGE;
	}
	cb->aio_lio_opcode = cb->aio_lio_opcode == IOCB_CMD_PWRITE ?
			     IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
	cb->aio_buf = (uintptr_t)v;
	cb->aio_nbytes = n;
}

static void prepare_async(void)
{
	unsigned long each = scattered || apart ? 2 * size : size, i;
	char *data = prepare_data(depth * each);
	bool write = op == 'w' || op == 'W';

	iocbs = calloc(depth, sizeof(*iocbs));
	idle = calloc(depth, sizeof(*idle));
	if (!iocbs || !idle)
		die("out of memory");
	for (i = 0; i < depth; i++) {
		iocbs[i].aio_lio_opcode = write ? IOCB_CMD_PWRITE :
						  IOCB_CMD_PREAD;
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_buf = (uintptr_t)(data + i * each);
		iocbs[i].aio_nbytes = size;
		if (scattered)
			scatter(&iocbs[i], data + i * each);
		if (apart)
			iocbs[i].aio_buf = (uintptr_t)move_together(data + i * each);
		idle[nidle++] = &iocbs[i];
	}
	if (uring)
		prepare_uring();
	else if (syscall(SYS_io_setup, depth, &aio))
		die("io_setup: %m");
}

static void stay_on(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("cannot stay on CPU %u: %m", cpu);
}

/* Runs whenever nobody else on its CPU wants to. */
static void keep_busy(void)
{
	const struct sched_param none = { 0 };

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		die("SCHED_IDLE: %m");
	for (;;)
		asm volatile("");
}

static int ready[2], go[2];

static void say(int to, unsigned long n)
{
	while (n--)
		if (write(to, "", 1) != 1)
			die("pipe: %m");
}

static void hear(int from, unsigned long n)
{
	char byte;

	while (n--)
		if (read(from, &byte, 1) != 1)
			die("a job died");
}

/* All jobs are warm before the first of them is counted. */
static void start_jobs(unsigned long jobs, unsigned long warm,
		       unsigned long count)
{
	unsigned int cpu;

	if (pipe(ready) || pipe(go))
		die("pipe: %m");
	for (cpu = 0; cpu < jobs; cpu++) {
		random_state += cpu;
		if (fork())
			continue;
		stay_on(cpu);
		close(ready[0]);
		prepare_async();
		run(warm);
		say(ready[1], 1);
		hear(go[0], 1);
		run(count);
		say(ready[1], 1);
		exit(0);
	}
	close(ready[1]);
	hear(ready[0], jobs);
}

static unsigned long parse(const char *text)
{
	char *end;
	unsigned long n = strtoull(text, &end, 0);

	if (*end || !n)
		die("%s is not a number over 0", text);
	return n;
}

int main(int argc, char **argv)
{
	unsigned long count, warm = 2000, jobs = 1, began, ended;

	if (argc < 7 || argc > 9 || !strchr("rwRWdf", argv[2][0]) ||
	    argv[2][strspn(argv[2] + 1, "spuib") + 1])
		die("usage: iob DISK OP[s|p][u|i][b] SIZE DEPTH COUNT BATCH [WARM [JOBS]]");
	op = argv[2][0];
	scattered = strchr(argv[2], 's');
	apart = strchr(argv[2], 'p');
	polled = strchr(argv[2], 'i');
	uring = polled || strchr(argv[2], 'u');
	busy = strchr(argv[2], 'b');
	size = parse(argv[3]);
	depth = parse(argv[4]);
	count = parse(argv[5]);
	batch = parse(argv[6]);
	if (argc > 7)
		warm = parse(argv[7]);
	if (argc > 8)
		jobs = parse(argv[8]);
	if (depth > 1024 || batch > depth)
		die("BATCH <= DEPTH <= 1024");
	if (scattered && apart)
		die("s or p");
	if (uring && (scattered || strchr("df", op)))
		die("u and i: one buffer, and r, w, R or W");
	if (polled && busy && (!strchr("rR", op) || batch != depth))
		die("i and b: r or R, BATCH = DEPTH");
	if ((scattered || apart) && size % PAGE)
		die("whole pages can be scattered");

	stay_on(0);
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0)
		die("%s: %m", argv[1]);
	if (ioctl(fd, BLKGETSIZE64, &disk_size) || disk_size < size * batch)
		die("%s: no disk, or too small", argv[1]);
	if (busy && (op == 'd' || op == 'f'))
		keep_busy();

	if (jobs > 1) {
		mark(MARK_ARM);
		start_jobs(jobs, warm, count);
	} else {
		prepare_async();
		mark(MARK_ARM);
		run(warm);
	}
	began = now();
	mark(MARK_BEGIN);
	if (jobs > 1) {
		say(go[1], jobs);
		hear(ready[0], jobs);
	} else {
		run(count);
	}
	mark(MARK_END);
	ended = now();
	printf("count %lu ns %lu\n", count * jobs, ended - began);
	return 0;
}
