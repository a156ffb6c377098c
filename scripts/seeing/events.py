# SPDX-License-Identifier: GPL-2.0
"""What guest and QEMU wrote, as events with a time, a name and fields."""

import dataclasses
import datetime
import re


@dataclasses.dataclass
class Event:
    """One line of a trace; @at is seconds of the clock of its side."""

    at: float
    side: str
    name: str
    who: str
    text: str
    fields: dict
    pid: int = 0
    in_irq: bool = False


GUEST = re.compile(r"^\s*(.+)-(\d+)\s+\[(\d+)\]\s+(\S+)\s+(\d+\.\d+): (.*)$")
PREFIX = "lite_"
CALL = re.compile(r"^([\w.]+)\s+<-\S+")
ENTER = re.compile(r"^sys_(\w+)\((.*)\)$")
EXIT = re.compile(r"^sys_(\w+) -> (\S+)$")
# dev op [bytes] (command) sector + sectors
BLOCK = re.compile(r"^(\d+,\d+) (\S+) .*?(\d+) \+ (\d+)")
PAIR = re.compile(r"(\w+)[=:] ?(\S+?)(?=,? |,?$)")


def _signed(text):
    value = int(text, 16)
    return value - (1 << 64) if value >> 63 else value


def function(name):
    """The name in the source of a function that ftrace names: without what a
    compiler added, and without the prefix of what virtio_lite exports, for the
    kernel may export the same name."""
    return name.partition(".")[0].removeprefix(PREFIX)


def _guest_message(text):
    """(name, fields) of what ftrace says after the time."""
    got = CALL.match(text)
    if got:
        return function(got[1]) + "()", {}
    got = EXIT.match(text)
    if got:
        return f"sys_exit_{got[1]}", {"ret": _signed(got[2])}
    got = ENTER.match(text)
    if got:
        return f"sys_enter_{got[1]}", {
            k: int(v, 16) for k, v in re.findall(r"(\w+): (?:0x)?([0-9a-f]+)",
                                                 got[2])}
    name, _, rest = text.partition(": ")
    fields = dict(PAIR.findall(rest))
    if name.startswith(("jbd2_", "ext4_")):
        fields.update(re.findall(r"(\w+) (\d+)(?!,)\b", rest))
    got = BLOCK.match(rest)
    if got and name.startswith("block_"):
        fields.update(zip(("dev", "rwbs", "sector", "sectors"),
                          got.groups()))
    return name, fields


def guest(text):
    """The events of a guest's trace, in order of time."""
    found = []
    for line in text.splitlines():
        got = GUEST.match(line)
        if not got:
            continue
        name, fields = _guest_message(got[6])
        found.append(Event(float(got[5]), "guest", name,
                           f"{got[1]}-{got[2]}", got[6], fields, int(got[2]),
                           "h" in got[4].lower()))
    found.sort(key=lambda e: e.at)
    return found


OLD = re.compile(r"^(\d+)@(\d+)\.(\d+):(\w+) ?(.*)$")
NEW = re.compile(r"^(\d{4}-\d\d-\d\dT\S+?)Z (\w+) ?(.*)$")
WORDS = re.compile(r"(\w+):? (0x[0-9a-fA-F]+|-?\d+)\b")


def _host_line(line, thread):
    got = OLD.match(line)
    if got:
        return (int(got[2]) + int(got[3]) / 1e6, int(got[1]), got[4], got[5])
    got = NEW.match(line)
    if got:
        at = datetime.datetime.fromisoformat(got[1] + "+00:00").timestamp()
        return at, thread, got[2], got[3]
    return None


def _number(text):
    return int(text, 16) if text.startswith("0x") else int(text)


def host(logs):
    """The events of QEMU's log, {thread: text}, in order of time."""
    found = []
    for thread, text in logs.items():
        for line in text.splitlines():
            got = _host_line(line, thread)
            if not got:
                continue
            at, tid, name, rest = got
            # A pool of the same threads; its events were renamed.
            name = name.removesuffix("_aio")
            fields = {k: _number(v) for k, v in WORDS.findall(rest)}
            if name == "qcow2_writev_data":
                fields["to"] = fields["offset"]
            elif name == "qcow2_add_task":
                fields["to"] = fields["file_cluster_offset"]
            found.append(Event(at, "qemu", name, f"thread {tid}", rest,
                               fields, tid))
    found.sort(key=lambda e: e.at)
    return found


def of_disk(found):
    """QEMU's events of our disk: not those of other disks of this guest.

    Nodes get their place into the name: that of the format, or of the file.
    """
    blk = _backend(found)
    tops, files = set(), set()
    foreign = set()
    for e in found:
        if e.name.startswith("blk_co_"):
            (tops if e.fields["blk"] == blk else foreign).add(e.fields["bs"])
    for a, b in zip(found, found[1:]):
        if a.name.startswith("qcow2_") and b.name.startswith("bdrv_"):
            files.add(b.fields["bs"])
    files -= tops | foreign
    kept, pool, last = [], set(), False
    for e in found:
        if "blk" in e.fields:
            last = e.fields["blk"] == blk
        elif e.name.startswith("bdrv_") and "bs" in e.fields:
            last = e.fields["bs"] in tops | files
            e.name += "@format" if e.fields["bs"] in tops else "@file"
        elif e.name == "thread_pool_submit":
            if last:
                pool.add(e.fields["req"])
        elif e.name == "thread_pool_complete":
            last = e.fields["req"] in pool
            pool.discard(e.fields["req"])
        else:
            last = True
        if last:
            kept.append(e)
    return kept


def _backend(found):
    """The block backend that the requests of the virtio disk went to."""
    votes = {}
    for n, e in enumerate(found):
        if e.name not in ("virtio_blk_handle_read", "virtio_blk_handle_write"):
            continue
        for f in found[n + 1:n + 12]:
            if f.name.startswith("blk_co_") and \
                    f.fields["offset"] == e.fields["sector"] * 512:
                votes[f.fields["blk"]] = votes.get(f.fields["blk"], 0) + 1
                break
    return max(votes, key=votes.get) if votes else None
