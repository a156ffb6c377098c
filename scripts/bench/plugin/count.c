// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what a guest executes between two marks of its load generator:
 *
 *	insn	executions of each kernel instruction, by its address, and how
 *		many of the lines below it was the first to use
 *	root	everything executed between the entry of some functions and
 *		their return, whoever's code it is, without interrupts and
 *		without functions that are not to be counted; and how often
 *		memory was allocated in there
 *	timer	everything executed in the timer's interrupt
 *	registers	accesses to devices by some functions
 *	lines	cache lines that these functions use, and others that they call
 *		to map data; each counted once from one submission to the next
 *
 *	qemu-system-x86_64 -plugin count.so,dir=FOLDER ...
 *
 * Reads FOLDER/roots (lines "KIND FIRST LAST", hexadecimal) at every arm mark,
 * writes FOLDER/1, FOLDER/2, ... at every end mark. For guests with one
 * CPU: the counters are plain memory that CPUs would share.
 *
 * Until the first arm mark only user space is looked at, for that mark, so
 * that the guest boots at its usual speed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "qemu_plugin.h"
#include "../mark.h"

#define CHUNK	4096		/* counters allocated at once; they never move */
#define KINDS	2		/* counted ones; the others are not: */
#define SKIP	KINDS		/* functions that are left out */
#define INTERRUPT	(KINDS + 1)	/* where interrupts enter */
#define ALLOC	(KINDS + 2)	/* functions that allocate memory */
#define DEVICE	(KINDS + 3)	/* functions that access devices */
#define TIMER	(KINDS + 4)	/* the same as INTERRUPT, for the timer */
#define SWITCH	(KINDS + 5)	/* where a task gives up its CPU */
#define MAPPING	(KINDS + 6)	/* functions that map data, for whoever calls */
#define ROOTS	1024

int qemu_plugin_version = 1;

/* One kernel instruction. */
struct counter {
	unsigned long vaddr;
	unsigned long count;
	unsigned long lines;
};

struct chunk {
	struct chunk *next;
	unsigned int used;
	struct counter counter[CHUNK];
};

/* A kind of root: its functions are one thing, such as submission. */
struct kind {
	bool inside;
	bool skipping;
	bool allocating;
	unsigned int depth;		/* calls that did not return yet */
	unsigned int skip_depth;	/* depth of the function left out */
	unsigned int alloc_depth;	/* depth of the outermost allocation */
	unsigned int interrupts;	/* that did not return yet */
	unsigned long began;			/* all, at the entry */
	unsigned long paused;		/* all, where counting was suspended */
	unsigned long entries;
	unsigned long insns;
	unsigned long allocs;
	unsigned long allocs_before;	/* this entry */
};

/* Code that is entered at @first, or anywhere up to @last. */
struct root {
	unsigned long first;
	unsigned long last;
	unsigned int kind;
};

static unsigned long plugin_id;
static const char *dir;
static bool armed;
static unsigned int files;

/* Translation may run on several threads; this is for all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk *chunks;
static struct counter **table;		/* open addressing, a power of two */
static size_t table_size, table_used;

static struct kind kinds[KINDS];
/* How often it comes depends on the host's speed. */
static struct {
	unsigned int nested;		/* interrupts that did not return yet */
	unsigned long began;
	unsigned long insns;
} timer;
static struct root roots[ROOTS], devices[ROOTS], mappings[ROOTS];
static unsigned int nroots, ndevices, nmappings;

static unsigned long all, user, registers;

/* Lines used since the last submission, in slots chosen by their addresses. */
#define LINE	64
#define LINES	0x10000
static struct {
	unsigned long line;
	unsigned long turn;		/* in which it was used */
} used_lines[LINES];
static unsigned long turn, lines;

static void die(const char *what)
{
	fprintf(stderr, "count: %s\n", what);
	exit(1);
}

/*
 * Counters by address
 */

static size_t slot_of(unsigned long vaddr)
{
	size_t i = (vaddr * 0x9e3779b97f4a7c15ull) >> 20;

	for (i &= table_size - 1; table[i]; i = (i + 1) & (table_size - 1))
		if (table[i]->vaddr == vaddr)
			break;
	return i;
}

