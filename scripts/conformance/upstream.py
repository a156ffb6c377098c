# SPDX-License-Identifier: GPL-2.0
"""Documentation/upstream.md: what upstream's driver does otherwise than virtio or
its users would have it, and how to see it.

What was seen of a requirement, and on which kernels, is kept in upstream.json:
make conformance adds to it. The faults are those of the table in trust.md.
"""

import json
import re

from vbl import TREE, expected

KEPT = TREE / "Documentation/upstream.json"
PAGE = TREE / "Documentation/upstream.md"
TRUST = TREE / "Documentation/trust.md"
HEAD = """<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Written by make upstream. -->
# What upstream's virtio_blk does otherwise

For those who maintain `virtio_blk`, `virtio_pci` and `virtio_ring` of Linux: {breaks} requirements of virtio 1.4 that they were seen not
to meet, and {faults} faults of a device after which data or the guest is lost. Nothing has to be known of this project. On Debian 12 or
newer, as root, in its folder:

```
make setup              # QEMU and what else is missing
make conformance K=6.12 DRIVER=upstream T=test_needs_reset
```
boots a guest with the kernel that `K=` names, which may be a folder with a built kernel tree (`K=~/src/linux`), and shows a device to
its own driver that watches each access. A deviation is listed at the end, as *XFAIL*, with what was seen. No code of this project is
in that guest's kernel. `scripts/bisect-run --driver upstream TEST` finds since when.

## Requirements of virtio

"""
FAULTS = """
## Faults of a device, a bus or a host

One write is on its way when each of these happens; then another is tried, the data read back, and the driver unbound. Our driver
loses nothing in any of them ([trust.md](trust.md)).

| what goes wrong | what happens then | why | seen with |
|---|---|---|---|
"""


def note(results, release):
    """Keep what was seen of upstream's driver on a kernel."""
    kept = read()
    seen = {r["id"]: one for r, one in results.broken("upstream")}
    for ident, of in kept.items():
        # Another run on the same kernel says anew whether it is so.
        if ident not in seen and results.notes["upstream", ident]:
            of.pop(release, None)
    for ident, one in seen.items():
        kept.setdefault(ident, {})[release] = {
            "test": one["test"].replace("upstream-", "").replace(
                "[upstream]", ""), "log": one["text"]}
    KEPT.write_text(json.dumps({i: of for i, of in sorted(kept.items()) if of},
                               indent=1) + "\n")


def read():
    """{requirement: {release: {test, log}}}."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def faults():
    """(fault, what happens) of the rows of trust.md in which upstream's driver
    does not do well, and the kernel."""
    text = TRUST.read_text()
    release = re.search(r"`make trust[^`]*` on (\S+),", text)
    rows = []
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 10 and cells[1].isdigit() and cells[5].isdigit() and \
                cells[9] != "nothing":
            rows.append((cells[0], cells[9]))
    return rows, release[1] if release else "unknown"


def page(rows, sentences):
    """The text of the page; @rows are the requirements."""
    kept, of = read(), {r["id"]: r for r in rows}
    out, (wrong, release) = [], faults()
    for ident, seen in kept.items():
        row, (last, one) = of[ident], list(seen.items())[-1]
        name = one["test"].partition("[")[0]
        log = one["log"].replace("`", "'").strip()
        out += [f"### {ident}: {row['level']}, virtio 1.4, {row['section']}",
                "", sentences.get(("upstream", ident), "Not met."), "",
                f"- seen on: {', '.join(seen)}",
                f"- `make conformance K={'.'.join(last.split('.')[:2])} "
                f"DRIVER=upstream T={name}`",
                f"- what was logged: `{log}`", ""]
    lines = [f"| {fault} | {what} | "
             f"{expected.find('upstream', 'faults', fault) or 'not known yet'} "
             f"| {release}; `scripts/trust.py --driver upstream --only "
             f"\"{fault}\"` |" for fault, what in wrong]
    return HEAD.format(breaks=len(kept), faults=len(wrong)) + \
        "\n".join(out).rstrip("\n") + "\n" + FAULTS + "\n".join(lines) + "\n"
