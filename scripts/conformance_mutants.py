#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make conformance-mutants: do the scenes detect faults in the driver?

Each mutant is one deliberate fault in a copy of the tree. It counts as caught
when the scenes named with it fail, which they must not without it. A mutant
whose text is no longer in the sources is an error: it has to be adapted.

    conformance_mutants.py [name...]    these only; without names, all
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import vbl
from vbl import TREE
from vbl.tree import sources

RING = "virtio_ring_lite.c"
STATUS, FEATURES, CONFIG = "bus/status.c", "bus/features.c", "bus/config.c"
MODERN, COMMAND = "pci/modern.c", "blk/command.c"
ADD, FLUSH = "blk/add.c", "blk/add.h"
HEADER, QUEUE = "include/virtio_ring_lite.h", "include/virtio_queue.h"
SPLIT = "test_work and split and not indirect"
PACKED = "test_work and packed and not indirect"


@dataclasses.dataclass
class Mutant:
    """A fault: file, old and new text, and the scenes that detect it."""

    name: str
    file: str
    old: str
    new: str
    scenes: str


MUTANTS = [
    Mutant("chain-too-long", "blk/queues.c",
           "lim->max_segments = min(lim->max_segments,",
           "lim->max_segments = max(lim->max_segments,",
           "test_size and split and 8 and not plain"),
    Mutant("kick-before-publish", HEADER,
           "\t\tvring_wmb(vq);\n\t\tWRITE_ONCE(avail->idx,",
           "\t\tvring_wmb(vq);\n\t\tvq->kicked_idx = idx;\n"
           "\t\tvirtqueue_notify(vq);\n\t\tWRITE_ONCE(avail->idx,",
           "test_kick_data and split and 38"),
    Mutant("status-backwards", STATUS,
           "vdev->regs->get_status(vdev) | status);", "status);", SPLIT),
    Mutant("config-without-generation", CONFIG,
           "generation == vdev->regs->generation(vdev))", "true)",
           "test_torn_capacity and modern"),
    Mutant("reset-not-awaited", STATUS, "\t\tif (!status)\n\t\t\treturn 0;",
           "\t\tif (status != VIRTIO_S_GONE)\n\t\t\treturn 0;",
           "test_slow_reset and modern"),
    Mutant("features-ok-not-read", FEATURES,
           "if (!(vdev->regs->get_status(vdev) & VIRTIO_S_FEATURES_OK)) {",
           "if (vdev->index < 0) {", "test_features_refused"),
    Mutant("everything-accepted", FEATURES, "\treturn accepted;\n",
           "\treturn offered;\n", "test_every_bit"),
    Mutant("vector-not-read", MODERN,
           "return vp_read16(vp, VIRTIO_PCI_COMMON_QVECTOR);",
           "return vector;", SPLIT),
    Mutant("enabled-too-early", MODERN,
           "\tvp_write64(vp, VIRTIO_PCI_COMMON_QDESC, mem->dma);\n",
           "\tvp_write16(vp, VIRTIO_PCI_COMMON_QENABLE, 1);\n"
           "\tvp_write64(vp, VIRTIO_PCI_COMMON_QDESC, mem->dma);\n", SPLIT),
    Mutant("wide-access", MODERN,
           "\tvp_write32(vp, off, lower_32_bits(val));\n"
           "\tvp_write32(vp, off + 4, upper_32_bits(val));\n",
           "\twriteq(val, vp->common.base + off);\n", SPLIT),
    Mutant("wrong-kick", QUEUE, "writew(vq->notify_id, vq->notify);",
           "writew(vq->notify_id + 1, vq->notify);", SPLIT),
    Mutant("reserved-word", "blk/mem.h", "u64 words = type;",
           "u64 words = type | 0x4004ULL << 32;", SPLIT),
    Mutant("flush-with-sector", FLUSH, "VIRTIO_BLK_T_FLUSH, 0);",
           "VIRTIO_BLK_T_FLUSH, 8);", SPLIT),
    Mutant("unmap-in-discard", ADD,
           "type = VIRTIO_BLK_T_DISCARD, flags = 0;",
           "type = VIRTIO_BLK_T_DISCARD, flags = 1;", SPLIT),
    Mutant("any-status-is-good", "blk/complete.c", "\tswitch (status) {",
           "\tif (status == 77)\n\t\treturn BLK_STS_OK;\n"
           "\tswitch (status) {", "test_status and split"),
    Mutant("flags-with-event-idx", HEADER,
           "virtqueue_disable_cb(struct virtqueue *vq)\n{\n"
           "\tif (unlikely(!vq->event_idx))",
           "virtqueue_disable_cb(struct virtqueue *vq)\n{\n"
           "\tif (!vq->packed || unlikely(!vq->event_idx))", SPLIT),
    Mutant("next-in-packed-table", HEADER,
           "cpu_to_le16(flags & VRING_DESC_F_WRITE);",
           "cpu_to_le16(flags);", PACKED),
    Mutant("ring-not-zeroed", RING, "\tmemset(vq->used, 0, ",
           "\tmemset(vq->used, 0x02, ", SPLIT),
    Mutant("append-sector-lost", COMMAND, "\trq->__sector = sector;\n", "",
           "test_zone_append and split"),
    Mutant("wake-not-awaited", STATUS, "return virtio_wait_status(vdev, "
           "VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND);", "return 0;",
           "test_suspend"),
]


