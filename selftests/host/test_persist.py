# SPDX-License-Identifier: GPL-2.0
"""The choice that lasts, without a guest: what the command, the packages and the
boot do with files, in a system that is a folder."""

import subprocess
import sys
import time

import pytest
from root import MAKES
from vbl import TREE

CHOICES = "etc/virtio-lite/disks"
HOOK = "etc/initramfs-tools/hooks/virtio-lite-removed"
CONF = "etc/dracut.conf.d/virtio-lite-removed.conf"
BDF = "0000:00:05.0"


@pytest.fixture
def loaded(root):
    """With the module, and a disk on upstream's driver."""
    root.disk(BDF, "vdb", serial="data")
    root.loaded()
    return root


def complaint(r, command):
    """The last line that a failing command leaves."""
    status, out = r.status(command)
    assert status == 1, (status, out)
    return out.splitlines()[-1]


def until(what):
    """Wait until what() is true."""
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- what is chosen ----------------------------------------------------------

# What a shell, or its echo, would make something else of.
@pytest.mark.parametrize("serial", [
    "data", "two  words ", r"a\tb", r"x\c", r"\\", "-n", "a/b", "*", "$HOME",
    'q"u\'o'])
def test_serial(loaded, serial):
    """A disk is chosen by any serial number that it may have."""
    r = loaded
    r.write(f"sys/devices/{BDF}/virtio0/block/vdb/serial", serial)
    quoted = serial.replace("'", "'\\''")
    r.sh(f"virtio-lite persist on 'serial={quoted}'")
    assert r.read(CHOICES) == f"serial={serial.rstrip(' ')}\n"
    assert "chosen:      virtio_lite" in r.sh("virtio-lite status vdb")
    r.sh(f"virtio-lite persist off 'serial={quoted}'")
    assert r.read(CHOICES) is None


def test_unknown_serial(loaded):
    """One that no disk has is chosen, for one that comes, and it is said."""
    out = loaded.sh("virtio-lite persist on serial=later")
    assert "no disk has the serial number later now" in out
    out = loaded.sh("virtio-lite persist on serial=data")
    assert "no disk has" not in out


@pytest.mark.parametrize("word", ["'serial='", "'serial= '", "''",
                                  "'serial=a\nall'"])
def test_no_choice(loaded, word):
    complaint(loaded, f"virtio-lite persist on {word}")
    assert not loaded.read(CHOICES)


def test_written_by_hand(loaded):
    """The last line of the file may lack its end."""
    r = loaded
    r.write(CHOICES, "serial=other\nall")
    assert "chosen:      virtio_lite" in r.sh("virtio-lite status vdb")
    r.sh("virtio-lite persist on vdb")
    assert r.read(CHOICES) == f"serial=other\nall\n{BDF}\n"


@pytest.mark.parametrize("word, off", [
    ("virtio_lite=off", True), ("virtio-lite=off", True),
    ("virtio_lite=0", True), ("virtio_lite=official", False),
    ("not_virtio_lite=off", False), ("quiet", False)])
@pytest.mark.parametrize("line", ["{}", "root=/dev/vda1 {}", "{} quiet"])
def test_off(loaded, word, off, line):
    """Only with the word on the command line a boot leaves the disk alone."""
    r = loaded
    r.write(CHOICES, "all\n")
    r.write("tmp/cmdline", line.format(word) + "\n")
    r.sh("mount --bind /tmp/cmdline /proc/cmdline; mkdir -p /usr/lib/virtio-lite;"
         "cp /src/tools/lib/*.sh /src/tools/boot /usr/lib/virtio-lite/;"
         "/usr/lib/virtio-lite/boot")
    # The disk of this system changes no driver: the boot tries, and says so.
    assert ("does not take it" in r.read("dev/kmsg")) is not off
    assert (r.read("sys/bus/pci/drivers_probe") == "") is off


# -- persist -----------------------------------------------------------------

def test_persist(loaded):
    """Each initramfs has what is chosen, and forgets it."""
    r = loaded
    r.sh("virtio-lite persist on vdb")
    assert r.images() == {k: f"{BDF}\n" for k in r.kernels}
    r.sh("virtio-lite persist off")
    assert r.images() == {k: "none\n" for k in r.kernels}
    assert not (r.top / CHOICES).parent.exists()


