# SPDX-License-Identifier: GPL-2.0
"""Every guest program on every kernel; one pytest item each."""

import pytest
from vbl import VblError, program as harness


def test_program(program, programs, request):
    path, want, kernel = program
    why_not = harness.not_for(path)
    if why_not:
        pytest.skip(f"not for upstream: {why_not}")
    guest = programs.get(want, kernel)
    try:
        got = harness.run(guest, path.name, want.timeout)
        programs.settle(want.fresh or got.outcome == "failed")
    except VblError:
        programs.drop()
        raise
    if got.outcome == "failed":
        pytest.fail(f"{path.name} on {kernel}: {got.why}\n"
                    f"--- output\n{got.output}--- kernel log\n{got.log}",
                    pytrace=False)
    if got.outcome == "skipped":
        pytest.skip(got.why)
    for p in got.skipped_points:
        request.node.user_properties.append((
            "skipped point", f"{request.node.callspec.id}: {p.name}: "
            f"{p.why or 'no reason given'}"))
