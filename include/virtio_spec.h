/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the virtio 1.4 specification defines for a block device over PCI: bits,
 * offsets and layouts, each with its section. The driver chooses none of them.
 */
#ifndef _VIRTIO_SPEC_H
#define _VIRTIO_SPEC_H

#include <linux/types.h>

/*
 * Little-endian with VERSION_1, else in the guest's own order (section 2.4.3).
 * vring16(), vring16_cpu() and the like in virtio_queue.h convert them.
 */
typedef __u16 __bitwise virtio16_t;
typedef __u32 __bitwise virtio32_t;
typedef __u64 __bitwise virtio64_t;

/* Device status, section 2.1 */
#define VIRTIO_S_ACKNOWLEDGE	1
#define VIRTIO_S_DRIVER		2
#define VIRTIO_S_DRIVER_OK	4
#define VIRTIO_S_FEATURES_OK	8
#define VIRTIO_S_SUSPEND	16
#define VIRTIO_S_NEEDS_RESET	64
#define VIRTIO_S_FAILED		128
/* Not a status: every register of a device that is gone reads as all ones. */
#define VIRTIO_S_GONE		0xff

/* Device ids, section 5 */
#define VIRTIO_ID_BLOCK		2

/* Descriptors, sections 2.7.5 and 2.8.6 */
#define VRING_DESC_F_NEXT	1
#define VRING_DESC_F_WRITE	2
#define VRING_DESC_F_INDIRECT	4

/* Notification suppression without EVENT_IDX, sections 2.7.7 and 2.7.10 */
#define VRING_AVAIL_F_NO_INTERRUPT	1
#define VRING_USED_F_NO_NOTIFY		1

#define VRING_MAX_SIZE		32768
#define VRING_LEGACY_ALIGN	4096	/* section 2.7.2 */

/* Section 2.7.5: written by the driver, read by the device. */
struct vring_desc {
	virtio64_t addr;
	virtio32_t len;
	virtio16_t flags;
	virtio16_t next;
};

/* Section 2.7.6: written by the driver; used_event follows ring[num]. */
struct vring_avail {
	virtio16_t flags;
	virtio16_t idx;
	virtio16_t ring[];
};

struct vring_used_elem {
	virtio32_t id;
	virtio32_t len;
};

/* Section 2.7.8: written by the device; avail_event follows ring[num]. */
struct vring_used {
	virtio16_t flags;
	virtio16_t idx;
	struct vring_used_elem ring[];
};

/* Section 2.8.13: the packed ring, always little-endian */
struct vring_packed_desc {
	__le64 addr;
	__le32 len;
	__le16 id;
	__le16 flags;
};

#define VRING_PACKED_DESC_F_AVAIL	0x80
#define VRING_PACKED_DESC_F_USED	0x8000
#define VRING_PACKED_DESC_F_BOTH	0x8080
/* Where flags stand in the 32 bits that id and flags form together. */
#define VRING_PACKED_FLAGS_SHIFT	16

/* Section 2.8.14: when a side wants a notification from the other side */
struct vring_packed_event {
	__le16 off_wrap;
	__le16 flags;
};

#define VRING_PACKED_EVENT_WRAP		0x8000
#define VRING_PACKED_EVENT_ENABLE	0
#define VRING_PACKED_EVENT_DISABLE	1
#define VRING_PACKED_EVENT_DESC		2
#define VRING_PACKED_EVENT_FLAGS	3

/* Section 4.1.2: what identifies a virtio block device on PCI */
#define VIRTIO_PCI_VENDOR	0x1af4
/* A modern device's id is the first one and its virtio device id. */
#define VIRTIO_PCI_TRANSITIONAL_FIRST	0x1000
#define VIRTIO_PCI_TRANSITIONAL_BLOCK	0x1001
#define VIRTIO_PCI_MODERN_FIRST		0x1040
#define VIRTIO_PCI_MODERN_LAST		0x107f

/* Section 4.1.4: vendor capability */
#define VIRTIO_PCI_CAP_COMMON	1
#define VIRTIO_PCI_CAP_NOTIFY	2
#define VIRTIO_PCI_CAP_ISR	3
#define VIRTIO_PCI_CAP_DEVICE	4
#define VIRTIO_PCI_CAP_OFF_LEN		2
#define VIRTIO_PCI_CAP_OFF_TYPE		3
#define VIRTIO_PCI_CAP_OFF_BAR		4
#define VIRTIO_PCI_CAP_OFF_OFFSET	8
#define VIRTIO_PCI_CAP_OFF_LENGTH	12
#define VIRTIO_PCI_CAP_OFF_MULTIPLIER	16

