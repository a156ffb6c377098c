# SPDX-License-Identifier: GPL-2.0
"""What a disk costs that is not used: memory, and the time to find it."""

import collections
import statistics

from vbl import Disk, Guest

from .measure import DRIVERS
from .row import Row
from .symbols import UPSTREAM, Symbols, is_driver

DEVICES, CYCLES = 12, 3
QUEUES = 4
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
    """(KiB, ms) for all @disks together."""
    functions = " ".join(guest.bdf(d) for d in disks)
    out = guest.sh(HELPERS + f"""
        before=$(free_pages)
        ms=$(bind_all {NAME[driver]} {functions})
        after=$(free_pages)
        for b in {functions}; do disk_of $b >&2 || exit 1; done
        unbind_all {functions}
        echo $((before - after)) $ms
        """, timeout=180)
    kib, ms = out.split()[-2:]
    return float(kib), float(ms)


def _many(queues, first):
    return [Disk("null", size="64M", num_queues=queues,
                 addr=f"{first + n // 8:x}.{n % 8}",
                 props={"multifunction": True}) for n in range(DEVICES)]


def _measure(guest, driver, disks):
    """(KiB, ms) per device. The first time also fills caches that stay."""
    got = [_cycle(guest, driver, disks) for _ in range(CYCLES + 1)][1:]
    return [statistics.median(c) / DEVICES for c in zip(*got)]


def _sizes(guest):
    """{module: bytes in memory}."""
    out = guest.sh("for m in /sys/module/*/coresize; do "
                   "echo ${m#/sys/module/} $(cat $m); done")
    return {line.split("/")[0]: int(line.split()[1])
            for line in out.splitlines()}


def _functions(symbols, driver):
    """{module, or "" of the kernel: bytes of functions} of a driver."""
    sizes = collections.Counter()
    for a, b, (name, module), (_, after) in zip(
            symbols.addresses, symbols.addresses[1:], symbols.names,
            symbols.names[1:]):
        # What is behind the last function of a module is not its own.
        if module == after and is_driver(name, module, driver):
            sizes[module] += b - a
    return sizes


def measure(kernel, ko, say):
    """Rows of one kernel."""
    say(f"  memory and probing of {DEVICES} devices")
    disks = [_many(n, first) for n, first in ((1, 4), (2, 6), (QUEUES, 8))]
    with Guest(kernel, disks=sum(disks, []), driver=None, ko=ko, tools=False,
               smp=QUEUES, mem=768, append="nokaslr", timeout=0) as g:
        g.sh(HELPERS + "vbl_load_upstream; unbind_all $(vbl_disks); "
             "vbl_load; unbind_all $(vbl_disks)", timeout=120)
        (one, ms), (two, _), (many, _) = (
            zip(*(_measure(g, d, n) for d in DRIVERS)) for n in disks)
        symbols = Symbols(g.sh("cat /proc/kallsyms", timeout=120))
        sizes = _sizes(g)
    # With one queue upstream's disks have an I/O scheduler, which takes memory
    # for as many requests again; with more they have none.
    queue = [(b - a) / (QUEUES - 2) for a, b in zip(two, many)]
    ours, upstream = (_functions(symbols, d) for d in DRIVERS)
    modules = sum(n for m, n in sizes.items() if m in UPSTREAM)
    return [
        Row("memory.device", "memory of a device with one queue", "KiB", *one,
            within=0.1, note="bus, PCI driver and disk; the difference in "
            f"free memory that {DEVICES} devices make; upstream's with the "
            "I/O scheduler that a disk with one queue gets"),
        Row("memory.devices", f"memory of a device with {QUEUES} queues",
            "KiB", *many, within=0.1),
        Row("memory.queue", "memory of each further queue", "KiB", *queue,
            within=0.1, note="of 256 requests, from the second on; ours with "
            "the tables in it that upstream takes for each request anew"),
        Row("memory.text", "the functions of the driver", "bytes",
            sum(ours.values()), sum(upstream.values()), within=0.05),
        Row("memory.module", "the module itself", "bytes",
            sizes["virtio_lite"], modules + upstream[""], within=0.1,
            note="upstream: its modules, and of what is built into the "
            "kernel the functions only"),
        Row("time.probe", "time from bind to disk", "ms", *ms, within=0.5,
            note="a smoke test, as all times here"),
    ]
