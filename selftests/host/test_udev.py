# SPDX-License-Identifier: GPL-2.0
"""A Debian system sees the same disks: which module udev loads once ours is
installed, and the links and properties that disks of ours get."""

import re
import shutil
import subprocess

import pytest
from vbl import TREE, Disk, debian, initramfs, tree

RULE = "usr/lib/udev/rules.d/59-virtio-lite.rules"

# What differs from one disk to the next of the same driver.
# Links that several of these disks would have: which one gets it is a race.
SHARED = re.compile(r"^(by-(?:uuid|label|partuuid)/\S+) \S+$", re.M)
COUNTED = re.compile(r"(DISKSEQ=|USEC_INITIALIZED=|MAJOR=|DISK=|by-diskseq/)\d+")


def make(folder, *words):
    got = subprocess.run(["make", "-C", folder, *words], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert got.returncode == 0, got.stdout
    return got.stdout


@pytest.fixture(scope="module")
def installed(kernel, tmp_path_factory):
    """(tree, root): what make install puts below another root."""
    if kernel.foreign or kernel.debug:
        pytest.skip("make builds for this kernel only in the harness")
    copy, root = (tmp_path_factory.mktemp(n) for n in ("tree", "root"))
    for name in tree.sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, copy / name)
    make(copy, "install", f"KDIR={kernel.headers}", f"DESTDIR={root}")
    return copy, root


def files(root):
    """What is there but for depmod's own files."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*")
                  if p.is_file() and not p.name.startswith("modules."))


def test_install(installed, kernel):
    """Two files, for exactly this kernel, and no alias to load it by."""
    root = installed[1]
    got = files(root)
    assert len(got) == 2 and got[1] == RULE
    assert re.fullmatch(rf"lib/modules/{re.escape(kernel.release)}/"
                        r"(updates|extra)/virtio_lite\.ko(\.xz|\.zst)?", got[0])
    modinfo = initramfs.tool("modinfo")
    out = subprocess.run([modinfo, root / got[0]], capture_output=True,
                         text=True, check=True).stdout
    assert "vermagic" in out and "alias:" not in out
    aliases = root / f"lib/modules/{kernel.release}/modules.alias"
    assert "virtio_lite" not in aliases.read_text()


def test_uninstall(installed, kernel, tmp_path):
    """The module goes; the rule with that of the last kernel."""
    root = tmp_path / "root"
    shutil.copytree(installed[1], root)
    other = root / "lib/modules/0.1/updates/virtio_lite.ko"
    other.parent.mkdir(parents=True)
    other.touch()
    words = ["uninstall", f"KDIR={kernel.headers}", f"INSTALL_MOD_PATH={root}"]
    make(installed[0], *words)
    assert files(root) == [str(other.relative_to(root)), RULE]
    other.unlink()
    make(installed[0], *words)
    assert files(root) == []


def carried(installed):
    """The installed files, for a guest."""
    root = installed[1]
    return {("stage/" + name): root / name for name in files(root)}


# The module where make install puts it, the rule where this image can be written.
INSTALL = debian.START + """
    mkdir -p /lib/modules/$(uname -r)/updates
    cp /stage/lib/modules/*/*/virtio_lite.ko* /lib/modules/$(uname -r)/updates/
    cp /stage/usr/lib/udev/rules.d/* /tools/etc/udev/rules.d/
"""


@pytest.mark.full
@pytest.mark.parametrize("suite", ["bookworm"])
def test_not_loaded(boot, kernel, installed, suite):
    """Installed, and the system boots: upstream's has every disk."""
    late = Disk(hotplug=True)
    g = boot(kernel=kernel, driver=None, tools=debian.image(suite),
             disks=[Disk(transport="legacy"), Disk(transport="modern"), late],
             files=carried(installed))
    g.sh(INSTALL + debian.COLDPLUG, timeout=120)
    g.plug(late)
    g.sh("wait_for 30 sh -c '. /lib/vbl.sh; [ $(vbl_disks | wc -l) = 3 ]'")
    g.sh(debian.START + "debian udevadm settle --timeout=60", timeout=90)
    for n in range(2):
        assert g.sh(f"pci_driver {g.bdf(n)}; virtio_driver {g.bdf(n)}") == \
            "virtio-pci\nvirtio_blk\n"
    assert g.sh("for b in $(vbl_disks); do pci_driver $b; done") == \
        "virtio-pci\n" * 3
    assert "virtio_lite" not in g.sh("lsmod")
    # It is there for who asks, and takes nothing that is somebody's.
    g.sh(debian.START + "debian modprobe virtio_lite")
    assert "virtio_lite" in g.sh("lsmod")
    assert g.sh("for b in $(vbl_disks); do pci_driver $b; done") == \
        "virtio-pci\n" * 3


def partitioned(path, n):
    """An image with two partitions, the first with a file system."""
    sector = bytearray(512)
    for at, (start, count) in ((446, (2048, 16384)), (462, (32768, 16384))):
        sector[at:at + 16] = b"\0\0\0\0\x83\0\0\0" + \
            start.to_bytes(4, "little") + count.to_bytes(4, "little")
    sector[440:444], sector[510:512] = bytes([n, 2, 3, 4]), b"\x55\xaa"
    with open(path, "wb") as f:
        f.truncate(32 << 20)
    subprocess.run([initramfs.tool("mkfs.ext4"), "-q", "-F", "-L",
                    f"label {n}", "-U", f"{n:08}-1111-2222-3333-444444444444",
                    "-E", "offset=1048576", path, "8M"],
                   check=True)
    with open(path, "r+b") as f:
        f.write(sector)
    return path


SEEN = debian.START + r"""
    cd /dev/disk &&
    for l in by-diskseq/*; do echo "by-diskseq $(readlink "$l")"; done | sort &&
    for l in by-[!d]*/*; do echo "$l $(readlink "$l")"; done
    for b in $(cd /sys/class/block && echo vd*); do
        echo; debian udevadm info --query=property --name=$b |
            while read -r p; do
                [ "${p#DEVLINKS=}" = "$p" ] || p=$(echo "$p" | sed 's/=/=\n/' |
                    tr ' ' '\n' | sed 's,diskseq/[0-9]*,diskseq/#,' | sort)
                echo "$p"
            done | sort
    done
