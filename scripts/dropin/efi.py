# SPDX-License-Identifier: GPL-2.0
"""UEFI firmware for a guest, and a key that its kernel trusts."""

import shutil
import struct
import uuid

from vbl import cache, lab, suites

SUITE = "bookworm"
# A variable in the namespace of the image security database, its attributes
# (kept, boot, run time, signed with a time), and the kinds of what is in it.
DB = "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
ATTRIBUTES = 0x27
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")


def _firmware():
    def make(folder):
        root = folder / "root"
        lab.unpack("UEFI firmware", SUITE, "ovmf", root,
                    suites.sources(SUITE))
        for name in ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.fd"):
            shutil.copy(root / "usr/share/OVMF" / name, folder)
        shutil.rmtree(root)

    return cache.entry("ovmf", [SUITE], make)


def variables(path):
    """A file for the variables of a firmware that has no keys yet."""
    shutil.copy(_firmware() / "OVMF_VARS_4M.fd", path)
    return path


def arguments(path):
    """QEMU's arguments for a firmware whose variables are in @path."""
    code = _firmware() / "OVMF_CODE_4M.secboot.fd"
    return ["-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={path}"]


def signature_list(certificate):
    """What a firmware without keys takes as its database of signatures.

    A list with one certificate (DER). Nobody can have signed it, which is
    allowed until there are keys.
    """
    entry = uuid.uuid4().bytes_le + certificate
    listed = X509.bytes_le + struct.pack("<III", 28 + len(entry), 0,
                                         len(entry)) + entry
    time = struct.pack("<HBBBBBBIhBB", 2020, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    signature = struct.pack("<IHH", 24, 0x200, 0xef1) + PKCS7.bytes_le
    return struct.pack("<I", ATTRIBUTES) + time + signature + listed
