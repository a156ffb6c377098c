# SPDX-License-Identifier: GPL-2.0
"""How a driver gets a device: the driver core's calls beside the registers.

The calls are those of function_graph, filtered by name: the whole of it would be
tens of thousands of lines. A match that is refused is one that no probe follows.
"""

import dataclasses
import re

from device import USUAL, Device, Script, scene
from device.spec import FEATURES
from vbl import TREE, Guest, VblError

from . import clock, events, registers
from .events import PREFIX, function
from .journey import qemu_version
from .record import FIND, Studio

TRACING = "/sys/kernel/tracing"
DRIVERS = {"lite": ("virtio-pci-lite", "virtio_blk_lite"),
           "upstream": ("virtio-pci", "virtio_blk")}

# The driver core, the PCI core, both drivers; in 6.1 to 7.2 by these names.
CORE = """
do_init_module __pci_register_driver driver_register bus_add_driver
driver_attach bus_for_each_dev __driver_attach device_add bus_probe_device
device_initial_probe device_attach __device_attach bus_for_each_drv
__device_attach_driver driver_probe_device __driver_probe_device really_probe
pci_bus_match pci_device_probe local_pci_probe
pci_rescan_bus pci_device_add
pci_bus_add_devices pci_bus_add_device pci_enable_device
pci_alloc_irq_vectors_affinity device_add_disk
bus_rescan_devices_helper device_driver_attach""".split()
MODULE = """
virtio_pci_probe virtio_pci_register vp_modern_map vp_legacy_map
vp_find_cap vp_map_cap register_virtio_device virtio_dev_match
virtio_dev_probe virtio_negotiate virtio_reset_device virtio_add_status
virtio_device_ready virtblk_accept virtblk_probe virtblk_read_limits
virtblk_init_queues virtblk_init_tags virtblk_init_disk virtblk_add_work
vp_find_vqs vp_alloc_irqs vp_request_irqs vp_map_vectors vp_enable_queue
vp_modern_get_features vp_modern_set_features vp_modern_get_status
vp_modern_set_status vp_modern_select vp_modern_enable_queue
vp_modern_queue_size vp_modern_set_vector vp_modern_set_config_vector
vp_legacy_get_features vp_legacy_set_features vp_legacy_get_status
vp_legacy_set_status vp_legacy_select vp_legacy_enable_queue
vp_legacy_queue_size vp_legacy_set_vector vp_legacy_set_config_vector
virtio_pci_modern_probe virtio_pci_legacy_probe vp_modern_probe
vp_legacy_probe virtio_features_ok virtio_device_ready vp_find_vqs_msix
vp_setup_vq setup_vq vp_get_features vp_finalize_features vp_get_status
vp_set_status vp_reset virtio_reset_device virtblk_validate init_vq
__virtio_unbreak_device vp_modern_get_queue_size
vp_modern_set_queue_enable""".split()
MODULES = {"lite": ("virtio_lite",),
           "upstream": ("virtio_pci", "virtio_pci_modern_dev",
                        "virtio_pci_legacy_dev", "virtio", "virtio_blk")}


@dataclasses.dataclass(frozen=True)
class What:
    """One story: what is done before, what is watched, and what it shows."""

    says: str
    before: str
    watched: str
    loaded: bool = True


LOAD = {"lite": "insmod /virtio_lite.ko",
        "upstream": "modprobe virtio_pci; modprobe virtio_blk"}
UNBIND = ("[ ! -e /sys/bus/pci/devices/$BDF/driver ] || "
          "echo $BDF >/sys/bus/pci/devices/$BDF/driver/unbind")
BIND = ("echo $NAME >/sys/bus/pci/devices/$BDF/driver_override; "
        "echo $BDF >/sys/bus/pci/drivers_probe")
WHATS = {
    "insmod": What("the module is loaded and asks for every device there is",
                   UNBIND, "$LOAD", loaded=False),
    "bind": What("a device is offered to every driver there is",
                 "$LOAD; " + UNBIND, BIND),
    "plug": What("a new function is found on the PCI bus",
                 "$LOAD; echo 1 >/sys/bus/pci/devices/$BDF/remove",
                 "echo 1 >/sys/bus/pci/rescan"),
    "other": What("the module is loaded, and another driver has the device",
                  "$OTHER", "$LOAD", loaded=False),
    "override": What("driver_override names another driver",
                     "$LOAD; " + UNBIND + "; echo nobody "
                     ">/sys/bus/pci/devices/$BDF/driver_override",
                     "echo $BDF >/sys/bus/pci/drivers_probe"),
    "features": What("the device does not let FEATURES_OK stay set",
                     "$LOAD", BIND),
}


