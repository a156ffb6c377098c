# SPDX-License-Identifier: GPL-2.0
"""Documentation/performance.md, from a result."""

import json

from vbl import TREE

from .row import FAIL
from .show import number, ratio, target, verdicts

PATH = TREE / "Documentation" / "performance.md"
# The figures of its rows, for make bench-compare.
FIGURES = PATH.with_suffix(".json")

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Written by make bench WRITE=1; do not edit. -->

# Performance

What a request costs with this driver and with upstream's virtio_blk. Both
drivers are loaded into the same guest, each has a disk of the same kind
(null-co, so that the host's storage costs nothing), both run without an I/O
scheduler. A plugin of QEMU's emulator counts the instructions of each driver
and of the kernel around it; they do not depend on the speed of the host.

    {command}

repeats it. This is of the tree `{tree}`, on {kernels}, and took {minutes}
minutes with {qemu} on {cpus} host CPUs. A kernel that is newer than the
installed ones comes from `scripts/setup --new-kernel`.

## Summary

Ours / upstream's = ratio. Of {judged} rows with a target: {verdicts} (the
samples do not decide).

{summary}
"""

# The rows of the summary; a kernel that lacks one shows a dash.
SUMMARY = ("read1.driver", "read32.driver", "read1.all", "read32.all",
           "flush1.driver", "discard1.driver", "singles.notify",
           "singles.interrupt", "allocations", "iops1", "iops32",
           "memory.device", "memory.devices", "memory.queue", "memory.text",
           "memory.module")

METHOD = """
## How each figure is measured

**Instructions.** The plugin counts every instruction that the guest's kernel
executes between two marks of the load generator (`scripts/bench/iob.c`). An
instruction belongs to the driver when its address lies in a function of
virtio_lite, or, for upstream, of virtio_blk, the virtio rings and virtio_pci
(by name where those are built into the kernel). The driver's figures repeat to
the last digit.

**Guests** have one CPU, but a machine with room for two: QEMU 7.2 leaves memory
barriers out when a guest can never have a second CPU, although its devices run
on another CPU of the host. Then a notification can get lost, with any driver.

**Submission, completion and below.** Everything between the entry of
`queue_rq`, `queue_rqs` or the interrupt handler and its return, whoever's code
it is: mapping, allocation, the block layer's end of a request. So no driver
gains by moving its work into functions that it calls. Interrupts in between are
left out, and so is waking up the task that waits for the request.

**All of the kernel** is everything but the timer's interrupt. So that it
repeats, reads and writes are waited for in user space; of polled ones the data
tells there when all have come, and then they are polled. Discard and flush are
system calls that sleep, unless the device is faster: what the scheduler and
the idle loop execute is left out of those rows, and the rest still varies by
several per cent, so they are medians of pairs. Most of a flush belongs to
neither driver: the notes below each table say which ratio would remain if this
one cost nothing. Where the row fails, the functions that take the rest are
listed behind the table of that kernel. The row of 32 vectors has no target:
before either driver is called, the kernel pins each vector by itself, which is
two fifths of its total.

**Notifications** are the register accesses by the driver, **interrupts** the
entries of its handler, both counted by the plugin. Batches are lock-step: 32
requests are submitted by one system call, and all 32 are waited for. With 32
single requests in flight, how many share a notification depends on how fast
the device is beside the CPU, and that differs from boot to boot, on either side
of 1: so each boot gives one sample, the median of pairs measured by turns. A
driver that submits sooner finds the device idle more often; so before ours
notifies a device that has eight or more other requests, it rechecks for an
instant whether the device still asks for a notification. Ending all requests of
an interrupt before asking for the next one was tried too, and changed nothing.
A device that was seen at work needs neither a notification nor an interrupt, so
the sum of both is there as well.

**Allocations** are calls from submission or completion to anything that gives
out memory: slab, pages, pools, coherent memory. One within another counts as
one. What the block layer allocates for a request before it calls the driver,
such as the bio, is not below those functions and so not counted.

**Cache lines** are those of 64 bytes that the driver, and what maps data for it,
reads or writes. The list by function names the first function that uses a line.
Which of them the device uses too, no counter here can tell.

**Memory** is the difference in free memory between many devices bound and none,
after caches and empty slabs were given back; it varies by a tenth. **Probing**
is the time that writing to `bind` takes, by a clock of 10 ms, over many
devices. **Bytes of functions** are the distances of their addresses; upstream's
are those of virtio_blk, virtio, the rings and PCI. **Time of QEMU's I/O thread**
is what the host's scheduler counts for it, our disk and the other one by turns.
**Register accesses** are reported by QEMU, which emulates all of them;
timers, serial ports and interrupt controllers are left out.

**IOPS and latency** are fio's, without the plugin, on both disks by turns,
A B B A. The median of the ratios within the pairs is given, with its interval
(95 %, bootstrap). On an emulated CPU with other work on the host this is a
smoke test: a row is OPEN while the interval contains the target.

**Growth** is that of the driver's own instructions. The emulator counts for one
CPU at a time: with several, they run by turns on one host thread, so that
waiting for a lock hardly shows, while the instructions each executes do.
`make bench FULL=1` adds the lines that need a guest for each point, and more
pairs.

`make bench-compare` measures what is exact (instructions, allocations, memory)
on 6.12, lists what is worse than on this page, and fails past 2 %; with
`OLD=a.json NEW=b.json` it compares two results of `make bench`.
`scripts/bench.py quick --symbols` lists the functions behind the figures.
"""

TRIED = """
## What was tried

Designs for what is missed above, with the figures that decided; all of them
before and after on one tree, Linux 6.12 unless said.

