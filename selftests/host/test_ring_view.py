# SPDX-License-Identifier: GPL-2.0
"""make ring: the ring's memory while QEMU holds requests, and whose they are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from seeing import ring_memory as rm, ring_page, ring_scene, ring_text
from vbl import SetupError
from vbl.qemu import called

TREE = Path(__file__).resolve().parents[2]
MODERN = {"transport": "modern"}
# Driver, options of the disk, what is held, how many.
CELLS = {
    "packed": ("lite", {**MODERN, "packed": True}, "mixed", 3),
    "packed-chains": ("lite", {**MODERN, "packed": True, "indirect": False},
                      "mixed", 3),
    "chains": ("lite", {"indirect": False}, "read", 2),
    "legacy": ("lite", {"transport": "legacy"}, "mixed", 3),
    "events": ("lite", {"event_idx": False}, "write", 2),
    "iothread": ("lite", {"iothread": True}, "write", 2),
    "queues": ("lite", {"num_queues": 2}, "mixed", 6),
    "in-order": ("lite", {**MODERN, "in_order": True}, "write", 3),
    "packed-in-order": ("lite", {**MODERN, "in_order": True, "packed": True},
                        "write", 3),
    "upstream": ("upstream", {}, "mixed", 3),
    "upstream-packed": ("upstream", {**MODERN, "packed": True}, "mixed", 3),
    "upstream-legacy": ("upstream", {"transport": "legacy",
                                     "indirect": False}, "write", 2),
}


def owned(look):
    """Buffers of all queues that the device owns, by their sector."""
    return sorted(b["header"]["sector"] for q in look.queues
                  for b in q["buffers"])


def check(looks, hold, what, in_order):
    """What every series of looks has to say."""
    sectors = [8 * (n + 1) * 8 * (1 + n % 3) for n in range(hold)]
    kinds = ["OUT" if what == "write" or what == "mixed" and n % 2 == 0
             else "IN" for n in range(hold)]
    for n, look in enumerate(looks):
        for q in look.queues:
            assert q["inuse"] == q["qemu"]["inuse"], look.title
            for b in q["buffers"]:
                # Ours presets the status; upstream's leaves the last one.
                assert b["status"] in (0, 0xff)
        if n <= hold:
            assert owned(look) == sorted(sectors[:n]), look.title
    held = [b for q in looks[hold].queues for b in q["buffers"]]
    headers = [b["header"] for b in held]
    # Two of them may begin at the same sector.
    assert sorted((h["sector"], h["name"], h["bytes"]) for h in headers) == \
        sorted(zip(sectors, kinds, (4096 * (1 + n % 3) for n in range(hold))))
    for b in held:
        # Data of a read is written by the device, and of a write it is not.
        assert {bool(d["flags"] & rm.WRITE) for d in b["table"][1:-1]} == \
            {b["header"]["name"] == "IN"}
    if hold > 1:
        came = looks[hold + 1]
        # The youngest was let go first; in order it waits for the others.
        assert owned(came) == sorted(sectors if in_order else sectors[:-1])
    assert owned(looks[-1]) == []
    back = [b for q in looks[-1].queues for b in q["back"]]
    assert [b["status"] for b in back] == [0] * len(back) and back


def play(kernel, driver, options, what, hold, **guest):
    with ring_scene.Scene(kernel, driver, hold, options, what,
                          **guest) as scene:
        looks = scene.play()
        check(looks, hold, what, rm.IN_ORDER in scene.features)
        return looks, scene.features


@pytest.mark.full
def test_split(kernel):
    """Two writes of our driver, and what text and page say of them."""
    looks, _ = play(kernel, "lite", {}, "write", 2)
    q = looks[2].queues[0]
    # The tag is the head, and each slot names a table of the tag's own.
    assert all(q["desc"][b["head"]]["flags"] == rm.INDIRECT
               for b in q["buffers"])
    assert {b["status"] for b in q["buffers"]} == {0xff}
    assert q["avail"]["idx"] - q["used"]["idx"] == 2
    text = ring_text.render(looks)
    assert "the device owns 2 buffers; QEMU: inuse 2" in text
    assert re.search(r"head \d+, the device's: OUT sector 256, 8192 bytes; "
                     r"status 0xff \(not written yet\)", text)
    assert re.search(r"head \d+, came back: OUT .* status 0x00 \(OK\)", text)
    page(looks)


@pytest.mark.full
@pytest.mark.parametrize("ring", CELLS)
def test_ring(kernel, ring):
    driver, options, what, hold = CELLS[ring]
    looks, features = play(kernel, driver, options, what, hold)
    wants = {"packed": rm.RING_PACKED, "in_order": rm.IN_ORDER}
    for name, bit in wants.items():
        assert (bit in features) == bool(options.get(name))
    assert (rm.VERSION_1 in features) == (options.get("transport") != "legacy")
    assert (rm.EVENT_IDX in features) == options.get("event_idx", True)
    assert any(b["indirect"] for look in looks for q in look.queues
               for b in q["buffers"]) == options.get("indirect", True)
    page(looks)


@pytest.mark.full
@pytest.mark.parametrize("options", [
    {}, {"transport": "legacy"}, {**MODERN, "packed": True}],
    ids=["split", "legacy", "packed"])
def test_older_qemu(kernel, options):
    """The same with the QEMU of this release."""
    play(kernel, "lite", options, "mixed", 2,
         qemu=called("debian"))


def page(looks):
    """The page stands on its own; a browser, if there is one, shows a step."""
    about = {"driver": "lite", "kernel": "6.12", "qemu": "11.1", "disk": "a<b"}
    text = ring_page.render(looks, about)
    assert "a&lt;b" in text and not re.search(r"(src|href)\s*=|https?:", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert [d["title"] for d in data] == [look.title for look in looks]
    return text


@pytest.mark.full
def test_page_in_a_browser(kernel, tmp_path):
    """The slider's steps say what the text says."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed")
    looks, _ = play(kernel, "lite", {}, "write", 2)
    (tmp_path / "ring.html").write_text(page(looks))
    for n, look in enumerate(looks):
        dom = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu",
             "--dump-dom", f"file://{tmp_path}/ring.html#{n}"],
            capture_output=True, text=True, timeout=120).stdout
        assert f"{n}. {look.title}" in dom
        assert f"The device owns {look.queues[0]['inuse']} buffers" in dom
        for b in look.queues[0]["buffers"]:
            assert f"head {b['head']}: {ring_text.request(b)}" in dom


