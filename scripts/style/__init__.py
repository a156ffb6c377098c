# SPDX-License-Identifier: GPL-2.0
"""What make style judges in more than a few lines."""
