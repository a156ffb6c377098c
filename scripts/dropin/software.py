# SPDX-License-Identifier: GPL-2.0
"""Real software on a disk of a Debian system: each check is a shell script.

The disk is $d, empty or with whatever the check before left on it. A script
fails when the data is not what was written, or the software says that
something is wrong.
"""

import time

from vbl import CommandFailed, Disk

from .journey import INSTALL, INSTALL_SECONDS, OURS, THEIRS, Journey

# Beside each: what a person would call it.
CHECKS = {
    "PostgreSQL, pgbench, pg_amcheck": """
        fs ext4; bin=$(ls -d /usr/lib/postgresql/*/bin); mkdir /mnt/pg
        chown postgres /mnt/pg; cd /mnt/pg
        as="setpriv --reuid postgres --regid postgres --clear-groups"
        $as $bin/initdb -k -D /mnt/pg/data >/dev/null
        $as $bin/pg_ctl -w -D /mnt/pg/data -o "-k /mnt/pg" -l /mnt/pg/log \
            start >/dev/null
        export PGHOST=/mnt/pg
        $as createdb bench; $as pgbench -q -i -s 2 bench 2>/dev/null
        $as psql -qc 'create extension amcheck' bench
        $as pgbench -c 4 -T 10 bench 2>/dev/null | grep -q 'tps ='
        $as pg_amcheck --heapallindexed bench
        $as $bin/pg_ctl -w -D /mnt/pg/data stop >/dev/null
        $as $bin/pg_checksums --check -D /mnt/pg/data >/dev/null
        cd /; umount /mnt""",
    "SQLite, integrity check under load": """
        fs ext4; db=/mnt/db
        sqlite3 $db 'pragma journal_mode=wal; create table t(n, x)' >/dev/null
        for n in 1 2 3; do
            (for i in $(seq 40); do sqlite3 -cmd '.timeout 60000' $db \
                "insert into t values($n$i, randomblob(9000))"; done) &
        done
        for i in 1 2 3; do
            [ "$(sqlite3 -cmd '.timeout 60000' $db 'pragma integrity_check')" \
                = ok ]; done
        wait; [ $(sqlite3 $db 'select count(*) from t') = 120 ]
        umount /mnt; mount $d /mnt
        [ "$(sqlite3 $db 'pragma integrity_check')" = ok ]; umount /mnt""",
    "xfs: files, xfs_repair -n": """
        fs xfs; files; umount /mnt; mount $d /mnt; check; umount /mnt
        xfs_repair -n $d 2>/dev/null""",
    "btrfs: files, snapshot, scrub": """
        fs btrfs; files; btrfs -q subvolume snapshot /mnt /mnt/snap
        btrfs scrub start -B /mnt | grep -q 'no errors found'
        check; umount /mnt; btrfs check -q $d 2>/dev/null >/dev/null""",
    "LVM: snapshot, merge": """
        wipefs -qa $d; pvcreate -qf $d; vgcreate -q vg $d
        lvcreate -qy -L 300M -n lv vg; mkfs.ext4 -qF /dev/vg/lv
        mount /dev/vg/lv /mnt; files; lvcreate -qs -L 200M -n old vg/lv
        rm -r /mnt/*; umount /mnt; lvconvert -q --merge vg/old
        while lvs --noheadings -o lv_attr vg/lv | grep -q '^ *[OS]'; do
            sleep 0.5; done
        mount /dev/vg/lv /mnt; check; umount /mnt; vgremove -qqy vg
        pvremove -q $d""",
    "LUKS: files": """
        printf secret >/run/key
        cryptsetup luksFormat -q --pbkdf pbkdf2 \
            --pbkdf-force-iterations 1000 $d /run/key
        cryptsetup open --key-file /run/key $d c; mkfs.ext4 -qF /dev/mapper/c
        mount /dev/mapper/c /mnt; files; umount /mnt; cryptsetup close c
        cryptsetup open --key-file /run/key $d c
        mount /dev/mapper/c /mnt; check; umount /mnt; cryptsetup close c""",
    "swap under memory pressure": """
        wipefs -qa $d; mkswap -q $d; swapon -p 100 $d
        before=$(awk '/pswpout/ { print $2 }' /proc/vmstat)
        stress-ng -q --vm 2 --vm-bytes 110% --vm-method flip --verify -t 20
        [ $(awk '/pswpout/ { print $2 }' /proc/vmstat) -gt $before ]
        swapoff $d""",
    "fstrim": """
        fs ext4; files; rm /mnt/f1; sync; fstrim /mnt; echo 3 \
            >/proc/sys/vm/drop_caches; mv /mnt/sums /run/s
        grep -v f1 /run/s >/mnt/sums; check; umount /mnt; e2fsck -fn $d \
            >/dev/null 2>&1""",
    "fsfreeze": """
        fs ext4; files; fsfreeze -f /mnt; (echo late >/mnt/late) &
        sleep 1; [ "$(dd if=$d iflag=direct bs=4k count=1 status=none |
            wc -c)" = 4096 ]; fsfreeze -u /mnt; wait
        [ "$(cat /mnt/late)" = late ]; check; umount /mnt""",
    "io_uring: registered buffers": "io --ioengine=io_uring --fixedbufs=1 "
    "--registerfiles=1",
    "io_uring: IOPOLL": """
        if io --ioengine=io_uring --hipri=1; then :
        else echo 'refused: the disk has no queue for polling'; fi""",
    "O_DIRECT at odd places": """
        io --ioengine=libaio --bs=512-63k --bs_unaligned=0 --blockalign=512
        ! dd if=/dev/zero of=$d bs=513 count=1 oflag=direct 2>/dev/null""",
    "blktrace": """
        blktrace -q -d $d -o - -w 8 >/run/trace & sleep 2
        dd if=$d of=/dev/null iflag=direct bs=64k count=50 status=none; wait
        [ $(blkparse -q -i - </run/trace | grep -c ' C ') -ge 50 ]
        [ $(blkparse -q -i - </run/trace | grep -c ' D ') -ge 50 ]""",
}
PRELUDE = """
    set -e
    d=/dev/vdb
    fs() { wipefs -qa $d; case $1 in ext4) mkfs.ext4 -qF $d ;;
        *) mkfs.$1 -q -f $d ;; esac; mount $d /mnt; }
    files() { for f in f1 f2 f3; do head -c 20M /dev/urandom >/mnt/$f; done
        (cd /mnt; sha256sum f? >sums); sync; }
    check() { echo 3 >/proc/sys/vm/drop_caches
        (cd /mnt; sha256sum -c --quiet sums); }
    io() { fio --name=x --filename=$d --direct=1 --rw=randwrite --bs=16k \
        --size=64M --iodepth=16 --verify=crc32c --verify_fatal=1 \
        --output=/run/fio "$@"; }
"""