@dataclasses.dataclass
class Call:
    """A function of the guest, or an event within it."""

    at: float
    end: float
    depth: int
    name: str
    task: str
    answer: str = ""


@dataclasses.dataclass
class Story:
    """Calls, accesses, and what became of it."""

    info: dict
    calls: list
    accesses: list
    log: list
    holder: str
    override: str
    error_us: float
    disagree: int
    posted: bool = False


# -- the guest ---------------------------------------------------------------

def _trace_on(g, driver, loaded):
    g.put("/tmp/names", "\n".join([*CORE, *MODULE]) + "\n")
    # A module that is not there yet: its functions as soon as it is.
    mods = "" if loaded else "\n".join(
        f"for f in {' '.join(MODULE)}; do for n in $f {PREFIX}$f; do "
        f"echo $n:mod:{m} >>set_ftrace_filter 2>/dev/null; done; done"
        for m in MODULES[driver])
    g.sh(f"""cd {TRACING}; echo mono >trace_clock; echo 8192 >buffer_size_kb
{FIND} /tmp/names | tr ' ' '\\n' | sed '/^$/d' | sort -u >/tmp/traced
cat /tmp/traced >set_ftrace_filter
{mods}
{PROBES}
echo function_graph >current_tracer
for o in funcgraph-abstime funcgraph-proc nofuncgraph-overhead \
    funcgraph-tail; do echo $o >trace_options; done
echo >trace; echo 1 >tracing_on
[ ! -e events/seeing ] || echo 1 >events/seeing/enable
[ ! -e events/virtio_lite ] || echo 1 >events/virtio_lite/enable""",
         timeout=120)


# Which driver was asked about which device: the names are the first fields of
# both structures. Kernels before 6.5 have no probe of functions, but kprobes.
PROBES = """
probe() {
    args='dev=+0(+0($arg1)):string drv=+0(+0($arg2)):string'
    echo "f:seeing/$1 $2 $args" >>dynamic_events 2>/dev/null ||
        echo "p:seeing/$1 $2 $args" >>dynamic_events 2>/dev/null
}
probe asked pci_bus_match
probe asked_virtio virtio_dev_match
"""


def _trace_off(g):
    text = g.sh(f"cd {TRACING}; echo 0 >tracing_on; cat trace", timeout=120)
    g.sh(f"cd {TRACING}; echo nop >current_tracer; "
         "[ ! -e events/seeing ] || echo 0 >events/seeing/enable; "
         "echo >dynamic_events; echo >set_ftrace_filter; echo 1 >tracing_on")
    return text


GRAPH = re.compile(r"^\s*(\d+\.\d+)\s*\|\s*(\d+)\)\s+(\S.*?)-(\d+)\s+"
                   r"\|[^|]*\|( *)(.*)$")


def calls(text):
    """The calls of a function_graph trace, in order."""
    out, stacks = [], {}
    for line in text.splitlines():
        got = GRAPH.match(line)
        if not got:
            continue
        at, task = float(got[1]), f"{got[3]}-{got[4]}"
        depth, what = len(got[5]) // 2 - 1, got[6].strip()
        stack = stacks.setdefault(task, [])
        if what.startswith("}"):
            if stack:
                stack.pop().end = at
        elif what.startswith("/*"):
            out.append(Call(at, at, depth, what.strip("/* "), task))
        else:
            name = re.match(r"[\w.]+", what)
            if not name:
                continue
            call = Call(at, at, depth, function(name[0]) + "()", task)
            if what.endswith("{"):
                stack.append(call)
            else:
                call.end = at + _duration(line)
            out.append(call)
    return out


def _duration(line):
    got = re.search(r"\|\s*[+!#*@$]?\s*([\d.]+) us", line)
    return float(got[1]) / 1e6 if got else 0.0


# -- matches -----------------------------------------------------------------

MATCH = ("pci_bus_match()", "virtio_dev_match()")


def answer_matches(found):
    """Note at each match whether a probe followed, and who was asked."""
    for n, c in enumerate(found):
        if c.name not in MATCH:
            continue
        rest = [d for d in found[n + 1:] if d.task == c.task]
        # A kprobe comes before the call that it is at the start of.
        asked = next((d for d in rest[:3] if d.depth > c.depth and
                      d.name.startswith(("asked", "virtio_match:"))),
                     found[n - 1] if found[n - 1].name.startswith("asked")
                     else None)
        after = next((d for d in rest if d.depth <= c.depth), None)
        yes = after and after.depth == c.depth and \
            after.name in ("driver_probe_device()", "__driver_probe_device()",
                           "device_driver_attach()")
        who = dict(re.findall(r"\b(drv|driver|dev)=\"?([\w:.-]+)",
                              asked.name)) if asked else {}
        driver = who.get("drv") or who.get("driver")
        c.answer = ("yes" if yes else "no") + (
            f": driver {driver}" if driver else "") + (
            f", device {who['dev']}" if "dev" in who else "")
    for n, c in enumerate(found):
        if c.name == "__driver_probe_device()" and not any(
                d.name == "really_probe()" and d.task == c.task and
                c.at <= d.at <= c.end for d in found[n + 1:]):
            c.answer = "not probed: the device has a driver"
    return [c for c in found if not c.name.startswith("asked")]