/* Section 4.1.4.3: common configuration */
#define VIRTIO_PCI_COMMON_DFSELECT	0x00
#define VIRTIO_PCI_COMMON_DF		0x04
#define VIRTIO_PCI_COMMON_GFSELECT	0x08
#define VIRTIO_PCI_COMMON_GF		0x0c
#define VIRTIO_PCI_COMMON_CFGVECTOR	0x10
#define VIRTIO_PCI_COMMON_NUMQ		0x12
#define VIRTIO_PCI_COMMON_STATUS	0x14
#define VIRTIO_PCI_COMMON_GENERATION	0x15
#define VIRTIO_PCI_COMMON_QSELECT	0x16
#define VIRTIO_PCI_COMMON_QSIZE		0x18
#define VIRTIO_PCI_COMMON_QVECTOR	0x1a
#define VIRTIO_PCI_COMMON_QENABLE	0x1c
#define VIRTIO_PCI_COMMON_QNOTIFY_OFF	0x1e
#define VIRTIO_PCI_COMMON_QDESC		0x20
#define VIRTIO_PCI_COMMON_QDRIVER	0x28
#define VIRTIO_PCI_COMMON_QDEVICE	0x30
#define VIRTIO_PCI_COMMON_MIN_LEN	0x38
/* These exist with NOTIF_CONFIG_DATA and RING_RESET only. */
#define VIRTIO_PCI_COMMON_QNOTIFY_DATA	0x38
#define VIRTIO_PCI_COMMON_QRESET	0x3a

/* Section 4.1.4.8: the same through BAR0 of a legacy device */
#define VIRTIO_PCI_LEGACY_DF		0x00
#define VIRTIO_PCI_LEGACY_GF		0x04
#define VIRTIO_PCI_LEGACY_QPFN		0x08
#define VIRTIO_PCI_LEGACY_QSIZE		0x0c
#define VIRTIO_PCI_LEGACY_QSELECT	0x0e
#define VIRTIO_PCI_LEGACY_QNOTIFY	0x10
#define VIRTIO_PCI_LEGACY_STATUS	0x12
#define VIRTIO_PCI_LEGACY_ISR		0x13
#define VIRTIO_PCI_LEGACY_CFGVECTOR	0x14
#define VIRTIO_PCI_LEGACY_QVECTOR	0x16
#define VIRTIO_PCI_LEGACY_CONFIG	0x14
#define VIRTIO_PCI_LEGACY_CONFIG_MSIX	0x18
#define VIRTIO_PCI_LEGACY_PFN_SHIFT	12

#define VIRTIO_PCI_ISR_QUEUE	1	/* section 4.1.4.5 */
#define VIRTIO_PCI_ISR_CONFIG	2
#define VIRTIO_MSI_NO_VECTOR	0xffff	/* section 4.1.5.1.2 */

/* Section 5.2.4: block device configuration, offsets in bytes */
#define VIRTIO_BLK_CFG_CAPACITY			0x00
#define VIRTIO_BLK_CFG_MIN_LEN			0x08	/* the rest is optional */
#define VIRTIO_BLK_CFG_SIZE_MAX			0x08
#define VIRTIO_BLK_CFG_SEG_MAX			0x0c
#define VIRTIO_BLK_CFG_CYLINDERS		0x10
#define VIRTIO_BLK_CFG_HEADS			0x12
#define VIRTIO_BLK_CFG_SECTORS			0x13
#define VIRTIO_BLK_CFG_BLK_SIZE			0x14
#define VIRTIO_BLK_CFG_PHYSICAL_EXP		0x18
#define VIRTIO_BLK_CFG_ALIGNMENT		0x19
#define VIRTIO_BLK_CFG_MIN_IO			0x1a
#define VIRTIO_BLK_CFG_OPT_IO			0x1c
#define VIRTIO_BLK_CFG_WRITEBACK		0x20
#define VIRTIO_BLK_CFG_NUM_QUEUES		0x22
#define VIRTIO_BLK_CFG_MAX_DISCARD		0x24
#define VIRTIO_BLK_CFG_MAX_DISCARD_SEG		0x28
#define VIRTIO_BLK_CFG_DISCARD_ALIGN		0x2c
#define VIRTIO_BLK_CFG_MAX_ZEROES		0x30
#define VIRTIO_BLK_CFG_MAX_ZEROES_SEG		0x34
#define VIRTIO_BLK_CFG_ZEROES_UNMAP		0x38
#define VIRTIO_BLK_CFG_MAX_SECURE		0x3c
#define VIRTIO_BLK_CFG_SECURE_ALIGN		0x44
#define VIRTIO_BLK_CFG_ZONE_SECTORS		0x48
#define VIRTIO_BLK_CFG_ZONE_MAX_OPEN		0x4c
#define VIRTIO_BLK_CFG_ZONE_MAX_ACTIVE		0x50
#define VIRTIO_BLK_CFG_ZONE_MAX_APPEND		0x54
#define VIRTIO_BLK_CFG_ZONE_GRANULARITY		0x58
#define VIRTIO_BLK_CFG_ZONED_MODEL		0x5c
#define VIRTIO_BLK_Z_HM			1	/* host-managed */

