# SPDX-License-Identifier: GPL-2.0
"""PostgreSQL in a guest, and what is left of its database afterwards.

The server and a database cluster are made once on the host, as two images:
one with the programs, which a guest mounts instead of the tools, and one that
becomes the disk under test. Two clients add rows in transactions and say which
number was committed. Of what a power cut leaves, the file system is checked
and the database taken out, recovered and read on the host.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import cache, initramfs
from .errors import SetupError, VblError

# Small segments and buffers: checkpoints and eviction come often.
CONFIG = """
listen_addresses = ''
max_connections = 8
max_wal_senders = 0
min_wal_size = 2MB
max_wal_size = 4MB
shared_buffers = 1MB
fsync = on
synchronous_commit = on
full_page_writes = on
timezone = 'GMT'
log_timezone = 'GMT'
"""
SCHEMA = """
CREATE EXTENSION amcheck;
CREATE TABLE rows (n int PRIMARY KEY, t text NOT NULL);
CREATE TABLE last (client int PRIMARY KEY, n int NOT NULL);
INSERT INTO last VALUES (0, 0), (1, 0);
"""
IMAGE_BYTES = 96 << 20
CLIENTS = 2
PSQL = "psql -qXAt -v ON_ERROR_STOP=1 -U postgres"

# A client has every second number. Some of its transactions are taken back.
START = """
    vbl_tools
    mount /dev/{dev} /mnt
    echo db:x:{user}:{group}::/:/bin/sh >/etc/passwd
    su db -c '{bin}/pg_ctl -w -D /mnt/data -o "-k /dev/shm" -l /mnt/data/log \
        start' || {{ cat /mnt/data/log; exit 1; }}"""
CLIENT = """
    n={client}
    while :; do
        n=$((n + {clients}))
        [ $((n % 5)) != 0 ] || echo "BEGIN; INSERT INTO rows VALUES (-$n, '');
            ROLLBACK;"
        echo "BEGIN;
            INSERT INTO rows
                VALUES ($n, repeat(md5('{seed} $n'), 1 + $n % 90));
            UPDATE last SET n = $n WHERE client = {client};
            COMMIT;"
        echo "\\\\echo $n"
    done | {bin}/{psql} -h /dev/shm >{port}"""


class Broken(VblError):
    """The file system or the database is damaged."""


def _text(seed, n):
    """What a client writes into row @n."""
    return hashlib.md5(f"{seed} {n}".encode()).hexdigest() * (1 + n % 90)


def find():
    """The folder with the programs of the newest version, or None."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((p.parent for p in found), default=None,
               key=lambda p: int(p.parent.name))


def _bin():
    found = find()
    if not found:
        raise SetupError("PostgreSQL is missing: install the package "
                         "postgresql (scripts/setup --postgres)")
    return found


def _owner():
    """Whose the database is: PostgreSQL does not run as root."""
    if os.getuid():
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _run(argv, good=(0,), name=None):
    """A program's output; what it says when it fails is why it is Broken."""
    got = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, errors="replace")
    if got.returncode not in good:
        raise Broken(f"{name or argv[0]} ended with {got.returncode}:\n"
                     f"{got.stdout[-3000:]}")
    return got.stdout


class Cluster:
    """A database in a folder of its own on the host."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="vbl-pg-"))
        self.data, self.bin = self.folder / "data", _bin()
        self.as_owner = []
        if not os.getuid():
            user, group = _owner()
            os.chown(self.folder, user, group)
            self.as_owner = ["setpriv", f"--reuid={user}", f"--regid={group}",
                             "--clear-groups"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, name, *args):
        """One of PostgreSQL's programs, as the owner of the data."""
        return _run([*self.as_owner, "env", "-C", self.folder,
                     self.bin / name, *args], name=name)

    def start(self):
        """Start the server; this ends when it has recovered."""
        log = self.folder / "log"
        try:
            # The host's own power is not what is cut.
            self.run("pg_ctl", "-w", "-D", self.data, "-l", log, "-o",
                     f"-k {self.folder} -c fsync=off", "start")
        except Broken as e:
            raise Broken(f"{e}\n{log.read_text()[-3000:]}") from None

    def stop(self, mode="fast"):
        """Stop the server."""
        self.run("pg_ctl", "-w", "-D", self.data, "-m", mode, "stop")

    def sql(self, text):
        """Lines that the statements answer."""
        name, *options = PSQL.split()
        return self.run(name, *options, "-h", self.folder,
                        "-c", text).splitlines()


