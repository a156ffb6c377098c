# SPDX-License-Identifier: GPL-2.0
"""What a reader is told is there, and the pages begin with what matters."""

import json
import re
import subprocess

import pytest
from bench import document
from bench.row import FAIL, Row
from conformance import results
from vbl import TREE, build_module
from vbl.tree import sources

PAGES = sorted(n for n in sources() if n.endswith(".md"))


def read(name):
    """A file of the tree."""
    return (TREE / name).read_text()


# -- what the pages name -----------------------------------------------------

@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    """Each link to a file of the tree finds it."""
    for target in re.findall(r"\]\(([^)#]+)\)", read(page)):
        if "://" not in target:
            there = (TREE / page).parent / target
            assert there.exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files(page):
    """Each file that is named with its folder exists."""
    folders = {n.split("/")[0] for n in sources() if "/" in n}
    for name in re.findall(r"`([\w./-]+/[\w.-]*)`", read(page)):
        if name.split("/")[0] in folders and "build/" not in name:
            assert (TREE / name).exists(), f"{page} names {name}"


def test_every_page_is_listed():
    """Documentation/README.md says of each page what it is for."""
    listed = re.findall(r"^\| \[([\w./]+)\]", read("Documentation/README.md"),
                        re.M)
    there = [n.split("/")[1] for n in sources()
             if n.startswith("Documentation/") and n.count("/") == 1]
    assert sorted(set(there) - {"README.md"}) == sorted(
        n for n in listed if not n.startswith("../"))


def test_readme_is_short():
    assert len(read("README.md").splitlines()) <= 120


def test_readme_has_every_parameter():
    """Those of the module, and no others."""
    made = {name for n in sources() if n.endswith(".c") and
            not n.startswith(("scripts/", "selftests/"))
            for name in re.findall(r"^MODULE_PARM_DESC\((\w+)", read(n), re.M)}
    cells = [line.split("|")[1] for line in read("README.md").splitlines()
             if line.startswith("| `")]
    # The other rows are of files.
    named = {w for c in cells if "/" not in c for w in re.findall(r"`(\w+)`", c)}
    assert made and made == named


def test_commands_exist():
    """Each make target that a page names is one."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.M))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z][a-z-]*)", read(page)):
            assert target in targets, f"{page}: make {target}"


# -- the version -------------------------------------------------------------

def version():
    """What stands in VERSION."""
    return read("VERSION").strip()


def test_version_is_in_the_change_log():
    """Its newest section is of this version."""
    newest = re.search(r"^## \[([^]]+)\] - (Unreleased|\d{4}-\d\d-\d\d)$",
                       read("CHANGELOG.md"), re.M)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())
    assert newest and newest[1] == version()


def test_modinfo_shows_the_version(kernel):
    shown = subprocess.run(
        ["modinfo", "-F", "version", build_module(kernel, quiet=True)],
        capture_output=True, text=True, check=True).stdout
    assert shown.strip() == version()


# -- performance.md ----------------------------------------------------------

def row(ident, ours, **more):
    """A row as it is kept in a result."""
    return vars(Row(ident, ident, "instructions", ours, 100.0, **more))


RESULT = {"qemu": "QEMU 1 (x)", "seconds": 61, "cpus": 2, "tree": "abc",
          "kernels": [
              {"release": "6.12.1", "listings": {}, "rows": [
                  row("read1.driver", 30.0, target=0.35),
                  row("flush1.all", 90.0, target=0.85)]},
              {"release": "6.1.1", "listings": {}, "rows": [
                  row("read1.driver", 29.0, target=0.35),
                  row("memory.queue", 200.0)]}]}


def test_performance_summary():
    """All kernels in one table, and each target that is missed."""
    text = document.text(RESULT, "make bench")
    assert RESULT["kernels"][0]["rows"][1]["verdict"] == FAIL
    assert "| read1.driver (instructions) | 30 / 100 = 0.300 | " \
        "29 / 100 = 0.290 |" in text
    assert "| memory.queue (instructions) | - | 200 / 100 = 2.000 |" in text
    assert "* flush1.all, 6.12.1: 0.900, the target is <= 0.85" in text
    assert "3 rows with a target: 2 PASS, 1 FAIL, 0 OPEN" in text


def headings(text):
    return re.findall(r"^## (.*)", text, re.M)


def test_performance_order():
    """How it is measured and the summary come before any kernel's figures."""
    begin = ["Summary", "How each figure is measured", "What was tried"]
    assert headings(document.text(RESULT, "")) == [
        *begin, "Linux 6.12.1", "Linux 6.1.1"]
    made = headings(document.PATH.read_text())
    assert made[:3] == begin
    assert made[3:] and all(h.startswith("Linux ") for h in made[3:])


# -- conformance.md ----------------------------------------------------------

def noted(tmp_path, *notes):
    """Results of these (driver, id, whether it was met, what was logged)."""
    path = tmp_path / "notes"
    path.write_text("".join(json.dumps(
        {"driver": d, "id": i, "ok": ok, "text": text, "test": f"test_x[{d}]",
         "about": True, "device": "modern"}) + "\n"
        for d, i, ok, text in notes))
    return results.Results(path)


def test_deviation_is_a_sentence(tmp_path):
    """A sentence for each; the log stands below, folded."""
    got = noted(tmp_path, ("upstream", "BLK-OP-13", False, "log of 1 < 2"),
                ("lite", "GEN-STATUS-01", True, ""))
    page = got.page("6.12.1")
    assert not got.unexplained()
    sentence = got.sentences["upstream", "BLK-OP-13"]
    assert f"- BLK-OP-13 (MUST NOT): {sentence} (`test_x`)\n" in page
    assert "## Deviations of this driver\n\nNone was seen.\n" in page
    folded = page[page.index("<details>"):page.index("</details>")]
    assert "- BLK-OP-13: log of 1 &lt; 2\n" in folded
    assert page.count("log of 1") == 1
    assert page.index("</details>") < page.index("| id | level |")


def test_deviation_without_a_sentence(tmp_path):
    """Ours are shown too, and a new one asks for its sentence."""
    got = noted(tmp_path, ("lite", "GEN-STATUS-01", False, "bad"))
    assert got.unexplained() == [
        "GEN-STATUS-01 of lite: no sentence in deviations.tsv"]
    ours = got.page("x").split("## Deviations of upstream")[0]
    assert "- GEN-STATUS-01 (MUST): Not met: see the log below." in ours
    assert "- GEN-STATUS-01: bad" in ours


def test_sentences_are_of_requirements(tmp_path):
    got = noted(tmp_path)
    known = {r["id"] for r in got.rows}
    assert got.sentences
    for driver, ident in got.sentences:
        assert driver in results.DRIVERS and ident in known
