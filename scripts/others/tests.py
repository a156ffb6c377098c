# SPDX-License-Identifier: GPL-2.0
"""Each of other people's tests: what it needs, what is run, what it said."""

import dataclasses
import re
import shlex
import typing
from pathlib import Path

from vbl import Disk, GuestHung, SetupError

from . import system

# A test that began, and said no more.
HANGS = "did not end"
PG = "/usr/lib/postgresql/15/bin"


@dataclasses.dataclass
class Suite:
    """One of them.

    folder  the variable that names the folder with it; None: Debian's package
    has     a file that the folder has once it was built, maybe a pattern
    script  run by bash in the system, where $A and $B are the two disks, and
            $ONLY is what the user wants of a suite that has a folder
    read    {test: outcome} of its output
    """

    folder: str
    has: str
    script: str
    read: typing.Callable
    minutes: int = 30


def blktests(text):
    """Lines such as: block/003 (do something)    [passed], each after one
    without the end."""
    return {test: how or HANGS for test, how in re.findall(
        r"^(\w+/\d+)\b(?:.*\[(passed|failed|not run)\])?", text, re.M)}


def xfstests(text):
    """Lines such as: generic/001 5s ...  6s, below the file system's name."""
    found, fs = {}, "?"
    for line in text.splitlines():
        started = re.match(r"== (\w+)$", line)
        if started:
            fs = started[1]
        got = re.match(r"(\w+/\d+)\b(.*)", line)
        if got:
            rest = got[2]
            found[f"{fs} {got[1]}"] = (
                "not run" if "[not run]" in rest or "[expunged]" in rest else
                "passed" if re.search(r"\d+s\s*$", rest) else "failed")
    return found


def marked(text):
    """Lines of our own: RESULT name status, maybe after START name."""
    return {test: {"": HANGS, "0": "passed", "77": "not run"}.get(
        status, "failed") for test, status in re.findall(
            r"^(?:START|RESULT) (\S+)(?: (\d+))?$", text, re.M)}


SUITES = {
    # Only what is run on a device that one names; the rest makes its own.
    "blktests": Suite("BLKTESTS", "src/discontiguous-io", """
        cd /suite && echo "TEST_DEVS=($A)" >config && echo "TIMEOUT=60" >>config
        ./check --quick=60 ${ONLY:-$(grep -l ^test_device tests/block/* |
            sed s,tests/,,)}""", blktests, 15),
    "xfstests": Suite("XFSTESTS", "ltp/fsstress", """
        cd /suite; mkdir -p /t /s
        for fs in ext4 xfs btrfs; do
            echo == $fs; mkfs.$fs $A >/dev/null 2>&1 || mkfs.$fs -f $A || continue
            FSTYP=$fs TEST_DEV=$A TEST_DIR=/t SCRATCH_DEV=$B SCRATCH_MNT=/s \\
                ./check ${ONLY:--g quick}; umount /t /s 2>/dev/null
        done""", xfstests, 360),
    # A test that takes a device is one that has it as its argument.
    "liburing": Suite("LIBURING", "test/*.t", """
        cd /suite/test
        for t in ${ONLY:-$(grep -l "argv.1." *.c | sed s/.c$//)}; do
            [ -x $t.t ] || continue
            echo START $t; timeout -k 5 60 ./$t.t $A; echo RESULT $t $?
        done""", marked),
    "fio": Suite(None, None, """
        for engine in io_uring libaio psync; do for rw in randwrite write; do
        timeout 120 fio --name=x --filename=$A --size=32M --direct=1 --rw=$rw \\
            --bsrange=512-256k --iodepth=16 --ioengine=$engine --verify=crc32c \\
            --verify_fatal=1 --thread
        echo RESULT $engine-$rw $?; done; done
        timeout 120 fio --name=x --filename=$A --size=32M --direct=1 \\
            --rw=randread --iodepth=16 --ioengine=io_uring --fixedbufs \\
            --registerfiles --hipri=0; echo RESULT io_uring-fixed $?""",
                 marked),
    "pgbench": Suite(None, None, f"""
        mkfs.ext4 -q -F $A && mkdir -p /db && mount $A /db && mkdir /db/data &&
        chown nobody /db/data && mkdir -p /var/run/postgresql &&
        chmod 1777 /var/run/postgresql
        pg() {{ setpriv --reuid=nobody --clear-groups -- {PG}/"$@"; }}
        pg initdb -D /db/data -N >/db/log 2>&1; echo RESULT initdb $?
        pg pg_ctl -D /db/data -w -l /tmp/pg.log -o "-c listen_addresses=" \\
            start >/dev/null 2>&1
        echo RESULT start $?
        pg createdb bench; pg pgbench -i -q -s 1 bench
        echo RESULT pgbench-init $?
        pg pgbench -c 4 -T 20 bench; echo RESULT pgbench $?
        pg pg_ctl -D /db/data -m fast stop >/dev/null; echo RESULT stop $?
        umount /db && e2fsck -fn $A >/dev/null 2>&1; echo RESULT e2fsck $?
        """, marked),
}


