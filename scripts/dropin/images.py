# SPDX-License-Identifier: GPL-2.0
"""Images of Debian systems that boot by themselves, made without root.

A seed is the system of a suite as mmdebstrap makes it, in a file system. A
guest boots it with its own kernel and installs itself onto a disk: partitions,
the file system of the root, GRUB. What is booted afterwards is on that disk
only. Everything is Debian's, but for the program that serves the host over the
second serial port, a command line for the kernel, timers that need a network,
and how hard an initramfs is compressed, which is the user's choice.
"""

import dataclasses
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from vbl import Disk, SetupError, cache, initramfs, suites

from .system import System

# What a server has, and what building a module needs.
PACKAGES = ("systemd-sysv,udev,dbus,kmod,initramfs-tools,zstd,grub-pc-bin,"
            "grub2-common,dkms,e2fsprogs,fdisk,lvm2,cryptsetup-initramfs,"
            "xfsprogs,btrfs-progs,pciutils,procps,linux-image-amd64,"
            "linux-headers-amd64")
# The kernel that a system is upgraded to.
NEXT = {"bookworm": "bookworm-backports", "trixie": "trixie-backports",
        "sid": "experimental"}
ROOTS = ("ext4", "lvm", "xfs", "btrfs", "luks")
SIZE = "6G"
SEED_BYTES = 5 << 30

# Half of an emulated boot is spent on the first five.
APPEND = ("console=ttyS0,115200 panic=-1 mitigations=off tsc=reliable "
          "no_timer_check cryptomgr.notests initcall_blacklist=jent_mod_init,"
          "crypto_kdf108_init,init_encrypted random.trust_cpu=on "
          "systemd.show_status=0")
AGENT = "usr/local/sbin/vbl-agent"
# GRUB reads the variable from its environment: a word for the next boot.
FILES = {
    "etc/systemd/system/vbl-agent.service": """[Unit]
Description=Serves the host of the test
After=local-fs.target systemd-udev-settle.service
[Service]
ExecStart=/usr/local/sbin/vbl-agent
RuntimeDirectory=vbl
KillMode=process
[Install]
WantedBy=multi-user.target
""",
    "etc/default/grub.d/vbl.cfg": f"""GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_CMDLINE_LINUX="{APPEND} \\${{vbl_once}}"
GRUB_DISABLE_OS_PROBER=true
""",
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1 localhost debian\n",
    "etc/fstab": "",
}
LINKS = {
    "etc/systemd/system/multi-user.target.wants/vbl-agent.service":
        "/etc/systemd/system/vbl-agent.service",
    **{f"etc/systemd/system/{unit}": "/dev/null" for unit in (
        "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
        "e2scrub_all.timer", "fstrim.timer", "serial-getty@ttyS0.service",
        "systemd-networkd-wait-online.service")},
}
# Packages that are fetched for later, by folder, and from where.
LATER = {
    "kernel": "linux-image-amd64 linux-headers-amd64",
    "small": "hello",
    "dracut": "dracut",
    "secure": "shim-signed grub-efi-amd64-signed grub-efi-amd64-bin mokutil "
              "efibootmgr openssl",
    "software": "postgresql sqlite3 fio blktrace kdump-tools stress-ng",
}


@dataclasses.dataclass(frozen=True)
class Seed:
    """A suite's system: file system image, kernel and initramfs, packages."""

    folder: Path

    @property
    def image(self):
        """The root file system."""
        return self.folder / "root.img"

    @property
    def packages(self):
        """An image with the packages that are installed later."""
        return self.folder / "packages.img"

    def _boot(self, name):
        return next(self.folder.glob(f"{name}-*"))

    @property
    def kernel(self):
        """The kernel of the system."""
        return self._boot("vmlinuz")

    @property
    def initrd(self):
        """Its initramfs."""
        return self._boot("initrd.img")


def _fetch(suite):
    """A hook for mmdebstrap: what is installed later, fetched into /later."""
    lines = [f"deb {suites.sources(NEXT[suite])[-1].split()[1]} {NEXT[suite]} "
             "main"]
    run = ["set -e", 'cd "$1"', "mkdir -p later"]
    run.append(f"echo {shlex.quote(lines[0])} >etc/apt/sources.list.d/next.list")
    get = "chroot . apt-get -y -o APT::Sandbox::User=root " \
        "-o Acquire::Check-Valid-Until=false"
    run.append(f"{get} update")
    for name, packages in LATER.items():
        folder = f"/later/{name}"
        where = f"-t {NEXT[suite]}" if name == "kernel" else ""
        run.append(f"mkdir -p .{folder}/partial && {get} "
                   f"-o Dir::Cache::Archives={folder} "
                   "--no-install-recommends --download-only "
                   f"{where} install {packages}")
    run += ["rm etc/apt/sources.list.d/next.list",
            "rm -rf later/*/partial later/*/lock"]
    return "\n".join(run)


