// SPDX-License-Identifier: GPL-2.0
/*
 * For how long did a CPU stand still?
 *
 * On each CPU a thread looks at the clock every 50 ms. When SIGTERM arrives, the
 * greatest gap between two looks is printed in milliseconds.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_US	50000
#define CPUS		64

static volatile int64_t greatest[CPUS];

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ll + ts.tv_nsec / 1000;
}

static void *look(void *arg)
{
	/* Nothing else in the guest makes it late. */
	const struct sched_param first = { .sched_priority = 50 };
	long cpu = (long)arg;
	int64_t last, now;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) ||
	    sched_setscheduler(0, SCHED_FIFO, &first)) {
		perror("gap");
		exit(1);
	}
	for (last = now_us(); ; last = now) {
		usleep(INTERVAL_US);
		now = now_us();
		if (now - last > greatest[cpu])
			greatest[cpu] = now - last;
	}
}

int main(void)
{
	long i, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t most = 0;
	pthread_t thread;
	sigset_t set;
	int sig;

	if (cpus > CPUS)
		return 1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < cpus; i++) {
		if (pthread_create(&thread, NULL, look, (void *)i))
			return 1;
	}
	sigwait(&set, &sig);
	for (i = 0; i < cpus; i++) {
		if (greatest[i] > most)
			most = greatest[i];
	}
	printf("%lld\n", (long long)most / 1000);
	return 0;
}
