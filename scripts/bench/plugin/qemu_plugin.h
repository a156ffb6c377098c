/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of QEMU's plugin interface, version 1 (QEMU 4.2 to 8.x), that the
 * counter uses. Distributions do not ship the header; this is the same ABI in
 * our own words, for 64-bit hosts.
 */
#ifndef VBL_QEMU_PLUGIN_H
#define VBL_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdint.h>

#define PLUGIN_VISIBLE __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

/* What a memory access is, opaque. */
typedef uint32_t qemu_plugin_meminfo_t;

/* What QEMU tells about itself. */
struct qemu_plugin_info {
	const char *target;
	struct {
		int min;
		int cur;
	} version;
	bool system;
	int cpus;
	int max_cpus;
};

/* Whether a callback reads guest registers: none of ours does. */
enum qemu_plugin_regs {
	QEMU_PLUGIN_NO_REGS,
};

/* Which accesses of an instruction are of interest. */
enum qemu_plugin_mem_rw {
	QEMU_PLUGIN_MEM_RW = 3,
};

enum qemu_plugin_op {
	QEMU_PLUGIN_ADD_U64,
};

/* QEMU reads this before it calls anything. */
extern PLUGIN_VISIBLE int qemu_plugin_version;

PLUGIN_VISIBLE int qemu_plugin_install(unsigned long id,
				       const struct qemu_plugin_info *info,
				       int argc, char **argv);

/* Drop all callbacks and all translated code, then call @done. */
void qemu_plugin_reset(unsigned long id, void (*done)(unsigned long id));

void qemu_plugin_register_vcpu_tb_trans_cb(unsigned long id,
					   void (*fn)(unsigned long id,
						      struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
unsigned long qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
						 size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
unsigned long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*fn)(unsigned int cpu,
						       void *data),
					    enum qemu_plugin_regs regs,
					    void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
						enum qemu_plugin_op op,
						void *where, unsigned long value);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*fn)(unsigned int cpu,
						 qemu_plugin_meminfo_t info,
						 uint64_t vaddr, void *data),
				      enum qemu_plugin_regs regs,
				      enum qemu_plugin_mem_rw rw, void *data);
/* Only within such a callback. */
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info,
						  uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr);

#endif /* VBL_QEMU_PLUGIN_H */
