# SPDX-License-Identifier: GPL-2.0
"""make soak HOURS=...: the actions, how a round is drawn, and how it is run.

A round is drawn from its own seed and nothing else, so that the seed repeats
it: the guest and the disk, the loads, the actions and their times, what runs in
the background, and how the round ends. ACTIONS lists every action and what a
round must have for it.
"""

import dataclasses
import random
import shutil
import time
import typing

from device import scene
from faults import inflight
from faults.load import host_caches
from fuzz.campaign import Campaign
from vbl import VblError

from . import own_guest
from .storm import Storm
from .used import MEGA, Used

# The longest pause between two actions.
SECONDS = 1.5
# A stall that resets nothing: less than stall_timeouts times request_timeout,
# which is a second, on a machine with other things to do.
STALL = 2.5
STORM_SECONDS = 30
# Queues are frozen for these.
FREEZES = ("n=$(cat queue/nr_requests) && echo 4 >queue/nr_requests && "
           "echo $n >queue/nr_requests",
           "for s in $(tr -d '[]' <queue/scheduler); do "
           "echo $s >queue/scheduler || exit 1; done")
HARMLESS = (inflight.length_huge, inflight.length_zero)
SPOILERS = (inflight.never_written, inflight.twice, inflight.out_of_range,
            inflight.too_far, inflight.too_far_back, *HARMLESS)
BREACHES = (inflight.used_out_of_range, inflight.used_not_in_flight,
            inflight.used_without_status, inflight.used_jump)
RINGS = (128, 256, 512, 1024)


class LeftOut(Exception):
    """This host or kernel cannot do it; says why."""


# -- the loads continue ------------------------------------------------------

def block(s):
    """The disk's folder in sysfs."""
    return f"/sys/block/{s.g.dev()}"


def scheduler(s, rng):
    """Switch to another scheduler, or the same."""
    file = f"{block(s)}/queue/scheduler"
    name = rng.choice(sorted(s.g.sh(f"tr -d '[]' <{file}").split()))
    s.g.sh(f"echo {name} >{file} && grep -qF '[{name}]' {file}")


def nr_requests(s, rng):
    """Change nr_requests, up to the number of tags."""
    most = int(s.g.sh(f"cat {block(s)}/mq/0/nr_tags"))
    s.g.sh(f"echo {rng.randint(min(4, most), most)} "
           f">{block(s)}/queue/nr_requests")


def cache_type(s, rng):
    """Switch the cache mode; QEMU must follow."""
    word = rng.choice(("write through", "write back"))
    s.g.sh(f"echo {word} >{block(s)}/cache_type")
    assert host_caches(s.g) == (word == "write back"), word


def cpu(s, rng):
    """Take a CPU offline, and online again."""
    file = f"/sys/devices/system/cpu/cpu{rng.randrange(1, s.g.smp)}/online"
    s.g.sh(f"echo 0 >{file}", timeout=60)
    s.progresses()
    s.g.sh(f"echo 1 >{file}", timeout=60)


def ring_size(s, rng):
    """Change ring_size, where the device can reset one queue."""
    if not scene.qemu_has("queue_reset"):
        raise LeftOut("this QEMU has no queue_reset")
    most = s.plan["disk"]["queue_size"]
    size = rng.choice([n for n in RINGS if n <= most])
    file = f"{block(s)}/ring_size"
    s.g.sh(f"echo {size} >{file} && grep -qx {size} {file}", timeout=60)


def disk_size(s, rng):
    """Resize the disk, behind the areas that are in use."""
    size = rng.randrange(40, 129) * MEGA
    s.g.qmp("block_resize", node_name=s.g.disks[0].node, size=size)
    s.g.sh(f"wait_for 20 grep -qx {size // 512} {block(s)}/size")


def helped_by_reset(s, cause):
    """@cause() makes the driver reset the device."""
    before = inflight.errors(s.g, "resets")
    s.causes("resets")
    cause()
    inflight.wait_errors(s.g, "resets", before + 1)


def function_reset(s, rng):
    """Reset the function, by FLR or by its power state."""
    node = f"/sys/bus/pci/devices/{s.g.bdf(0)}"
    helped_by_reset(s, lambda: s.g.sh(
        f"echo {rng.choice(('flr', 'pm'))} >{node}/reset_method; "
        f"echo 1 >{node}/reset", timeout=60))


def bus_error(s, rng):
    """Inject a fatal PCIe error: the kernel resets the slot."""
    helped_by_reset(s, lambda: inflight.bus_error(s.g))


