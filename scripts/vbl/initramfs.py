# SPDX-License-Identifier: GPL-2.0
"""What a guest boots from: uncompressed cpio segments, one after another.

base     busybox and the folders; the same for every kernel
modules  the kernel's own modules, uncompressed, with their dependencies
run      init, agent, guest library, virtio_lite.ko, self-tests, extra files

Programs that drag in many libraries (fio has sixty) are kept out of memory:
they live in a read-only image that the guest sees as an NVMe disk and mounts
at the first use of one of them.
"""

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import cache, tree
from .cpio import Cpio
from .errors import SetupError
from .kernel import run_command
from .kernel_folder import unpack_zstd

GUEST_FILES = tree.TREE / "scripts" / "in-guest"

# In every guest where the kernel has them; more by Guest(modules=[...]).
DEFAULT_MODULES = (
    "virtio_pci", "virtio_blk", "nvme", "ext4", "null_blk", "loop",
    "crc32c_generic", "crc64_rocksoft_generic", "crct10dif_generic",
)

# On the tools image, each reachable by its plain name in the guest.
TOOLS = (
    "fio", "mkfs.ext4", "e2fsck", "debugfs", "dumpe2fs", "resize2fs",
    "blkdiscard", "blkzone", "lsblk", "sfdisk", "wipefs",
    "fallocate", "lspci", "setpci",
)
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# What a signed module ends in.
SIGNED = b"~Module signature appended~\n"

# Whatever this file does is an input of what it makes.
_SELF = cache.file_hash(__file__)


def _which(name):
    return shutil.which(name, path=TOOL_PATH)


def tool(name):
    """Path of a host program, also when the user's PATH lacks sbin."""
    path = _which(name)
    if not path:
        raise SetupError(f"{name} is missing; run scripts/setup")
    return path


def busybox_program():
    for name in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(name):
            with open(name, "rb") as f:
                if b"/ld-linux" in f.read(4096):
                    raise SetupError(f"{name} is not static; install "
                                     "busybox-static (scripts/setup)")
            return name
    raise SetupError("busybox is missing; run scripts/setup")


def agent_program():
    """Path of the program that serves the host."""
    source = GUEST_FILES / "agent.c"
    command = [os.environ.get("CC", "gcc"), "-O2", "-Wall", "-static"]

    def make(folder):
        run_command([*command, "-o", str(folder / "agent"), str(source)])

    return cache.entry("agent", [command, cache.file_hash(source)], make) / \
        "agent"


def _base(out, busybox, agent, applets):
    c = Cpio(out)
    for d in ("proc", "sys", "dev", "tmp", "run", "mnt", "root", "etc", "sbin",
              "usr/bin", "usr/sbin", "tools", "lib"):
        c.folder(d)
    c.chardev("dev/console", 5, 1)
    # What a mount without -t tries, loading the module for it.
    c.file("etc/filesystems", "ext4\n")
    c.copy("bin/busybox", busybox, 0o755)
    c.copy("lib/vbl/agent", agent, 0o755)
    for a in applets:
        if a != "busybox":
            c.symlink(f"bin/{a}", "busybox")
    # The kernel asks for this exact path when it wants a module.
    c.symlink("sbin/modprobe", "../bin/busybox")
    return c


def base():
    """Path of the base segment."""
    busybox, agent = busybox_program(), agent_program()

    def make(folder):
        applets = subprocess.run([busybox, "--list"], capture_output=True,
                                 text=True, check=True).stdout.split()
        with open(folder / "base.cpio", "wb") as f:
            c = _base(f, busybox, agent, [a for a in applets
                                          if a not in TOOLS])
            # Dynamic programs find their libraries once /tools is mounted.
            for lib in ("lib64", "lib/x86_64-linux-gnu",
                        "usr/lib/x86_64-linux-gnu"):
                c.symlink(lib, "/tools/" + lib.replace("usr/", ""))
            for tool in TOOLS:
                c.symlink(f"bin/{tool}", "/lib/vbl/tool")
            c.close()

    return cache.entry("base", [_SELF, cache.file_stamp(busybox),
                                cache.file_stamp(agent), TOOLS], make) / \
        "base.cpio"


def foreign_base(busybox, agent):
    """Path of the base segment of another architecture, without the tools."""
    def make(folder):
        with open(folder / "base.cpio", "wb") as f:
            _base(f, busybox, agent, applets_of(busybox)).close()

    return cache.entry("base", [_SELF, cache.file_stamp(busybox),
                                cache.file_stamp(agent)], make) / "base.cpio"


def applets_of(busybox):
    """Names of the applets of a busybox that cannot run here."""
    # They stand one after another, sorted, and an empty one ends them.
    found = re.search(rb"\0(\[\0\[\[\0(?:[\w.-]+\0)+)",
                      Path(busybox).read_bytes())
    if not found:
        raise SetupError(f"{busybox}: the names of its applets are not found")
    return found[1].decode().strip("\0").split("\0")


def _clean(name):
    return re.sub(r"\.ko(\.xz|\.zst|\.gz)?$", "", os.path.basename(name)) \
        .replace("-", "_")


