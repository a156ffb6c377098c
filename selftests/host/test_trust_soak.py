# SPDX-License-Identifier: GPL-2.0
"""Disks that are removed under load, a few times; make soak does it for long.

And one round of all that can be mixed, of which make soak HOURS=... does many.
"""

import collections
import json
import os
import subprocess
import sys

import pytest
from device import scene
from faults import removal
import soak_mix
from trust import mix, storm, used
from vbl import TREE, CommandFailed, Disk, VblError


@pytest.mark.parametrize("what", removal.CAMPAIGNS)
def test_soak(kernel, what):
    """Five times; what was synced is there each time, and nothing hangs."""
    removal.campaign(what, 5, seed=1, kernel=kernel)


def wiped(g, n, seed):
    """What the load had written is gone when the disk is back."""
    disk, soak = g.disks[0], "/selftests/_soak.sh"
    for i in range(2):
        g.plug(disk)
        g.sh(f"take_over {g.bdf(disk)}")
        dev = g.dev(disk)
        if i:
            g.sh(f"dd if=/dev/zero of=/dev/{dev} bs=1M seek=4 count=8 "
                 "oflag=direct 2>&1")
        load = g.start(f"{soak} load {dev}")
        g.sh(f"{soak} is_busy {dev}", timeout=70)
        # A line of each writer says what is safe.
        g.sh("wait_for 60 grep -q '^1 [1-9]' /tmp/acked.1", timeout=70)
        g.unplug(disk)
        load.wait(60)


def test_soak_would_show(monkeypatch):
    """A write under load that is lost ends the campaign."""
    monkeypatch.setitem(removal.CAMPAIGNS, "unplug", wiped)
    with pytest.raises(CommandFailed, match="is not at"):
        removal.campaign("unplug", 2)


@pytest.mark.full
@pytest.mark.parametrize("options", removal.TURNS, ids=lambda o: "-".join(
    str(v) if k == "transport" else k for k, v in o.items()))
@pytest.mark.parametrize("what", removal.CAMPAIGNS)
def test_soak_more(what, options):
    """Twenty times, for each kind of ring and interrupt."""
    removal.campaign(what, 20, seed=2, options=options)


# -- storms ------------------------------------------------------------------

@pytest.mark.full
@pytest.mark.parametrize("ring", storm.RINGS)
def test_storm(ring):
    """Short ones: each load is right, and ends when the device is honest."""
    why = scene.qemu()[1]
    if why:
        pytest.skip(why)
    one = storm.Storm(None, 5, ring, seconds=20)
    print(one.lies.in_words(), one.run(), sep=", ")
    assert one.lies.mutations


def test_storm_is_drawn_again():
    """The same seed is the same device, and every one can be had."""
    drawn = [storm.Stormy(n) for n in range(200)]
    assert [d.in_words() for d in drawn] == \
        [storm.Stormy(n).in_words() for n in range(200)]
    for name, values in {"ring": storm.RINGS, "stand": storm.STANDS,
                         "queues": storm.QUEUES, "polls": (0, 1),
                         "queue_size": storm.RING_SIZES}.items():
        assert {getattr(d, name) for d in drawn} == set(values)


# -- everything mixed --------------------------------------------------------

