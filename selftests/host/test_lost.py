# SPDX-License-Identifier: GPL-2.0
"""Completions that are lost are found, also where nothing else completes.

A device forgets a request, or carries it out and loses the used element. It
answers all others. A command that waits for the lost request ends within LOST
times request_timeout, all data is right, and the module can be unloaded.
"""

import time

import pytest
from device import HoldRequests
from device.spec import FLUSH, IN, OUT, SUSPENDED
from late import (KINDS, LOST, RING, SECONDS, SLACK, SLEEP, STALL, Lose, Tries,
                  count, finite, verified)
from scripted import MODERN
from vbl.qemu import time_scale

rings = pytest.mark.parametrize("ring", RING)
PARAMS = "/sys/module/virtio_lite/parameters"
WRITES = 512
full = pytest.mark.full
# One request of each kind, from the only process that uses the disk.
ALONE = {
    "read": "dd if=/dev/{0} of=/dev/null bs=4k skip=9 count=1 iflag=direct",
    "write": "dd if=/dev/zero of=/dev/{0} bs=4k seek=9 count=1 oflag=direct",
    "flush": "dd if=/dev/zero of=/dev/{0} bs=4k seek=9 count=1 oflag=direct "
             "conv=fsync",
    "discard": "/bin/blkdiscard -f -o 36k -l 4k /dev/{0}",
    "zeroes": "/bin/blkdiscard -f -z -o 36k -l 4k /dev/{0}",
    "serial": "cat /sys/block/{0}/serial",
}


def tries(s, commands, judge=None):
    """Start a command for each device; all have to end in time."""
    all_of = Tries(s.g)
    for name, command in commands.items():
        script = s.scripts[name]
        all_of.add(name, s.g.start(command), lambda script=script:
                   script.began, LOST * SECONDS + SLACK, judge)
    return all_of


# -- no younger request follows ----------------------------------------------

@rings
@pytest.mark.parametrize("done, writes", [
    pytest.param(False, WRITES, id="forgotten"),
    pytest.param(True, WRITES, id="answered", marks=full),
    pytest.param(False, 2048, id="forgotten-2048", marks=full)])