static void grow(void)
{
	struct counter **old = table;
	size_t n = table_size, i;

	table_size = n ? 2 * n : 1 << 16;
	table = calloc(table_size, sizeof(*table));
	if (!table)
		die("out of memory");
	for (i = 0; i < n; i++)
		if (old[i])
			table[slot_of(old[i]->vaddr)] = old[i];
	free(old);
}

static struct counter *new_counter(unsigned long vaddr)
{
	struct chunk *c = chunks;

	if (!c || c->used == CHUNK) {
		c = calloc(1, sizeof(*c));
		if (!c)
			die("out of memory");
		c->next = chunks;
		chunks = c;
	}
	c->counter[c->used].vaddr = vaddr;
	return &c->counter[c->used++];
}

/* The same counter however often the code at @vaddr is translated. */
static struct counter *counter_of(unsigned long vaddr)
{
	size_t i;

	if (2 * table_used >= table_size)
		grow();
	i = slot_of(vaddr);
	if (!table[i]) {
		table[i] = new_counter(vaddr);
		table_used++;
	}
	return table[i];
}

/*
 * Roots. A root is left by the return that has no call of its own since the
 * entry. An interrupt changes nothing about that. When one comes depends on
 * the host, so what it executes is not the root's.
 *
 * Callbacks run before their instruction is counted in all.
 */

static void on_root(unsigned int cpu, void *data)
{
	struct kind *k = data;

	k->entries++;
	if (k->inside)
		return;
	k->inside = true;
	k->skipping = false;
	k->allocating = false;
	k->depth = 0;
	k->interrupts = 0;
	k->began = all;
	k->allocs_before = k->allocs;
	if (k == kinds)
		turn++;
}

static void on_skip(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++) {
		if (!k->inside || k->skipping || k->interrupts)
			continue;
		k->skipping = true;
		k->skip_depth = k->depth;
		k->paused = all;
	}
}

/* An allocation that allocates in turn is one. */
static void on_alloc(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++) {
		if (!k->inside || k->skipping || k->interrupts || k->allocating)
			continue;
		k->allocating = true;
		k->alloc_depth = k->depth;
		k->allocs++;
	}
}

static void use_line(unsigned long line, struct counter *by)
{
	unsigned long i;

	for (i = line; used_lines[i % LINES].turn == turn; i++)
		if (used_lines[i % LINES].line == line)
			return;
	used_lines[i % LINES].line = line;
	used_lines[i % LINES].turn = turn;
	by->lines++;
	lines++;
}

static void use_lines(qemu_plugin_meminfo_t info, uint64_t vaddr,
		      struct counter *by)
{
	use_line(vaddr / LINE, by);
	use_line((vaddr + (1 << qemu_plugin_mem_size_shift(info)) - 1) / LINE,
		 by);
}

static void on_access(unsigned int cpu, qemu_plugin_meminfo_t info,
		      uint64_t vaddr, void *data)
{
	const struct qemu_plugin_hwaddr *a = qemu_plugin_get_hwaddr(info, vaddr);

	if (a && qemu_plugin_hwaddr_is_io(a))
		registers++;
	else
		use_lines(info, vaddr, data);
}

/* Not for the block layer, which calls the driver, or for an interrupt. */
static void on_mapping(unsigned int cpu, qemu_plugin_meminfo_t info,
		       uint64_t vaddr, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++) {
		if (!k->inside || k->skipping || k->interrupts)
			continue;
		use_lines(info, vaddr, data);
		return;
	}
}

static void on_interrupt(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++)
		if (k->inside && !k->skipping && !k->interrupts++)
			k->paused = all;
	if (timer.nested)
		timer.nested++;
}

static void on_timer(unsigned int cpu, void *data)
{
	on_interrupt(cpu, data);
	if (timer.nested)
		return;
	timer.nested = 1;
	timer.began = all;
}

static void on_iret(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++)
		if (k->inside && k->interrupts && !--k->interrupts)
			k->began += all + 1 - k->paused;
	if (timer.nested && !--timer.nested)
		timer.insns += all + 1 - timer.began;
}

