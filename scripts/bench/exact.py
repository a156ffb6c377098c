# SPDX-License-Identifier: GPL-2.0
"""What got worse since Documentation/performance.md, of what is exact."""

import dataclasses

from vbl import SetupError, pick_kernel

from . import compare, cost, document, rest


def add_arguments(parser):
    """The options of bench.py exact."""
    parser.add_argument("-k", "--kernel", default="6.12",
                        help="a series that the page has, or a release")
    parser.add_argument("--ko", help="a ready virtio_lite.ko instead of the "
                        "one built from the tree")


def measure(kernel, ko=None, say=print):
    """A result with instructions, allocations and memory of one kernel."""
    rows, release = cost.exact(kernel, ko, say)
    rows += [r for r in rest.measure(kernel, ko, say) if r.id != "time.probe"]
    return {"kernels": [
        {"release": release, "rows": [dataclasses.asdict(r) for r in rows]}]}


def page_rows(kernel):
    """What the page says of this kernel's series; nothing if it lacks it."""
    return [r for k in compare.load(document.FIGURES)["kernels"]
            if compare.series_of(k["release"]) == kernel.series
            for r in k["rows"]]


def against_page(result):
    """(lines to print, number of figures that are worse than the page's)."""
    # How many cache lines a request touches differs from run to run, and so does
    # how many requests share an interrupt.
    loose = (".lines", *(f"{i}.driver" for i in cost.LOOSE))
    exact = {"kernels": [
        {**k, "rows": [r for r in k["rows"] if not r["id"].endswith(loose)]}
        for k in result["kernels"]]}
    return compare.compare(compare.load(document.FIGURES), exact, partly=True)


def run(args):
    """Measure, and print what changed; 1 if something got worse."""
    kernel = pick_kernel(args.kernel)
    if not page_rows(kernel):
        raise SetupError(f"{document.FIGURES.name} has no figures of "
                         f"Linux {kernel.series}")
    lines, bad = against_page(measure(kernel, args.ko))
    compare.show(lines, bad)
    return 1 if bad else 0
