#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Interrupts: a vector per queue, vectors that queues share, one line for all.
# /proc/interrupts shows their names, and the count of the right one rises.
#
# guest: smp=4
# guest: disk num_queues=4
# guest: disk num_queues=4 vectors=2
# guest: disk num_queues=4 vectors=3
# guest: disk num_queues=2 vectors=0

. "${0%/*}/lib.sh"
need taskset nproc

# names BDF: names of the device's interrupts, on one line
names()
{
	_v=$(basename "$(virtio_of "$1")")
	awk -v v="$_v" '$NF == v || index($NF, v "-") == 1 { print $NF }' \
		/proc/interrupts | tr '\n' ' '
}

# count NAME: how often the interrupt came, on all CPUs
count()
{
	awk -v n="$1" '$NF == n { for (i = 2; $i ~ /^[0-9]+$/; i++) s += $i }
		END { print s + 0 }' /proc/interrupts
}

# cpu N COMMAND...
cpu()
{
	_c=$1
	shift
	taskset -c "$_c" "$@"
}

# cpu_of QUEUE: the first CPU that uses this queue of $disk
cpu_of()
{
	tr -d , <"/sys/block/${disk##*/}/mq/$1/cpu_list" | cut -d " " -f 1
}

# counts POINT NAME CPU DISK: eight reads on that CPU raise eight interrupts.
counts()
{
	_before=$(count "$2")
	cpu "$3" dd if="$4" of=/dev/null bs=4k count=8 iflag=direct 2>/dev/null
	is "$1" $(($(count "$2") - _before)) 8
}

need_disk 3
[ "$(nproc)" = 4 ] || skip_all "needs 4 CPUs, this guest has $(nproc)"

need_disk 0
v=$(basename "$(virtio_of "$bdf")")
is "a vector per queue" "$(names "$bdf")" \
	"$v-config $v-req.0 $v-req.1 $v-req.2 $v-req.3 "
# Which CPU a queue has is the kernel's choice, and differs between kernels.
is "each CPU has a queue" "$(cat "/sys/block/${disk##*/}"/mq/?/cpu_list |
	sort | tr '\n' ' ')" "0 1 2 3 "
for q in 0 1 2 3; do
	c=$(cpu_of $q)
	counts "queue $q: its CPU's" "$v-req.$q" "$c" "$disk"
	is "queue $q: bound to it" \
		"$(cat "/proc/irq/$(awk -v n="$v-req.$q" \
			'$NF == n { print $1 + 0 }' \
			/proc/interrupts)/effective_affinity_list")" "$c"
done
is "no config change" "$(count "$v-config")" 0

need_disk 1
v=$(basename "$(virtio_of "$bdf")")
is "2 vectors: queues share one" "$(names "$bdf")" "$v-config $v-req.0-3 "
for q in 0 3; do
	counts "2 vectors: queue $q" "$v-req.0-3" "$(cpu_of $q)" "$disk"
done

need_disk 2
v=$(basename "$(virtio_of "$bdf")")
is "3 vectors: two groups" "$(names "$bdf")" "$v-config $v-req.0-1 $v-req.2-3 "
counts "3 vectors: first group" "$v-req.0-1" "$(cpu_of 1)" "$disk"
counts "3 vectors: second group" "$v-req.2-3" "$(cpu_of 2)" "$disk"

need_disk 3
v=$(basename "$(virtio_of "$bdf")")
is "no vectors: a line" "$(names "$bdf")" "$v "
for c in 0 1; do
	counts "no vectors: CPU $c" "$v" $c "$disk"
done
finish
