# SPDX-License-Identifier: GPL-2.0
"""Power cuts; make powercut N=100 does many."""

import powercut
import pytest


@pytest.mark.parametrize("mode", [
    pytest.param("write back", marks=pytest.mark.full),
    pytest.param("write through", marks=pytest.mark.full), "switched"])
def test_power_cut(mode):
    """What was acknowledged is there afterwards."""
    acked, lost = powercut.campaign(1, 1, modes=[mode])
    assert acked and not lost


@pytest.mark.full
def test_power_cut_would_show():
    """A guest that acknowledges before it flushes is found out."""
    acked, lost = powercut.campaign(1, 1, modes=["write back"], lie=True)
    assert acked and lost
