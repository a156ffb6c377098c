# SPDX-License-Identifier: GPL-2.0
"""What a disk costs that is not used: memory, and the time to find it."""

import collections
import re

from vbl import Disk, Guest

from .measure import DRIVERS
from .row import Row, sampled
from .symbols import UPSTREAM, Symbols, is_driver

DEVICES, CYCLES = 12, 3
QUEUES = 4
# What the kernel's macros make of a tracepoint.
TRACEPOINT = re.compile(r"(perf_trace|trace_event_raw_event|trace_raw_output|"
                        r"__bpf_trace|__probestub|__traceiter)_")
LARGEST = 40
NAME = {"lite": "virtio-pci-lite", "upstream": "virtio-pci"}

# Everything is given back before free memory is read: freed objects wait for
# RCU and for workers, and empty slabs stay. Nobody announces the end of that,
# so the figure counts once it stands still. MemFree is without the free pages
# that each CPU keeps for itself, some MiB.
HELPERS = """
free_kib()
{
	awk '/^MemFree/ { kib += $2 } $1 == "count:" { kib += 4 * $2 }
		END { print kib }' /proc/meminfo /proc/zoneinfo
}

free_pages()
{
	last=0 n=0
	while now=$(free_kib) &&
			[ $((now - last)) -gt 64 ] && [ $n -lt 20 ]; do
		last=$now n=$((n + 1))
		echo 3 >/proc/sys/vm/drop_caches
		usleep 50000
	done
	for s in /sys/kernel/slab/[!:]*/shrink; do
		echo 1 >$s
	done
	echo 1 >/proc/sys/vm/compact_memory
	free_kib
}

unbind_all()
{
	for b; do
		[ -e $PCI/devices/$b/driver ] || continue
		echo $b >$PCI/devices/$b/driver/unbind
	done
}

# Ticks of 10 ms in one process, so that no fork is timed.
bind_all()
{
	driver=$1
	shift
	for b; do
		echo $driver >$PCI/devices/$b/driver_override
	done
	read -r began _ </proc/uptime
	for b; do
		echo $b >$PCI/drivers/$driver/bind
	done
	read -r ended _ </proc/uptime
	echo "$began $ended" | awk '{ print ($2 - $1) * 1000 }'
}
"""


def _cycle(guest, driver, disks):
    """(KiB, ms, vectors) for all @disks together."""
    functions = " ".join(guest.bdf(d) for d in disks)
    out = guest.sh(HELPERS + f"""
        before=$(free_pages)
        ms=$(bind_all {NAME[driver]} {functions})
        after=$(free_pages)
        vectors=0
        for b in {functions}; do
            disk_of $b >&2 || exit 1
            set -- $PCI/devices/$b/msi_irqs/*
            vectors=$((vectors + $#))
        done
        unbind_all {functions}
        echo $((before - after)) $ms $vectors
        """, timeout=180)
    return tuple(map(float, out.split()[-3:]))


def disks(number, queues, slot):
    """Disks with as many @queues each, in the PCI slots from @slot on."""
    return [Disk("null", size="64M", num_queues=queues,
                 addr=f"{slot + n // 8:x}.{n % 8}",
                 props={"multifunction": True}) for n in range(number)]


def each(guest, driver, which, cycles=CYCLES):
    """Lists of KiB, ms and vectors per disk, an entry for each cycle."""
    got = [_cycle(guest, driver, which) for _ in range(cycles + 1)]
    # The first one also fills caches that stay.
    return [[n / len(which) for n in c] for c in zip(*got[1:])]


def further(less, more, by):
    """What each of @by more adds, for both drivers and in each cycle."""
    return [[(b - a) / by for a, b in zip(*pair)] for pair in zip(less, more)]


def load(guest):
    """Both drivers are loaded, and have no disk."""
    guest.sh(HELPERS + "vbl_load_upstream; unbind_all $(vbl_disks); "
             "vbl_load; unbind_all $(vbl_disks)", timeout=120)


def _sizes(guest):
    """{module: bytes in memory}."""
    out = guest.sh("for m in /sys/module/*/coresize; do "
                   "echo ${m#/sys/module/} $(cat $m); done")
    return {line.split("/")[0]: int(line.split()[1])
            for line in out.splitlines()}


def _functions(symbols, driver):
    """{(name, module, or "" of the kernel): bytes} of a driver."""
    sizes = collections.Counter()
    for a, b, (name, module), (_, after) in zip(
            symbols.addresses, symbols.addresses[1:], symbols.names,
            symbols.names[1:]):
        # Some kernels name the room that they leave before each function.
        name = name.removeprefix("__pfx_")
        # What is behind the last function of a module is not its own.
        if module == after and is_driver(name, module, driver):
            sizes[name, module] += b - a
    return sizes


def _listing(functions):
    """[(function, bytes)] of the largest."""
    return [(name, n) for (name, _), n in functions.most_common(LARGEST)]


def _text(ours, upstream):
    """Rows of the size of all functions."""
    traced = sum(n for (name, _), n in ours.items() if TRACEPOINT.match(name))
    return [
        Row("memory.text", "the functions of the driver", "bytes",
            ours.total(), upstream.total(), 1.25, within=0.05,
            note="upstream's have no tracepoints"),
        Row("memory.plain", "the functions of the driver but its tracepoints",
            "bytes", ours.total() - traced, upstream.total(), 1.0,
            within=0.05)]


def measure(kernel, ko, say, listings=None, cycles=CYCLES):
    """Rows of one kernel; @listings gets the functions behind them."""
    say(f"  memory and probing of {DEVICES} devices")
    some = [disks(DEVICES, n, slot)
            for n, slot in ((1, 4), (2, 6), (QUEUES, 8))]
    with Guest(kernel, disks=sum(some, []), driver=None, ko=ko, tools=False,
               smp=QUEUES, mem=768, append="nokaslr", timeout=0) as g:
        load(g)
        (one, ms, _), (two, *_), (many, *_) = (
            zip(*(each(g, d, n, cycles) for d in DRIVERS)) for n in some)
        symbols = Symbols(g.sh("cat /proc/kallsyms", timeout=120))
        sizes = _sizes(g)
    # With one queue upstream's disks have an I/O scheduler, which takes memory
    # for as many requests again; with more they have none.
    queue = further(two, many, QUEUES - 2)
    ours, upstream = (_functions(symbols, d) for d in DRIVERS)
    if listings is not None:
        listings["memory"] = {"bytes of lite": _listing(ours),
                              "bytes of upstream": _listing(upstream)}
    modules = sum(n for m, n in sizes.items() if m in UPSTREAM)
    built_in = sum(n for (_, module), n in upstream.items() if not module)
    return [
        sampled("memory.device", "memory of a device with one queue", "KiB",
                *one, target=0.60, within=0.1, note="bus, PCI driver and disk; "
                f"the difference in free memory that {DEVICES} devices make; "
                "upstream's with the I/O scheduler that a disk with one queue "
                "gets"),
        sampled("memory.devices", f"memory of a device with {QUEUES} queues",
                "KiB", *many, within=0.1),
        sampled("memory.queue", "memory of each further queue", "KiB", *queue,
                target=1.0, within=0.1, note="of 256 requests, from the second "
                "on; ours with the tables in it that upstream takes for each "
                "request anew"),
        *_text(ours, upstream),
        Row("memory.module", "the module itself", "bytes",
            sizes["virtio_lite"], modules + built_in, within=0.1,
            note="upstream: its modules, and of what is built into the "
            "kernel the functions only"),
        sampled("time.probe", "time from bind to disk", "ms", *ms, within=0.5,
                note="a smoke test, as all times here"),
    ]
