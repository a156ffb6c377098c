# SPDX-License-Identifier: GPL-2.0
"""A journey as text."""

from .journey import LANE_NAMES
from .steps import LANES

SIDE = {key: side for key, _, side in LANES}


def render(journey, events=False):
    """The lines of a timeline."""
    out = [journey.title, ""]
    out.append(f"{'us':>9}  {'lane':<24}{'step':<23}what happens")
    side = None
    for r in journey.rows:
        if side and SIDE[r.lane] != side:
            out.append("-" * 9 + ("  the guest ends here, QEMU begins "
                                  if SIDE[r.lane] == "qemu" else
                                  "  QEMU ends here, the guest begins ")
                       + "-" * 40)
        side = SIDE[r.lane]
        times = f" ({r.count} times)" if r.count > 1 else ""
        out.append(f"{r.at:9.0f}  {LANE_NAMES[r.lane]:<24}{r.key:<23}"
                   f"{r.says}{times}")
        if events:
            out.append(f"{'':57}{r.event}")
    out += ["", f"{len({r.key for r in journey.rows})} different steps, "
            f"{sum(1 for r in journey.rows if SIDE[r.lane] == 'qemu')} rows "
            "are QEMU's."]
    out.append(journey.certainty)
    out += journey.notes
    return "\n".join(out) + "\n"