static void on_call(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++)
		k->depth++;
}

static void on_return(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++) {
		if (!k->inside)
			continue;
		if (k->skipping && k->depth == k->skip_depth) {
			k->skipping = false;
			k->began += all + 1 - k->paused;
		}
		if (k->allocating && k->depth == k->alloc_depth)
			k->allocating = false;
		if (k->depth--)
			continue;
		k->inside = false;
		k->insns += all + 1 - k->began;
	}
}

/*
 * An interrupt ended with another task's turn. When a root goes on cannot be
 * told, so this entry to it is not counted.
 */
static void on_switch(unsigned int cpu, void *data)
{
	struct kind *k;

	for (k = kinds; k < kinds + KINDS; k++) {
		if (!k->inside)
			continue;
		k->inside = false;
		k->allocs = k->allocs_before;
	}
	if (timer.nested)
		timer.insns += all - timer.began;
	timer.nested = 0;
}

static const struct root *find(const struct root *from, unsigned int n,
			       unsigned long vaddr)
{
	const struct root *r;

	for (r = from; r < from + n; r++)
		if (vaddr >= r->first && vaddr <= r->last)
			return r;
	return NULL;
}

static void read_roots(void)
{
	unsigned long first, last;
	char path[4096];
	unsigned int kind;
	struct root *r;
	FILE *f;

	nroots = 0;
	ndevices = 0;
	nmappings = 0;
	memset(kinds, 0, sizeof(kinds));
	snprintf(path, sizeof(path), "%s/roots", dir);
	f = fopen(path, "r");
	if (!f)
		return;
	while (fscanf(f, "%x %lx %lx", &kind, &first, &last) == 3) {
		if (kind > MAPPING || nroots == ROOTS || ndevices == ROOTS ||
		    nmappings == ROOTS)
			die("roots: no such kind, or too many");
		if (kind == DEVICE)
			r = &devices[ndevices++];
		else if (kind == MAPPING)
			r = &mappings[nmappings++];
		else
			r = &roots[nroots++];
		r->first = first;
		r->last = last;
		r->kind = kind;
	}
	fclose(f);
}

/*
 * Marks
 */

static void begin(void)
{
	struct chunk *c;
	unsigned int i;

	for (c = chunks; c; c = c->next)
		for (i = 0; i < c->used; i++) {
			c->counter[i].count = 0;
			c->counter[i].lines = 0;
		}
	for (i = 0; i < KINDS; i++) {
		kinds[i].inside = false;
		kinds[i].entries = 0;
		kinds[i].insns = 0;
		kinds[i].allocs = 0;
	}
	timer.nested = 0;
	timer.insns = 0;
	user = 0;
	registers = 0;
	turn++;
	lines = 0;
}

static void end(void)
{
	char path[4096];
	unsigned int i;
	struct chunk *c;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%u", dir, ++files);
	f = fopen(path, "w");
	if (!f)
		die("cannot write a result");
	fprintf(f, "user %lu\nregisters %lu\nlines %lu\ntimer %lu\n", user,
		registers, lines, timer.insns);
	for (i = 0; i < KINDS; i++)
		fprintf(f, "root %x %lu %lu %lu\n", i, kinds[i].entries,
			kinds[i].insns, kinds[i].allocs);
	for (c = chunks; c; c = c->next)
		for (i = 0; i < c->used; i++)
			if (c->counter[i].count)
				fprintf(f, "insn %lx %lu %lu\n",
					c->counter[i].vaddr,
					c->counter[i].count,
					c->counter[i].lines);
	if (fclose(f))
		die("cannot write a result");
}

static void on_translate(unsigned long id, struct qemu_plugin_tb *tb);

static void on_reset(unsigned long id)
{
	armed = true;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
}

static void on_mark(unsigned int cpu, void *data)
{
	switch ((uintptr_t)data) {
	case MARK_ARM:
		pthread_mutex_lock(&lock);
		read_roots();
		pthread_mutex_unlock(&lock);
		/* What is translated already has to be translated anew. */
		qemu_plugin_reset(plugin_id, on_reset);
		break;
	case MARK_BEGIN:
		begin();
		break;
	case MARK_END:
		end();
		break;
	}
}

