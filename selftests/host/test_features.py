# SPDX-License-Identifier: GPL-2.0
"""Features that QEMU's own disks do not offer, on scripted devices.

Each case has one guest, whose device becomes another one as often as needed.
The device judges every access; a rule that the driver broke fails the case.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from device import USUAL, Device, scene             # noqa: E402
from vbl.qemu import binary                         # noqa: E402

MODERN = USUAL + ("BLK_MQ",)


class Scripted:
    """A guest with the module, and the device in it."""

    def __init__(self, boot, **options):
        self.boot, self.options = boot, options
        self.dev, self.g, self.name = Device(MODERN), None, None

    def be(self, features=MODERN, **options):
        """The device becomes this one, and is given to the driver."""
        if not self.g:
            self.g = self.boot(devices=[self.dev.qemu], share_mem=True,
                               driver=None, append="no_timer_check",
                               **self.options)
            scene.load(self.g, "lite")
        scene.unbind(self.g, self.dev)
        self.dev.become(features, **options)
        self.name = scene.bind(self.g, self.dev, "lite")
        return self.name

    def sh(self, command, **options):
        """A command in the guest, in which $D is the disk."""
        return self.g.sh(f"D={self.name}; {command}", **options)

    def copy(self, **options):
        """Data goes there and comes back."""
        scene.copy(self.g, self.name, **options)

    def good(self, *idents):
        """No rule was broken, and these were looked at."""
        assert not self.dev.check.breaches, self.dev.check.report()
        assert not set(idents) - set(self.dev.check.seen)

    def end(self):
        """The driver lets go of it, which is watched too."""
        scene.unbind(self.g, self.dev)
        self.good()


@pytest.fixture
def scripted(boot):
    """scripted(): a Scripted, with options for the guest."""
    why_not = scene.why_not(binary())
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


# -- notifications -----------------------------------------------------------

NOTIFY = {
    (): "PCI-NOTIF-03",
    ("NOTIFICATION_DATA",): "PCI-NOTIF-04",
    ("NOTIF_CONFIG_DATA",): "PCI-NOTIF-05",
    ("NOTIFICATION_DATA", "NOTIF_CONFIG_DATA"): "PCI-NOTIF-06",
}


def test_notification(scripted):
    """A kick says what was negotiated, in either format of the ring."""
    s = scripted()
    for ring in ((), ("RING_PACKED",)):
        for more, rule in NOTIFY.items():
            s.be(MODERN + ring + more, queues=2, queue_size=32)
            assert all(s.dev.has(f) for f in more)
            s.copy(block="4k")
            s.good(rule)
            if "NOTIFICATION_DATA" in more:
                s.good("GEN-NOTIF-I01", "PCI-NOTIF-02")
            s.end()