# -- one clock ---------------------------------------------------------------

SETTERS = ("vp_modern_set_status()", "vp_legacy_set_status()")
GETTERS = ("vp_modern_get_status()", "vp_legacy_get_status()")


def align(found, accesses, posted=False):
    """Put the accesses on the guest's clock.

    Return: the uncertainty in microseconds, and how many of the accesses from
    which it comes seem to be outside of their call.

    Each access to the status happens within the call that makes it, so each
    gives two bounds. A write that is @posted may be seen after the call.
    """
    pairs = []
    for write, names in ((False, GETTERS), (True, SETTERS)):
        if write and posted:
            continue
        seen = [a for a in accesses
                if a.name == "device_status" and a.write == write]
        made = [c for c in found if c.name in names]
        if len(seen) != len(made):
            raise VblError(f"{len(made)} calls accessed the status, and the "
                           f"device saw {len(seen)}")
        pairs += zip(seen, made)
    if not pairs:
        return 0.0, 0
    one = clock.fit([(c.at, a.at, c.end, a.at) for a, c in pairs],
                    pairs[0][1].at)
    for a in accesses:
        a.at = one.to_guest(a.at)
    return one.error * 1e6, one.requests - one.agree


# -- running -----------------------------------------------------------------

def _fill(text, driver, bdf):
    other = "upstream" if driver == "lite" else "lite"
    return (text.replace("$LOAD", LOAD[driver])
            .replace("$OTHER", LOAD[other]).replace("$BDF", bdf)
            .replace("$NAME", DRIVERS[driver][0]))


def _watch(g, what, driver, bdf):
    """(text of the trace, kernel log, who has the device then)."""
    w = WHATS[what]
    if w.before:
        g.sh(_fill(w.before, driver, bdf) + "; true", timeout=60)
    _trace_on(g, driver, w.loaded)
    mark = g.dmesg_mark(what)
    return mark, w


def record(what, driver="lite", kernel=None, qemu=None, disk=None):
    """Boot a guest, watch the story @what, and return it."""
    if what == "features":
        return _refused(driver, kernel, disk)
    with Studio(kernel, None, qemu, disk or {}, timeout=300) as s:
        g, bdf = s.guest, s.guest.bdf(0)
        mark, w = _watch(g, what, driver, bdf)
        s.host_trace(registers.EVENTS, True)
        g.sh(_fill(w.watched, driver, bdf) + "; true", timeout=120)
        s.host_trace(registers.EVENTS, False)
        text = _trace_off(g)
        slot = int(bdf.split(":")[2].split(".")[0], 16)
        accesses = registers.from_qemu(events.host(s.host_log()), slot)
        return _story(g, text, accesses, mark, bdf, {
            "what": what, "driver": driver, "kernel": str(g.kernel),
            "qemu": qemu_version(s.qemu), "accel": g.accel,
            "disk": {k: {True: "on", False: "off"}.get(v, str(v))
                     for k, v in (disk or {}).items()}})


class Refuses(Script):
    """A device that does not want the features that were chosen."""

    def features_ok(self, dev):
        return False


def _refused(driver, kernel, disk):
    """The same with a scripted device, whose log has the accesses."""
    if disk:
        raise VblError("WHAT=features has a device of its own: no DISK=")
    command, why_not = scene.qemu()
    if why_not:
        raise VblError(why_not)
    with Device(USUAL + ("BLK_MQ", "UNUSED"), script=Refuses()) as dev, \
            Guest(kernel, [], None, devices=[dev.qemu],
                  share_mem=True, qemu=command, timeout=300) as g:
        scene.keep_off(g, dev)
        mark, w = _watch(g, "features", driver, dev.bdf)
        dev.forget()
        with dev.lock:
            dev.log.clear()
        g.sh(_fill(w.watched, driver, dev.bdf) + "; true", timeout=60)
        with dev.lock:
            entries = list(dev.log.entries)
        text = _trace_off(g)
        return _story(g, text, registers.from_device(entries), mark, dev.bdf, {
            "what": "features", "driver": driver, "kernel": str(g.kernel),
            "qemu": qemu_version(command.split()), "accel": g.accel,
            "disk": {}}, posted=True)


