# SPDX-License-Identifier: GPL-2.0
"""A guest of another architecture: commands run in it as in any other."""

from vbl import Guest, qemu
from vbl.guest import COMMON
from vbl.initramfs import foreign_base

from . import kernels


class Foreign(Guest):
    """A guest of a machine; see Guest for the options.

    kernel      a Kernel of that architecture
    ko          the module that was built for it
    """

    def __init__(self, machine, kernel, disks=(), **options):
        super().__init__(kernel, disks, tools=False, mem=1024,
                         timeout=900 * machine.slow, **options)
        self.of = machine
        self.PORT = machine.port
        self.scale *= machine.slow

    def _check(self):
        qemu.version(self.of.command())

    def _argv(self):
        of = self.of
        initrd = self._initrd(foreign_base(
            kernels.busybox(of), kernels.agent(of, self.kernel)))
        append = f"{of.append} {COMMON} {self.append}".strip()
        argv = [of.command(), "-accel", "tcg", *of.machine,
                "-smp", str(self.smp), "-m", str(self.mem),
                "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", "-kernel", str(self.kernel.image),
                "-initrd", str(initrd), "-append", append,
                "-chardev", f"file,id=vblcon,path={self.folder / 'console'}",
                *of.console]
        for n, d in enumerate(self.disks):
            d.bus = of.bus
            d.place(n, "")
            d.bdf = f"0000:00:{int(d.addr, 16):02x}.0"
            if of.zpci:
                # The guest sees each function in a domain of its own.
                d.bdf = f"{n + 1:04x}:00:00.0"
                argv += ["-device", f"zpci,uid={n + 1},fid={n + 1},"
                         f"target={d.id}"]
            argv += d.args(self.folder)
        return argv