def master_off(s, rng):
    """Switch bus mastering off."""
    helped_by_reset(s, lambda: s.g.sh(
        f"setpci -s {s.g.bdf(0)} COMMAND=0:4"))


def needs_reset(s, rng):
    """Write an invalid head into a ring: the device asks for a reset."""
    ring = s.ring()

    def offend():
        # Otherwise the guest could write the same ring slot. What resizes the
        # rings beside this may have exchanged them, or be at it.
        s.g.qmp("stop")
        while not ring.find():
            s.g.qmp("cont")
            s.g.qmp("stop")
        ring.offend()
        s.g.qmp("cont")
    helped_by_reset(s, offend)


def interrupt_lost(s, rng):
    """Lose an interrupt of one queue, or of all with INTx."""
    g, dev, bdf = s.g, s.g.dev(), s.g.bdf(0)
    before = inflight.errors(g, "lost_interrupts")
    s.causes("lost_interrupts")
    if "vectors" in s.plan["disk"]:
        g.sh(f"setpci -s {bdf} COMMAND=400:400")
    else:
        ring = s.ring(rng.randrange(int(g.sh(f"ls {block(s)}/mq | wc -l"))))
        ring.mask(True)
    g.sh(f"for c in $(seq 0 {g.smp - 1}); do taskset -c $c dd if=/dev/{dev} "
         "of=/dev/null bs=4k count=1 iflag=direct; done", timeout=120)
    inflight.wait_errors(g, "lost_interrupts", before + 1)
    if "vectors" in s.plan["disk"]:
        g.sh(f"setpci -s {bdf} COMMAND=0:400")
    else:
        ring.mask(False)


def repaired(s, held, what=None):
    """The held write completes, its data is there, and @what was counted."""
    held.wait(90)
    inflight.held_is_there(s.g)
    if what:
        inflight.wait_errors(s.g, what)


def lose(s):
    """Start a write that QEMU holds for ever: for the guest it is lost."""
    s.causes("resets", "queue_resets", "lost_completions")
    return inflight.hold(s.g)


def completion_lost(s, rng):
    """A request never completes, and younger ones do."""
    with s.still():
        held = lose(s)
    # Other writes wait behind the held one.
    reads = s.g.start(f"while dd if=/dev/{s.g.dev()} of=/dev/null bs=4k "
                      "count=4 iflag=direct 2>/dev/null; do usleep 50000; "
                      "done")
    repaired(s, held, "lost_completions")
    reads.kill()


def completion_lost_alone(s, rng):
    """A request never completes, and no other one is sent."""
    with s.still():
        repaired(s, lose(s), "resets")


def completion_lost_frozen(s, rng):
    """A request never completes, and the queue is frozen until it does."""
    freeze = rng.choice(FREEZES)
    with s.still():
        held = lose(s)
        job = s.g.start(f"cd {block(s)} && {freeze}")
        s.g.sh("wait_for 20 grep -q '^State:.D' "
               f"/proc/$(cat /run/vbl/{job.ident}.pid)/status")
    repaired(s, held, "resets")
    job.wait(60)


def storage_stalls(s, rng):
    """The host holds a write for a few time-outs, which resets nothing."""
    seconds = rng.uniform(1.5, STALL)
    with s.still():
        held = inflight.hold(s.g, bps=int(4096 / seconds))
    repaired(s, held)


def completion_spoiled(s, rng):
    """A write is done, and one number of its completion is wrong."""
    how = rng.choice(SPOILERS)
    s.causes("resets", "queue_resets", "protocol")
    with s.still():
        held = inflight.spoil(s.g, s.ring(), how)
        repaired(s, held, None if how in HARMLESS else "protocol")


def breach(s, rng):
    """The used ring gets a head whose request is not done, or is not there."""
    packed = "packed" in s.plan["disk"]
    how = rng.choice(BREACHES[:-1] if packed else BREACHES)
    s.causes("resets", "queue_resets", "protocol")
    with s.still():
        held, ring = inflight.hold(s.g), s.ring()
        how(ring, ring.newest())
        ring.interrupt()
        repaired(s, held, "protocol")


def sleep(s, rng):
    """Suspend to RAM (S3): the device loses its state."""
    if s.g.kernel.debug == "race":
        raise LeftOut("the kernel with KCSAN does not come back from S3")
    job = s.g.start("echo mem >/sys/power/state")
    s.g.wait_event("SUSPEND")
    s.g.qmp("system_wakeup")
    s.g.wait_event("WAKEUP")
    job.wait(60)


