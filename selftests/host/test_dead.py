# SPDX-License-Identifier: GPL-2.0
"""A disk that is dead: whoever asks it something gets an answer.

On every kernel, also those whose block layer waits where others refuse.
"""

import pytest
from late import SLACK
from scripted import MODERN

# Of what a dead device is not asked; the rest of a disk waits for nothing.
SECONDS = 5 + SLACK
FILES = ("$(find /sys/block/$D/ -type f -perm -400; "
         "find $V/ -maxdepth 1 -type f -perm -400)")
# Switches, with what each is set to.
WRITES = {"cache_type": "write through", "ring_size": "256",
          "queue/scheduler": "mq-deadline", "queue/nr_requests": "16",
          "queue/io_timeout": "9000"}


def kill(s):
    """The device asks for a reset, and no reset is allowed."""
    with s.dev.lock:
        s.dev.needs_reset()
    s.sh("wait_for 30 sh -c \"dmesg | grep -q '$D: the disk is dead'\"")


def still_running(s, jobs):
    """The commands that have no end within a time, all run at once.

    jobs    {name: shell command}
    """
    lines = "\n".join(f"( {command}; echo '{name}' >>/tmp/ended ) &"
                      for name, command in jobs.items())
    s.sh(f": >/tmp/ended\n{{\n{lines}\n}} >/dev/null 2>&1 </dev/null")
    s.g.status(f"wait_for {SECONDS:.0f} sh -c "
               f"'[ $(wc -l </tmp/ended) = {len(jobs)} ]'", timeout=90)
    return set(jobs) - set(s.sh("cat /tmp/ended").splitlines())


@pytest.mark.parametrize("features, options", [
    (("BLK_LIFETIME", "BLK_CONFIG_WCE", "RING_RESET"), {}),
    *(pytest.param(*row, marks=pytest.mark.full) for row in (
        (("BLK_LIFETIME", "BLK_CONFIG_WCE", "RING_RESET", "RING_PACKED"),
         {"queues": 2}),
        (("BLK_LIFETIME", "IN_ORDER"), {}),
        (("BLK_LIFETIME", "BLK_ZONED"), {"zones": {}})))],
    ids=["split", "packed", "ordered", "zoned"])
def test_dead_disk_answers(scripted, kernel, features, options):
    """Each file of it can be read, each switch refuses or obeys."""
    if "BLK_ZONED" in features and kernel.series == "6.1":
        pytest.skip("no zoned disks on 6.1")
    s = scripted(kernel=kernel, params="reset_attempts=0", smp=2)
    assert s.be(MODERN + features, **options), "no disk"
    virtio = s.sh(f"virtio_of {s.dev.bdf}").strip()
    assert s.sh("cat /sys/block/$D/serial") == "scripted"
    kill(s)

    files = s.sh(f"V={virtio}; ls {FILES}").split()
    assert {f"/sys/block/{s.name}/{name}" for name in
            ("serial", "lifetime/type_a", "errors/resets")} <= set(files)
    jobs = {name: f"cat {name}" for name in files}
    jobs |= {f"write {name}": f"echo {value} >/sys/block/{s.name}/{name}"
             for name, value in WRITES.items()}
    jobs["zones"] = f"/bin/blkzone report /dev/{s.name}"
    jobs["geometry"] = f"busybox fdisk -l /dev/{s.name}"
    assert not still_running(s, jobs)
    s.end()
    s.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=60)