@pytest.mark.parametrize("tool", ["update-initramfs", "dracut"])
@pytest.mark.parametrize("when", ["fail", "late"])
@pytest.mark.parametrize("failing", [0, 1])
def test_one_fails(loaded, failing, when, tool):
    """No room for one kernel's initramfs: all of them are as they were."""
    r = loaded
    if tool == "dracut":
        (r.top / "usr/local/sbin/update-initramfs").rename(
            r.top / "usr/local/sbin/dracut")
    r.write(f"tmp/{when}-{r.kernels[failing]}", "")
    line = complaint(r, "virtio-lite persist on --all")
    assert "the choice is as it was" in line
    assert not r.read(CHOICES)
    assert r.images() == {k: "none\n" for k in r.kernels}


def test_not_renewed(loaded):
    """A tool that does nothing, and calls it success: /boot is read-only, or
    update-initramfs.conf says no."""
    r = loaded
    r.write("tmp/idle", "")
    assert "the choice is as it was" in \
        complaint(r, "virtio-lite persist on --all")
    assert not r.read(CHOICES)


def test_copies(loaded):
    """What somebody keeps beside an initramfs is none."""
    r = loaded
    r.write(f"boot/initrd.img-{r.kernels[0]}.bak", "kept\n")
    r.sh("virtio-lite persist on --all")
    assert r.read(f"boot/initrd.img-{r.kernels[0]}.bak") == "kept\n"


@pytest.mark.parametrize("signal", ["INT", "HUP", "TERM"])
def test_interrupted(loaded, signal):
    """Ctrl-C, or a terminal that closes: as if it had not been begun."""
    r = loaded
    r.tool("update-initramfs", MAKES.replace("make()\n{", f"""make()
{{
    [ -e /tmp/again ] || {{ : >/tmp/again; kill -{signal} 0; }}"""))
    job = r.start("virtio-lite persist on --all", start_new_session=True)
    job.communicate(timeout=60)
    # The shell above it is gone by the signal.
    until(lambda: r.read("tmp/again") is not None and not r.read(CHOICES))
    assert r.images() == {k: "none\n" for k in r.kernels}


def test_two_at_a_time(loaded):
    """What one of them takes back is not the choice of the other."""
    r = loaded
    r.sh("mkfifo /tmp/hold")
    r.write(f"tmp/fail-{r.kernels[1]}", "")
    r.write("tmp/once", "")
    first = r.start("virtio-lite persist on --all")
    until(lambda: r.read("tmp/held") is not None)
    second = r.start("virtio-lite persist on vdb >/tmp/second 2>&1")
    # It waits; or it makes an initramfs at the same time.
    until(lambda: "waiting" in (r.read("tmp/second") or "") or
          len(r.read("tmp/calls").split()) > 1)
    (r.top / "tmp/hold").rename(r.top / "tmp/released")
    r.sh(": >/tmp/released")
    for job in first, second:
        job.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, 0)
    assert r.read(CHOICES) == f"{BDF}\n"


@pytest.mark.parametrize("how", [
    "mount --bind /etc /etc; mount -o remount,bind,ro /etc",
    "mount --bind /tmp/copy /etc/virtio-lite/disks"])
def test_not_written(loaded, how):
    """A choice that cannot be written is refused, and nothing is renewed."""
    r = loaded
    r.write(CHOICES, "all\n")
    r.write("tmp/copy", "all\n")
    for command in "on vdb", "off", "off --all":
        line = complaint(r, f"{how}; virtio-lite persist {command}")
        assert "cannot be written" in line
        assert r.read(CHOICES) == "all\n"
        assert r.read("tmp/calls") is None
        assert r.read(f"{CHOICES}.new") is None


# -- who has a disk open -----------------------------------------------------

# Registers a file of that name with a ring, and keeps the ring only.
RING = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))
if ring < 0:
    sys.exit(3)
fd = os.open(sys.argv[1], os.O_RDONLY)
files = (ctypes.c_int * 2)(-1, fd)
if libc.syscall(427, ring, 2, files, 2) < 0:
    sys.exit(3)