def rows(log):
    """What a log says."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_mix_round(kernel, tmp_path):
    """One round goes well, and its log has what was drawn."""
    log, seed = tmp_path / "log", 1061
    assert soak_mix.main(["--round", str(seed), "-k", kernel.release,
                          "--log", str(log)]) == 0
    first, *actions, last = rows(log)
    plan = mix.draw(seed)
    assert {name: first[name] for name in plan} == plan
    assert (first["kernel"], last["end"]) == (kernel.release,
                                              "as it should be")
    assert [row["action"] for row in actions] == [
        *(name for name, _, _ in plan["actions"]), plan["end"]]


def planted(s, rng):
    """Somebody writes to the image."""
    with open(s.image, "r+b") as f:
        f.seek(used.AREA)
        f.write(bytes(used.AREA))


@pytest.mark.full
def test_mix_would_show(tmp_path, capsys, monkeypatch):
    """What goes wrong is found, and the command that repeats it is told."""
    monkeypatch.setattr(mix, "ACTIONS", {"planted": mix.Action(planted)})
    seed = next(n for n in range(1000) if {"format": "raw", "end": "unload"}
                .items() <= mix.draw(n).items())
    log = tmp_path / "log"
    assert soak_mix.main(["--round", str(seed), "--log", str(log)]) == 1
    wrong, again = capsys.readouterr().err.splitlines()[-2:]
    assert f"round {seed} went wrong: " in wrong
    assert f"make soak ROUND={seed} K=" in again
    first, action, last = rows(log)
    assert action["action"] == "planted"
    assert "is not at" in last["wrong"] and first["repeat"] in again


class Counts:
    """A guest whose driver has counted so many errors, and said nothing."""

    def __init__(self, **counts):
        self.counts = {**dict.fromkeys(used.ERRORS, 0), **counts}

    def dev(self):
        return "vda"

    def sh(self, _command):
        return "".join(f"{k}:{n}\n" for k, n in self.counts.items())

    def dmesg_check(self, _mark):
        pass

    def dmesg_since(self, _mark):
        return ""


def test_mix_counts_resets():
    """An action of its own explains its resets, and not all others."""
    s = object.__new__(used.Used)
    s.expected = collections.Counter()
    s.g = Counts()
    s.check("mark")
    s.causes("resets", "lost_interrupts")
    s.g = Counts(resets=used.MOST_EACH, lost_interrupts=99)
    s.check("mark")
    for more in ({"resets": used.MOST_EACH + 1}, {"protocol": 1}):
        s.g = Counts(**more)
        with pytest.raises(VblError, match="caused at most"):
            s.check("mark")
    s.causes("resets", "protocol")
    s.check("mark")


DRAW = ("import soak_mix, json; from trust import mix; "
        "print(json.dumps([mix.draw(n) for n in range(600)]))")


def test_mix_is_drawn_again():
    """The same seed is the same round, in another process too; every disk can
    be had, and whatever is in the mix is drawn now and then."""
    here = [mix.draw(n) for n in range(600)]
    there = subprocess.run(
        [sys.executable, "-c", DRAW], capture_output=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7",
             "PYTHONPATH": str(TREE / "scripts")}).stdout
    assert json.loads(there) == here
    disks = [plan for plan in here if plan["kind"] == "disk"]
    for plan in disks:
        Disk(**plan["disk"])
    assert {plan["kind"] for plan in here} == set(mix.KINDS)
    assert {plan["end"] for plan in disks} == set(mix.ENDS)
    assert {name for plan in disks for name, _, _ in plan["actions"]} == \
        set(mix.ACTIONS)
    assert {name for plan in disks for name in plan["beside"]} == {
        name for name, action in mix.ACTIONS.items() if action.beside}
    first = [seed for seed, _ in zip(mix.seeds(5), range(20))]
    assert first == [seed for seed, _ in zip(mix.seeds(5), range(20))]
    assert not set(first) & {seed for seed, _ in zip(mix.seeds(6), range(20))}


@pytest.mark.parametrize("args, why", [
    (["--hours", "1", "5"], "HOURS and N=5"),
    (["--hours", "1", "--what", "unplug"], "HOURS and WHAT=unplug"),
    (["--round", "1", "5"], "ROUND and N=5"),
    (["--hours", "1", "--round", "1"], "not both"),
    (["--round", "1", "--seed", "1"], "neither SEED"),
    (["--round", "1", "--write"], "nor WRITE"),
    (["--hours", "many"], "HOURS=many: expected hours"),
    (["--hours=-1"], "HOURS=-1: expected hours"),
    (["--hours", "0"], "HOURS=0: expected hours"),
    (["--hours", "nan"], "HOURS=nan: expected hours"),
    (["--hours", "1", "--seed", "x"], "SEED=x: expected a whole"),
    (["--round", "1.5"], "ROUND=1.5: expected a whole"),
], ids=lambda v: "-".join(v) if isinstance(v, list) else "")
def test_mix_refused(args, why, capsys):
    """What makes no sense is refused before anything is done."""
    with pytest.raises(SystemExit) as e:
        soak_mix.main(args)
    assert e.value.code == 2
    assert why in capsys.readouterr().err


def test_mix_log_refused(tmp_path, capsys):
    """So is a log that cannot be written."""
    log = tmp_path / "none" / "log"
    assert soak_mix.main(["--hours", "1", "--log", str(log)]) == 2
    assert f"LOG={log}: No such file" in capsys.readouterr().err