def _story(g, text, accesses, mark, bdf, info, posted=False):
    found = answer_matches(calls(text))
    if not found:
        raise VblError("the guest's trace has no call")
    error, disagree = align(found, accesses, posted)
    log = [re.sub(r"^\[\s*[\d.]+\] ", "", line)
           for line in g.dmesg_since(mark).splitlines()
           if re.search(r"virtio|\bvd[a-z]", line) and "taint" not in line]
    holder = g.sh(f"pci_driver {bdf}").strip()
    override = g.sh(f"cat /sys/bus/pci/devices/{bdf}/driver_override").strip()
    info["bdf"] = bdf
    return Story(info, found, accesses, log, holder, override, error,
                 disagree, posted)


# -- showing -----------------------------------------------------------------

def _reasons():
    """{bit: (taken on, reason)} of the driver's one table."""
    text = (TREE / "include/virtio_features.h").read_text()
    return {int(n): (taken, " ".join(re.findall(r'"([^"]*)"', why)))
            for n, taken, why in re.findall(
                r"VIRTIO_FEATURE\((\d+), \w+, (\w+),[^\"]*?((?:\s*\"[^\"]*\")+)"
                r"\)", text)}


def _why(bit, took, driver, legacy):
    taken, reason = _reasons().get(bit, ("", ""))
    if driver != "lite":
        return "" if took else "not in this driver's tables"
    if took:
        return reason
    if not taken:
        return "the driver does not know it, so it is never accepted"
    if taken == "NEVER":
        return f"never taken: {reason}"
    if taken == ("MODERN" if legacy else "LEGACY"):
        return f"only with {taken.lower()} registers"
    return "it needs another one that was not offered"


def feature_lines(accesses, driver):
    """The table of the bits: offered, taken, and why or why not."""
    offered, accepted = registers.features(accesses)
    legacy = any(a.where == "legacy" for a in accesses)
    names = {n: name for name, n in FEATURES.items()}
    out = []
    for n in range(64):
        if not offered >> n & 1:
            continue
        took = bool((accepted or 0) >> n & 1)
        out.append(f"  {n:>3}  {names.get(n, '(no name)'):<18} "
                   f"{'taken' if took else 'refused':<9}"
                   f"{_why(n, took, driver, legacy)}".rstrip())
    extra = (accepted or 0) & ~offered
    if extra:
        out.append(f"  accepted without being offered: {extra:#x}")
    return out


LEFT = 66


def render(story):
    """The text of a story."""
    i = story.info
    disk = "".join(f", {k}={v}" for k, v in i["disk"].items())
    out = [f"{WHATS[i['what']].says}: driver {i['driver']}, function "
           f"{i['bdf']}{disk}, Linux {i['kernel']}, QEMU {i['qemu']}", "",
           f"{'us':>8}  {'calls in the guest':<{LEFT}}registers of the device"]
    began, task = story.calls[0].at, None
    items = sorted([*story.calls, *story.accesses],
                   key=lambda x: (x.at, isinstance(x, registers.Access)))
    seen, again = set(), 0
    for x in [*items, None]:
        # The PCI core goes through the list of capabilities for each question.
        if isinstance(x, registers.Access) and x.where == "PCI" and \
                not x.write and str(x) in seen:
            again += 1
            continue
        if again:
            out.append(f"{'':10}{'':<{LEFT}}PCI     {again} of these were "
                       "read again")
            again = 0
        if x is None:
            break
        at = (x.at - began) * 1e6
        if isinstance(x, registers.Access):
            seen.add(str(x))
            out.append(f"{at:8.0f}  {'':<{LEFT}}{x}")
            continue
        if x.task != task:
            task = x.task
            out.append(f"{'':8}  -- {task}")
        name = x.name if x.name.endswith("()") else f"* {x.name}"
        answer = f"  -> {x.answer}" if x.answer else ""
        out.append(f"{at:8.0f}  {'  ' * x.depth}{name}{answer}")
    if story.accesses:
        within = "Each access is within the call that made it; "
        if story.posted:
            within = "A write may be seen after the call that made it; "
        if story.disagree:
            within = (f"A clock jumped: {story.disagree} accesses are not "
                      "shown within the call that made them; ")
        out += ["", within + "times of calls and accesses are known to each other to "
                f"+-{story.error_us:.0f} us."]
    features = feature_lines(story.accesses, i["driver"])
    if features:
        out += ["", "Feature bits that the device offered:", *features]
    out += ["", f"Driver of {i['bdf']} now: {story.holder or 'none'}"]
    if story.override != "(null)":
        out.append(f"driver_override: {story.override}, so no driver of "
                   "another name matches")
    out += [f"kernel log: {line}" for line in story.log]
    return "\n".join(out) + "\n"