os.close(fd)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name, held", [("vdb", True), ("xvdb", False),
                                        ("vdb1", False)])
def test_ring(root, tmp_path, name, held):
    """A disk that is registered with a ring of io_uring, and not open else."""
    r = root
    r.disk(BDF, "vdb")
    (tmp_path / name).touch()
    with subprocess.Popen([sys.executable, "-c", RING, tmp_path / name],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as job:
        if job.stdout.readline() != "held\n":
            pytest.skip("this system allows no io_uring")
        said = f"vdb open in process {job.pid} ("
        assert (said in r.sh("virtio-lite list")) is held
        job.stdin.close()


def test_container(root):
    """Where the processes of others are not seen, nothing is said to be free."""
    r = root
    r.disk(BDF, "vdb")
    for command in "check vdb", "check", "bind vdb", "unbind vdb":
        line = complaint(r, "unshare --pid --fork sh -c 'mount -t proc none "
                         f"/proc; exec virtio-lite {command}'")
        assert "PID namespace" in line


# -- the initramfs ------------------------------------------------------------

# As initramfs-tools has it: no error of a copy is told. That of Debian 12 copies
# at once, and with what a module depends on.
COPIES = r"""
manual_add_modules()
{
    modprobe "$@" | while read -r what file _; do
        mkdir -p "$DESTDIR${file%/*}"
        cp "$file" "$DESTDIR$file" 2>/dev/null || continue
    done
}
"""
# That of Debian 13: mkinitramfs copies later.
COLLECTS = r"""
manual_add_modules()
{
    echo "$@" >>/tmp/collected
}
apply_add_modules() { false; }
"""
DEPENDS = r"""#!/bin/sh
for m; do
    case $m in
    virtio_blk) echo "builtin virtio"
        echo "insmod /lib/modules/6.1.0-9/virtio_ring.ko" ;;
    virtio_lite) ;;
    *) continue ;;
    esac
    echo "insmod /lib/modules/6.1.0-9/$m.ko"
done
"""
MODULES = ("virtio_ring", "virtio_blk", "virtio_lite")
LIB = "usr/lib/virtio-lite"
# What the initramfs has to have while all disks are chosen.
PARTS = ["scripts/init-top/0-virtio-lite", CHOICES,
         *(f"{LIB}/{n}" for n in ("disk.sh", "choice.sh", "boot.sh", "boot")),
         "usr/lib/udev/rules.d/59-virtio-lite.rules",
         *(f"lib/modules/6.1.0-9/{m}.ko" for m in MODULES)]


@pytest.fixture
def hooked(root):
    """With the hook of initramfs-tools, and a choice."""
    r = root
    for name in "usr/share", "usr/lib/udev":
        (r.top / name).unlink(missing_ok=True)
    r.write("usr/share/initramfs-tools/hook-functions", COPIES)
    r.tool("modprobe", DEPENDS)
    for m in MODULES:
        r.write(f"usr/lib/modules/6.1.0-9/{m}.ko", m * 5000)
    r.write("usr/lib/udev/rules.d/59-virtio-lite.rules", "# rule\n" * 300)
    r.write(CHOICES, "all\n")
    r.sh(f"mkdir -p /{LIB}; cp /src/tools/lib/*.sh /src/tools/boot /{LIB}/")
    return r


def hook(r, room):
    """(exit status, output, parts that are as they should be) of the hook in a
    file system of @room KiB, into which mkinitramfs copied the script."""
    status, out = r.status(f"""
        mkdir /tmp/initrd; mount -t tmpfs -o size={room}k none /tmp/initrd
        export DESTDIR=/tmp/initrd version=6.1.0-9 MODULESDIR=/lib/modules/6.1.0-9
        mkdir -p $DESTDIR/scripts/init-top
        cp /src/tools/initramfs/init-top $DESTDIR/{PARTS[0]}
        status=0; sh /src/tools/initramfs/hook || status=$?
        mkdir -p /{PARTS[0].rpartition('/')[0]}
        cp /src/tools/initramfs/init-top /{PARTS[0]}
        for f in {' '.join(PARTS)}; do
            ! cmp -s /$f $DESTDIR/$f || echo "has $f"; done
        umount /tmp/initrd; rmdir /tmp/initrd; exit $status""")
    lines = out.splitlines()
    return (status, [x for x in lines if not x.startswith("has ")],
            [x[4:] for x in lines if x.startswith("has ")])


def test_no_room(hooked):
    """An initramfs has all that a boot needs; or it is none, and it is said."""
    seen = []
    for room in range(16, 400, 12):
        status, out, has = hook(hooked, room)
        seen.append(status)
        if status:
            assert any(x.startswith("E: virtio-lite: cannot copy") and
                       "no room" in x for x in out), out
        else:
            assert (out, has) == ([], PARTS), room
    # With more room nothing fails that did not.
    assert set(seen) == {0, 1} and seen == sorted(seen, reverse=True)


def test_no_script(hooked):
    """mkinitramfs copied the script that runs at boot, and it has no text."""
    hooked.tool("cp", "#!/bin/sh\ncase $* in *init-top*) : >\"$2\" ;; "
                "*) exec /usr/bin/cp \"$@\" ;; esac\n")
    status, out, _ = hook(hooked, 1000)
    assert status == 1 and "cannot copy 0-virtio-lite" in out[-1]


def test_copied_later(hooked):
    """Debian 13 copies modules after the hooks: they are not missed here."""
    r = hooked
    r.write("usr/share/initramfs-tools/hook-functions", COLLECTS)
    status, out, has = hook(r, 1000)
    assert (status, out) == (0, [])
    assert has == [p for p in PARTS if not p.endswith(".ko")]
    assert r.read("tmp/collected") == "virtio_pci virtio_blk\nvirtio_lite\n"


# What dracut's module asks dracut for, as "hostonly: drivers".
ASKS = """
    instmods() { echo "${hostonly:-any host}: $*"; }
    hostonly=yes kernel=6.1.0-9 initdir=/tmp/initrd
    . /src/tools/dracut/module-setup.sh
    check && installkernel"""


@pytest.mark.parametrize("choice", ["all\n", None])
def test_dracut_drivers(root, choice):
    """For this host only, and while no disk is on it: upstream's driver is there,
    for no other module of dracut's need be."""
    r = root
    if choice:
        r.write(CHOICES, choice)
    assert r.sh(f"bash -c '{ASKS}'").splitlines() == [
        "any host: virtio_pci virtio_blk",
        *(["any host: -c virtio_lite"] if choice else [])]


# -- packages ----------------------------------------------------------------

# A script of dpkg's, of the package virtio-lite-tools.
SCRIPT = "sh /src/debian/virtio-lite-tools."


def test_removed_and_back(loaded):
    """Removed, a package leaves the choice; when it is back, it is in force.
    dpkg gives it the version that it had before."""
    r = loaded
    r.sh("virtio-lite persist on --all")
    r.sh(f"{SCRIPT}prerm remove; mv /etc/virtio-lite /etc/kept;"
         # What is made without the hook.
         f"mkdir /etc/virtio-lite; cp /etc/kept/disks /etc/virtio-lite/;"
         f"{SCRIPT}postrm remove")
    for k in r.kernels:
        r.write(f"boot/initrd.img-{k}", "none\n")
    r.sh(f"{SCRIPT}postinst configure 0.10.0")
    assert r.images() == {k: "all\n" for k in r.kernels}
    (r.top / "tmp/calls").unlink()
    # An upgrade renews nothing.
    r.sh(f"{SCRIPT}postinst configure 0.10.0")
    assert r.read("tmp/calls") is None


@pytest.mark.parametrize("tool", ["update-initramfs", "dracut"])
def test_removed(root, tool):
    """Removed while disks are on ours: until the next boot each initramfs has
    upstream's driver; one that cannot be made, and copies, stay."""
    r = root
    r.disk(BDF, "vdb", ours=True)
    if tool == "dracut":
        (r.top / "usr/local/sbin/update-initramfs").unlink()
        r.tool("dracut")
    else:
        r.tool("mkinitramfs")
    r.write(CHOICES, "all\n")
    r.write("boot/initrd.img-6.1.0-9.bak", "kept\n")
    r.write(f"tmp/fail-{r.kernels[1]}", "")
    out = r.sh(f"{SCRIPT}postrm remove")
    assert f"the initramfs of Linux {r.kernels[1]} is as it was" in out
    assert r.read("tmp/calls").split() == r.kernels
    assert r.images() == {"6.1.0-9": "all\n", "6.1.0-9.bak": "kept\n",
                          r.kernels[1]: "none\n"}
    assert [r.read(HOOK) is None, r.read(CONF) is None] == \
        [tool == "dracut", tool != "dracut"]
    if tool == "dracut":
        drivers = f"bash -c '. /{CONF}; echo $add_drivers'"
        assert r.sh(drivers).split() == ["virtio_pci", "virtio_blk"]
        for p in (r.top / "sys/bus/virtio-lite/devices").iterdir():
            p.unlink()
        assert r.sh(drivers).split() == []
        assert r.read(CONF) is None
    r.sh(f"{SCRIPT}postrm purge")
    assert not (r.top / "etc/virtio-lite").exists()


@pytest.mark.parametrize("newest, said", [
    ("6.1.0-9", "-u"), ("6.9.0-rc1", "-u -k 6.1.0-9")])
def test_renewed_once(root, newest, said):
    """dpkg's trigger renews the newest kernel's initramfs, and no other one."""
    r = root
    r.tool("update-initramfs", '#!/bin/sh\necho "$*" >>/tmp/calls\n'
           'touch /boot/initrd.img-*\n')
    r.tool("linux-version", "#!/bin/sh\nprintf '%s\\n' " + newest +
           " 6.1.0-9 | cat\n")
    r.tool("dkms", "#!/bin/sh\nexit 0\n")
    r.write(CHOICES, "all\n")
    r.write(f"boot/initrd.img-{newest}", "none\n")
    # Not in the order of versions as sort has it.
    r.write("boot/initrd.img-6.1.0-9.bak", "kept\n")
    (r.top / "usr/lib/modules/6.1.0-9/build/include").mkdir(parents=True)
    r.sh("DPKG_MAINTSCRIPT_PACKAGE=x /src/debian/dkms-build -r 6.1.0-9")
    assert r.read("tmp/calls") == said + "\n"


@pytest.mark.parametrize("why", ["configure", "abort-upgrade", "abort-remove"])
def test_built_again(root, why):
    """An upgrade that was given up: what it removed is built again."""
    r = root
    r.tool("dkms", '#!/bin/sh\necho "$*" >>/tmp/calls\n')
    r.tool("dpkg-query", "#!/bin/sh\nprintf 1.0\n")
    (r.top / "usr/lib/modules/6.1.0-9/build/include").mkdir(parents=True)
    r.sh("mkdir -p /usr/lib/virtio-lite; cp /src/debian/dkms-build "
         "/usr/lib/virtio-lite/; sh /src/debian/virtio-lite-dkms.postinst " + why)
    assert "install -m virtio-lite" in r.read("tmp/calls")


# -- from source -------------------------------------------------------------

def test_uninstall_knows_its_kernel(tmp_path):
    """Headers that are not prepared: no other kernel's module goes."""
    (tmp_path / "kdir").mkdir()
    (tmp_path / "kdir/Makefile").touch()
    module = tmp_path / "root/lib/modules/6.1/updates/virtio_lite.ko"
    module.parent.mkdir(parents=True)
    module.touch()
    got = subprocess.run(
        ["make", "-C", TREE, "uninstall", f"KDIR={tmp_path}/kdir",
         f"DESTDIR={tmp_path}/root"], capture_output=True, text=True)
    assert got.returncode and "which kernel this is" in got.stderr
    assert module.exists()


@pytest.mark.parametrize("ours, chosen", [(True, False), (False, True)])
def test_uninstall_while_in_force(root, ours, chosen):
    """The hooks stay as long as the next boot may need them."""
    r = root
    r.disk(BDF, "vdb", ours=ours)
    if chosen:
        r.write(CHOICES, "all\n")
    r.tool("rm", "#!/bin/sh\n: >/tmp/removed\n")
    status, out = r.status("make -C /src/tools uninstall")
    assert status and "persist off and reboot first" in out
    assert r.read("tmp/removed") is None
