# SPDX-License-Identifier: GPL-2.0
"""A Debian system with its root on this driver; make dropin does much more."""

import shutil
import subprocess

import pytest
from dropin import cases, images, look, packages
from root import ALONE


def test_installs_itself():
    """A system that installs itself keeps what is mounted in it: without its
    control groups, systemd does not power off."""
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no mount namespace (unshare)")
    binds, ends = ([line for line in images.INSTALL.splitlines() if word in line]
                   for word in ("mount --rbind", "umount -R"))
    assert len(binds) == len(ends) == 1
    # As systemd has its mounts: what is done to one is done to its copy.
    got = subprocess.run([*ALONE, "sh", "-c", f"""
        set -e
        mount --make-rshared /
        mount -t tmpfs none /mnt
        mkdir /mnt/dev /mnt/proc /mnt/sys /mnt/run
        mount -t tmpfs none /run; mkdir /run/lock; mount -t tmpfs none /run/lock
        cut -d' ' -f2 /proc/mounts | grep -vx /mnt
        {binds[0]}
        {ends[0]}
        echo after; cut -d' ' -f2 /proc/mounts"""], text=True,
                         capture_output=True)
    assert got.returncode == 0, got.stderr
    before, after = got.stdout.split("after\n")
    assert sorted(after.split()) == sorted(before.split())


def test_same_in_lsblk():
    """What lsblk shows of a file that may differ may differ as well; what it shows
    of others may not."""
    assert look.not_allowed(["+ sysfs vda queue/nr_requests 255",
                             '+ lsblk vda1 RQ-SIZE="255"']) == []
    other = ['+ lsblk vda RA="1"', '+ lsblk vda XRQ-SIZE="1"']
    assert look.not_allowed(other) == other


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("dh"),
                    reason="debhelper is missing: scripts/setup --packages")
def test_journey():
    """Install, choose it, reboot, work, go back: the shortest way."""
    cases.run("short", "bookworm", "ext4", packages.image())
