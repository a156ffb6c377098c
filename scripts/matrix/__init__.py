# SPDX-License-Identifier: GPL-2.0
"""Every kernel with every QEMU and each driver, in one table.

plan     which cells there are, and in which order they are run
parts    what is run in a cell, and how its outcome is read
run      runs cells until the time is over, and continues another time
report   KTAP, and the table as text and HTML
compare  what is new between two such runs
convert  KTAP to JUnit XML and KCIDB JSON, and checks of these
"""
