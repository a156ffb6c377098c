# SPDX-License-Identifier: GPL-2.0
"""The lessons: their pages, a run of their commands, their questions."""
