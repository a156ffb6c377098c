# SPDX-License-Identifier: GPL-2.0
"""The machines that are emulated: what QEMU is told, what a kernel calls it."""

import dataclasses
import shutil

from vbl.errors import SetupError


@dataclasses.dataclass(frozen=True)
class Machine:
    """An architecture, by Debian's name of it."""

    arch: str
    flavours: tuple         # of Debian's kernels
    compiler: str           # what its name begins with
    qemu: str               # the command
    machine: tuple          # QEMU's arguments
    append: str             # which console the kernel has
    console: tuple          # QEMU's arguments for it: chardev vblcon
    control: str            # where commands arrive: the guest's name of it
    port: tuple             # QEMU's arguments for it: chardev vblctl
    bus: str = "pcie.0"     # of the disks
    iommu: str = ""         # what stands between the disks and memory
    io: bool = True         # whether kernels map I/O space
    intx: bool = True       # whether a function may have no MSI-X
    zpci: bool = False      # whether each function is a PCI domain
    slow: int = 1           # factor for the time limits

    def __str__(self):
        return self.arch

    def command(self):
        """The path of its QEMU."""
        path = shutil.which(self.qemu)
        if not path:
            raise SetupError(f"{self.qemu} is missing: scripts/setup --ports")
        return path


_SERIAL = ("-serial", "chardev:vblcon")
# The machine "virt" has one serial port only.
_PCI_SERIAL = ("-device", "pci-serial,chardev=vblctl,addr=0x1c")

MACHINES = {m.arch: m for m in (
    Machine("arm64", ("arm64", "arm64-16k"), "aarch64-linux-gnu-",
            "qemu-system-aarch64",
            # The usual pointer authentication is slow when emulated.
            ("-M", "virt,gic-version=3,iommu=smmuv3",
             "-cpu", "max,pauth-impdef=on"),
            "console=ttyAMA0", _SERIAL, "/dev/ttyS0", _PCI_SERIAL,
            iommu="SMMUv3"),
    Machine("armhf", ("armmp-lpae",), "arm-linux-gnueabihf-",
            "qemu-system-arm",
            ("-M", "virt", "-cpu", "cortex-a15"),
            "console=ttyAMA0", _SERIAL, "/dev/ttyS0", _PCI_SERIAL,
            # Debian's kernels have NO_IOPORT_MAP.
            io=False),
    Machine("s390x", ("s390x",), "s390x-linux-gnu-",
            "qemu-system-s390x",
            ("-M", "s390-ccw-virtio", "-cpu", "max"),
            "console=ttyS0", ("-device", "sclplmconsole,chardev=vblcon"),
            "/dev/ttysclp0", ("-device", "sclpconsole,chardev=vblctl"),
            bus="pci.0", iommu="zPCI", io=False, intx=False, zpci=True, slow=2),
    Machine("ppc64el", ("powerpc64le", "powerpc64le-64k"),
            "powerpc64le-linux-gnu-",
            "qemu-system-ppc64",
            ("-M", "pseries", "-cpu", "power9"),
            "console=hvc0", _SERIAL,
            "/dev/hvc1", ("-serial", "chardev:vblctl"),
            bus="pci.0", iommu="TCE"),
)}
# What runs unless one is chosen.
DEFAULT = ("arm64", "armhf", "s390x")


def chosen(arch=None):
    """The machines to run, or the one called @arch."""
    if not arch:
        return [MACHINES[name] for name in DEFAULT]
    if arch not in MACHINES:
        raise SetupError(f"ARCH={arch}: there are: {', '.join(MACHINES)}")
    return [MACHINES[arch]]
