# SPDX-License-Identifier: GPL-2.0
"""A journey for ui.perfetto.dev or chrome://tracing: a track for each lane."""

import json

from .steps import LANES

PIDS = {"guest": 1, "qemu": 2}


def render(journey):
    """The text of the JSON file."""
    tracks = {key: (PIDS[side], n)
              for n, (key, _, side) in enumerate(LANES, 1)}
    out = [{"ph": "M", "name": "process_name", "pid": pid, "tid": 0,
            "args": {"name": {"guest": "guest", "qemu": "QEMU"}[side]}}
           for side, pid in PIDS.items()]
    for key, name, _ in LANES:
        pid, tid = tracks[key]
        out.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid,
                    "args": {"name": name}})
        out.append({"ph": "M", "name": "thread_sort_index", "pid": pid,
                    "tid": tid, "args": {"sort_index": tid}})
    # A step lasts until the next one, whichever lane has that.
    rows = [r for r in journey.rows if not r.loose]
    for r, after in zip(rows, [*rows[1:], None]):
        pid, tid = tracks[r.lane]
        out.append({"ph": "X", "name": r.key, "pid": pid, "tid": tid,
                    "ts": r.at, "cat": r.lane,
                    "dur": max(round(after.at - r.at, 1), 0.1) if after else 1,
                    "args": {"says": r.says, "event": r.event, "by": r.who,
                             "times": r.count}})
    for n, (r, after) in enumerate(zip(rows, rows[1:])):
        if r.lane == after.lane:
            continue
        for ph, row in (("s", r), ("f", after)):
            pid, tid = tracks[row.lane]
            out.append({"ph": ph, "name": "then", "cat": "then", "id": n,
                        "pid": pid, "tid": tid, "ts": row.at,
                        **({"bp": "e"} if ph == "f" else {})})
    for r in journey.rows:
        if r.loose:
            pid, tid = tracks[r.lane]
            out.append({"ph": "i", "s": "t", "name": r.key, "pid": pid,
                        "tid": tid, "ts": r.at, "cat": r.lane,
                        "args": {"says": r.says, "event": r.event}})
    return json.dumps({"traceEvents": out, "displayTimeUnit": "ns",
                       "otherData": {"title": journey.title,
                                     "uncertainty": f"+-{journey.error_us} us"
                                     }}, indent=0) + "\n"