def _complete(root):
    """Put into the folder @root what a guest needs that is not Debian's."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, target in LINKS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    shutil.copy(initramfs.agent_program(), root / AGENT)
    for name in ("dev", "packages"):
        (root / name).mkdir(exist_ok=True)


def stage(folder, root):
    """In the folder of a seed: what the tree @root becomes."""
    _complete(root)
    for name in ("vmlinuz", "initrd.img"):
        for path in (root / "boot").glob(f"{name}-*"):
            shutil.copy(path, folder)
    later = folder / "later"
    (root / "later").rename(later)
    for deb in (later / "kernel").glob("*.deb"):
        _decompress(deb, folder / "deb")
    mkfs = [initramfs.tool("mkfs.ext4"), "-q", "-F", "-O", "^has_journal",
            "-E", "root_owner=0:0"]
    for source, image, size in (
            (root, "root.img", SEED_BYTES),
            (later, "packages.img", (_size(later) // 3 * 4 >> 20) + 16 << 20)):
        with open(folder / image, "wb") as f:
            f.truncate(size)
        subprocess.run([*mkfs, "-d", source, folder / image], check=True)
        shutil.rmtree(source)


def _decompress(deb, folder):
    """The same package without compression, which takes a guest minutes."""
    subprocess.run(["dpkg-deb", "-R", deb, folder], check=True)
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder, deb], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)


def _size(folder):
    return sum(p.lstat().st_size for p in folder.rglob("*"))


def _archive(suite):
    """A suite's system as mmdebstrap makes it, and packages for later."""
    def make(folder):
        print(f"installing Debian {suite} into {cache.root()}", flush=True)
        if not shutil.which("mmdebstrap"):
            raise SetupError("mmdebstrap not found; run scripts/setup")
        got = subprocess.run(
            ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}",
             '--aptopt=Acquire::Check-Valid-Until "false"',
             *[f"--dpkgopt=path-exclude=/usr/share/{d}/*"
               for d in ("doc", "locale", "info")],
             f"--customize-hook={_fetch(suite)}", "--skip=output/dev",
             suite, str(folder / "root.tar"), *suites.sources(suite)],
            capture_output=True, text=True)
        if got.returncode:
            raise SetupError(f"cannot install Debian {suite}:\n"
                             + "\n".join(got.stderr.splitlines()[-30:]))

    return cache.entry("dropin-archive",
                       [suite, PACKAGES, NEXT[suite], LATER], make,
                       suite) / "root.tar"


def seed(suite):
    """The seed of a suite, made now when it is missing."""
    archive = _archive(suite)

    def make(folder):
        # Owners are kept: those of the archive, also where nobody is root.
        command = [] if os.getuid() == 0 else ["fakeroot"]
        subprocess.run(
            [*command, "python3", "-c", UNPACK, str(Path(__file__).parents[1]),
             str(archive), str(folder)], check=True)

    inputs = [archive.parent.name, FILES, LINKS, SEED_BYTES, "kernel -Znone",
              cache.file_stamp(initramfs.agent_program())]
    return Seed(cache.entry("dropin-seed", inputs, make, suite))


# One process, for a fakeroot forgets owners when it ends.
UNPACK = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from dropin import images
folder = Path(sys.argv[3])
root = folder / "root"
root.mkdir()
subprocess.run(["tar", "-C", root, "-xpf", sys.argv[2], "--numeric-owner"],
               check=True)
images.stage(folder, root)
"""


# -- the system installs itself ----------------------------------------------

# Partition 1 is for GRUB; the others by the kind of root.
TABLES = {
    "ext4": "size=4G\nsize=1G,type=S\n",
    "lvm": "type=V\n",
    "xfs": "\n", "btrfs": "\n",
    "luks": "size=512M\n\n",
}
# The last line of each leaves the root's device in $root, and its kind.
FORMAT = {
    "ext4": """mkfs.ext4 -q -F ${d}2; mkswap -q ${d}3
        fs=ext4 root=${d}2 swap=${d}3""",
    "xfs": "mkfs.xfs -q -f ${d}2; fs=xfs root=${d}2",
    "btrfs": "mkfs.btrfs -q -f ${d}2; fs=btrfs root=${d}2",
    "lvm": """pvcreate -q ${d}2; vgcreate -q system ${d}2
        lvcreate -q -y -n root -l 80%VG system
        mkfs.ext4 -q -F /dev/system/root; fs=ext4 root=/dev/system/root""",
    "luks": """mkfs.ext4 -q -F ${d}2; boot=${d}2
        printf secret >/root/key; chmod 600 /root/key
        cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
            ${d}3 /root/key
        cryptsetup open --key-file /root/key ${d}3 cryptroot
        mkfs.ext4 -q -F /dev/mapper/cryptroot
        fs=ext4 root=/dev/mapper/cryptroot crypt=${d}3""",
}
INSTALL = """
set -ex
export DEBIAN_FRONTEND=noninteractive
d=/dev/vda boot= swap= crypt=
printf 'label: gpt\nsize=4M,type=21686148-6449-6E6F-744E-656564454649\n{table}' |
    sfdisk -q $d
