# SPDX-License-Identifier: GPL-2.0
"""What can happen to a disk in use: faults of the device, the host or its power."""
