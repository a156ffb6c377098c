# SPDX-License-Identifier: GPL-2.0
"""A few figures on the screen, while the driver is being worked on."""

import json
import os

from .measure import DRIVERS, Bench, Job
from .symbols import GROUPS, group_of

JOBS = {"depth 1": Job(), "batch 32": Job(depth=32, batch=32)}
OPS = {"read": "r", "write": "w", "discard": "d", "flush": "f"}


def add_arguments(parser):
    """The options of bench.py quick."""
    parser.add_argument("-k", "--kernel", action="append",
                        help="a series, such as 6.1, or a release; repeatable")
    parser.add_argument("--driver", choices=[*DRIVERS, "both"],
                        default=os.environ.get("DRIVER") or "both")
    parser.add_argument("--json", help="where the figures go")
    parser.add_argument("--symbols", action="store_true",
                        help="list what each function executes")
    parser.add_argument("--all-symbols", action="store_true",
                        help="also the functions outside of the driver")
    parser.add_argument("--op", choices=OPS, default="read")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--count", type=int, default=10000,
                        help="requests in each measurement")
    parser.add_argument("--disk", default="", metavar="OPT=V,...",
                        help="options of the disks, such as packed=on")
    parser.add_argument("--ko", help="a ready virtio_lite.ko instead of the "
                        "one built from the tree")



def _print_symbols(driver, cells, every):
    """One table for a driver: its functions, a column for each job."""
    names = {f for r in cells.values() for f in r.functions}
    rows = []
    for name, module in names:
        cost = [r.functions.get((name, module), 0) for r in cells.values()]
        group = group_of(name, module, driver)
        if max(cost) >= 0.5 and (every or group == GROUPS[0]):
            label = f"{name} [{module}]" if module else name
            rows.append((GROUPS.index(group), -cost[0], label, cost, group))
    print(f"\n  {driver}, by function")
    for _, _, label, cost, group in sorted(rows):
        print("  " + "".join(f"{c:12.2f}" for c in cost)
              + f"  {label}" + (f"  ({group})" if every else ""))


def _table(cells):
    """Rows of figures, a column for each driver and job."""
    heads = [f"{d} {j}" for d, j in cells]
    print(" " * 26 + "".join(f"{h:>19}" for h in heads))
    rows = [("driver", "driver", 2), ("submit, inclusive", "submit", 1),
            ("complete, inclusive", "complete", 1),
            ("whole kernel", "kernel", 0),
            ("without the scheduler", "work", 0), ("submissions", "submits", 4),
            ("interrupts", "interrupts", 4), ("registers", "registers", 4),
            ("cache lines", "lines", 2),
            ("allocations", "allocs", 4)]
    for label, field, digits in rows:
        print(f"  {label:<24}" + "".join(
            f"{getattr(r, field):19.{digits}f}" for r in cells.values()))
    for group in GROUPS[1:]:
        print(f"  {'  ' + group:<24}" + "".join(
            f"{r.groups[group]:19.1f}" for r in cells.values()))


def _ratio(cells):
    for job in dict.fromkeys(j for _, j in cells):
        ours, theirs = (cells.get((d, job)) for d in DRIVERS)
        if ours and theirs:
            print(f"  {job}: driver {ours.driver / theirs.driver:.1%}, "
                  f"submit {ours.submit / theirs.submit:.1%}, complete "
                  f"{ours.complete / theirs.complete:.1%} of upstream")


def run(args):
    """Measure and print."""
    drivers = DRIVERS if args.driver == "both" else (args.driver,)
    disk = dict(o.split("=", 1) for o in args.disk.split(",") if o)
    # Discard and flush are system calls that wait: there are no batches.
    jobs = {n: Job(OPS[args.op], args.size, j.depth, j.batch, args.count)
            for n, j in JOBS.items()
            if j.depth == 1 or args.op in ("read", "write")}
    figures = []
    for kernel in args.kernel or [None]:
        cells = {}
        with Bench(kernel, drivers, ko=args.ko, disk=disk) as bench:
            print(f"Linux {bench.guest.kernel}: instructions for each "
                  f"{args.op} of {args.size} bytes", flush=True)
            for driver in drivers:
                for name, job in jobs.items():
                    cells[driver, name] = bench.run(driver, job)
        _table(cells)
        _ratio(cells)
        figures += [
            {"kernel": str(bench.guest.kernel), "driver": d,
             "name": f"{args.op} {args.size}, {n}, {what}",
             "instructions": getattr(r, field)} for (d, n), r in cells.items()
            for what, field in (("driver", "driver"), ("kernel", "kernel"))]
        if args.symbols or args.all_symbols:
            for d in drivers:
                _print_symbols(d, {j: r for (of, j), r in cells.items()
                                   if of == d}, args.all_symbols)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(figures, f, indent=1)
    return 0
