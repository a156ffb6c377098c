/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one list of what is negotiated: every feature bit that virtio 1.4 names
 * for a block device, whether it is taken, on which transport, what it needs,
 * and why. A bit that is not here is never accepted (GEN-FEAT-05).
 *
 * VIRTIO_FEATURE(bit, name, taken, needs, reason)
 *	taken	MODERN, LEGACY, BOTH, or NEVER
 *	needs	a mask of features without which this one is left alone
 *
 * Included several times with different meanings of VIRTIO_FEATURE, so there
 * is no include guard. Documentation/features.md is checked against it.
 */

/* Block device, section 5.2.3 */
VIRTIO_FEATURE(0, BLK_BARRIER, NEVER, 0,
	       "legacy ordering by barriers; flushes order writes now")
VIRTIO_FEATURE(1, BLK_SIZE_MAX, BOTH, 0,
	       "no descriptor is longer than the device allows")
VIRTIO_FEATURE(2, BLK_SEG_MAX, BOTH, 0,
	       "requests of more than one segment")
VIRTIO_FEATURE(4, BLK_GEOMETRY, BOTH, 0,
	       "HDIO_GETGEO answers what the device says")
VIRTIO_FEATURE(5, BLK_RO, BOTH, 0,
	       "a read-only disk is shown as one")
VIRTIO_FEATURE(6, BLK_BLK_SIZE, BOTH, 0,
	       "logical block size")
VIRTIO_FEATURE(7, BLK_SCSI, NEVER, 0,
	       "legacy SCSI passthrough; nothing uses it")
VIRTIO_FEATURE(9, BLK_FLUSH, BOTH, 0,
	       "a write cache can be emptied")
VIRTIO_FEATURE(10, BLK_TOPOLOGY, BOTH, 0,
	       "physical block, alignment and optimal sizes")
VIRTIO_FEATURE(11, BLK_CONFIG_WCE, BOTH, VIRTIO_BIT(BLK_FLUSH),
	       "cache_type can be switched at run time")
VIRTIO_FEATURE(12, BLK_MQ, BOTH, 0,
	       "one queue per CPU")
VIRTIO_FEATURE(13, BLK_DISCARD, BOTH, 0,
	       "fstrim, blkdiscard")
VIRTIO_FEATURE(14, BLK_WRITE_ZEROES, BOTH, 0,
	       "zeroes without sending them")
VIRTIO_FEATURE(15, BLK_LIFETIME, BOTH, 0,
	       "wear of the medium, in lifetime/ of the disk")
VIRTIO_FEATURE(16, BLK_SECURE_ERASE, BOTH, 0,
	       "blkdiscard --secure: nothing is left behind")
VIRTIO_FEATURE(17, BLK_ZONED, MODERN, VIRTIO_BIT(VERSION_1),
	       "host-managed zones, where the kernel can (6.12 can)")

/* Rings, transport and negotiation, section 6 */
VIRTIO_FEATURE(24, NOTIFY_ON_EMPTY, NEVER, 0,
	       "legacy; an interrupt more that no request needs")
VIRTIO_FEATURE(27, ANY_LAYOUT, LEGACY, 0,
	       "has to be accepted where offered")
VIRTIO_FEATURE(28, INDIRECT_DESC, BOTH, 0,
	       "one ring slot per request: the tag is the head")
VIRTIO_FEATURE(29, EVENT_IDX, BOTH, 0,
	       "fewer notifications and interrupts under load")
VIRTIO_FEATURE(30, UNUSED, NEVER, 0,
	       "offered to find drivers that accept bits they do not know")
VIRTIO_FEATURE(32, VERSION_1, MODERN, 0,
	       "has to be accepted where offered")
VIRTIO_FEATURE(33, ACCESS_PLATFORM, MODERN, VIRTIO_BIT(VERSION_1),
	       "IOMMU and encrypted guests, through the DMA API")
VIRTIO_FEATURE(34, RING_PACKED, MODERN, VIRTIO_BIT(VERSION_1),
	       "one ring instead of three areas: fewer cache lines")
VIRTIO_FEATURE(35, IN_ORDER, MODERN,
	       VIRTIO_BIT(VERSION_1) | VIRTIO_BIT(INDIRECT_DESC),
	       "one used entry for many requests")
VIRTIO_FEATURE(36, ORDER_PLATFORM, MODERN, VIRTIO_BIT(VERSION_1),
	       "barriers fit for a device in hardware")
VIRTIO_FEATURE(37, SR_IOV, NEVER, VIRTIO_BIT(VERSION_1),
	       "virtual functions are for the host to assign")
VIRTIO_FEATURE(38, NOTIFICATION_DATA, MODERN, VIRTIO_BIT(VERSION_1),
	       "a notification says how far the ring is filled")
VIRTIO_FEATURE(39, NOTIF_CONFIG_DATA, MODERN, VIRTIO_BIT(VERSION_1),
	       "a notification carries a value that the device chose")
VIRTIO_FEATURE(40, RING_RESET, MODERN, VIRTIO_BIT(VERSION_1),
	       "one queue is reset while the others work; ring_size can change")
VIRTIO_FEATURE(41, ADMIN_VQ, NEVER, VIRTIO_BIT(VERSION_1),
	       "administers other functions; a disk has none")
VIRTIO_FEATURE(43, SUSPEND, MODERN, VIRTIO_BIT(VERSION_1),
	       "the device sleeps with the system, and keeps its state")