/* Section 5.2.6: requests */
#define VIRTIO_BLK_T_IN			0
#define VIRTIO_BLK_T_OUT		1
#define VIRTIO_BLK_T_FLUSH		4
#define VIRTIO_BLK_T_GET_ID		8
#define VIRTIO_BLK_T_GET_LIFETIME	10
#define VIRTIO_BLK_T_DISCARD		11
#define VIRTIO_BLK_T_WRITE_ZEROES	13
#define VIRTIO_BLK_T_SECURE_ERASE	14
#define VIRTIO_BLK_T_ZONE_APPEND	15
#define VIRTIO_BLK_T_ZONE_REPORT	16
#define VIRTIO_BLK_T_ZONE_OPEN		18
#define VIRTIO_BLK_T_ZONE_CLOSE		20
#define VIRTIO_BLK_T_ZONE_FINISH	22
#define VIRTIO_BLK_T_ZONE_RESET		24
#define VIRTIO_BLK_T_ZONE_RESET_ALL	26

#define VIRTIO_BLK_S_OK			0
#define VIRTIO_BLK_S_IOERR		1
#define VIRTIO_BLK_S_UNSUPP		2
#define VIRTIO_BLK_S_ZONE_OPEN_RESOURCE	5
#define VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE 6
/*
 * Not in the specification: the driver presets the status to this, so that it
 * knows whether the device wrote it.
 */
#define VIRTIO_BLK_S_UNWRITTEN		0xff

#define VIRTIO_BLK_ID_LEN		20

struct virtio_blk_header {
	union {
		struct {
			virtio32_t type;
			virtio32_t reserved;	/* always 0 */
		};
		virtio64_t type_reserved;	/* both, for one store */
	};
	virtio64_t sector;	/* in units of 512 bytes */
};

/* Data of DISCARD and WRITE_ZEROES; always little-endian. */
struct virtio_blk_range {
	__le64 sector;
	__le32 num_sectors;
	__le32 flags;
};

#define VIRTIO_BLK_RANGE_UNMAP	1

/* Data of GET_LIFETIME */
struct virtio_blk_lifetime {
	__le16 pre_eol_info;
	__le16 typ_a;
	__le16 typ_b;
};

/* Data of ZONE_REPORT; always little-endian, like all zone fields. */
struct virtio_blk_zone {
	__le64 capacity;
	__le64 start;
	__le64 wp;
	u8 type;
	u8 state;
	u8 reserved[38];
};

struct virtio_blk_zone_report {
	__le64 nr_zones;
	u8 reserved[56];
	struct virtio_blk_zone zones[];
};

/* Zone types and states; the numbers are those of linux/blkzoned.h. */
#define VIRTIO_BLK_ZT_CONV		1
#define VIRTIO_BLK_ZT_SWR		2
#define VIRTIO_BLK_ZS_NOT_WP		0
#define VIRTIO_BLK_ZS_CLOSED		4
#define VIRTIO_BLK_ZS_RDONLY		13
#define VIRTIO_BLK_ZS_FULL		14
#define VIRTIO_BLK_ZS_OFFLINE		15

#endif /* _VIRTIO_SPEC_H */