class Software(Journey):
    """The same checks on a second disk, with upstream's driver and with ours."""

    STEPS = ("upstream", "software", "on_theirs", "install", "persist_on",
             "ours", "on_ours", "table")

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.results = {}
        self.second = Disk(self.folder / "second.raw", transport="modern",
                           serial="second", num_queues=2)
        with open(self.folder / "second.raw", "wb") as f:
            f.truncate(1 << 30)

    def boot(self, **options):
        """With a second disk."""
        return super().boot(more=[self.second], **options)

    def software(self):
        """Install the software, from files."""
        self.g.sh(f"{INSTALL} /packages/software/*.deb; "
                  "systemctl disable --now postgresql kdump-tools || true",
                  timeout=INSTALL_SECONDS)

    def _all(self, driver):
        for name, script in CHECKS.items():
            began = time.monotonic()
            try:
                said = self.g.sh(PRELUDE + script, timeout=300).strip()
                result = said.splitlines()[-1] if said else "good"
            except CommandFailed as e:
                result = f"failed: {e.output.strip()[-200:]}"
            self.results[driver, name] = result, time.monotonic() - began
            self.say(f"    {result:8.60s} {time.monotonic() - began:5.0f} s  "
                     f"{name}")

    def on_theirs(self):
        """Run the checks with upstream's driver."""
        self._all(THEIRS)

    def on_ours(self):
        """Run the checks with ours."""
        self._all(OURS)

    def table(self):
        """What they say, side by side."""
        self.say("| software | upstream's driver | this driver |")
        self.say("|---|---|---|")
        for name in CHECKS:
            self.say("| " + " | ".join(
                [name, *("{}, {:.0f} s".format(*self.results[d, name])
                         for d in (THEIRS, OURS))]) + " |")
        bad = [n for n in CHECKS
               if self.results[OURS, n][0] != self.results[THEIRS, n][0]]
        self.expect("what ends in another way on ours", bad, [])