# -- the command, and what it refuses ----------------------------------------

@pytest.mark.parametrize("args, said", [
    (["0"], "HOLD=0: from 1 to 64"),
    (["2", "--disk", "packed"], "disk option 'packed': expected name=value"),
    (["2", "--disk", "transport=modern,iommu_platform=on"],
     "iommu_platform: what a descriptor says"),
    (["2", "--disk", "transport=legacy,packed=on"], "packed needs a modern"),
    (["2", "--disk", "kind=nvme"], "kind: the ring's disk has a backend"),
])
def test_refused(args, said):
    got = subprocess.run([TREE / "scripts/ring.py", *args],
                         capture_output=True, text=True)
    assert got.returncode == 2 and said in got.stderr and not got.stdout
    assert got.stderr.count("\n") == 1


# -- whose a buffer is, without a guest --------------------------------------

def split(num, avail, used):
    """Areas of a split ring, after these heads were put into its rings."""
    def ring(heads):
        out = [0] * num
        for i, h in enumerate(heads):
            out[i % num] = h
        return out
    return {"desc": [], "avail": {"idx": len(avail), "ring": ring(avail)},
            "used": {"idx": len(used),
                     "ring": [[h, 0] for h in ring(used)]}}


def test_split_owners():
    """Completions come out of order, heads are used again, indices wrap."""
    place = rm.Place(4, 0, 0, 0)
    t = rm.tracker(split(4, [], []), place, 0)
    t.update(split(4, [0, 1, 2], []), 0)
    t.update(split(4, [0, 1, 2, 3], [2]), 0)
    assert t.owned == [0, 1, 3]
    # Head 0 stays, while 2 goes round until the ring has forgotten it.
    t.update(split(4, [0, 1, 2, 3, 2, 1], [2, 1, 3, 2]), 0)
    assert t.owned == [0, 1]
    with pytest.raises(rm.Forgotten):
        t.update(split(4, [0, 1, 2, 3, 2, 1] + 5 * [2],
                       [2, 1, 3, 2] + 5 * [2]), 0)


def test_split_in_order_batch():
    """One used element may stand for several buffers."""
    place = rm.Place(4, 0, 0, 0, in_order=True)
    t = rm.tracker(split(4, [], []), place, 0)
    t.update(split(4, [0, 1, 2], []), 0)
    batch = split(4, [0, 1, 2], [0, 1])
    batch["used"]["ring"][0] = [1, 0]
    t.update(batch, 0)
    assert t.owned == [2]


def test_first_look_needs_rest():
    with pytest.raises(rm.Forgotten):
        rm.tracker(split(4, [1], []), rm.Place(4, 0, 0, 0), 0)


def test_bad_kind(kernel):
    with pytest.raises(SetupError, match="WHAT=flush"):
        ring_scene.Scene(kernel, what="flush")
