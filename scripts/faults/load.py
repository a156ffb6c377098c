# SPDX-License-Identifier: GPL-2.0
"""Load for a guest's disk: fio jobs that check every byte they wrote."""

import json

from vbl import CommandFailed

MIX = "--bssplit=512/20:4k/40:16k/20:128k/15:1M/5"
# fio writes pages one by one in random order, through the page cache, which
# makes requests of many segments of them.
SCATTER = "--direct=0 --ioengine=psync --end_fsync=1 --invalidate=1"


def command(dev, options="", sizes=MIX):
    """A fio command line; later options win."""
    return (f"fio --name=load --filename=/dev/{dev} --ioengine=libaio "
            f"--direct=1 --allow_file_create=0 --rw=randwrite {sizes} "
            "--iodepth=16 --size=32M "
            "--verify=crc32c --verify_fatal=1 --end_fsync=1 --thread "
            f"--group_reporting --output-format=json {options}")


def result(out):
    """The result of a fio job, from its JSON output."""
    return json.loads(out[out.index("\n{") if "\n{" in out
                          else out.index("{"):])["jobs"][0]


def verify(g, dev, options="", sizes=MIX, timeout=300):
    """Write and read back; fails unless all of the data is right."""
    job = result(g.sh(command(dev, options, sizes), timeout=timeout))
    assert job["error"] == 0
    assert 0 < job["write"]["io_bytes"] <= job["read"]["io_bytes"], \
        "not everything that was written was read back"
    return job


def end_of_load(g):
    """The disk still works, and the module can be unloaded."""
    verify(g, g.dev(), "--size=4M")
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")


def written(g, dev):
    """How many writes a disk has completed."""
    return int(g.sh(f"cat /sys/block/{dev}/stat").split()[4])


def host_caches(g, n=0):
    """Whether QEMU has a disk in write-back mode now."""
    return next(d["inserted"]["cache"]["writeback"]
                for d in g.qmp("query-block")
                if f"/{g.disks[n].id}/" in d.get("qdev", "") + "/")


class Busy:
    """A fio job that writes and verifies in the background until stop().

    with Busy(g, dev) as busy:
        ...
        busy.progresses()

    On exit the data must be right. Without "with", ends() waits for a load
    whose disk is removed.

    With libaio, fio waits for ever once a signal or the freezer, before the
    system sleeps, has interrupted it when it had a part of the completions that
    it waits for: fio 3.33 then waits for all of them again.
    """

    def __init__(self, g, dev, options=""):
        self.g, self.dev = g, dev
        self.job = g.start("exec " + command(
            dev, "--ioengine=io_uring --time_based --runtime=3600 "
            f"--verify_backlog=64 --size=16M {options}", "--bssplit=4k/50:64k/50"))
        # Writes of others do not show that fio handles SIGINT already.
        self.job.listens()
        self.progresses(20)

    def progresses(self, more=20, timeout=60):
        """Wait until the disk has completed @more writes from now on."""
        goal = written(self.g, self.dev) + more
        self.g.sh(f"wait_for {timeout} sh -c '[ $(awk \"{{ print \\$5 }}\" "
                  f"/sys/block/{self.dev}/stat) -ge {goal} ]'",
                  timeout=timeout + 30)
        assert not self.job.done, f"the load ended:\n{self.job.output}"

    def stop(self):
        """Stop the load; raises unless all of the data was right."""
        self.job.kill("INT")
        out = self.job.wait(90, check=False)
        # After SIGINT fio ends with 128; its result says whether it failed.
        if self.job.status not in (0, 128) or result(out)["error"]:
            raise CommandFailed(self.job.command, self.job.status, out)

    def ends(self, timeout=60):
        """Wait for a load whose disk fails; its output."""
        out = self.job.wait(timeout, check=False)
        assert self.job.status, "the load got no error, and its disk is gone"
        return out

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()


def dd(g, dev, place, write=False):
    """Read or write 4 KiB at a place; the status and what dd says."""
    ways = f"if=/dev/zero of=/dev/{dev} seek={place} oflag=direct" if write \
        else f"if=/dev/{dev} of=/dev/null skip={place} iflag=direct"
    return g.status(f"dd bs=4k count=1 {ways}", timeout=60)