def hibernation(s, rng):
    """All of hibernation that concerns a device: freeze and thaw."""
    file = "/sys/module/suspend/parameters/pm_test_delay"
    if s.g.status(f"grep -qw disk /sys/power/state && [ -w {file} ]")[0]:
        raise LeftOut("this kernel cannot try to hibernate")
    s.g.sh(f"echo 0 >{file}; cd /sys/power; echo devices >pm_test && "
           "echo disk >state; r=$?; echo none >pm_test; exit $r", timeout=60)


def migration(s, rng):
    """Migrate the guest to another QEMU."""
    s.go(1)


def saved(s, rng):
    """Save the guest to a file, and restore it in another QEMU."""
    s.save_and_restore()


# -- the loads end with their disk, and are started again --------------------

def unbind(s, rng):
    """Unbind the disk from the driver, and bind it again."""
    bdf = s.g.bdf(0)
    driver = s.g.sh(f"readlink -f /sys/bus/pci/devices/{bdf}/driver").strip()
    s.g.sh(f"echo {bdf} >{driver}/unbind", timeout=60)
    s.told()
    s.g.sh(f"echo {bdf} >{driver}/bind", timeout=60)
    s.start()


def unplug(s, rng):
    """Unplug the disk, and plug it in again."""
    disk = s.g.disks[0]
    s.g.unplug(disk, timeout=60)
    s.told()
    s.g.plug(disk)
    # Where upstream's driver is built in, it binds the disk first.
    s.g.sh(f"take_over {s.g.bdf(disk)}")
    s.start()


def unload(s, rng):
    """Unload the module, which must be unused, and load it again."""
    s.stop()
    s.g.sh("vbl_unload && [ ! -e /sys/bus/virtio-lite ]", timeout=60)
    s.g.sh(f"vbl_load {s.g.params} && vbl_take_all", timeout=60)
    s.start()


# -- what they need of what was drawn ----------------------------------------

def always(p):
    """Nothing."""
    return True


def has(*path, value=None):
    """Something that may be drawn, with this value or any that is true."""
    def needs(p):
        for name in path:
            p = p.get(name)
        return p == value if value is not None else bool(p)
    return needs


def every(*all_of):
    """All of these."""
    return lambda p: all(needs(p) for needs in all_of)


def no(needs):
    """Not this one."""
    return lambda p: not needs(p)


modern = no(has("disk", "transport", value="legacy"))
stays = no(has("moves"))
express = every(modern, has("disk", "root_port"))
# Where rings can be read and written from outside.
seen = every(modern, stays, no(has("disk", "iommu_platform")))
split = no(has("disk", "packed"))
own_vectors = every(seen, no(lambda p: "vectors" in p["disk"]))
# Not where nothing comes back before what came before it.
any_order = every(stays, no(has("disk", "in_order")))
# The request that is held is the only one, and the next one is known.
alone = every(own_vectors, has("disk", "num_queues", value=1),
              no(has("disk", "in_order")))


def many_cpus(p):
    """More than one."""
    return p["guest"]["smp"] > 1



@dataclasses.dataclass
class Action:
    """An action of a round.

    do      do(a Used, random numbers); raises when it goes wrong
    needs   of a plan, whether it has what that takes
    beside  a command of Used.beside that does it again and again
    """

    do: typing.Callable
    needs: typing.Callable = always
    beside: str = ""