def test_finite_load(several, kernel, ring, done, writes):
    """A read, a write, a flush in the middle of a load is lost; all others have
    completed before the driver first checks the late one."""
    half = {"read": writes // 2, "write": writes // 2, "flush": 4}
    s = several({name: Lose(KINDS[name], first, done=done)
                 for name, first in half.items()},
                MODERN + RING[ring], kernel=kernel)
    s.bind()
    s.arm()
    tries(s, {name: finite(s.disks[name], writes) for name in s.devs},
          verified(writes)).wait()
    # A request with a status is done, and is not sent again.
    if done:
        assert s.scripts["write"].again == 0
    s.end()


# Ways through the driver: features besides MODERN, without which of these,
# options of the device, parameters.
WAYS = {
    "split": ((), (), {}, ""),
    "packed": (RING["packed"], (), {}, ""),
    "direct": ((), ("INDIRECT_DESC",), {}, ""),
    "packed-direct": (RING["packed"], ("INDIRECT_DESC",), {}, ""),
    "legacy": ((), ("VERSION_1",), {"transport": "legacy"}, ""),
    "intx": ((), (), {"vectors": 0}, ""),
    "ring-reset": (("RING_RESET",), (), {}, "trust_queue_reset=1"),
    "packed-ring-reset": (("RING_RESET", *RING["packed"]), (), {},
                          "trust_queue_reset=1"),
}


@pytest.mark.full
@pytest.mark.parametrize("way", [
    "split", "packed", *(pytest.param(way, marks=full) for way in WAYS
                         if way not in RING)])
def test_the_only_one(several, kernel, way):
    """No other request is in flight, and none follows."""
    more, without, options, params = WAYS[way]
    features = MODERN + ("BLK_DISCARD", "BLK_WRITE_ZEROES") + more
    s = several({name: Lose(KINDS[name]) for name in ALONE},
                [f for f in features if f not in without], queues=2,
                kernel=kernel, params=f"request_timeout={SECONDS} {params}",
                **options)
    s.bind()
    s.arm()
    tries(s, {name: command.format(s.disks[name])
              for name, command in ALONE.items()}).wait()
    s.end()


@full
@rings
def test_all_in_flight(several, kernel, ring):
    """All requests that are in flight at one moment are lost. The device would
    answer new ones, but the load waits for the lost ones."""
    s = several({"read": Lose(KINDS["read"], WRITES // 2, 16),
                 "write": Lose(KINDS["write"], WRITES // 2, 16),
                 "any": Lose(None, WRITES // 2, 16)},
                MODERN + RING[ring], kernel=kernel)
    s.bind()
    s.arm()
    # Without flushes, for which fio would wait with fewer in flight.
    tries(s, {name: finite(s.disks[name], WRITES, "--fsync=0")
              for name in s.devs}, verified(WRITES)).wait()
    s.end()


# -- a frozen queue ----------------------------------------------------------

# Each freezes the queue until all requests in flight have completed.
FREEZES = {
    "scheduler": "cd /sys/block/{0}/queue && for n in $(tr -d '[]' <scheduler)"
                 "; do echo $n >scheduler; done",
    "nr_requests": "echo 8 >/sys/block/{0}/queue/nr_requests",
    "cache_type": "echo write through >/sys/block/{0}/cache_type",
    # It does not wait as long as the others, and then says so.
    "ring_size": "echo 128 >/sys/block/{0}/ring_size || "
                 "dmesg | grep '{0}: rings stay as they are'",
}


@rings
@pytest.mark.parametrize("kind", [
    "write", *(pytest.param(k, marks=full) for k in ("read", "flush"))])
def test_frozen(several, kernel, ring, kind):
    """Settings for which a queue is frozen are changed while a request is lost.

    The setting is written once the device has lost the request.
    """
    s = several({name: Lose(KINDS[kind]) for name in FREEZES},
                MODERN + RING[ring] + ("BLK_CONFIG_WCE", "RING_RESET"),
                queue_size=256, kernel=kernel,
                params=f"request_timeout={SECONDS} queue_depth=32")
    s.bind()
    s.arm()
    both = tries(s, {name: (
        f"{ALONE[kind]} & wait_for 60 [ -e /tmp/{{0}} ]; {freeze}; s=$?; "
        "wait $! && exit $s").format(s.disks[name])
        for name, freeze in FREEZES.items()})
    for name, dev in s.devs.items():
        dev.wait(lambda d: d.script.began, 60, "the request to lose")
        s.g.sh(f"touch /tmp/{s.disks[name]}")
    both.wait()
    for name, file, value in (("nr_requests", "queue/nr_requests", "8"),
                              ("cache_type", "cache_type", "write through")):
        assert s.g.sh(f"cat /sys/block/{s.disks[name]}/{file}").strip() == value
    s.end()


# -- everything else waits for the lost one ----------------------------------

# How ext4's journal ends a transaction: its magic number and the type.
COMMIT = bytes.fromhex("c03b399800000002")


@pytest.mark.full
@rings
def test_journal(several, kernel, ring):
    """A commit of a journal is lost, or a flush before one, and all later writes
    of the file system wait for it."""
    s = several({"write": Lose(OUT, 2), "flush": Lose(FLUSH, 4)},
                MODERN + RING[ring], kernel=kernel)
    s.bind()
    for name, disk in s.disks.items():
        s.g.sh(f"mkfs.ext4 -q -b 4096 /dev/{disk} && "
               f"mkdir /mnt/{name} && mount -t ext4 /dev/{disk} /mnt/{name}",
               timeout=60)
    s.scripts["write"].only = lambda req: req.data().startswith(COMMIT)
    s.arm()
    tries(s, {name: f"cd /mnt/{name} && head -c 9000 /dev/urandom >../{name}_ "
              f"&& for n in $(seq 20); do dd if=../{name}_ of=$n conv=fsync "
              "2>/dev/null || exit 1; done" for name in s.devs}).wait()
    for name, disk in s.disks.items():
        s.g.sh(f"umount /mnt/{name} && e2fsck -fn /dev/{disk} && "
               f"mount -t ext4 -o ro /dev/{disk} /mnt/{name} && "
               f"for n in $(seq 20); do cmp /mnt/{name}_ /mnt/{name}/$n || "
               f"exit 1; done; umount /mnt/{name}", timeout=60)
    s.end()


# -- the check of a late request does not come back ---------------------------

# A request is late after a second, and its check is sent then.
SOON = "request_timeout=1 stall_timeouts=2 lost_timeouts=2"


class Forgetful(HoldRequests):
    """Holds what it is told to; loses its state in its sleep, if @loses.

    slept   how often the status said that it sleeps
    """

    loses, slept = False, 0

    def read(self, dev, name, value):
        if name == "status" and value & SUSPENDED and self.loses:
            self.slept += 1
            # At first the driver waits until it sleeps.
            if self.slept > 1:
                self.loses = False
                dev.status_reg.value = value = 0
                dev.reset()
        return value


def lose_check(s, ring, feature, **device):
    """Have a write, and its check, held by the device; (the write's job)."""
    s.be(MODERN + RING[ring] + (feature,), script=Forgetful(hold=False),
         **device)
    s.dev.script.hold = True
    job = s.g.start(ALONE["write"].format(s.name))
    s.dev.wait(lambda d: len(d.held) == 2, 20 * time_scale(), "the check")
    s.dev.script.hold = False
    assert [r.kind for r in s.dev.held] == [OUT, IN]
    return job


@pytest.mark.full
@rings
def test_check_with_short_descriptors(scripted, ring):
    """A block is longer than a descriptor may be: the check of a late request
    is none that the device has to refuse."""
    s = scripted(params=SOON)
    s.be(MODERN + RING[ring] + ("BLK_SIZE_MAX",),
         config={"blk_size": 4096, "size_max": 2048},
         script=HoldRequests(OUT, limit=1, hold=False))
    s.dev.script.hold = True
    job = s.g.start(ALONE["write"].format(s.name))
    s.dev.wait(lambda d: d.held, 20, "a write to hold")
    # A check would be sent at the second time-out of it.
    s.g.sh(f"wait_for 20 grep -qx 1 /sys/block/{s.name}/errors/slow")
    time.sleep(2)
    s.dev.release()
    job.wait(20)
    s.end()


def finds_the_next(s):
    """A write that is lost later is found, with no other to compare it with."""
    with s.dev.lock:
        s.dev.script.kinds, s.dev.script.limit = (OUT,), 1
        s.dev.script.hold = True
    job = s.g.start(ALONE["write"].format(s.name))
    s.dev.wait(lambda d: d.held, 20, "a write to lose")
    job.wait(2 + SLACK)
    s.end()


@pytest.mark.full
@rings
def test_check_of_a_queue_that_was_reset(scripted, ring):
    """A queue is reset while a check is in flight: the next late request gets
    another one."""
    s = scripted(params=f"{SOON} trust_queue_reset=1")
    job = lose_check(s, ring, "RING_RESET")
    s.g.sh(f"echo reset >{PARAMS}/timeout_action")
    job.wait(20)
    assert count(s.g, s.name, "queue_resets") == 1
    s.g.sh(f"echo auto >{PARAMS}/timeout_action")
    finds_the_next(s)


@pytest.mark.full
@rings
def test_check_while_rings_change(scripted, ring):
    """No ring is exchanged while the device may still answer a check."""
    s = scripted(params=SOON + " queue_depth=16")
    job = lose_check(s, ring, "RING_RESET", config={"seg_max": 30})
    s.dev.release(s.dev.held[0])
    job.wait(20)
    for taken in (False, True):
        status, out = s.g.status(f"echo 64 >/sys/block/{s.name}/ring_size",
                                 timeout=30)
        assert taken is not bool(status), out
        assert bool(s.dev.log.find("queue reset")) is taken
        s.dev.release()
    assert count(s.g, s.name, "resets") == 0
    finds_the_next(s)


@pytest.mark.full
@rings
def test_check_of_a_device_that_slept(scripted, ring):
    """A device sleeps while a check is in flight, and loses its state: the next
    late request gets another one."""
    s = scripted(params=SOON, kernel="6.12")
    job = lose_check(s, ring, "SUSPEND")
    s.dev.release(s.dev.held[0])
    job.wait(20)
    s.dev.script.loses = True
    s.g.sh(SLEEP, timeout=90)
    assert not s.dev.script.loses
    finds_the_next(s)


# -- how long that takes, is set ---------------------------------------------

@rings
def test_patience(several, kernel, ring):
    """Both limits are parameters, at once in sysfs; smaller ones find a lost
    request sooner than the usual ones might."""
    seconds = 5
    s = several({"one": Lose(OUT)}, MODERN + RING[ring], kernel=kernel,
                params=f"request_timeout={seconds}")
    read = f"cd {PARAMS}; cat stall_timeouts lost_timeouts"
    assert s.g.sh(read).split() == [str(STALL), str(LOST)]
    s.g.sh(f"cd {PARAMS}; echo 1 >stall_timeouts; echo 2 >lost_timeouts")
    assert s.g.sh(read).split() == ["1", "2"]
    for bad in ("0", "-1", "x"):
        assert s.g.status(f"echo {bad} >{PARAMS}/lost_timeouts")[0]
        assert s.g.status(f"echo {bad} >{PARAMS}/stall_timeouts")[0]
    s.bind()
    s.arm()
    job = s.g.start(ALONE["write"].format(s.disks["one"]))
    job.wait(STALL * seconds + 30)
    took = time.monotonic() - s.scripts["one"].began
    assert took < STALL * seconds, f"found after {took:.1f} s"
    s.end()
