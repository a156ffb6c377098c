# SPDX-License-Identifier: GPL-2.0
"""The host side of the project: kernels, images, guests and results.

One concept a file.  Callers normally need only what is re-exported here.
"""

from .disk import Disk
from .errors import (BuildFailed, CommandFailed, GuestDied, GuestError,
                     GuestHung, KernelComplained, QemuFailed, SetupError,
                     VblError)
from .guest import Guest
from .kernel import (Kernel, build_module, default_kernel, kernels,
                     made_kernels, pick_kernel)
from .tree import TREE

__all__ = [
    "BuildFailed", "CommandFailed", "Disk", "Guest", "GuestDied",
    "GuestError", "GuestHung", "Kernel", "KernelComplained", "QemuFailed",
    "SetupError", "TREE", "VblError", "build_module", "default_kernel",
    "kernels", "made_kernels", "pick_kernel",
]