ACTIONS = {
    # The loads continue, and see no error.
    "scheduler": Action(
        scheduler, beside="cd DISK/queue && while [ -e scheduler ]; do for s "
        "in $(tr -d '[]' <scheduler); do echo $s >scheduler; usleep 50000; "
        "done; done"),
    "nr_requests": Action(nr_requests),
    "cache type": Action(
        cache_type, lambda p: "config_wce" not in p["disk"],
        "cd DISK && while [ -e cache_type ]; do for c in through back; do "
        "echo write $c >cache_type; usleep 50000; done; done"),
    "CPU off and on": Action(
        cpu, many_cpus, "while :; do for o in 0 1; do echo $o "
        ">/sys/devices/system/cpu/cpu1/online; usleep 300000; done; done"),
    "ring size": Action(
        ring_size, has("resizes"), "cd DISK && while [ -e ring_size ]; do "
        "for n in 128 256; do echo $n >ring_size; usleep 50000; done; done"),
    "disk size": Action(disk_size),
    "function level reset": Action(function_reset, express),
    "fatal PCIe error": Action(bus_error, has("disk", "props")),
    "bus mastering off": Action(master_off, stays),
    "DEVICE_NEEDS_RESET": Action(
        needs_reset, every(seen, split, no(has("disk", "iothread")))),
    "interrupt lost": Action(interrupt_lost, every(
        lambda p: own_vectors(p) or (p["disk"].get("vectors") == 0 and
                                     stays(p)),
        lambda p: "CPU off and on" not in p["beside"])),
    "completion lost": Action(completion_lost, every(
        any_order, has("disk", "num_queues", value=1))),
    "completion lost, nothing else comes": Action(
        completion_lost_alone, any_order),
    "completion lost, queue frozen": Action(
        completion_lost_frozen, any_order),
    "storage stalls": Action(storage_stalls),
    "completion spoiled": Action(completion_spoiled, every(alone, split)),
    "breach of the ring": Action(breach, alone),
    "S3": Action(sleep, has("guest", "suspend")),
    "hibernation": Action(hibernation),
    "live migration": Action(migration, has("moves")),
    "save and restore": Action(saved, has("moves")),
    # The loads get errors, and find all safe blocks when started again.
    "unbind and bind": Action(unbind),
    # After S3 no guest gets QEMU's resize event, with any driver.
    "unplug and plug": Action(unplug, every(
        has("disk", "root_port"), no(has("guest", "suspend")))),
    "unload and load": Action(unload),
}
ENDS = ("unload", "power off", "power cut")


# -- rounds ------------------------------------------------------------------

# Options of a disk, and their values; None is what QEMU does by itself.
DISKS = {
    "transport": ("modern", "modern", "modern", "transitional", "legacy"),
    "root_port": (True, False),
    "num_queues": (1, 1, 1, 2, 4),
    "vectors": (None, None, None, None, 0, 2),
    "queue_size": (None, 16, 64, 256, 1024),
    "indirect": (None, None, False),
    "event_idx": (None, None, False),
    "packed": (None, None, True),
    "in_order": (None, None, None, True),
    "iommu_platform": (None, None, None, None, True),
    "write_cache": (None, None, "off"),
    "config_wce": (None, None, None, False),
    "ioeventfd": (None, None, False),
    "iothread": (None, None, True),
}
NOT_LEGACY = ("packed", "in_order", "iommu_platform")


def one_disk(rng):
    """Options of a Disk that go together."""
    disk = {name: rng.choice(values) for name, values in DISKS.items()}
    if disk["transport"] == "legacy":
        disk.update(dict.fromkeys(NOT_LEGACY))
    if disk["transport"] != "modern":
        disk["iommu_platform"] = None
    if disk["ioeventfd"] is False:
        disk["iothread"] = None
    if disk["transport"] == "modern" and disk["root_port"] and \
            rng.random() < 0.5:
        disk["props"] = {"aer": True}
    return {name: value for name, value in disk.items() if value is not None}


def draw_disk(rng):
    """A round with one disk in one guest, or in several QEMUs in a row."""
    disk, habit = one_disk(rng), rng.choice(("suspend", "moves", "", "", ""))
    plan = {"disk": disk, "format": rng.choice(("raw", "qcow2")),
            "moves": habit == "moves" and "iommu_platform" not in disk,
            "resizes": disk["transport"] != "legacy" and
            "indirect" not in disk and rng.random() < 0.5}
    depth = rng.choice((0, 16, 64))
    if plan["resizes"]:
        # Requests have to fit into the smallest of RINGS.
        disk.update(queue_reset=True, seg_max_adjust=False,
                    queue_size=rng.choice(RINGS[1:]))
        depth = depth or 128
    plan["guest"] = {
        "smp": rng.choice((1, 2, 2, 4)), "suspend": habit == "suspend",
        "iommu": "iommu_platform" in disk, "params":
        "request_timeout=1" + (f" queue_depth={depth}" if depth else "")}
    plan["devices"] = [inflight.AER_PORT] if "props" in disk else []
    plan["end"] = rng.choice([end for end in ENDS if not (
        end == "power cut" and plan["moves"] or
        # Not possible in QEMU after S3, with any driver.
        end == "power off" and habit == "suspend")])
    plan["flush"] = [rng.randint(1, 8) for _ in range(rng.randint(1, 3))]
    # fio would fill the log that a power cut needs.
    fio = not plan["moves"] and plan["end"] != "power cut"
    plan["fio"] = f"--iodepth={rng.choice((1, 8, 64))}" if fio else None
    plan["beside"] = [name for name, action in ACTIONS.items()
                      if action.beside and action.needs(plan)
                      and rng.random() < 0.2]
    plan["actions"] = draw_actions(rng, plan)
    return plan


