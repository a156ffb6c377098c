# SPDX-License-Identifier: GPL-2.0
"""Debian systems that a user would have, and what happens to them when their
disks change the driver: images, guests that boot them, and the journey."""
