/* SPDX-License-Identifier: GPL-2.0 */
/* What a disk can do, as read from the device and validated. */
#ifndef _VIRTIO_BLK_LIMITS_H
#define _VIRTIO_BLK_LIMITS_H

#include <linux/types.h>

/**
 * struct virtblk_limits - what the device can do, made sane
 * @capacity: sectors
 * @logical: block size, bytes
 * @physical: block size, bytes
 * @alignment: offset of the first physical block, bytes
 * @io_min: bytes
 * @io_opt: bytes
 * @max_segments: data segments in a request
 * @max_desc_len: bytes that one descriptor may cover
 * @desc_per_segment: descriptors that a segment of a page may need
 * @max_discard: sectors per discard request, 0 if it cannot
 * @max_discard_segs: ranges per discard request
 * @discard_align: sectors
 * @max_zeroes: sectors per write-zeroes request, 0 if it cannot
 * @zeroes_unmap: write zeroes may give space back; can change at any time
 * @max_secure: sectors per secure erase, 0 if it cannot
 * @secure_align: sectors
 * @zone_sectors: of a zone, 0 if the disk has none
 * @max_open: zones, 0 for no limit
 * @max_active: zones, 0 for no limit
 * @max_append: sectors per zone append, 0 if it cannot
 * @zone_granularity: bytes, of writes to a zone
 * @cylinders: of the geometry, which may be all 0 (BLK_GEOMETRY)
 * @heads: of it
 * @sectors: of it, in a track
 * @has_geometry: the device has one
 * @num_queues: that the device has
 * @read_only: the disk is
 * @writeback: there is a cache that has to be flushed
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
