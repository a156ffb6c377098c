# SPDX-License-Identifier: GPL-2.0
"""Other architectures: their kernels, a guest of each, and a checked load."""