def draw_actions(rng, plan):
    """[name, seconds before it, its seed], in the order in which they come."""
    able = [name for name, action in ACTIONS.items()
            if name not in plan["beside"] and action.needs(plan)]
    # Each once, for few rounds have what the rare ones need.
    return [[name, round(rng.uniform(0, SECONDS), 2), rng.randrange(1 << 31)]
            for name in rng.sample(able, min(len(able), rng.randint(3, 8)))]


def do_disk(plan, kernel, tell):
    """Boot the guest, start the loads, do the actions; how many were done."""
    done = 0
    with own_guest.folder() as there, own_guest.booting("lite") as boot, \
            Used(boot, kernel, there, plan, [ACTIONS[name].beside for name in
                                             plan["beside"]]) as s:
        for name, seconds, seed in plan["actions"]:
            time.sleep(seconds)
            tell(action=name)
            mark = s.g.dmesg_mark(name)
            try:
                ACTIONS[name].do(s, random.Random(seed))
                done += 1
            except LeftOut as e:
                tell(left_out=str(e))
            s.progresses()
            s.check(mark)
        tell(action=plan["end"])
        if plan["end"] == "power cut":
            s.power_cut(random.Random(plan["round"]))
        elif plan["end"] == "power off":
            s.power_off()
        else:
            s.unload()
    return done


def draw_hostile(rng):
    """Draw a round with two hostile devices."""
    seed = rng.randrange(1 << 30)
    return {"seeds": [seed, seed + 1], "actions": ["hostile device"] * 2}


def do_hostile(plan, kernel, tell):
    """Run the hostile devices, as make fuzz does."""
    why = scene.qemu()[1]
    if why:
        raise LeftOut(why)
    tell(action="hostile device")
    Campaign(kernel, io_seconds=5).run(plan["seeds"], lambda _: True)
    return len(plan["seeds"])


def draw_backend(rng):
    """Draw how often the backend is killed."""
    return {"actions": ["backend killed"] * rng.randint(1, 5)}


def do_backend(plan, kernel, tell):
    """Kill the process that serves the disk, and restart it."""
    if not shutil.which("qemu-storage-daemon"):
        raise LeftOut("no qemu-storage-daemon on this host")
    tell(action="backend killed")
    own_guest.backend_killed(kernel, "lite", len(plan["actions"]))
    return len(plan["actions"])


def draw_storm(rng):
    """Draw a short storm."""
    return {"seed": rng.randrange(1 << 30), "actions": ["storm"]}


def do_storm(plan, kernel, tell):
    """Lies and new settings at once, as make soak WHAT=storm does for longer."""
    why = scene.qemu()[1]
    if why:
        raise LeftOut(why)
    tell(action="storm")
    Storm(kernel, plan["seed"], seconds=STORM_SECONDS).run()
    return 1


# Kind of a round: how it is drawn, how it is done, of how many.
KINDS = {
    "disk": (draw_disk, do_disk, 10),
    "hostile device": (draw_hostile, do_hostile, 1),
    "backend killed": (draw_backend, do_backend, 1),
    "storm": (draw_storm, do_storm, 1),
}


def draw(seed):
    """A round, in types that JSON has."""
    rng = random.Random(seed)
    kind = rng.choices(list(KINDS), [of for _, _, of in KINDS.values()])[0]
    return {"round": seed, "kind": kind, **KINDS[kind][0](rng)}


def do(plan, kernel, tell):
    """Run a round; every error is raised as a VblError.

    tell(name=value, ...) records each action before it is done. Returns how
    many actions were done and not left out.
    """
    try:
        return KINDS[plan["kind"]][1](plan, kernel, tell)
    except LeftOut as e:
        tell(left_out=str(e))
        return 0
    except Exception as e:
        # Whatever it was, the user has to be told how to repeat it.
        raise VblError(f"{type(e).__name__}: {e}") from e


def seeds(seed):
    """The seeds of all rounds, one after another."""
    rng = random.Random(seed)
    while True:
        yield rng.randrange(1, 1 << 31)
