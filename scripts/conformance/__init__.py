# SPDX-License-Identifier: GPL-2.0
"""What virtio requires of a driver, and who was seen to do it."""
