# SPDX-License-Identifier: GPL-2.0
"""A request, a probe and a ring, seen from the guest and from QEMU.

record      a guest that is watched from both sides
events      what both sides wrote, as events
clock       how their clocks go
steps       the table: event, lane, sentence
journey     the steps that a recording shows; text, svg, perfetto show them
compare     two journeys side by side
registers   register accesses, with the specification's names
probe       how a driver gets a device
ring*       the memory of a ring, decoded; exits the register accesses of disks
"""
