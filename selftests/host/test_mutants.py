# SPDX-License-Identifier: GPL-2.0
"""The faults of make conformance-mutants fit the sources.

That run is long: it would be late to learn there that a line has changed.
"""

import pytest

import conformance_mutants
from vbl import TREE


@pytest.mark.parametrize("mutant", conformance_mutants.MUTANTS,
                         ids=lambda m: m.name)
def test_fits(mutant):
    assert (TREE / mutant.file).read_text().count(mutant.old) == 1