def database():
    """Path of an image of a file system with an empty database."""
    def make(folder):
        with Cluster() as c:
            c.run("initdb", "-D", c.data, "-k", "-N", "--locale=C", "-E",
                  "UTF8", "-U", "postgres", "-A", "trust", "--wal-segsize=1")
            with open(c.data / "postgresql.conf", "a") as f:
                f.write(CONFIG)
            c.start()
            c.sql(SCHEMA)
            c.stop()
            (c.folder / "log").unlink()
            image = folder / "database.img"
            with open(image, "wb") as f:
                f.truncate(IMAGE_BYTES)
            _run([initramfs.tool("mkfs.ext4"), "-q", "-F", "-d", c.folder,
                  "-E", "lazy_itable_init=0,lazy_journal_init=0", image])

    return cache.entry("database", _stamp(), make) / "database.img"


def programs():
    """Path of an image with the server, the client and what they need."""
    def make(folder):
        bin = _bin()
        base = bin.parent
        files = [bin / "postgres", bin / "pg_ctl", bin / "psql",
                 base / "lib/plpgsql.so", base / "lib/amcheck.so",
                 Path("/usr/share/postgresql") / base.name]
        # PostgreSQL finds one of its folders from where another is.
        initramfs.make_image(folder / "programs.img",
                             {str(f).lstrip("/"): f for f in files})

    return cache.entry("postgres", _stamp(), make) / "programs.img"


def _stamp():
    return [cache.file_hash(__file__), cache.file_stamp(_bin() / "postgres"),
            _owner()]


def _recovered(image, c):
    """Take the database out of @image into @c, and start it there."""
    # The first run goes through the journal, and then all must be in order.
    for how, good in (("-p", (0, 1)), ("-fn", (0,))):
        _run([initramfs.tool("e2fsck"), how, image], good)
    _run([initramfs.tool("debugfs"), "-R", f"rdump /data {c.folder}", image])
    # Written by a process of the guest, which is gone.
    (c.data / "postmaster.pid").unlink(missing_ok=True)
    c.start()


def _rows_of(c, seed):
    """The numbers of the rows that are there, client by client."""
    c.run("pg_amcheck", "-h", c.folder, "-U", "postgres", "--heapallindexed",
          "postgres")
    rows = dict(line.split("|") for line in
                c.sql("SELECT n, t FROM rows ORDER BY n"))
    last = dict(line.split("|") for line in c.sql("SELECT * FROM last"))
    c.stop()
    c.run("pg_checksums", "--check", "-D", c.data)
    for n, text in rows.items():
        if int(n) <= 0 or text != _text(seed, int(n)):
            raise Broken(f"row {n} is {text[:100]!r}")
    for client, n in last.items():
        # A transaction is there completely, and so are all before it.
        client, n = int(client), int(n)
        mine = [r for r in map(int, rows) if r % CLIENTS == client]
        if mine != list(range(client + CLIENTS, n + 1, CLIENTS)):
            raise Broken(f"client {client} has written up to {n}, but there "
                         f"are rows {mine}")
    return {int(n) for n in rows}


class Postgres:
    """The workload of powercut.py: rows that are committed."""

    unit, acks = "rows", 100

    def __init__(self, _):
        self.image, self.tools, self.files = database(), programs(), {}

    def start(self, g, dev, port, seed, lie):
        """Start the server and its clients: jobs."""
        user, group = _owner()
        bin = f"/tools{_bin()}"
        g.sh(START.format(dev=dev, user=user, group=group, bin=bin),
             timeout=120)
        if lie:
            # The kernel then leaves out the flushes that it is asked for.
            g.sh(f"echo write through >/sys/block/{dev}/queue/write_cache")
        return [g.start(CLIENT.format(
            client=c, clients=CLIENTS, seed=seed, bin=bin, psql=PSQL,
            port=port)) for c in range(CLIENTS)]

    def check(self, disk, seed, lines):
        """(rows acknowledged, those that are lost) of what is on @disk."""
        acked = {int(n) for n in lines}
        with Cluster() as c:
            image = c.folder / "image"
            image.write_bytes(disk)
            try:
                _recovered(image, c)
                there = _rows_of(c, seed)
            except Broken as e:
                print(e, flush=True)
                return len(acked), sorted(acked)
        return len(acked), sorted(acked - there)
