# SPDX-License-Identifier: GPL-2.0
"""Faults, what they cost with each driver, and the page that tells it."""
