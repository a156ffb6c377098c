# SPDX-License-Identifier: GPL-2.0
"""A short piece of make fuzz, and whether it would notice anything."""

import pytest
from device import scene
from fuzz.campaign import Campaign
from fuzz.hostile import Hostile
from vbl import VblError

SEEDS = (307, 308, 302)


@pytest.fixture(autouse=True)
def able():
    why = scene.qemu()[1]
    if why:
        pytest.skip(why)


def test_hostile_device():
    """No complaint of the kernel, no hang, and the module can be unloaded."""
    campaign = Campaign(None, io_seconds=8)
    campaign.run(SEEDS, lambda c: True)
    assert campaign.sum.rounds == len(SEEDS)
    assert campaign.sum.worked and campaign.sum.mutations > 30


def test_only_what_is_read_counts():
    """A lie counts when the driver has read it, and not when told."""
    lies = Hostile(7)
    queue, before = type("Q", (), {"index": 0}), lies.told
    lies._answer(queue, 3, "rings", "one")
    lies._answer(queue, 4, "rings", "two")
    lies._went_on(queue, 5)
    assert (lies.mutations, lies.told - before) == (0, 2)
    lies._went_on(queue, 3)
    assert lies.mutations == 1
    lies._answer(queue, 5, "status", "three")
    lies.write(None, "status", 0)
    lies._went_on(queue, 4)
    assert (lies.mutations, lies.told - before) == (2, 3)


def test_lies_are_the_seed():
    """The same seed makes the same device."""
    one, again, other = Hostile(7), Hostile(7), Hostile(8)
    drawn = [(d.features, d.queues, d.queue_size, d.config,
             [d.vector(None, "vector", n) for n in range(500)])
            for d in (one, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_complaint_is_noticed(monkeypatch):
    """What the kernel says, and who made it say so, ends the campaign."""
    monkeypatch.setattr(
        scene, "bind", lambda g, dev, driver: g.sh(
            "echo 'BUG: by hand' >/dev/kmsg") and None)
    with pytest.raises(VblError, match="(?s)seed 2: .*BUG: by hand"):
        Campaign(None).run([2], lambda c: True)
