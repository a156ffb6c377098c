#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Queue settings change while requests are in flight: scheduler, depth.

. "${0%/*}/lib.sh"

need_disk
has fio || skip_all "no fio here"
queue=$block/queue
was=$(sed 's/.*\[\(.*\)\].*/\1/' "$queue/scheduler")
depth=$(cat "$queue/nr_requests")
at_exit "echo $was >$queue/scheduler; echo $depth >$queue/nr_requests"

is "none is the default" "$was" none
runs "busy" busy "$disk"
for round in 1 2; do
	for s in $(tr -d '[]' <"$queue/scheduler"); do
		runs "$round: to $s" sh -c "echo $s >$queue/scheduler"
		is "$round: $s" "$(sed 's/.*\[\(.*\)\].*/\1/' \
			"$queue/scheduler")" "$s"
		runs "$round: works with $s" keeps_busy
	done
done
echo none >"$queue/scheduler"

for n in 4 32 "$depth"; do
	runs "nr_requests $n" sh -c "echo $n >$queue/nr_requests"
	is "it is $n" "$(cat "$queue/nr_requests")" "$n"
	runs "works with $n" keeps_busy
done
fails "not deeper than the ring" sh -c "echo 100000 >$queue/nr_requests"
for n in 2 1 0; do
	runs "nomerges $n" sh -c "echo $n >$queue/nomerges"
done
runs "works" keeps_busy
runs "all of it was right" not_busy
finish
