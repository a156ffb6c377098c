# SPDX-License-Identifier: GPL-2.0
"""What users of disks see: links, properties and values, and how two differ."""

import re

from vbl import TREE

# A line for each value, which begins with what it is of.
LOOK = r"""
    udevadm settle
    cd /dev/disk && for l in by-id/* by-path/* by-uuid/* by-partuuid/* \
            by-diskseq/* by-label/* by-partlabel/*; do
        [ -L "$l" ] || continue
        to=$(readlink "$l")
        # The packages' disks: which one answers first, is chance.
        case $to in */nvme*) continue; esac
        echo "link $l -> $to"; done
    for b in $(ls /sys/class/block | grep ^vd); do
        udevadm info --query=property --name=$b | sed "s,^,udev $b ,"
        udevadm info --query=symlink --name=$b | tr ' ' '\n' |
            sed "s,^,udev $b symlink ,"
        lsblk -dnPO /dev/$b | sed 's/" \([A-Z_%:-]*=\)/"\n\1/g' |
            sed "s,^,lsblk $b ,"
        cd /sys/class/block/$b
        find . -maxdepth 2 -type f ! -path './power/*' ! -path './trace/*' \
            ! -path './device/*' ! -path './vd*/*' ! -path './mq/*' |
            while read -r f; do
                echo "sysfs $b ${f#./} $(tr '\n' ' ' <$f 2>/dev/null)"; done
    done
    cat /proc/partitions | awk '$4 ~ /^vd/ { print "partitions", $4, $3 }'
"""
# What counts or measures, and is another at each look.
COUNTED = re.compile(
    r"(DISKSEQ=|USEC_INITIALIZED=|by-diskseq/|DISK-SEQ=\"|sysfs \S+ diskseq )"
    r"\d+")
MEASURED = re.compile(
    r"lsblk \S+ (FSUSED|FSAVAIL|FSUSE%|FSROOTS)=|sysfs \S+ (stat|inflight) |"
    r"udev \S+ DEVLINKS=")

# The rows of this page say what is meant to differ: files of a disk in sysfs, or
# columns of lsblk. The number of a disk is in some of both, and in udev's.
PAGE = TREE / "Documentation" / "differences.md"
ROW = re.compile(r"^\| (`[^|]+`) \|", re.M)
NUMBER = r"udev \S+ MAJOR=|lsblk \S+ MAJ(:MIN)?="


def look(g):
    """Every line, sorted."""
    lines = g.sh(LOOK, timeout=120).splitlines()
    return sorted(COUNTED.sub(r"\1#", line.rstrip()) for line in lines
                  if not MEASURED.match(line))


def differences(one, other):
    """Lines that only one of the two has."""
    one, other = set(one), set(other)
    return sorted([f"- {x}" for x in one - other] +
                  [f"+ {x}" for x in other - one],
                  key=lambda line: (line[2:].rsplit("=", 1)[0], line))


def allowed():
    """Patterns of the lines that may differ."""
    found = [NUMBER]
    for files in ROW.findall(PAGE.read_text()):
        for file in re.findall("`([^`]+)`", files):
            kind, _, column = file.partition(" ")
            mask = re.escape(column or kind).replace(r"\*", r"\S*")
            found.append(rf"lsblk \S+ {mask}=" if column
                         else rf"sysfs \S+ {mask}( |$)")
    return [re.compile(p) for p in found]


def not_allowed(lines):
    """Those of the lines that differ that are no intended difference."""
    patterns = allowed()
    return [line for line in lines
            if not any(p.match(line[2:]) for p in patterns)]
