# SPDX-License-Identifier: GPL-2.0
"""A Debian system with its root on this driver; make dropin does much more."""

import shutil

import pytest
from dropin import cases, packages


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("dh"),
                    reason="debhelper is missing: scripts/setup --packages")
def test_journey():
    """Install, choose it, reboot, work, go back: the shortest way."""
    cases.run("short", "bookworm", "ext4", packages.image())
