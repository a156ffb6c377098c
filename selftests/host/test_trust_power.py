# SPDX-License-Identifier: GPL-2.0
"""Power cuts; make powercut N=100 WHAT=fsync,postgres does many."""

from faults import powercut
import pytest
from vbl import postgres

NO_POSTGRES = pytest.mark.skipif(
    not postgres.find(), reason="the package postgresql is not installed")


@pytest.mark.parametrize("mode", [
    pytest.param("write back", marks=pytest.mark.full),
    pytest.param("write through", marks=pytest.mark.full), "switched"])
def test_power_cut(mode):
    """What was acknowledged is there afterwards."""
    acked, lost = powercut.campaign(1, 1, modes=[mode])
    assert acked and not lost


@NO_POSTGRES
@pytest.mark.parametrize("mode", [
    "write back", pytest.param("packed", marks=pytest.mark.full)])
def test_power_cut_postgres(mode):
    """So is what a database has committed."""
    acked, lost = powercut.campaign(1, 1, modes=[mode], what="postgres")
    assert acked and not lost


@pytest.mark.full
@pytest.mark.parametrize("what", [
    "fsync", pytest.param("postgres", marks=NO_POSTGRES)])
def test_power_cut_would_show(what):
    """A guest that acknowledges before it flushes is found out."""
    acked, lost = powercut.campaign(1, 1, modes=["write back"], lie=True,
                                    what=what)
    assert acked and lost
