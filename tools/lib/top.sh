# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# top: what the disks and their queues do, from one look to the next.

# The numbers of the interrupts that the function at() has.
irqs_of()
{
	if [ -d "$dev/msi_irqs" ]; then
		ls "$dev/msi_irqs"
	else
		value "$dev/irq"
	fi
}

DEBUGFS=/sys/kernel/debug/virtio_lite

# A look: the clock, each disk's counters, each vector's, each queue's tags.
look()
{
	echo "time $(value /proc/uptime)"
	for f in $watched; do
		at "$f"
		disk=$(disk_of)
		[ -n "$disk" ] || continue
		echo "disk $disk $(value "/sys/block/$disk/stat")"
		# By number: a device of another bus may have the same name.
		awk -v disk="$disk" -v irqs="$(irqs_of)" '
		BEGIN {
			n = split(irqs, list)
			for (i = 1; i <= n; i++)
				ours[list[i] ":"]
		}
		$1 in ours {
			sum = 0
			for (i = 2; i < NF && $i ~ /^[0-9]+$/; i++)
				sum += $i
			print "vector", disk, $1, $NF, sum
		}' /proc/interrupts
		for tags in /sys/kernel/debug/block/"$disk"/hctx*/tags; do
			[ -r "$tags" ] || continue
			queue=${tags%/tags}
			awk -F = -v disk="$disk" -v queue="${queue##*/hctx}" '
			/^nr_tags=/ { tags = $2 }
			/^busy=/ && !seen++ { print "tags", disk, queue, $2, tags }
			' "$tags"
		done
	done
}

# Two looks, one after the other, into a table.
compare()
{
	awk '
	$1 == "time" { before = now; now = $2; looks++ }
	$1 == "disk" && looks == 1 { for (i = 3; i <= NF; i++) old[$2, i] = $i }
	$1 == "disk" && looks == 2 {
		t = now - before
		if (t <= 0)
			t = 1
		if (!heads++)
			printf "%-8s %9s %9s %9s %9s %7s %6s\n", "DISK", \
				"READS/s", "MB/s", "WRITES/s", "MB/s", "FLIGHT", "BUSY"
		printf "%-8s %9.0f %9.1f %9.0f %9.1f %7d %5.0f%%\n", $2, \
			($3 - old[$2, 3]) / t, ($5 - old[$2, 5]) / 2048 / t, \
			($7 - old[$2, 7]) / t, ($9 - old[$2, 9]) / 2048 / t, $11, \
			($12 - old[$2, 12]) / 10 / t
	}
	$1 == "vector" && looks == 1 { irqs[$2, $3] = $5 }
	$1 == "vector" && looks == 2 {
		printf "  %-18s %9.0f interrupts/s\n", $4, ($5 - irqs[$2, $3]) / t
	}
	$1 == "tags" && looks == 2 {
		printf "  queue %-12s %9d of %d tags busy\n", $3, $4, $5
	}'
}

top()
{
	seconds=2 times=0 wanted=
	while [ $# -gt 0 ]; do
		case $1 in
		-d | -n)
			case $2 in
			'' | *[!0-9]* | 0) bad_usage "$1 needs a number above 0" ;;
			esac
			[ "$1" = -n ] && times=$2 || seconds=$2
			shift
			;;
		-*) bad_usage "unknown option $1" ;;
		*)
			[ -z "$wanted" ] || die "only one disk at a time: $wanted, $1"
			wanted=$1
			;;
		esac
		shift
	done
	watched=$(functions)
	if [ -n "$wanted" ]; then
		find_disk "$wanted"
		watched=$bdf
	fi
	shown=0
	[ -n "$watched" ] || die "there is no virtio disk"
	# virtio_lite counts a disk's requests as long as this file is open.
	counters=
	[ -z "$wanted" ] || counters=$DEBUGFS/$(basename "$(virtio_of)")/counters
	[ -n "$wanted" ] && [ -r "$counters" ] && exec 3<"$counters" || counters=
	before=$(look)
	while [ "$times" = 0 ] || [ "$shown" -lt "$times" ]; do
		sleep "$seconds"
		after=$(look)
		[ ! -t 1 ] || printf '\033[H\033[2J'
		printf '%s\n%s\n' "$before" "$after" | compare
		# At its end the file starts anew.
		[ -z "$counters" ] || cat <&3 2>/dev/null || counters=
		before=$after
		shown=$((shown + 1))
		[ -t 1 ] || [ "$shown" = "$times" ] || echo
	done
}
