/* SPDX-License-Identifier: GPL-2.0 */
/* There is no other module in user space. */
#define EXPORT_SYMBOL_LITE(name)	struct shim_exported_##name
