# SPDX-License-Identifier: GPL-2.0
"""make exits: register accesses per request, on five kinds of disks."""

import xml.etree.ElementTree as ET

import pytest
from seeing import exits, exits_svg

ONE, BATCH = exits.JOBS


def order(result, label):
    return [exits.total(result[k][label]) for k in
            ("IDE", "AHCI", "NVMe", "upstream", "ours")]


@pytest.fixture(scope="module")
def reads(kernel):
    return exits.measure(kernel)


def test_reads(reads):
    """Emulated hardware takes many accesses, paravirtual disks a kick."""
    result, about = reads
    ide, ahci, nvme, upstream, ours = order(result, ONE)
    assert ide > ahci > nvme > ours
    for kind in ("upstream", "ours"):
        assert result[kind][ONE] == {("write", "queue notify"): 1}
    assert nvme == pytest.approx(2, abs=0.01)
    assert upstream == ours == 1
    # A disk of 1986 has one request at a time, others share what they write.
    batch = order(result, BATCH)
    assert batch[0] == pytest.approx(ide, rel=0.02)
    assert batch[4] == pytest.approx(1 / 32) and batch[3] <= 1
    assert ("write", "command") in result["IDE"][ONE]
    assert ("write", "bus master command") in result["IDE"][ONE]
    assert ("write", "PxCI") in result["AHCI"][ONE]
    assert {n for _, n in result["NVMe"][ONE]} == \
        {"queue 1 submission tail", "queue 1 completion head"}
    said = exits.table(result, "read")
    assert "ours: 1 write queue notify" in said
    assert all(any(row.startswith(k) for row in said.splitlines())
               for k in result)
    picture(result, about)


def picture(result, about):
    """Each bar is as long as its figure says, and inside of the picture."""
    root = ET.fromstring(exits_svg.picture(result, "read", about))
    ns = "{http://www.w3.org/2000/svg}"
    width = float(root.get("viewBox").split()[2])
    bars = [r for r in root.iter(f"{ns}rect") if float(r.get("x") or 0) >=
            exits_svg.LEFT and r.get("class") in ("read", "write")
            and float(r.get("y")) >= exits_svg.TOP]
    length = sum(float(b.get("width")) for b in bars)
    want = sum(exits.total(j) for jobs in result.values()
               for j in jobs.values())
    most = max(exits.total(j) for jobs in result.values()
               for j in jobs.values())
    scale = (exits_svg.WIDTH - exits_svg.LEFT - exits_svg.ROOM) / most
    assert length == pytest.approx(want * scale, rel=0.02)
    assert all(float(b.get("x")) + float(b.get("width")) < width
               for b in bars)
    texts = [t.text for t in root.iter(f"{ns}text")]
    assert all(k in texts for k in result)


@pytest.mark.full
def test_writes(kernel):
    """Also a write is one kick."""
    result, _ = exits.measure(kernel, "write")
    ide, ahci, nvme, _, ours = order(result, ONE)
    assert ide > ahci > nvme > ours == 1


def test_names():
    """The registers' names, and what is in no BAR."""
    regions = exits.bars("0x1f0 0x1f7 0\n0x3f6 0x3f6 0\n0 0 0\n0 0 0\n"
                         "0xc120 0xc12f 0\n0 0 0")
    assert exits.name("IDE", regions, "read", 0x1f7) == "status"
    assert exits.name("IDE", regions, "write", 0x1f7) == "command"
    assert exits.name("IDE", regions, "read", 0x3f6) == "alternate status"
    assert exits.name("IDE", regions, "write", 0xc124) == "bus master table"
    assert exits.ahci("write", 0x138, 5) == "PxCI"
    assert exits.nvme("write", 0x100c, 0) == "queue 1 completion head"
    with pytest.raises(exits.SetupError, match="0x500, which is not in"):
        exits.name("IDE", regions, "read", 0x500)