udevadm settle
{format}
uuid() {{ blkid -s UUID -o value $1; }}
mount $root /mnt
[ -z "$boot" ] || {{ mkdir /mnt/boot; mount $boot /mnt/boot; }}
cp -ax /. /mnt/
cp -a /dev/console /dev/null /mnt/dev/ || true
rm -f /mnt/etc/machine-id /mnt/root/key /mnt/var/log/journal -r
: >/mnt/etc/machine-id
{{
    [ {kind} = lvm ] && echo "$root / ext4 errors=remount-ro 0 1" ||
        {{ [ -n "$crypt" ] && echo "$root / ext4 errors=remount-ro 0 1"; }} ||
        echo "UUID=$(uuid $root) / $fs defaults 0 $([ $fs = ext4 ] && echo 1 || echo 0)"
    [ -z "$boot" ] || echo "UUID=$(uuid $boot) /boot ext4 defaults 0 2"
    [ -z "$swap" ] || echo "UUID=$(uuid $swap) none swap sw 0 0"
}} >/mnt/etc/fstab
if [ -n "$crypt" ]; then
    install -D -m 600 /root/key /mnt/etc/keys/root.key
    echo "cryptroot UUID=$(uuid $crypt) /etc/keys/root.key luks,discard" \
        >/mnt/etc/crypttab
    echo 'KEYFILE_PATTERN="/etc/keys/*.key"' \
        >>/mnt/etc/cryptsetup-initramfs/conf-hook
    echo UMASK=0077 >/mnt/etc/initramfs-tools/conf.d/umask
fi
[ -z "$swap" ] || echo "RESUME=UUID=$(uuid $swap)" \
    >/mnt/etc/initramfs-tools/conf.d/resume
echo COMPRESSLEVEL=1 >/mnt/etc/initramfs-tools/conf.d/level
[ {modules} = most ] || echo MODULES={modules} \
    >/mnt/etc/initramfs-tools/conf.d/modules
# Slaves: else the umount below takes what is in them from this system, too.
for f in dev proc sys run; do mount --rbind --make-rslave /$f /mnt/$f; done
chroot /mnt update-initramfs -u
chroot /mnt grub-install --target=i386-pc $d
chroot /mnt update-grub
chroot /mnt grub-editenv - create
sync
umount -R -l /mnt
"""


def install_script(kind, modules):
    """What a seed runs to install itself onto a disk."""
    return INSTALL.format(kind=kind, modules=modules, format=FORMAT[kind],
                          table=TABLES[kind].replace("\n", "\\n"))


def system(suite, kind, modules="dep"):
    """(image of a disk with an installed system, seed).

    modules  which ones an initramfs has: "dep", what this machine needs; or
             "most", as Debian has it, with which an emulated guest needs
             minutes for each initramfs
    """
    if suite not in NEXT or kind not in ROOTS:
        raise SetupError(f"{suite} {kind}: suites are {', '.join(NEXT)}, "
                         f"roots are {', '.join(ROOTS)}")
    s = seed(suite)

    def make(folder):
        print(f"Debian {suite} installs itself onto a disk ({kind})",
              flush=True)
        disk = folder / "new.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, SIZE],
                       check=True)
        with System(
                [Disk(disk, transport="modern", serial="root")],
                direct=(s.kernel, s.initrd, f"root=/dev/nvme0n1 rw {APPEND}"),
                devices=[f"-drive if=none,id=seed,format=raw,snapshot=on,file="
                         f"{s.image}", "-device nvme,serial=seed,drive=seed"],
                timeout=1800) as g:
            print(f"booted in {g.boot_seconds:.0f} s", flush=True)
            g.sh(install_script(kind, modules), timeout=1200)
            g.shut_down()
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk,
                        folder / "disk.qcow2"], check=True)
        disk.unlink()

    # The seed's name stands for all that it is made of.
    inputs = [s.folder.name, SIZE, install_script(kind, modules)]
    return cache.entry("dropin", inputs, make, f"{suite}-{kind}") / \
        "disk.qcow2", s


def overlay(image, path, kind="qcow2"):
    """A fresh image at @path that begins as @image; returns @path."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind,
                    "-b", image, path], check=True)
    return path
