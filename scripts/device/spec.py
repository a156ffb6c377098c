# SPDX-License-Identifier: GPL-2.0
"""Numbers of virtio 1.4 that a block device over PCI needs."""

# Section 2.1: device status.
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
SUSPENDED, NEEDS_RESET, FAILED = 16, 64, 128

# Sections 5.2.3 and 6: features, by the names the driver's table has.
FEATURES = {
    "BLK_BARRIER": 0, "BLK_SIZE_MAX": 1, "BLK_SEG_MAX": 2,
    "BLK_GEOMETRY": 4, "BLK_RO": 5, "BLK_BLK_SIZE": 6, "BLK_SCSI": 7,
    "BLK_FLUSH": 9, "BLK_TOPOLOGY": 10, "BLK_CONFIG_WCE": 11, "BLK_MQ": 12,
    "BLK_DISCARD": 13, "BLK_WRITE_ZEROES": 14, "BLK_LIFETIME": 15,
    "BLK_SECURE_ERASE": 16, "BLK_ZONED": 17, "NOTIFY_ON_EMPTY": 24,
    "ANY_LAYOUT": 27, "INDIRECT_DESC": 28, "EVENT_IDX": 29, "UNUSED": 30,
    "VERSION_1": 32, "ACCESS_PLATFORM": 33, "RING_PACKED": 34,
    "IN_ORDER": 35, "ORDER_PLATFORM": 36, "SR_IOV": 37,
    "NOTIFICATION_DATA": 38, "NOTIF_CONFIG_DATA": 39, "RING_RESET": 40,
    "ADMIN_VQ": 41, "SUSPEND": 43,
}

# What a block driver may take on the modern interface.
KNOWN = {1, 2, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 32, 33, 34,
         35, 36, 37, 38, 39, 40, 41, 43}
KNOWN_LEGACY = {0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 24, 27,
                28, 29, 30}

# Section 2.2.1 and the device's own: what needs what.
NEEDS = {11: (9,)}


def bit(name):
    """The number of a feature, given by name or number."""
    return FEATURES[name] if isinstance(name, str) else name


def mask(names):
    """A feature mask from names, numbers, or a mask."""
    if isinstance(names, int):
        return names
    return sum(1 << bit(n) for n in names)


def bits(value):
    """The numbers of the bits set in a mask."""
    return {n for n in range(128) if value >> n & 1}


# Section 4.1.4.3: offset -> width, name.
COMMON = {
    0x00: (4, "device_feature_select"), 0x04: (4, "device_feature"),
    0x08: (4, "driver_feature_select"), 0x0c: (4, "driver_feature"),
    0x10: (2, "config_vector"), 0x12: (2, "num_queues"),
    0x14: (1, "status"), 0x15: (1, "generation"),
    0x16: (2, "queue_select"), 0x18: (2, "queue_size"),
    0x1a: (2, "queue_vector"), 0x1c: (2, "queue_enable"),
    0x1e: (2, "queue_notify_off"),
    0x20: (4, "queue_desc"), 0x24: (4, "queue_desc_hi"),
    0x28: (4, "queue_driver"), 0x2c: (4, "queue_driver_hi"),
    0x30: (4, "queue_device"), 0x34: (4, "queue_device_hi"),
    0x38: (2, "queue_notif_data"), 0x3a: (2, "queue_reset"),
    0x3c: (2, "admin_queue_index"), 0x3e: (2, "admin_queue_num"),
}
READ_ONLY = {"device_feature", "num_queues", "generation", "queue_notify_off",
             "queue_notif_data", "admin_queue_index", "admin_queue_num"}
OPTIONAL = {"queue_notif_data": 39, "queue_reset": 40,
            "admin_queue_index": 41, "admin_queue_num": 41}

# Section 4.1.4.10: offset in BAR0 -> width, name.
LEGACY = {
    0x00: (4, "device_feature"), 0x04: (4, "driver_feature"),
    0x08: (4, "queue_pfn"), 0x0c: (2, "queue_size"),
    0x0e: (2, "queue_select"), 0x10: (2, "notify"), 0x12: (1, "status"),
    0x13: (1, "isr"),
}
LEGACY_VECTORS = {0x14: (2, "config_vector"), 0x16: (2, "queue_vector")}

# Section 5.2.4: name -> offset, width, feature.
CONFIG = {
    "capacity": (0x00, 8, None), "size_max": (0x08, 4, 1),
    "seg_max": (0x0c, 4, 2), "cylinders": (0x10, 2, 4),
    "heads": (0x12, 1, 4), "sectors": (0x13, 1, 4),
    "blk_size": (0x14, 4, 6), "physical_block_exp": (0x18, 1, 10),
    "alignment_offset": (0x19, 1, 10), "min_io_size": (0x1a, 2, 10),
    "opt_io_size": (0x1c, 4, 10), "writeback": (0x20, 1, 11),
    "num_queues": (0x22, 2, 12), "max_discard_sectors": (0x24, 4, 13),
    "max_discard_seg": (0x28, 4, 13),
    "discard_sector_alignment": (0x2c, 4, 13),
    "max_write_zeroes_sectors": (0x30, 4, 14),
    "max_write_zeroes_seg": (0x34, 4, 14),
    "write_zeroes_may_unmap": (0x38, 1, 14),
    "max_secure_erase_sectors": (0x3c, 4, 16),
    "max_secure_erase_seg": (0x40, 4, 16),
    "secure_erase_sector_alignment": (0x44, 4, 16),
    "zone_sectors": (0x48, 4, 17), "max_open_zones": (0x4c, 4, 17),
    "max_active_zones": (0x50, 4, 17), "max_append_sectors": (0x54, 4, 17),
    "write_granularity": (0x58, 4, 17), "model": (0x5c, 1, 17),
}
CONFIG_SIZE = 96

# Section 5.2.6: requests.
IN, OUT, FLUSH, GET_ID, GET_LIFETIME = 0, 1, 4, 8, 10
DISCARD, WRITE_ZEROES, SECURE_ERASE = 11, 13, 14
ZONE_APPEND, ZONE_REPORT, ZONE_OPEN, ZONE_CLOSE = 15, 16, 18, 20
ZONE_FINISH, ZONE_RESET, ZONE_RESET_ALL = 22, 24, 26
OK, IOERR, UNSUPP = 0, 1, 2
ZONE_INVALID, ZONE_UNALIGNED, ZONE_OPEN_LIMIT, ZONE_ACTIVE_LIMIT = 3, 4, 5, 6
RANGES = (DISCARD, WRITE_ZEROES, SECURE_ERASE)
# Types that use the sector of the header.
WITH_SECTOR = (IN, OUT, ZONE_APPEND, ZONE_REPORT, ZONE_OPEN, ZONE_CLOSE,
               ZONE_FINISH, ZONE_RESET)

# Descriptors.
NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 0x80, 0x8000
NO_VECTOR = 0xffff

# Section 4.1.4: types of vendor capabilities.
CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI = 1, 2, 3, 4, 5
CAP_SHM, CAP_VENDOR = 8, 9