/*
 * Translation
 */

static uintptr_t mark_of(const struct qemu_plugin_insn *insn)
{
	const unsigned char *b = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != MARK_SIZE ||
	    memcmp(b, "\x0f\x1f\x84", 4) || memcmp(b + 5, "LBV", 3))
		return 0;
	return b[4];
}

static void call(struct qemu_plugin_insn *insn,
		 void (*fn)(unsigned int cpu, void *data), void *data)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, fn, QEMU_PLUGIN_NO_REGS,
					       data);
}

static void add(struct qemu_plugin_insn *insn, unsigned long *where)
{
	qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_ADD_U64,
						   where, 1);
}

static void enter(struct qemu_plugin_insn *insn, unsigned int kind)
{
	if (kind == SKIP)
		call(insn, on_skip, NULL);
	else if (kind == INTERRUPT)
		call(insn, on_interrupt, NULL);
	else if (kind == TIMER)
		call(insn, on_timer, NULL);
	else if (kind == SWITCH)
		call(insn, on_switch, NULL);
	else if (kind == ALLOC)
		call(insn, on_alloc, NULL);
	else
		call(insn, on_root, &kinds[kind]);
}

static bool is_prefix(unsigned char b)
{
	return (b & 0xf0) == 0x40 || b == 0x2e || b == 0x3e || b == 0x66 ||
	       b == 0xf2 || b == 0xf3;
}

/* Calls and returns: those that the kernel has, not all there are. */
static void follow(struct qemu_plugin_insn *insn)
{
	const unsigned char *b = qemu_plugin_insn_data(insn);
	size_t n = qemu_plugin_insn_size(insn);

	for (; n > 1 && is_prefix(*b); b++)
		n--;
	if (*b == 0xe8 || (*b == 0xff && n > 1 && (b[1] >> 3 & 7) == 2))
		call(insn, on_call, NULL);
	else if (*b == 0xc3 || *b == 0xc2)
		call(insn, on_return, NULL);
	else if (*b == 0xcf)
		call(insn, on_iret, NULL);
}

static void user_insn(struct qemu_plugin_insn *insn)
{
	uintptr_t mark = mark_of(insn);

	if (armed)
		add(insn, &user);
	if (mark)
		call(insn, on_mark, (void *)mark);
}

static void kernel_insn(struct qemu_plugin_insn *insn, bool first)
{
	unsigned long vaddr = qemu_plugin_insn_vaddr(insn);
	struct counter *c = counter_of(vaddr);
	const struct root *r;

	add(insn, &c->count);
	if (find(devices, ndevices, vaddr))
		qemu_plugin_register_vcpu_mem_cb(insn, on_access,
						 QEMU_PLUGIN_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, c);
	else if (find(mappings, nmappings, vaddr))
		qemu_plugin_register_vcpu_mem_cb(insn, on_mapping,
						 QEMU_PLUGIN_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, c);
	if (!nroots)
		return;
	add(insn, &all);
	/* Functions and handlers are entered where a block begins. */
	r = first ? find(roots, nroots, vaddr) : NULL;
	if (r)
		enter(insn, r->kind);
	follow(insn);
}

static void on_translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	bool kernel = qemu_plugin_tb_vaddr(tb) >> 63;
	size_t n = qemu_plugin_tb_n_insns(tb), i;

	if (kernel && !armed)
		return;
	pthread_mutex_lock(&lock);
	for (i = 0; i < n; i++) {
		if (kernel)
			kernel_insn(qemu_plugin_tb_get_insn(tb, i), !i);
		else
			user_insn(qemu_plugin_tb_get_insn(tb, i));
	}
	pthread_mutex_unlock(&lock);
}

int qemu_plugin_install(unsigned long id, const struct qemu_plugin_info *info,
			int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!strncmp(argv[i], "dir=", 4))
			dir = strdup(argv[i] + 4);
	if (!dir || !info->system || strcmp(info->target, "x86_64")) {
		fprintf(stderr, "count: needs dir= and an x86_64 guest\n");
		return -1;
	}
	plugin_id = id;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
