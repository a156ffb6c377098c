# SPDX-License-Identifier: GPL-2.0
"""Other people's tests of disks, on both drivers.

system   a Debian system in a guest that can be written to, and the user's folders
tests    what is run of each, and how its output is read
"""
