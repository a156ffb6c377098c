# SPDX-License-Identifier: GPL-2.0
"""What can be seen of a request from outside of the guest."""
