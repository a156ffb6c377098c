# SPDX-License-Identifier: GPL-2.0
"""A scripted device that lies at random, and campaigns with it."""
