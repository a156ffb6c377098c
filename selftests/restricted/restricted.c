// SPDX-License-Identifier: GPL-2.0
/*
 * Says what a confidential guest says of itself as long as it is loaded: that
 * devices reach no memory but what the DMA API gave them.
 */
#include <linux/module.h>
#include <linux/virtio_anchor.h>

static bool (*before)(struct virtio_device *vdev);

static int __init restricted_init(void)
{
	before = virtio_check_mem_acc_cb;
	virtio_set_mem_acc_cb(virtio_require_restricted_mem_acc);
	return 0;
}

static void __exit restricted_exit(void)
{
	virtio_set_mem_acc_cb(before);
}

module_init(restricted_init);
module_exit(restricted_exit);
MODULE_DESCRIPTION("Makes a guest one whose memory is restricted");
MODULE_LICENSE("GPL");
