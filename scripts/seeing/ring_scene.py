# SPDX-License-Identifier: GPL-2.0
"""A guest whose requests QEMU holds, and looks at the rings meanwhile."""

import dataclasses
import time

from vbl import Disk, Guest, SetupError, VblError

from . import ring_memory as rm

KINDS = ("write", "read", "mixed")
WAIT = 20           # seconds for QEMU to take or to finish a request


class RingError(VblError):
    """The ring cannot be shown."""


@dataclasses.dataclass
class Look:
    """The queues of a disk at one moment."""

    title: str
    queues: list        # dicts, see Scene.look()


def disk(options, hold=0):
    """A disk of which @hold requests can be held; @options as for Disk."""
    if options.get("iommu_platform"):
        raise SetupError("iommu_platform: what a descriptor says is then the "
                         "IOMMU's address, not one in memory")
    taken = {"backend", "blkdebug", "throttle", "kind", "hotplug"} & \
        set(options)
    if taken:
        raise SetupError(f"{', '.join(sorted(taken))}: the ring's disk has a "
                         "backend of its own")
    # Without INDIRECT_DESC a request takes up to five of a ring's slots.
    size = 16
    while size < 5 * hold:
        size *= 2
    chosen = {"num_queues": 1, "queue_size": size, **options}
    nodes = [{"driver": "null-co", "size": 64 << 20, "read-zeroes": True,
              "node-name": "held-null"},
             {"driver": "blkdebug", "image": "held-null",
              "node-name": "held-debug"},
             {"driver": "raw", "file": "held-debug"}]
    return Disk(backend=nodes, **chosen)


