# SPDX-License-Identifier: GPL-2.0
"""Documentation/performance.md, from a result."""

from vbl import TREE

from .row import FAIL
from .show import number, ratio, target, verdicts

PATH = TREE / "Documentation" / "performance.md"

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Written by make bench WRITE=1; do not edit. -->

# Performance

What a request costs with this driver and with upstream's virtio_blk, side by
side: both drivers are loaded into the same guest, each has a disk of the same
kind (null-co, so that the host's storage costs nothing), both run without an
I/O scheduler. `ratio` is ours divided by upstream's.

    {command}

repeats it. This is of the tree `{tree}`, on {kernels}, and took {minutes}
minutes with {qemu} on {cpus} host CPUs: {verdicts}. A kernel
that is newer than the installed ones comes from `scripts/setup --new-kernel`.
"""

METHOD = """
## How it is measured

**Instructions.** A plugin of QEMU's emulator counts every instruction that the
guest's kernel executes between two marks of the load generator
(`scripts/bench/iob.c`). An instruction belongs to the driver when its address
lies in a function of virtio_lite, or, for upstream, of virtio_blk, the virtio
rings and virtio_pci (by name where those are built into the kernel). The
driver's figures do not depend on the host: they repeat to the last digit.

**Guests** have one CPU, but a machine with room for two: QEMU 7.2 leaves memory
barriers out when a guest can never have a second CPU, although its devices run
on another of the host's. Then a notification can get lost, with any driver.

**Submission, completion and below.** Everything between the entry of
`queue_rq`, `queue_rqs` or the interrupt handler and its return, whoever's code
it is: mapping, allocation, the block layer's end of a request. So no driver
looks better for moving its work into callees. Interrupts on the way are left
out, and so is waking up whoever waits for the request.

**All of the kernel** is everything but the timer's interrupt. So that it
repeats, reads and writes are waited for in user space. Discard and flush are
system calls that sleep, unless the device is faster: what the scheduler and
the idle loop execute is left out of those rows, and the rest still wanders by
several per cent, so they are medians of pairs. Most of a flush is neither
driver's: the notes below each table say what would be left if this one cost
nothing, which is about the target already; behind the table of a kernel where
the row fails are the functions that take the rest. The row of 32 vectors has no target:
before either driver is called, the kernel pins each vector by itself, which is
two fifths of its total.

**Notifications** are the register accesses by the driver, **interrupts** the
entries of its handler, both counted by the plugin. Batches are lock-step: 32
requests by one system call, all 32 waited for. With 32 single requests in
flight, how many share a notification depends on how fast the device is beside
the CPU, and that is another one with each boot, on either side of 1: so each
boot gives one sample, the median of pairs measured by turns. A driver that is
done sooner finds the device asleep more often; so ours looks again for an
instant before it tells a device that has much other work. Ending all requests of an
interrupt before asking for the next one was tried too, and changed nothing. A
device that was seen at work needs neither a notification nor an interrupt, so
the sum of both is there as well.

**Allocations** are calls from submission or completion to anything that gives
out memory: slab, pages, pools, coherent memory. One within another is one.
What the block layer takes for a request before it comes to the driver, such as
the bio, is not below those functions and so not counted.

**Memory** is the difference in free memory between many devices bound and none,
after caches and empty slabs were given back; it wanders by a tenth. **Probing**
is the time that writing to `bind` takes, by a clock of 10 ms, over many
devices. **Register accesses** are told by QEMU, which emulates all of them;
timers, serial ports and interrupt controllers are left out.

**IOPS and latency** are fio's, without the plugin, on both disks by turns,
A B B A. The median of the ratios within the pairs is given, with the interval
(95 %, bootstrap) that this many pairs leave it in. On an emulated CPU with
other work on the host this is a smoke test: a row is OPEN while the interval
has the target in it.

**Growth** is that of the driver's own instructions. The emulator counts for one
CPU at a time: with several, they run by turns on one host thread, so that
waiting for a lock hardly shows, while the instructions each executes do.
`make bench FULL=1` adds the lines that need a guest for each point, and more
pairs.

`make bench-compare OLD=a.json NEW=b.json` tells what got worse, and fails past
2 %. `scripts/bench.py quick --symbols` lists the functions behind the figures.
"""


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
        for driver, functions in kernel["listings"][ident].items():
            out += (f"\n{ident}, instructions of {driver}, by function: "
                    + ", ".join(f"{name.split()[0]} {n:g}"
                                for name, n in functions) + ".\n")
    return out


def write(result, command):
    """Replace the page."""
    text = HEAD.format(
        command=command, qemu=result["qemu"].split(" (")[0],
        kernels=", ".join(f"Linux {k['release']}" for k in result["kernels"]),
        minutes=-(-result["seconds"] // 60), cpus=result["cpus"],
        tree=result["tree"], verdicts=verdicts(result))
    for k in result["kernels"]:
        text += f"\n## Linux {k['release']}\n\n{_table(k)}\n"
        text += _listings(k)
        text += "".join(_line(x) + "\n" for x in k.get("lines", []))
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text + METHOD)
    return PATH
