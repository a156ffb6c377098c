// SPDX-License-Identifier: GPL-2.0
/* The counter and the parameters of the fail points; see points.h. */
#include <linux/atomic.h>
#include <linux/module.h>

static int fail_at;
module_param(fail_at, int, 0644);
MODULE_PARM_DESC(fail_at, "Number of the kernel call that fails, counted from 1 (default: 0, none)");

static atomic_t fail_count = ATOMIC_INIT(0);

static int fail_seen_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&fail_count));
}

static int fail_seen_set(const char *val, const struct kernel_param *kp)
{
	atomic_set(&fail_count, 0);
	return 0;
}

static const struct kernel_param_ops fail_seen_ops = {
	.get = fail_seen_get,
	.set = fail_seen_set,
};
module_param_cb(fail_seen, &fail_seen_ops, NULL, 0644);
MODULE_PARM_DESC(fail_seen, "Number of calls that could have failed; a write sets it to 0");

bool fail_point(const char *what)
{
	if (atomic_inc_return(&fail_count) != READ_ONCE(fail_at))
		return false;
	pr_info("virtio_lite: fail point %d: %s\n", fail_at, what);
	return true;
}
