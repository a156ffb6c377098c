/* SPDX-License-Identifier: GPL-2.0 */
/* The limits of a disk, as the driver uses them. */
#ifndef _VIRTIO_BLK_LIMITS_H
#define _VIRTIO_BLK_LIMITS_H

#include <linux/types.h>

/**
 * struct virtblk_limits - config fields of a disk, read once and validated
 * @capacity: size of the disk, in sectors of 512 bytes, like all sectors here
 * @logical: logical block size, in bytes
 * @physical: physical block size, in bytes
 * @alignment: offset of the first physical block, in bytes
 * @io_min: minimum I/O size, in bytes
 * @io_opt: optimal I/O size, in bytes; 0 if the device names none
 * @max_segments: largest number of data segments in a request
 * @max_desc_len: largest number of bytes in one descriptor
 * @max_sectors: largest number of sectors of data in a request
 * @desc_per_segment: number of descriptors that one segment may need
 * @max_discard: sectors in a discard request; 0: no discard
 * @max_discard_segs: ranges in a discard request
 * @discard_align: alignment of a discard, in sectors
 * @max_zeroes: sectors in a write zeroes request; 0: no write zeroes
 * @zeroes_unmap: a write zeroes request may deallocate; can change at any time
 * @max_secure: sectors in a secure erase request; 0: no secure erase
 * @secure_align: alignment of a secure erase, in sectors
 * @zone_sectors: sectors in a zone; 0: the disk has no zones
 * @max_open: largest number of open zones; 0: no limit
 * @max_active: largest number of active zones; 0: no limit
 * @max_append: sectors in a zone append request; 0: no zone append
 * @zone_granularity: granularity of writes to a zone, in bytes
 * @cylinders: geometry (BLK_GEOMETRY); all three of its fields may be 0
 * @heads: geometry: heads
 * @sectors: geometry: sectors in a track
 * @has_geometry: the device offers a geometry
 * @num_queues: number of queues of the device
 * @read_only: the disk is read-only
 * @writeback: the disk has a volatile write cache, which needs flushes
 */
struct virtblk_limits {
	u64 capacity;
	u32 logical;
	u32 physical;
	u32 alignment;
	u32 io_min;
	u32 io_opt;
	u32 max_segments;
	u32 max_desc_len;
	u32 max_sectors;
	u32 desc_per_segment;
	u32 max_discard;
	u32 max_discard_segs;
	u32 discard_align;
	u32 max_zeroes;
	bool zeroes_unmap;
	u32 max_secure;
	u32 secure_align;
	u32 zone_sectors;
	u32 max_open;
	u32 max_active;
	u32 max_append;
	u32 zone_granularity;
	u16 cylinders;
	u8 heads;
	u8 sectors;
	bool has_geometry;
	u32 num_queues;
	bool read_only;
	bool writeback;
};

#endif /* _VIRTIO_BLK_LIMITS_H */
