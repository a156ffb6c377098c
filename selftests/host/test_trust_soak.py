# SPDX-License-Identifier: GPL-2.0
"""Disks that are removed under load, a few times; make soak does it for long."""

import pytest
import soak


@pytest.mark.parametrize("what", soak.CAMPAIGNS)
def test_soak(kernel, what):
    """Five times; what was synced is there each time, and nothing hangs."""
    soak.campaign(what, 5, seed=1, kernel=kernel)


@pytest.mark.full
@pytest.mark.parametrize("options", soak.TURNS, ids=lambda o: "-".join(
    str(v) if k == "transport" else k for k, v in o.items()))
@pytest.mark.parametrize("what", soak.CAMPAIGNS)
def test_soak_more(what, options):
    """Twenty times, for each kind of ring and interrupt."""
    soak.campaign(what, 20, seed=2, options=options)
