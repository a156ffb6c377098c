# SPDX-License-Identifier: GPL-2.0
"""Each allocation fails in turn, wherever the kernel makes it for the driver.

The kernel's own fault injection (failslab, fail_page_alloc) does it, so what
the block layer, sysfs and others allocate on behalf of a call of the driver is
among them; test_fail.py has the driver's own calls, on every kernel.
"""

import pytest
from faults.load import Busy
from scripted import MODERN, BadId, arm
from vbl import Disk

pytestmark = pytest.mark.full

# Only where the module is among those who called, and not within the
# interpreter of the firmware's tables: after a failure that reads what it freed,
# in acpi_ns_get_attached_object() at the next unbind. Nor the entries of
# /proc/irq: the kernel complains when it takes away what it could not make.
SET_UP = r"""
inject=/sys/kernel/debug
acpi=$(awk '$3 ~ /^acpi_(ds|ev|ex|hw|ns|ps|rs|ut)_[^.]*$/ && $2 ~ /[tT]/ {print $1}' \
	/proc/kallsyms | sort | sed -n '1p;$p')
set -- $acpi $(grep '^virtio_lite ' /proc/modules)
for kind in failslab fail_page_alloc; do
	cd $inject/$kind || exit 1
	echo N >ignore-gfp-wait
	echo 32 >stacktrace-depth
	echo 0x$1 >reject-start
	echo 0x$2 >reject-end
	echo $8 >require-start
	printf '0x%x\n' $(($8 + $4)) >require-end
	echo 1 >verbose
done
echo N >ignore-gfp-highmem
echo 0 >min-order
cd /sys/kernel/slab || exit 1
for cache in */failslab; do
	case $cache in
	proc_dir_entry/*) ;;
	*) echo 1 >$cache 2>/dev/null ;;
	esac
done
[ $(cat kmalloc-64/failslab) = 1 ] || exit 1
echo Y >$inject/failslab/cache-filter
cd /
"""

# Writes a value to a file, and the nth allocation meanwhile fails; afterwards
# $left is 0 if it did, and $status says how the write ended.
EACH = r"""
nth()
{
	echo $1 >/proc/self/fail-nth
	status=0
	echo $2 2>/tmp/err >$3 || status=1
	read -r left </proc/self/fail-nth
	echo 0 >/proc/self/fail-nth
}
reads()
{
	# A disk that is dead may end at its first sector.
	[ $(dd if=/dev/$(disk_of $bdf) bs=64k count=16 iflag=direct \
		2>/dev/null | wc -c) = 1048576 ]
}
die()
{
	echo "$* (allocation $i)"
	cat /tmp/err
	dmesg | tail -n 30
	exit 1
}
bdf=$(vbl_disks)
driver=/sys/bus/pci/drivers/virtio-pci-lite
name=$(disk_of $bdf)
i=0 failed=0
while :; do
	i=$((i + 1))
	@STEP@
done
[ "$(disk_of $bdf)" = $name ] && reads || die "no disk without a failure"
echo "points $((i - 1)) failed $failed"
"""

# What is left over by one that failed is in the way of the next, which comes
# further.
BIND = r"""
	[ ! -e $driver/$bdf ] || echo $bdf >$driver/unbind
	nth $i $bdf $driver/bind
	[ $left = 0 ] || break
	if [ $status = 0 ] && disk_of $bdf >/dev/null 2>&1; then
		reads || die "cannot be read"
	else
		failed=$((failed + 1))
	fi
"""

RESIZE = r"""
	size=/sys/block/$(disk_of $bdf)/ring_size
	nth $i 16 $size
	[ $left = 0 ] || break
	[ $status = 0 ] || failed=$((failed + 1))
	[ $status = 0 ] || grep -q "allocate memory" /tmp/err || die "why"
	[ $(cat $(dirname $size)/errors/resets) = 0 ] || die "was reset"
	reads || die "cannot be read"
"""

# What the driver needs for its interrupts it lets go of to sleep.
SLEEP = r"""
	echo 0 >/sys/power/pm_async
	echo 0 >/sys/module/suspend/parameters/pm_test_delay
	echo devices >/sys/power/pm_test
	nth $i freeze /sys/power/state
	[ $left = 0 ] || break
	reads && continue
	failed=$((failed + 1))
	echo freeze >/sys/power/state || die "a dead disk does not sleep"
	echo $bdf >$driver/unbind
	echo $bdf >$driver/bind || die "cannot be bound again"
	reads || die "cannot be read"
"""

SCENES = {"bind": BIND, "resize": RESIZE, "sleep": SLEEP}
SHORT = {"size": "16M", "queue_size": 16}
DISKS = {"modern": Disk(**SHORT, transport="modern", num_queues=2),
         "legacy": Disk(**SHORT, transport="legacy", num_queues=1, vectors=0)}


def needs_injection(kernel):
    """Skip where the kernel cannot make its allocations fail."""
    if kernel.debug != "debug":
        pytest.skip("only K=debug has failslab and fail_page_alloc")


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("kind", DISKS)
def test_each_allocation(boot, kernel, kind, scene):
    """What lacked something unwinds, and all is well the next time."""
    needs_injection(kernel)
    if kind == "legacy" and scene == "resize":
        pytest.skip("a legacy device cannot resize its rings")
    g = boot(kernel=kernel, disks=[DISKS[kind]], tools=False, timeout=1200)
    words = g.sh(SET_UP + EACH.replace("@STEP@", SCENES[scene]),
                 timeout=1200).split()
    got = {name: int(words[words.index(name) + 1])
           for name in ("points", "failed")}
    print(f"{scene}, {kind}: {got['points']} of {got['points']} allocations "
          f"failed, {got['failed']} times nothing came of it")
    assert got["points"] >= {"bind": 100, "resize": 6, "sleep": 2}[scene]
    assert got["failed"] > 0


def test_resets_allocate_nothing(scripted, kernel):
    """With no memory at all for the driver, resets help and requests end."""
    needs_injection(kernel)
    s = scripted(kernel=kernel)
    s.be(MODERN + ("RING_RESET",), queues=2, script=BadId())
    with Busy(s.g, s.name, "--iodepth=32") as busy:
        s.g.sh(SET_UP + r"""
for kind in failslab fail_page_alloc; do
	echo 1000000 >$inject/$kind/times
	echo 100 >$inject/$kind/probability
done""")
        for n in range(1, 4):
            with s.dev.lock:
                s.dev.needs_reset()
            s.sh(f"wait_for 60 grep -qx {2 * n - 1} "
                 "/sys/block/$D/errors/resets", timeout=90)
            busy.progresses()
            arm(s)
            s.sh(f"wait_for 60 grep -qx {2 * n} /sys/block/$D/errors/resets",
                 timeout=90)
            busy.progresses()
        # There really is none: rings of another size cannot be had.
        size = f"/sys/block/{s.name}/ring_size"
        status, why = s.g.status(f"echo $(cat {size}) 2>&1 >{size}")
        assert status and "allocate memory" in why, why
        failed = [1000000 - int(n) for n in s.sh(
            "cd /sys/kernel/debug; for kind in failslab fail_page_alloc; do "
            "echo 0 >$kind/probability; cat $kind/times; done").split()]
    assert sum(failed)
    print(f"6 resets, {sum(failed)} allocations failed meanwhile")
    s.copy()
    s.end()
