# SPDX-License-Identifier: GPL-2.0
"""The host under a running disk changes: another QEMU, a file, a new backend.

The load writes blocks, reads older ones back, and says which of them are safe;
it never learns that anything happened.
"""

import os
import subprocess
import time

import powercut
import pytest
from load import Busy
from vbl import Disk, QemuFailed

SEED = 7
RINGS = {"split": {"transport": "modern"},
         "packed": {"transport": "modern", "packed": True},
         "legacy": {"transport": "legacy"},
         "intx": {"transport": "modern", "vectors": 0}}
# Of one test, so that every other one can be left to --full.
SOME = [pytest.param(RINGS[r], id=r, marks=[] if r in ("split", "legacy")
                     else [pytest.mark.full]) for r in RINGS]


class Moving:
    """A guest that goes from one QEMU to the next, with its load."""

    def __init__(self, boot, kernel, folder, options):
        self.boot, self.kernel, self.folder = boot, kernel, folder
        self.options, self.n = options, 0
        self.image = folder / "disk"
        with open(self.image, "wb") as f:
            f.truncate(powercut.BLOCKS * powercut.BLOCK)
        self.files = {"bin/ack": powercut.writer(folder)}
        self.g = self.another()
        dev = self.g.dev()
        self.load = self.g.start(f"exec /bin/ack /dev/{dev} {powercut.PORT} "
                                 f"{SEED} 4")
        self.goes_on()

    def another(self, incoming=None):
        """A QEMU for the same disk."""
        self.n += 1
        return self.boot(
            kernel=self.kernel, disks=[Disk(self.image, format="raw",
                                            **self.options)],
            tools=False, files=self.files, incoming=incoming, devices=[
                f"-chardev file,id=acks,path={self.acks}",
                "-device isa-serial,chardev=acks,index=2"])

    @property
    def acks(self):
        """What the load says while it is in the newest QEMU."""
        return self.folder / f"acks{self.n}"

    def goes_on(self, lines=20):
        """The load says some more."""
        powercut.wait_acks(self.g, self.load, self.acks,
                           self.acks.read_text().count("\n") + lines)

    def arrive(self, there):
        """From now on the guest is there."""
        there.adopt(self.g)
        there.wait_event("RESUME")
        self.g = there
        self.goes_on()

    def leave(self, uri):
        """Send the guest to @uri, as it runs."""
        self.g.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}])
        self.g.qmp("migrate", uri=uri)
        self.g.wait_event("MIGRATION", timeout=120, status="completed")

    def end(self):
        """Stop the load; every block that was safe is on the disk."""
        assert not self.load.done, self.load.output
        acked = powercut.acknowledged(self.acks)
        self.load.kill("TERM")
        self.load.wait(check=False)
        self.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")
        assert acked > 0
        assert not powercut.lost(self.image.read_bytes(), SEED, acked)


@pytest.mark.parametrize("options", SOME)
def test_live_migration(boot, kernel, tmp_path, options):
    """From QEMU to QEMU to QEMU while it writes."""
    m = Moving(boot, kernel, tmp_path, options)
    for n in range(3):
        uri = f"unix:{tmp_path}/m{n}"
        there = m.another(uri)
        m.leave(uri)
        m.arrive(there)
    m.end()


@pytest.mark.parametrize("options", SOME)
def test_save_and_restore(boot, kernel, tmp_path, options):
    """Into a file, and out of it again in another process."""
    m = Moving(boot, kernel, tmp_path, options)
    for n in range(2):
        state = tmp_path / f"state{n}"
        m.leave(f"exec:cat >{state}")
        m.g.kill()
        there = m.another(f"exec:cat {state}")
        m.arrive(there)
        state.unlink()
    m.end()


class Backend:
    """A disk served by qemu-storage-daemon, which can be killed."""

    def __init__(self, folder, image):
        self.path, self.image, self.popen = folder / "vu", image, None

    def start(self):
        """Serve; returns when it listens."""
        if self.path.exists():
            self.path.unlink()
        self.popen = subprocess.Popen([
            "qemu-storage-daemon",
            "--blockdev", f"file,node-name=f,filename={self.image}",
            "--blockdev", "raw,node-name=d0,file=f",
            "--export", "vhost-user-blk,id=e,node-name=d0,addr.type=unix,"
            f"addr.path={self.path},writable=on,num-queues=2"])
        until = time.monotonic() + 20
        while not self.path.is_socket():
            assert self.popen.poll() is None and time.monotonic() < until, \
                "qemu-storage-daemon opened no socket"
            time.sleep(0.01)

    def kill(self):
        """As a crash would."""
        if self.popen:
            self.popen.kill()
            self.popen.wait()


@pytest.fixture
def backend(tmp_path, image):
    if not any(os.access(f"{p}/qemu-storage-daemon", os.X_OK)
               for p in os.environ["PATH"].split(":")):
        pytest.skip("no qemu-storage-daemon on this host")
    one = Backend(tmp_path, image("64M"))
    one.start()
    yield one
    one.kill()


def boot_beside(boot, kernel, backend):
    """A guest that asks for the backend again twice a second."""
    # The name of the option changed with its unit, in QEMU 9.2.
    for again in ("reconnect-ms=500", "reconnect=1"):
        try:
            return boot(
                kernel=kernel, share_mem=True, disks=[], devices=[
                    f"-chardev socket,id=vu,path={backend.path},{again}",
                    "-device vhost-user-blk-pci,chardev=vu,num-queues=2,"
                    "addr=0x8"], params="request_timeout=2")
        except QemuFailed as e:
            if "Invalid parameter 'reconnect-ms'" not in str(e):
                raise
    return None


def test_backend_comes_back(boot, kernel, backend):
    """The process behind the disk is killed under load, and comes back."""
    g = boot_beside(boot, kernel, backend)
    dev = g.sh("disk_of 0000:00:08.0").strip()
    with Busy(g, dev, "--iodepth=32") as busy:
        for _ in range(3):
            backend.kill()
            backend.start()
            busy.goes_on()
    g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]")
