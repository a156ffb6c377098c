# SPDX-License-Identifier: GPL-2.0
"""Faults, and what they cost with each driver."""