def chosen(names, folders):
    """{name: folder or None} of what is run; raises in one line.

    Without names: all that need no folder, and all whose folder is given. ONLY=
    in @folders is for one suite.
    """
    for name in names:
        if name not in SUITES:
            raise SetupError(f"WHAT={name}: there are: {', '.join(SUITES)}")
    found = {}
    for name, suite in SUITES.items():
        folder = suite.folder and folders.get(suite.folder)
        if names and name not in names or \
                not names and suite.folder and not folder:
            continue
        if suite.folder and not folder:
            raise SetupError(f"{name}: {suite.folder}= must name a folder in "
                             "which it was built")
        if folder and not any(Path(folder).glob(suite.has)):
            raise SetupError(f"{suite.folder}={folder}: {name} is not there, or "
                             f"was not built: no {suite.has}")
        found[name] = folder
    only = folders.get("ONLY")
    if only:
        _check_only(only, found)
    return found


def _check_only(only, found):
    if len(found) != 1 or not all(found.values()):
        with_folder = [n for n, s in SUITES.items() if s.folder]
        raise SetupError(f"ONLY={only}: is for one of {', '.join(with_folder)}; "
                         f"chosen are {', '.join(found)} (WHAT= chooses)")
    (name, folder), = found.items()
    for word in only.split():
        # What has no slash may be the value of an option.
        path = f"test/{word}.t" if name == "liburing" else f"tests/{word}"
        if (name == "liburing" or "/" in word) and \
                not (Path(folder) / path).exists():
            raise SetupError(f"ONLY={word}: {folder} has no {path}")


def run(name, driver, kernel, image, only=""):
    """(outcomes, the complete output) of a suite with a driver."""
    suite = SUITES[name]
    disks = [Disk(size="1G"), Disk(size="1G")]
    with system.guest(kernel, driver, disks, image) as g:
        system.enter(g, image)
        a, b = (f"/dev/{g.dev(n)}" for n in range(2))
        script = f"A={a} B={b} ONLY={shlex.quote(only)}\n{suite.script}"
        g.put("/root/sys/tmp/run", script.encode(), mode=0o755)
        # What hangs is killed in the guest, so that the rest is known; what
        # cannot be killed leaves its output in a file.
        job = g.start(system.command(
            f"timeout -k 10 {suite.minutes * 60} bash /tmp/run "
            ">/tmp/out 2>&1 </dev/null"))
        try:
            job.wait(suite.minutes * 60 + 60, check=False)
        except GuestHung as e:
            hung = f"\n{e}"
        else:
            hung = ""
        out = g.sh("cat /root/sys/tmp/out") + hung
        log = g.sh("dmesg")
    return suite.read(out), out + "\n--- kernel log\n" + log
