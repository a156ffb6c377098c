# SPDX-License-Identifier: GPL-2.0
"""A host that changes under a running disk: another QEMU, a new backend."""

import subprocess
import time

from vbl import Disk, QemuFailed

from . import powercut

SEED = 7


class Moves:
    """Live migration of a guest g, under load, from one QEMU to the next.

    A subclass has another(incoming), which starts the next QEMU, and
    progresses(), which waits for the load.
    """

    def arrive(self, there):
        """The guest continues in the QEMU @there."""
        there.adopt(self.g)
        there.wait_event("RESUME")
        self.g.kill()
        self.g = there
        self.progresses()

    def leave(self, uri):
        """Migrate the running guest to @uri."""
        self.g.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}])
        self.g.qmp("migrate", uri=uri)
        self.g.wait_event("MIGRATION", timeout=120, status="completed")

    def go(self, n):
        """Migrate @n times while the guest writes."""
        for i in range(n):
            uri = f"unix:{self.folder}/m{i}"
            there = self.another(uri)
            self.leave(uri)
            self.arrive(there)

    def save_and_restore(self):
        """Save the guest to a file, and continue in a QEMU that reads it."""
        state = self.folder / "state"
        self.leave(f"exec:cat >{state}")
        self.g.kill()
        self.arrive(self.another(f"exec:cat {state}"))
        state.unlink()


class Moving(Moves):
    """A guest with one disk, whose blocks the host checks at the end."""

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
        self.progresses()

    def another(self, incoming=None):
        """Start a QEMU with the same disk."""
        self.n += 1
        return self.boot(
            kernel=self.kernel, disks=[Disk(self.image, format="raw",
                                            **self.options)],
            tools=False, files=self.files, incoming=incoming, devices=[
                f"-chardev file,id=acks,path={self.acks}",
                "-device isa-serial,chardev=acks,index=2"])

    @property
    def acks(self):
        """Where the load writes its acknowledgements in the newest QEMU."""
        return self.folder / f"acks{self.n}"

    def progresses(self, lines=20):
        """Wait until the load has acknowledged @lines more blocks."""
        want = powercut.said(self.acks) + lines
        powercut.wait_acks(self.g, [self.load],
                           lambda: powercut.said(self.acks) >= want)

    def end(self):
        """Stop the load; every acknowledged block is on the disk."""
        assert not self.load.done, self.load.output
        # The last complete line.
        acked = int(self.acks.read_text().split("\n")[-2])
        self.load.kill("TERM")
        self.load.wait(check=False)
        assert acked > 0
        assert not powercut.lost(self.image.read_bytes(), SEED, acked)


class Backend:
    """A disk served by qemu-storage-daemon, which can be killed."""

    def __init__(self, folder, image):
        self.path, self.image, self.popen = folder / "vu", image, None

    def start(self):
        """Start the daemon; returns when it listens."""
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
        """Kill the daemon, as a crash would."""
        if self.popen:
            self.popen.kill()
            self.popen.wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()


def boot_beside(boot, kernel, backend):
    """A guest whose QEMU reconnects to the backend within a second."""
    # QEMU 9.2 renamed the option, and changed its unit.
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