class Scene:
    """A guest with one disk, and requests that QEMU holds.

    hold        how many requests will be held
    options     of the disk, as for Disk
    guest       more options of the guest
    """

    def __init__(self, kernel=None, driver="lite", hold=2, options=None,
                 what="write", **guest):
        if not 1 <= hold <= 64:
            raise SetupError(f"HOLD={hold}: from 1 to 64")
        if what not in KINDS:
            raise SetupError(f"WHAT={what}: one of {', '.join(KINDS)}")
        self.what, self.driver, self.count = what, driver, hold
        self.disk = disk(options or {}, hold)
        guest.setdefault("tools", False)
        self.guest = Guest(kernel, disks=[self.disk], driver=driver, **guest)
        self.held = []              # (tag, kind, job), the oldest first
        self.trackers, self.memory = {}, {}
        self.looks = []

    def __enter__(self):
        self.guest.__enter__()
        try:
            g = self.guest
            self.dev = g.dev(self.disk)
            self.path = f"/machine/peripheral/{self.disk.id}/virtio-backend"
            bits = g.sh(f"cat /sys/bus/pci/devices/{g.bdf(self.disk)}"
                        "/virtio*/features").strip()
            self.features = {n for n, bit in enumerate(bits) if bit == "1"}
            g.sh(f"echo none >/sys/block/{self.dev}/queue/scheduler")
            self.nqueues = int(g.sh(f"ls /sys/block/{self.dev}/mq | wc -l"))
        except BaseException:
            self.guest.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *why):
        self.guest.__exit__(*why)

    # -- looking -------------------------------------------------------------

    def state(self, queue):
        """What QEMU says of a queue."""
        return self.guest.qmp("x-query-virtio-queue-status", path=self.path,
                              queue=queue)

    def read(self, where, size):
        """Bytes of the guest's memory."""
        path = self.guest.folder / "pmemsave"
        self.guest.qmp("pmemsave", val=where, size=size, filename=str(path))
        return path.read_bytes()

    def _place(self, state):
        has = self.features.__contains__
        return rm.Place(state["vring-num"], state["vring-desc"],
                        state["vring-avail"], state["vring-used"],
                        has(rm.RING_PACKED), has(rm.IN_ORDER),
                        has(rm.EVENT_IDX))

    def _areas(self, queue):
        """(state, place, areas) that belong together: nothing moved between
        the two times that QEMU was asked."""
        until = time.monotonic() + WAIT
        while True:
            state = self.state(queue)
            place = self._place(state)
            areas = rm.read_areas(self.read, place)
            if self.state(queue) == state and (
                    place.packed or
                    areas["avail"]["idx"] == state["last-avail-idx"]):
                return state, place, areas
            if time.monotonic() > until:
                raise RingError(f"queue {queue}: the ring does not come to "
                                "rest, or the device leaves buffers in it")

    def _track(self, queue, state, place, areas):
        """The tracker of a queue, after this look."""
        last = state["last-avail-idx"]
        try:
            if state["inuse"] == 0 and state["used-idx"] == last:
                self.trackers[queue] = rm.tracker(areas, place, last)
            elif queue not in self.trackers:
                raise rm.Forgotten("requests are in flight at the first look")
            else:
                self.trackers[queue].update(areas, last)
        except rm.Forgotten as e:
            raise RingError(f"queue {queue}: {e}") from None
        return self.trackers[queue]

    def _buffers(self, queue, place, areas, tracker):
        """Those that the device owns, and those that it has given back. In a packed ring a used descriptor may
        have replaced one of theirs: then it is shown as it was."""
        old, new = self.memory.get(queue, {}), {}
        for head in tracker.owned:
            slot = tracker.slot(head)
            now = areas["desc"][slot]
            whole = not (place.packed and
                         (now["avail"] == now["used"] or
                          rm.chain(areas, place, slot)[-1]["id"] != head))
            if whole:
                one = rm.read_buffer(self.read, areas, place, slot, head)
            else:
                one = self._again(old[head], replaced=True)
            new[head] = one
        self.memory[queue] = new
        # Their memory is the driver's again, which may have reused it.
        back = [self._again(one) for head, one in old.items()
                if head not in new]
        return list(new.values()), back

    def _again(self, buffer, **more):
        """A buffer that the ring does not name any more, from memory."""
        one = dict(buffer, **more)
        one["header"] = rm.read_header(self.read, one["table"])
        if "status_at" in one:
            one["status"] = self.read(one["status_at"], 1)[0]
        return one

    def look(self, title):
        """Look at all queues; kept, and returned."""
        queues = []
        for queue in range(self.nqueues):
            state, place, areas = self._areas(queue)
            tracker = self._track(queue, state, place, areas)
            buffers, back = self._buffers(queue, place, areas, tracker)
            owned = {s for b in buffers for s in b["slots"]}
            queues.append({
                "queue": queue, "num": place.num, "packed": place.packed,
                "in_order": place.in_order, "event_idx": place.event_idx,
                "at": {"desc": place.desc, "driver": place.driver,
                       "device": place.device},
                "qemu": {k: state[k] for k in
                         ("last-avail-idx", "used-idx", "signalled-used",
                          "inuse")},
                **areas, "buffers": buffers, "back": back, "owned": sorted(owned),
                # QEMU counts buffers of a split ring, slots of a packed one.
                "inuse": len(owned) if place.packed else len(buffers)})
        self.looks.append(Look(title, queues))
        return self.looks[-1]

    # -- holding -------------------------------------------------------------

    def _io(self, command):
        # Not by the name of the node: QEMU would wait until it is idle.
        said = self.guest.hmp(f'qemu-io -d {self.path} "{command}"')
        if said.strip():
            raise RingError(f"qemu-io {command}: {said.strip()}")

    def _count(self):
        """(requests that the device has, requests that it finished)."""
        done = 0
        for b in self.guest.qmp("query-blockstats"):
            if f"/{self.disk.id}/" in b.get("qdev", ""):
                done = b["stats"]["wr_operations"] + \
                    b["stats"]["rd_operations"]
        return done

    def _until(self, ready, what):
        until = time.monotonic() + WAIT * self.guest.scale
        while not ready():
            if time.monotonic() > until:
                raise RingError(f"{what}: not within {WAIT} s")
            time.sleep(0.01)

    def hold(self):
        """Start one more request that QEMU holds; (kind, first sector)."""
        n = len(self.held)
        kind = self.what if self.what != "mixed" else KINDS[n % 2]
        pages, at = 1 + n % 3, 8 * (n + 1)
        tag = f"held{n}"
        self._io(f"break {kind}_aio {tag}")
        way = f"if=/dev/zero of=/dev/{self.dev} seek={at} oflag=direct" \
            if kind == "write" else \
            f"if=/dev/{self.dev} of=/dev/null skip={at} iflag=direct"
        inflight = self._inflight()
        job = self.guest.start(f"dd {way} bs={4096 * pages} count=1 2>&1")
        self.held.append((tag, kind, job))
        self._until(lambda: self._inflight() > inflight or job.done,
                    f"request {n + 1} does not reach the device")
        if job.done:
            raise RingError(f"request {n + 1} was not held: {job.output}")
        return kind, at * pages * 8

    def _inflight(self):
        return sum(self.state(q)["inuse"] for q in range(self.nqueues))

    def release(self, which):
        """Let QEMU finish one of the held requests; whether the driver has it
        back (with IN_ORDER it may have to wait for older ones)."""
        tag, _, job = self.held.pop(which)
        done, inflight = self._count(), self._inflight()
        self._io(f"resume {tag}")
        self._until(lambda: self._count() > done,
                    "QEMU does not finish the request")
        if self._inflight() == inflight:
            return False, job
        job.wait()
        return True, job

    def play(self):
        """Look before, while requests are held, one more each time, after the
        youngest came back, and after all of them did."""
        self.look("before: nothing is in flight")
        for n in range(self.count):
            kind, sector = self.hold()
            self.look(f"the device holds {n + 1}: a {kind} at sector {sector} "
                      "was made available")
        waiting = []
        if self.count > 1:
            back, job = self.release(-1)
            self.look("the youngest is done, out of order" if back else
                      "the youngest is done, and waits for its turn (IN_ORDER)")
            waiting = [] if back else [job]
        while self.held:
            back, job = self.release(0)
            waiting += [] if back else [job]
        for job in waiting:
            job.wait()
        self.look("after: all came back")
        return self.looks
