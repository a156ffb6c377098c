# SPDX-License-Identifier: GPL-2.0
"""The driver that lesson 11 writes: its skeleton, and the test of it.

The skeleton is samples/virtio_rng_lite.c with TODO in place of some bodies, so it
always fits the bus and the rings of the tree.
"""

import re
import shutil
import tempfile
from pathlib import Path

from vbl import Disk, Guest, build_module, entropy
from vbl.errors import SetupError, VblError
from vbl.tree import TREE, kernel_sources

SAMPLE = "samples/virtio_rng_lite.c"
# The functions to write, in the order of the lesson, with what each has to do.
TODO = {
    "rng_ask": """
	 * Check that the queue has room. Prepare @done to be waited for once
	 * more; -ENODEV if @dead is set by now. Set @asked. Make the buffer
	 * available: fill the one descriptor of the table (the device may write
	 * RNG_BYTES bytes at @data), add it with the tag RNG_TAG, and notify the
	 * device if it wants that.""",
    "rng_done": """
	 * Reap: tell the device that no interrupt is needed, take each used
	 * buffer, remember its length but never more than RNG_BYTES, complete
	 * @done; ask for interrupts again, and look once more if something came
	 * meanwhile. A queue that is broken returns no buffer ever again: then
	 * set @dead and wake the reader. IRQ_HANDLED if there was a buffer.""",
    "rng_start": """
	 * Start: nothing is asked for and nothing is left over; tell the device
	 * that the driver is ready, and register with hwrng; @registered says
	 * whether that succeeded.""",
    "rng_stop": """
	 * Stop: set @dead and wake the reader, unregister from hwrng if it was
	 * @registered, reset the device, and wait for interrupts that are still
	 * running. It may be stopped twice.""",
}


def make():
    """The text of the skeleton."""
    text = (TREE / SAMPLE).read_text()
    for name, what in TODO.items():
        found = re.search(r"^static (\w+) " + name + r"\([^{]*?\)\n\{\n(.*?)^\}\n",
                          text, re.M | re.S)
        if not found:
            raise VblError(f"{SAMPLE}: has no {name}()")
        end = {"void": "", "int": "\treturn -ENODEV;\n",
               "irqreturn_t": "\treturn IRQ_NONE;\n"}[found.group(1)]
        text = (text[:found.start(2)] + f"\t/* TODO{what}\n\t */\n" + end +
                text[found.end(2):])
    return text


def test(path, kernel=None, say=print):
    """Build a file as the sample and use it; how many steps failed."""
    path = Path(path)
    if not path.is_file():
        raise SetupError(f"{path}: no such file")
    with tempfile.TemporaryDirectory(prefix="vbl-lesson-") as folder:
        tree = Path(folder) / "tree"
        for name in kernel_sources():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TREE / name, tree / name)
        shutil.copy2(path, tree / SAMPLE)
        ko = build_module(kernel, ["SAMPLES=1"], tree)
        say("ok      it builds")
        return _use(ko, Path(folder), kernel, say)


def _use(ko, folder, kernel, say):
    source = entropy.write_source(folder / "source")
    with Guest(kernel, [Disk()], modules=["rng_core"], ko=ko,
               files={"virtio_rng_lite.ko":
                      ko.parent / "samples/virtio_rng_lite.ko"},
               devices=[f"-object rng-random,id=r0,filename={source}",
                        "-device virtio-rng-pci,rng=r0,addr=0x9"]) as g:
        mark = g.dmesg_mark("lesson")
        steps = (
            ("it loads, and is bound to the device",
             f"{entropy.FREE}; insmod /virtio_rng_lite.ko && "
             f"[ $(pci_driver {entropy.BDF}) = virtio-pci-lite ] && "
             f"ls -d /sys/bus/pci/devices/{entropy.BDF}/virtio*/driver"),
            ("a read of 1024 bytes returns", f"timeout 20 {entropy.read()}"),
            ("its bytes are those of the device",
             lambda: entropy.check(g, source)),
            ("the disk still works", f"dd if=/dev/{g.dev()} of=/dev/null bs=64k "
             "count=16 iflag=direct 2>&1"),
            ("it unloads", "timeout 20 rmmod virtio_rng_lite"),
            ("the kernel did not complain", lambda: g.dmesg_check(mark)))
        for n, (what, how) in enumerate(steps):
            try:
                if callable(how):
                    how()
                else:
                    g.sh(how, timeout=60)
            except (VblError, AssertionError) as e:
                say(f"not ok  {what}")
                say("".join(f"        {line}\n" for line in
                            str(e).splitlines()[:12]).rstrip())
                return len(steps) - n
            say(f"ok      {what}")
        return 0
