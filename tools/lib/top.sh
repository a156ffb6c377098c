# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# top: what the disks and their queues do, from one look to the next.

# A look: the clock, each disk's counters, each vector's, each queue's tags.
look()
{
	echo "time $(value /proc/uptime)"
	for f in $watched; do
		at "$f"
		disk=$(disk_of) virtio=$(virtio_of)
		[ -n "$disk" ] || continue
		echo "disk $disk $(value "/sys/block/$disk/stat")"
		# virtio0-req.1 and, where queues share a vector, virtio0-req.0-3.
		awk -v disk="$disk" -v who="${virtio##*/}" '
		$NF == who || index($NF, who "-") == 1 {
			sum = 0
			for (i = 2; i < NF && $i ~ /^[0-9]+$/; i++)
				sum += $i
			print "vector", disk, $NF, sum
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
	$1 == "vector" && looks == 1 { irqs[$2, $3] = $4 }
	$1 == "vector" && looks == 2 {
		printf "  %-18s %9.0f interrupts/s\n", $3, ($4 - irqs[$2, $3]) / t
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
	before=$(look)
	while [ "$times" = 0 ] || [ "$shown" -lt "$times" ]; do
		sleep "$seconds"
		after=$(look)
		[ ! -t 1 ] || printf '\033[H\033[2J'
		printf '%s\n%s\n' "$before" "$after" | compare
		before=$after
		shown=$((shown + 1))
		[ -t 1 ] || [ "$shown" = "$times" ] || echo
	done
}
