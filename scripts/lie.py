#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Shows what a driver does when the device lies once: one lie of the list below,
told during a write of 64 KiB, in a guest of its own."""

import argparse
import os
import re
import sys

from device import SILENT, USUAL, Device, Script, scene
from device.spec import OUT
from vbl import Guest, SetupError, VblError
from vbl.entry import leave_cleanly

TIMEOUT = 2             # seconds until the driver calls a request late
GIVE_UP = 60            # seconds after which a write counts as hung


class Lie(Script):
    """Honest, but for one lie when the first write is answered."""

    def __init__(self):
        self.armed = False

    def take(self):
        """Whether it is time to lie; only once."""
        armed, self.armed = self.armed, False
        return armed


class UsedId(Lie):
    """the used ring names a descriptor that was never offered"""

    def used(self, dev, queue, chain, length):
        honest = super().used(dev, queue, chain, length)
        if self.take():
            return [(queue.size + 7, length, chain.slots)]
        return honest


class Twice(Lie):
    """the used ring names the same request twice"""

    def used(self, dev, queue, chain, length):
        honest = super().used(dev, queue, chain, length)
        return honest * 2 if self.take() else honest


class Length(Lie):
    """the used ring says that more was written than there is room for"""

    def used(self, dev, queue, chain, length):
        if self.take():
            return [(chain.ident, 0x7fffffff, chain.slots)]
        return super().used(dev, queue, chain, length)


class Silent(Lie):
    """the request comes back, but its status was never written"""

    def request(self, dev, req):
        return SILENT if req.kind == OUT and self.take() else None


class Status(Lie):
    """the request comes back with the status 77, which does not exist"""

    def request(self, dev, req):
        return 77 if req.kind == OUT and self.take() else None


class Lost(Lie):
    """the write is done, but it is never put into the used ring"""

    def used(self, dev, queue, chain, length):
        return [] if self.take() else super().used(dev, queue, chain, length)


class NoInterrupt(Lie):
    """the write is done and in the used ring, but no interrupt is sent"""

    def interrupt(self, dev, queue):
        return not self.take()


LIES = {"used-id": UsedId, "twice": Twice, "length": Length, "silent": Silent,
        "status": Status, "lost": Lost, "no-interrupt": NoInterrupt}
# Lines of the kernel log that are of interest, without their time.
LOG = re.compile(r"^.*?\] (.*(?:virtio|vd[a-z]|lite|hung|blocked for).*)$", re.M)


def show(what, driver, kernel):
    """Tell the lie and print what is seen; 0 when nothing was lost."""
    _, why = scene.qemu()
    if why:
        raise SetupError(why)
    script = LIES[what]()
    print(f"the lie:        {script.__doc__}")
    params = f"request_timeout={TIMEOUT}" if driver == "lite" else ""
    with Device(USUAL, script=script) as dev, \
            Guest(kernel, devices=[dev.qemu], share_mem=True, driver=None,
                  qemu=scene.command(), timeout=900) as g:
        scene.load(g, driver, params)
        disk = scene.bind(g, dev, driver)
        if not disk:
            raise VblError(f"the {driver} driver shows no disk")
        g.sh("dd if=/dev/urandom of=/tmp/x bs=64k count=1 2>/dev/null")
        mark = g.dmesg_mark("lie")
        with dev.lock:
            script.armed = True
        job = g.start(f"dd if=/tmp/x of=/dev/{disk} bs=64k oflag=direct 2>&1")
        try:
            out = job.wait(GIVE_UP, check=False)
            failed = re.search(r"dd: (.*)", out)
            print("the write:     ", failed[1] if failed else "succeeded")
            same, _ = g.status(f"dd if=/dev/{disk} of=/tmp/y bs=64k count=1 "
                               "iflag=direct 2>/dev/null && cmp /tmp/x /tmp/y")
            print("read again:    ", "the data that were written" if same == 0
                  else "other data, or an error")
            good = not failed and same == 0
        except VblError:
            print("the write:      did not end, and cannot be interrupted")
            good = False
        errors = g.sh(f"cd /sys/block/{disk}/errors 2>/dev/null && grep -H . * "
                      "| grep -v ':0$' | tr '\\n' ' '", check=False).strip()
        print("errors/:       ", errors or "(upstream's driver has none)"
              if driver == "upstream" else errors or "all 0")
        log = LOG.findall(g.dmesg_since(mark))
        for n, line in enumerate(log or ["(nothing)"]):
            print("kernel log:    " if n == 0 else " " * 15, line)
        g.kill()
    return 0 if good else 1


def main():
    """Command line entry."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="lies:\n" + "\n".join(f"  {name:13} {lie.__doc__}"
                                     for name, lie in LIES.items()))
    p.add_argument("lie", choices=LIES, metavar="LIE")
    p.add_argument("--driver", choices=["lite", "upstream"], default="lite")
    p.add_argument("-k", "--kernel", default=os.environ.get("K"))
    args = p.parse_args()
    leave_cleanly()
    try:
        return show(args.lie, args.driver, args.kernel)
    except SetupError as e:
        print(f"lie: {e}", file=sys.stderr)
        return 2
    except VblError as e:
        print(f"lie: {type(e).__name__}: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