"""


def seen(g):
    """Every link, and every property of every disk and partition."""
    out = SHARED.sub(r"\1", g.sh(SEEN, timeout=90))
    return COUNTED.sub(r"\1#", out).splitlines()


def differences(one, other):
    """Lines that only one of the two has."""
    return sorted({f"- {x}" for x in one if x not in other} |
                  {f"+ {x}" for x in other if x not in one})


def disks(tmp_path):
    def image(n):
        return partitioned(tmp_path / f"{n}.raw", n)

    return [
        Disk(image(0), transport="legacy", serial="twenty-bytes-of-name"),
        Disk(image(1), transport="modern", serial="with  two spaces "),
        Disk(image(2), transport="modern", serial="a/slash/../x", packed=True),
        Disk(image(3), transport="transitional"),
        Disk(transport="modern", root_port=True, serial="behind a port"),
    ]


@pytest.mark.parametrize("suite", [
    "bookworm", pytest.param("trixie", marks=pytest.mark.full),
    pytest.param("sid", marks=pytest.mark.full)])
def test_links(boot, kernel, installed, suite, tmp_path):
    """Link by link and property by property as with upstream's driver: after a
    move with udev running, and after a boot."""
    g = boot(kernel=kernel, driver=None, tools=debian.image(suite),
             disks=disks(tmp_path), files=carried(installed))
    g.sh("vbl_load_upstream")
    g.sh(INSTALL + debian.COLDPLUG, timeout=120)
    theirs = seen(g)
    # What is compared is there at all.
    bdf = g.bdf(0)
    for link in (f"by-path/pci-{bdf} ../../vda", "by-uuid/00000001-",
                 f"by-path/pci-{bdf}-part2 ../../vda2", "by-diskseq ../../vda",
                 "by-id/virtio-twenty-bytes-of-name ../../vda"):
        assert any(line.startswith(link) for line in theirs), \
            "\n".join([link, "", *theirs])
    g.sh("vbl_load && vbl_take_all", timeout=60)
    g.sh(debian.START + "debian udevadm settle --timeout=60", timeout=90)
    assert differences(theirs, seen(g)) == []
    g.sh(debian.COLDPLUG, timeout=120)
    assert differences(theirs, seen(g)) == []
    # Nothing of it is left when the disk is gone.
    g.sh("vbl_unload")
    g.sh(debian.START + "debian udevadm settle --timeout=60", timeout=90)
    assert "vd" not in g.sh("find /dev/disk -type l")
