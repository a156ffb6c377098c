# SPDX-License-Identifier: GPL-2.0
"""A look at a queue, as text."""

from .ring_memory import STATUS

# Slots of a ring that a page has room for; of a larger one, those in use.
ALL = 32


def request(buffer):
    """What a buffer asks for, in words."""
    header = buffer.get("header")
    if not header:
        return "a buffer without a request header"
    text = header["name"]
    if header["name"] in ("IN", "OUT", "ZONE_APPEND"):
        text += f" sector {header['sector']}, {header['bytes']} bytes"
    return text


def status(buffer):
    """The status byte of a request, or nothing."""
    if "status" not in buffer:
        return ""
    value = buffer["status"]
    return f"status {value:#04x} ({STATUS.get(value, 'unknown')})"


def flags(desc, packed):
    """A descriptor's flags by name."""
    names = list(desc["names"])
    if packed:
        names += [f"AVAIL={desc['avail']:d}", f"USED={desc['used']:d}"]
    return "|".join(names) or "-"


def _desc(desc, packed, mark=" "):
    other = f"id {desc['id']}" if packed else f"next {desc['next']}"
    return (f"  {mark} [{desc['slot']:3}] addr {desc['addr']:#011x} "
            f"len {desc['len']:5} {other:8} {flags(desc, packed)}")


def _near(queue, idx, n=4):
    return {(idx - 1 - i) % queue["num"] for i in range(n)}


def _descriptors(queue):
    """The descriptor table: one line for slots that say nothing."""
    out, empty, packed = [], 0, queue["packed"]
    for d in queue["desc"]:
        if not d["addr"] and d["slot"] not in queue["owned"]:
            empty += 1
            continue
        out.append(_desc(d, packed, "*" if d["slot"] in queue["owned"]
                         else " "))
    if empty:
        out.append(f"    {empty} were never filled")
    return out


def _split(queue):
    avail, used, num = queue["avail"], queue["used"], queue["num"]
    out = [f"  avail   idx {avail['idx']} (slot {avail['idx'] % num} is filled "
           f"next)  flags {avail['flags']}  used_event {avail['used_event']}"]
    slots = range(num) if num <= ALL else sorted(_near(queue, avail["idx"]))
    out.append("          ring " + " ".join(
        f"[{i}]={avail['ring'][i]}" for i in slots))
    out.append(f"  used    idx {used['idx']} (slot {used['idx'] % num} is "
               f"filled next)  flags {used['flags']}  avail_event "
               f"{used['avail_event']}")
    slots = range(num) if num <= ALL else sorted(_near(queue, used["idx"]))
    out.append("          ring " + " ".join(
        f"[{i}]={used['ring'][i][0]}/{used['ring'][i][1]}" for i in slots))
    return out


def _event(name, one):
    return f"  {name} {one['flags']} slot {one['slot']} wrap {one['wrap']}"


def lines(queue):
    """A queue at one moment."""
    packed, qemu = queue["packed"], queue["qemu"]
    kind = "packed" if packed else "split"
    out = [f"queue {queue['queue']}: {kind} ring of {queue['num']} at "
           f"{queue['at']['desc']:#x}"
           + (", in order" if queue["in_order"] else "")]
    owned = queue["inuse"]
    out.append(f"  the device owns {owned} {'slots' if packed else 'buffers'};"
               f" QEMU: inuse {qemu['inuse']}, last avail "
               f"{qemu['last-avail-idx']}, used {qemu['used-idx']}")
    out.append("  descriptors (* the device's)")
    out += _descriptors(queue)
    if packed:
        out.append(_event("driver event (interrupt me):", queue["driver_event"]))
        out.append(_event("device event (kick me):     ", queue["device_event"]))
    else:
        out += _split(queue)
    for b in queue["buffers"]:
        out += _buffer(b, packed, "the device's")
    for b in queue["back"]:
        out += _buffer(b, packed, "came back")
    return out


def _buffer(b, packed, whose):
    out = [f"  {'id' if packed else 'head'} {b['head']}, {whose}: "
           f"{request(b)}; {status(b)}"]
    if whose == "came back":
        return out
    if b.get("replaced"):
        out.append("    its descriptor was replaced by a used one")
    out.append(f"    {'indirect table' if b['indirect'] else 'chain'} of "
               f"{len(b['table'])}:")
    return out + ["  " + _desc(d, packed) for d in b["table"]]


def render(looks):
    """All looks, one below the other."""
    out = []
    for n, look in enumerate(looks):
        out.append(f"--- {n}. {look.title}")
        for queue in look.queues:
            out += lines(queue)
        out.append("")
    return "\n".join(out)