def _closure(kernel, wanted, optional):
    """Paths of the wanted modules and everything they need."""
    deps, path = {}, {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        path[_clean(name)] = name
        deps[_clean(name)] = [_clean(d) for d in rest.split()]
    soft = {}
    softdep = kernel.modules / "modules.softdep"
    if softdep.exists():
        for line in softdep.read_text().splitlines():
            words = line.split()
            if len(words) > 2 and words[0] == "softdep":
                soft.setdefault(words[1].replace("-", "_"), []).extend(
                    w.replace("-", "_") for w in words[2:]
                    if not w.endswith(":"))
    todo, seen = list(wanted), set()
    while todo:
        name = _clean(todo.pop())
        if name in seen or name in kernel.builtin:
            continue
        if name not in path:
            if name in (_clean(w) for w in wanted) and name not in optional:
                raise SetupError(f"kernel {kernel} has no module {name}")
            continue
        seen.add(name)
        todo += deps[name] + soft.get(name, [])
    return sorted(path[n] for n in seen)


def _plain(path):
    """A module's bytes, decompressed: the guest need not spend the time."""
    data = Path(path).read_bytes()
    if path.name.endswith(".xz"):
        data = lzma.decompress(data)
    if path.name.endswith(".zst"):
        data = unpack_zstd(data)
    return _unsigned(data)


def _unsigned(data):
    """A module without its signature, which takes a guest long to check."""
    if not data.endswith(SIGNED):
        return data
    # Before the words stands a header, whose last four bytes are a length.
    end = len(data) - len(SIGNED)
    return data[:end - 12 - int.from_bytes(data[end - 4:end], "big")]


def modules(kernel, extra=()):
    """Path of the segment with the kernel's modules."""
    wanted = [*DEFAULT_MODULES, *extra]
    optional = {_clean(m) for m in DEFAULT_MODULES} - \
        {_clean(m) for m in extra}
    source = kernel.modules

    def make(folder):
        stage = folder / "stage" / "lib" / "modules" / kernel.release
        for name in _closure(kernel, wanted, optional):
            target = stage / re.sub(r"\.(xz|zst|gz)$", "", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_plain(source / name))
        for name in ("modules.builtin", "modules.order",
                     "modules.builtin.modinfo"):
            if (source / name).exists():
                shutil.copy(source / name, stage / name)
        run_command(["depmod", "-b", str(folder / "stage"), kernel.release])
        with open(folder / "modules.cpio", "wb") as f:
            c = Cpio(f)
            for p in sorted((folder / "stage").rglob("*")):
                if p.is_file() and not p.name.endswith(".bin"):
                    c.copy(str(p.relative_to(folder / "stage")), p, 0o644)
            c.close()
        shutil.rmtree(folder / "stage")

    return cache.entry("modules", [_SELF, kernel.release, sorted(wanted),
                                   cache.file_stamp(source / "modules.dep")],
                       make, kernel.release) / "modules.cpio"


def _libraries(binary):
    got = subprocess.run(["ldd", binary], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", got.stdout)


def make_ext4(folder, image, *size):
    """Make an ext4 file system without a journal of what is in a folder."""
    run_command([tool("mkfs.ext4"), "-q", "-F", "-O", "^has_journal",
                 "-d", str(folder), str(image), *size])


def make_image(image, files):
    """A read-only ext4 image with {path on it: file or folder}.

    What a file needs of libraries comes along.
    """
    with tempfile.TemporaryDirectory(dir=image.parent) as stage:
        files = dict(files)
        for path in [p for p in files.values() if p.is_file()]:
            for lib in _libraries(path):
                files[lib.lstrip("/").replace("usr/lib", "lib")] = Path(lib)
        for name, path in files.items():
            target = Path(stage) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, symlinks=True)
            else:
                shutil.copy(path, target)
        size = sum(p.stat().st_size for p in Path(stage).rglob("*")
                   if p.is_file())
        with open(image, "wb") as f:
            f.truncate(size * 5 // 4 + (8 << 20))
        Path(stage).chmod(0o755)
        make_ext4(stage, image)


def tools_image():
    """A read-only ext4 image with TOOLS and their libraries."""
    found = {t: _which(t) for t in TOOLS}
    found = {t: p for t, p in found.items() if p}
    tool("fio")

    def make(folder):
        make_image(folder / "tools.img",
                   {f"bin/{t}": Path(p) for t, p in found.items()})

    stamps = [[t, cache.file_stamp(p)] for t, p in sorted(found.items())]
    return cache.entry("tools", [_SELF, stamps], make) / "tools.img"


def run_segment(out, ko=None, files=None):
    """Write the segment that belongs to one run to the open file @out."""
    c = Cpio(out)
    c.copy("init", GUEST_FILES / "init", 0o755)
    c.copy("lib/vbl/tool", GUEST_FILES / "tool", 0o755)
    c.copy("lib/vbl.sh", GUEST_FILES / "vbl.sh", 0o644)
    command = tree.TREE / "tools"
    c.copy("bin/virtio-lite", command / "virtio-lite", 0o755)
    c.symlink("bin/bind-lite", "virtio-lite")
    for path in sorted((command / "lib").iterdir()):
        c.copy(f"usr/lib/virtio-lite/{path.name}", path, 0o644)
    c.copy("usr/lib/virtio-lite/boot", command / "boot", 0o755)
    if ko:
        c.copy("virtio_lite.ko", ko, 0o644)
    tests = tree.TREE / "selftests"
    for name in tree.sources(tests) if tests.is_dir() else ():
        if not name.startswith(("host/", "unit/", "fuzz/")):
            c.copy(f"selftests/{name}", tests / name)
    for name, path in sorted((files or {}).items()):
        c.copy(name, path)
    c.close()


def initrd(kernel, ko=None, extra_modules=(), files=None, folder=None,
           first=None):
    """One file with all segments, in @folder; the caller removes it.

    first       the base segment, of another architecture
    """
    fd, path = tempfile.mkstemp(prefix="initrd-", dir=folder)
    with os.fdopen(fd, "wb") as out:
        for part in (first or base(), modules(kernel, extra_modules)):
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out, 1 << 20)
        run_segment(out, ko, files)
    return Path(path)