def copy_tree(folder):
    """The sources of this tree, somewhere else."""
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, folder / name)


def plant(folder, mutant):
    """Put the fault in."""
    path = folder / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)}"
                         f" times in {mutant.file}, not once")
    path.write_text(text.replace(mutant.old, mutant.new))


def pytest_in(folder, mutant):
    """Run the scenes there; (status, the end of what they say)."""
    tool = shutil.which("pytest-3")
    command = [tool] if tool else [sys.executable, "-m", "pytest"]
    got = subprocess.run(
        [*command, "--full", "-x", "-q", "-k", f"lite and ({mutant.scenes})",
         *map(str, sorted((folder / "selftests/host")
                          .glob("test_conformance*.py")))],
        cwd=folder, env={k: v for k, v in os.environ.items()
                         if k != "VBL_CONFORMANCE"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    why = [line for line in got.stdout.splitlines()
           if line.startswith("E  ")] or got.stdout.splitlines()[-3:]
    return got.returncode, "\n".join(why[:3])


def attempt(mutant):
    """Whether a mutant is caught, and what was said."""
    with tempfile.TemporaryDirectory(prefix="vbl-mutant-") as name:
        folder = Path(name)
        copy_tree(folder)
        plant(folder, mutant)
        build = subprocess.run(
            [sys.executable, "-c", "import vbl; vbl.build_module("
             "vbl.pick_kernel(None), quiet=True)"],
            cwd=folder / "scripts", capture_output=True, text=True,
            check=False)
        if build.returncode:
            raise SystemExit(f"{mutant.name} does not build:\n{build.stderr}")
        status, why = pytest_in(folder, mutant)
        # 1: tests failed; anything else is no verdict on the driver.
        if status not in (0, 1):
            raise SystemExit(f"{mutant.name}: pytest ended with {status}:\n"
                             f"{why}")
        return status == 1, why


def main(names):
    """Plant them one after another."""
    chosen = [m for m in MUTANTS if not names or m.name in names]
    unknown = set(names) - {m.name for m in MUTANTS}
    if unknown:
        raise SystemExit(f"no mutants {unknown}; there are: "
                         + ", ".join(m.name for m in MUTANTS))
    caught = 0
    for m in chosen:
        found, why = attempt(m)
        caught += found
        print(f"{'caught' if found else 'MISSED'}  {m.name}: {why}",
              flush=True)
    print(f"{caught} / {len(chosen)} caught")
    return int(caught != len(chosen))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except vbl.VblError as e:
        sys.exit(str(e))
