# SPDX-License-Identifier: GPL-2.0
"""A guest with one scripted device, which becomes others as often as needed.

The device judges every access; a rule that the driver broke fails the case.
"""

import pytest
from device import USUAL, Device, HoldRequests, scene

MODERN = USUAL + ("BLK_MQ",)
command, qemu_has = scene.command, scene.qemu_has


class Scripted:
    """A guest with the module, and the device in it."""

    def __init__(self, boot, params="", device=None, **options):
        self.boot, self.params, self.options = boot, params, options
        self.dev = Device(MODERN, **(device or {}))
        self.g, self.name = None, None
        self.tried = []         # what was written to status until it was bound

    def be(self, features=MODERN, **options):
        """The device becomes this one, and is given to the driver."""
        if not self.g:
            self.g = self.boot(devices=[self.dev.qemu], share_mem=True,
                               driver=None, qemu=command(), **self.options)
            scene.load(self.g, "lite", self.params)
        scene.unbind(self.g, self.dev)
        self.dev.become(features, **options)
        self.name = scene.bind(self.g, self.dev, "lite")
        self.tried = list(self.dev.status_reg.history)
        self.dev.status_reg.history.clear()
        return self.name

    def sh(self, command, **options):
        """A command in the guest, in which $D is the disk."""
        return self.g.sh(f"D={self.name}; {command}", **options)

    def copy(self, **options):
        """Write data, read it back and compare."""
        scene.copy(self.g, self.name, **options)

    def good(self, *idents):
        """No rule was broken, and these could be judged."""
        assert not self.dev.check.breaches, self.dev.check.report()
        assert not set(idents) - set(self.dev.check.seen)

    def end(self):
        """Unbind the driver, which the device judges too."""
        scene.unbind(self.g, self.dev)
        self.good()


@pytest.fixture
def scripted(boot):
    """scripted(): a Scripted, with options for the guest; device={...} has those
    of the device that stay when it becomes another."""
    why_not = scene.qemu()[1]
    if why_not:
        pytest.skip(why_not)
    made = []

    def start(**options):
        one = Scripted(boot, **options)
        one.dev.__enter__()
        made.append(one)
        return one

    yield start
    for one in made:
        one.dev.__exit__(None, None, None)


class BadId(HoldRequests):
    """Returns an unknown id in queue 0, once armed, before the next honest one.

    With hold set, the requests of that queue are held.
    """

    armed = False

    def __init__(self):
        super().__init__(only=lambda req: req.queue.index == 0, hold=False)

    def used(self, dev, queue, chain, length):
        honest = super().used(dev, queue, chain, length)
        if not self.armed or queue.index:
            return honest
        self.armed = False
        return [(queue.size + 7, 0, chain.slots), *honest]


def arm(s, **answers):
    """Let the script do something from now on."""
    with s.dev.lock:
        vars(s.dev.script).update(armed=True, **answers)
