# SPDX-License-Identifier: GPL-2.0
"""One request on one axis: the steps of the table that two traces show."""

import collections
import dataclasses
import json
import re

from vbl import SetupError, VblError
from vbl.qemu import version

from . import clock, events
from .record import Studio
from .steps import EVENTS, LANES, STEPS, WHATS, functions, host_events

# Requests that the clocks are compared with, before; half as many after it.
WARM_UP = 48
# Guests that make a journey, while the clocks contradict each other.
TRIES = 3
MARK = "tracing_mark_write"


@dataclasses.dataclass
class Row:
    """A step that was met: when, in microseconds from the first one."""

    key: str
    lane: str
    at: float
    says: str
    event: str
    who: str
    count: int = 1
    loose: bool = False
    facts: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Journey:
    """All rows, what ran, and how well the times are known."""

    info: dict
    rows: list
    error_us: float
    requests: int
    agree: int
    notes: list = dataclasses.field(default_factory=list)

    @property
    def title(self):
        """What was done, by whom, on what."""
        i = self.info
        more = "".join(f", {k}={v}" for k, v in i["disk"].items())
        return (f"{WHATS[i['what']].says}: driver {i['driver']}{more}, Linux "
                f"{i['kernel']}, QEMU {i['qemu']}, {i['accel']}")

    @property
    def certainty(self):
        """What the order and the times are worth, as a sentence."""
        of = f"{self.agree} of " if self.agree < self.requests else ""
        return ("No step stands before one that it waited for. Other times, "
                "of guest and QEMU against each other, are known to +-"
                f"{self.error_us:.0f} us, from {of}{self.requests} requests "
                f"that both saw{', which agree' if of else ''}.")

    def dumps(self):
        """As JSON, for journey-diff."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def load(cls, path):
        """A journey from a file that has what dumps() gave."""
        try:
            with open(path, encoding="utf-8") as f:
                got = json.load(f)
            got["rows"] = [Row(**r) for r in got["rows"]]
            return cls(**got)
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise SetupError(f"{path}: not a journey ({e})") from None


# -- from events to rows -----------------------------------------------------

# Values that are the same in each run, which two journeys are compared by.
FACTS = ("op", "descs", "kick", "status", "rwbs", "sectors", "in_num",
         "out_num", "nsectors", "bytes", "count", "len", "ret", "num_reqs")


def says(step, fields):
    """The sentence of a step, with the fields that its event has."""
    def optional(got):
        names = re.findall(r"{(\w+)}", got[1])
        return got[1] if all(n in fields for n in names) else ""

    text = re.sub(r"\[([^]]*)\]", optional, step.says)
    return text.format_map({n: fields.get(n, "?") for n in
                            re.findall(r"{(\w+)}", text)})


def _expand(found, pid):
    """The events that steps are seen by; a switch of tasks has two sides."""
    for e in found:
        if e.name == "sched_switch":
            if int(e.fields.get("prev_pid", 0)) == pid and \
                    e.fields.get("prev_state", "")[:1] in "SD":
                e.name = "sched_switch/out"
            elif int(e.fields.get("next_pid", 0)) == pid:
                e.name = "sched_switch/in"
            else:
                continue
        elif e.name == "sched_wakeup" and int(e.fields.get("pid", 0)) != pid:
            continue
        yield e


def _index(table, seen):
    """{name of an event: steps that it shows}, for the events @seen."""
    index = {}
    for step in table:
        for group in step.groups:
            names = [n.removeprefix("qemu:") for n in group]
            if seen & set(names):
                for n in names:
                    index.setdefault(n, []).append(step)
                break
    return index


def _vectors(found):
    """The interrupts of the disk's queues, by what its handler is called in."""
    irqs = set()
    for a, b in zip(found, found[1:]):
        if a.name == "irq_handler_entry" and b.name in clock.INTERRUPT:
            irqs.add(a.fields["irq"])
    return irqs


def rows(found, task_pid, dev, table=STEPS):
    """The rows of the events @found, which are on one clock and in order."""
    irqs, out = _vectors(found), []
    found = list(_expand(found, task_pid))
    index = _index(table, {e.name for e in found})
    for e in found:
        if e.fields.get("dev", dev) != dev:
            continue
        if e.name == "irq_handler_entry" and e.fields["irq"] not in irqs:
            continue
        for step in index.get(e.name, ()):
            if not step.own or (e.pid == task_pid and not e.in_irq):
                out.append(_row(step, e))
    return out