| what for | design | before, after | taken |
|---|---|---|---|
| cache lines in batches | the statuses of all tags in an array of their own | 9.46, 8.50 per request in batches of 32; 34.6, 34.6 at depth 1 | no: the driver and the device then write one line for different requests, and what that costs two CPUs no emulator shows |
| cache lines | the queue's fields in the order in which submission and completion use them | no difference | no |
| instructions | a path of its own for reads and writes of one segment, without the tests that only others need | 339, 260 at depth 1; 155.9, 121.5 in batches of 32 | yes |
| 32 segments | a single block of the first pool is borrowed without a search; one store for a segment's length, flags and next | 1060, 997 instructions at depth 1 | yes |
| memory of each further queue | 6 descriptors in each slot instead of 14, and a pool of 8 KiB that grows when it is short, instead of 32 KiB | a third more than upstream's, 0.90 of it | yes |
| swiotlb | requests of up to 4 KiB are copied to 64 buffers of each queue that stay mapped | 7806, 2469 instructions at depth 1 | yes |
| notifications | before a kick, look whether a device that has eight other requests still asks for one | see above | yes |
| notifications, interrupts | end all requests of an interrupt before asking for the next one | no difference | no |
| QEMU's work for each request | direct descriptors for short requests, with an I/O thread | on three kernels indirect ones take 0.94 to 1.02 of their time, and each interval contains 1 | no |
| polled reads | polls that find nothing are not counted, as they depend on how fast the host is: user space waits for the data first | 0.70 to 1.11 in four runs, 0.688 to 0.695 on three kernels | yes |
| bytes of functions | files through which no request passes are compiled for size | 86756, 79489 by the symbol table, where an exported function counts twice | yes |
| bytes of functions | events with the same fields share the functions of one class | two of thirteen have the same fields | yes |
| bytes of functions | the other four files are compiled for size too | 79489, 76750 by the symbol table; 260, 284 instructions at depth 1; 121.5, 145.5 in batches of 32 | no |
| bytes of functions | no tracepoints | 9012 bytes of 75112 | no: lessons and `make journey` are made of them |
"""


def _pair(row):
    """What the summary says of one row, on one kernel."""
    if not row:
        return "-"
    return f"{number(row['ours'])} / {number(row['upstream'])} = {ratio(row)}"


def _summary(result):
    """A column for each kernel, and the targets that are missed."""
    kernels = [{r["id"]: r for r in k["rows"]} for k in result["kernels"]]
    names = [k["release"] for k in result["kernels"]]
    out = ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for ident in SUMMARY:
        found = [rows.get(ident) for rows in kernels]
        any_row = next((r for r in found if r), None)
        if any_row:
            out.append(f"| {any_row['label']} ({any_row['unit']}) | "
                       + " | ".join(map(_pair, found)) + " |")
    missed = [f"* {r['label']}, {name}: {ratio(r)}, the target is {target(r)}"
              for name, rows in zip(names, kernels)
              for r in rows.values() if r["verdict"] == FAIL]
    if missed:
        out += ["", "Targets that are missed:", "", *missed]
    return "\n".join(out)


def _table(kernel):
    out = ["| figure | unit | ours | upstream | ratio | target | |",
           "|---|---|--:|--:|--:|--:|---|"]
    for r in kernel["rows"]:
        other = "" if r["other"] == "upstream" else f" ({r['other']})"
        out.append(f"| {r['label']} | {r['unit']} | {number(r['ours'])} | "
                   f"{number(r['upstream'])}{other} | {ratio(r)} | "
                   f"{target(r)} | {r['verdict']} |")
    notes = [f"* {r['label']}: {r['note']}" for r in kernel["rows"]
             if r["note"]]
    return "\n".join(out + ([""] + notes if notes else []))


def _line(line):
    names = list(line["y"])
    out = [f"\n### {line['label']}, {line['unit']}\n",
           "| | " + " | ".join(str(x) for x in line["x"]) + " |",
           "|---|" + "--:|" * len(line["x"])]
    out += [f"| {n} | " + " | ".join(number(v) for v in line["y"][n]) + " |"
            for n in names]
    return "\n".join(out + ([f"\n{line['note']}"] if line.get("note") else []))


def _listings(kernel):
    """What each function executes, behind the rows that fail."""
    failed = {r["id"].split(".")[0] for r in kernel["rows"]
              if r["verdict"] == FAIL}
    out = ""
    for ident in sorted(failed & kernel["listings"].keys()):
        for what, functions in kernel["listings"][ident].items():
            out += (f"\n{ident}, {what}, by function: "
                    + ", ".join(f"{name.split()[0]} {n:g}"
                                for name, n in functions) + ".\n")
    return out


def text(result, command):
    """The page, from a result and the command that made it."""
    out = HEAD.format(
        command=command, qemu=result["qemu"].split(" (")[0],
        kernels=", ".join(f"Linux {k['release']}" for k in result["kernels"]),
        minutes=-(-result["seconds"] // 60), cpus=result["cpus"],
        tree=result["tree"], verdicts=verdicts(result),
        judged=sum(bool(r["verdict"]) for k in result["kernels"]
                   for r in k["rows"]), summary=_summary(result)) + METHOD + TRIED
    for k in result["kernels"]:
        out += f"\n## Linux {k['release']}\n\n{_table(k)}\n"
        out += _listings(k)
        out += "".join(_line(x) + "\n" for x in k.get("lines", []))
    return out


def write(result, command):
    """Replace the page, and the figures beside it."""
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text(result, command))
    kernels = [{"release": k["release"], "rows": k["rows"]}
               for k in result["kernels"]]
    figures = {"SPDX-License-Identifier": "GPL-2.0",
               "format": result["format"], "tree": result["tree"],
               "kernels": kernels}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    return PATH
