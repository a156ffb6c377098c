# SPDX-License-Identifier: GPL-2.0
"""The requirements of virtio for a driver, and which were observed."""