def _row(step, e):
    if e.side == "qemu":
        event = f"qemu: {e.name} {e.text}"
    else:
        event = e.text
    return Row(step.key, step.lane, e.at * 1e6, says(step, e.fields), event,
               e.who, loose=step.loose,
               facts={k: str(e.fields[k]) for k in FACTS if k in e.fields})


def _step(key):
    return next(s for s in STEPS if s.key == key)


def _is_first(e, what):
    """Not another call of the same name, such as one to a terminal."""
    if what.begin == "write()":
        return e.fields.get("fd") == 1
    if what.begin == "read()":
        return e.fields.get("fd") == 0
    if what.begin == "ioctl()":
        return e.fields.get("cmd") == BLKDISCARD
    return True


BLKDISCARD = 0x1277


def window(found, what):
    """The guest's events of one journey, from its first step to its last."""
    marks = [n for n, e in enumerate(found) if e.name == MARK]
    if len(marks) < 2:
        raise VblError("the guest's trace does not have both marks")
    found = found[marks[0] + 1:marks[1]]
    begin, end = (_step(k).names[0] for k in (what.begin, what.end))
    start = next((n for n, e in enumerate(found) if e.name == begin and
                  e.who.rpartition("-")[0] == what.task and
                  _is_first(e, what)), None)
    if start is None:
        raise VblError(f"the guest's trace has no {begin} of {what.task}")
    stop = next((n for n, e in enumerate(found) if n > start and
                 e.name == end and e.pid == found[start].pid), None)
    if stop is None:
        raise VblError(f"the guest's trace has no {end} of {what.task}")
    return found[start:stop + 1]


def build(guest_text, host_logs, info, dev, table=STEPS):
    """The Journey of a recording.

    guest_text  the trace of the guest
    host_logs   {thread: log of QEMU}
    info        what ran: what, driver, kernel, qemu, accel, disk
    dev         the disk's number in the guest, such as 254,0
    """
    what = WHATS[info["what"]]
    guest = events.guest(guest_text)
    host = events.of_disk(events.host(host_logs))
    mine = window(guest, what)
    c = clock.measure(guest, host, dev, (mine[0].at + mine[-1].at) / 2,
                      polls=info["disk"].get("iothread") == "on")
    for e in host:
        e.at = c.to_guest(e.at)
    theirs = [e for e in host
              if mine[0].at - c.error <= e.at <= mine[-1].at + c.error]
    got = rows(sorted(mine + theirs, key=lambda e: e.at), mine[0].pid, dev,
               table)
    began = got[0].at
    for r in got:
        r.at = round(r.at - began, 1)
    # A write() into the page cache is not the end of it.
    other = "write() returns" if what.early else "write() returns early"
    got = [r for r in got if r.key != other]
    got = fold(got) if what.fold else squeeze(got)
    return Journey(info, got, round(c.error * 1e6, 1), c.requests, c.agree)


def squeeze(got, longest=6):
    """What is repeated at once, such as bios that are merged, once, with how
    often; of at most @longest rows."""
    out, at = [], 0
    while at < len(got):
        for size in range(1, longest + 1):
            keys = _keys(got[at:at + size])
            end = at + size
            while _keys(got[end:end + size]) == keys:
                end += size
            if end > at + size:
                for r in got[at:at + size]:
                    r.count = (end - at) // size
                out += got[at:at + size]
                at = end
                break
        else:
            out.append(got[at])
            at += 1
    return out


def _keys(got):
    return [(r.key, r.facts.get("rwbs")) for r in got]


def fold(got):
    """Each step once, at its first time, with how often it was met."""
    first = {}
    for r in got:
        if r.key in first:
            first[r.key].count += 1
        else:
            first[r.key] = r
    return list(first.values())


# -- order -------------------------------------------------------------------

