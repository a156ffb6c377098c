# SPDX-License-Identifier: GPL-2.0
"""make bench: what a request costs with this driver and with upstream's.

build    the load generator and QEMU's counting plugin, compiled once
symbols  the guest kernel's functions, and which group each belongs to
measure  a guest with both drivers, and one measurement in it
quick    a few cells on the screen
"""
