// SPDX-License-Identifier: GPL-2.0
/* Tests of the ring: one situation at a time. */
#include "bed.h"

int main(void)
{
	static const struct bed_test *const lists[] = {
		layout_tests, submit_tests, kick_tests, used_tests,
		callback_tests, packed_tests, in_order_tests, device_tests,
	};
	unsigned int n = 0, i;

	for (i = 0; i < ARRAY_SIZE(lists); i++)
		n += bed_count(lists[i]);
	ktap_begin(n);
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		bed_run(lists[i]);
	return ktap_end();
}