def out_of_order(got, table=STEPS):
    """What is not where the table has it, as a sentence; None if all is.

    This is about what was met once: a driver looks at the used ring again, and
    an image format goes to its file several times. Where several requests were
    under way, only the program's own steps have one order.
    """
    place = {s.key: n for n, s in enumerate(table)}
    own = {s.key for s in table if s.own}
    times = collections.Counter()
    for r in got:
        times[r.key] += r.count
    steps = [r.key for r in got if not r.loose and times[r.key] == 1 and
             (times["started"] <= 1 or r.key in own)]
    for last, key in zip(steps, steps[1:]):
        if place[key] < place[last]:
            return f"{key!r} came after {last!r}, which the table has later"
    return None


# -- running -----------------------------------------------------------------

def qemu_version(command):
    """The version as text."""
    return ".".join(str(n) for n in version(command[0]))


def record(what, *args, tries=TRIES, **options):
    """Boot a guest, have it make the journey @what, and return the Journey.

    Where the clocks contradict each other, another guest makes it again, up to
    @tries in all, and the Journey says so. The rest as for _record().
    """
    notes = []
    while True:
        try:
            journey = _record(what, *args, **options)
        except clock.Contradiction as e:
            notes.append(f"recorded again: {e}")
            if len(notes) == tries:
                raise
            continue
        journey.notes += notes
        return journey


def _record(what, driver="lite", kernel=None, qemu=None, disk=None,
            strace=True, **options):
    w, disk = WHATS[what], dict(disk or {})
    with Studio(kernel, driver, qemu, disk, w.fs, **options) as s:
        g = s.guest
        name = g.dev()
        command = w.command.replace("$D", name)
        _prepare(g, w, name)
        dev = g.sh(f"cat /sys/block/{name}/dev").strip().replace(":", ",")
        s.start_guest_trace(EVENTS, functions())
        s.host_trace(host_events(), True)
        g.sh(f"""dd if=/dev/{name} of=/dev/null bs=4096 count={WARM_UP} \
iflag=direct 2>/dev/null
echo start >/sys/kernel/tracing/instances/seeing/trace_marker
{command} >/tmp/out 2>&1
status=$?
echo end >/sys/kernel/tracing/instances/seeing/trace_marker
dd if=/dev/{name} of=/dev/null bs=4096 count={WARM_UP // 2} \
iflag=direct 2>/dev/null
[ $status = 0 ] || cat /tmp/out
exit $status""", timeout=120)
        text = s.stop_guest_trace()
        s.host_trace(host_events(), False)
        info = {"what": what, "driver": driver, "kernel": str(g.kernel),
                "qemu": qemu_version(s.qemu), "accel": g.accel,
                "disk": {k: _word(v) for k, v in disk.items()}}
        journey = build(text, s.host_log(), info, dev)
        if strace and what in ("write", "read", "flush"):
            journey.notes.append(_confirm(s, command, journey))
        return journey


def _word(value):
    return {True: "on", False: "off"}.get(value, str(value))


def _prepare(g, w, name):
    if w.fs:
        g.sh(f"modprobe ext4; mount /dev/{name} /mnt; sync", timeout=60)
    else:
        # Clusters that the image has, so that a write is not two.
        g.sh(f"dd if=/dev/zero of=/dev/{name} bs=64k count=4 oflag=direct "
             "conv=notrunc 2>/dev/null")
    if w.prepare:
        # Its program and libraries are on another disk, which is read now.
        g.sh(f"vbl_tools; {w.prepare} >/dev/null", timeout=120)


CALLS = ("pwrite64", "pwritev", "pread64", "preadv", "fdatasync")


def _confirm(s, command, journey):
    """The same request again, with strace: does QEMU use this file offset?"""
    lines = s.strace(command, CALLS)
    if isinstance(lines, str):
        return f"strace did not see the system call: {lines}"
    lines = [re.sub(r'"[^"]*"\.*', '"..."', line) for line in lines
             if "disk.qcow2" in line]
    want = next((int(got[1]) for r in journey.rows if r.key == "file node"
                 for got in [re.search(r"offset (\d+)", r.event)] if got),
                None)
    if want is None:
        hit = next((x for x in lines if "fdatasync" in x), None)
    else:
        hit = next((x for x in lines
                    if re.search(rf"[ ,]{want}\) += ", x)), None)
    if hit:
        return "strace of QEMU, same request again: " + re.sub(
            r"<[^>]*/", "<", hit.split(None, 1)[1])
    return (f"strace of QEMU saw no access at file offset {want}: "
            + "; ".join(lines[:4]))


LANE_NAMES = {key: name for key, name, _ in LANES}
