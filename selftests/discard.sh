#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Discard and write zeroes change the sectors that they name and no others; after
# write zeroes they read as zeroes.

. "${0%/*}/lib.sh"

MB=1048576

# part N: checksum of the Nth megabyte
part()
{
	dd if="$disk" bs=$MB skip="$1" count=1 iflag=direct 2>/dev/null | sum
}

# original N: checksum of the Nth megabyte before the test changed it
original()
{
	dd if="$tmp/data" bs=$MB skip="$1" count=1 2>/dev/null | sum
}

# done_so_far FIELD: a counter of the disk's stat file, such as 12 for discards
done_so_far()
{
	awk -v n="$1" '{ print $n }' "$block/stat"
}

need_disk
[ "$(cat "$block/queue/discard_max_bytes")" != 0 ] ||
	skip_all "this disk does not offer discard"
has blkdiscard || skip_all "no blkdiscard here"
zero=$(head -c $MB /dev/zero | sum)
random "$tmp/data" $((8 * MB))
runs "fill" dd if="$tmp/data" of="$disk" bs=$MB oflag=direct

before=$(done_so_far 12)
runs "discard a megabyte" blkdiscard -f -o $MB -l $MB "$disk"
is "as one request" $(($(done_so_far 12) - before)) 1
is "what is before it stays" "$(part 0)" "$(original 0)"
is "what is behind it stays" "$(part 2)" "$(original 2)"
runs "write there again" dd if="$tmp/data" of="$disk" bs=$MB skip=1 seek=1 \
	count=1 oflag=direct
is "it reads back" "$(part 1)" "$(original 1)"

before=$(done_so_far 7)
runs "write zeroes" blkdiscard -f -z -o $((3 * MB)) -l $MB "$disk"
is "without sending them" $((($(done_so_far 7) - before) / 2048)) 1
is "zeroes" "$(part 3)" "$zero"
is "what is before them stays" "$(part 2)" "$(original 2)"
is "what is behind them stays" "$(part 4)" "$(original 4)"

# An unaligned range: sectors 8 MB - 3 to 8 MB - 2.
runs "zeroes over one sector" blkdiscard -f -z -o $((8 * MB - 1024)) -l 512 \
	"$disk"
is "that sector" "$(dd if="$disk" bs=512 skip=$((8 * 2048 - 2)) count=1 \
	iflag=direct 2>/dev/null | sum)" "$(head -c 512 /dev/zero | sum)"
is "the next one" "$(dd if="$disk" bs=512 skip=$((8 * 2048 - 1)) count=1 \
	iflag=direct 2>/dev/null | sum)" "$(tail -c 512 "$tmp/data" | sum)"
is "the one before" "$(dd if="$disk" bs=512 skip=$((8 * 2048 - 3)) count=1 \
	iflag=direct 2>/dev/null | sum)" \
	"$(tail -c 1536 "$tmp/data" | head -c 512 | sum)"

# Both kinds of fallocate: with and without deallocation.
if has fallocate; then
	runs "punch a hole" fallocate -p -o $((5 * MB)) -l $MB "$disk"
	is "a hole reads as zeroes" "$(part 5)" "$zero"
	runs "zero a range" fallocate -z -o $((6 * MB)) -l $MB "$disk"
	is "the range reads as zeroes" "$(part 6)" "$zero"
	is "what is before them stays, too" "$(part 4)" "$(original 4)"
else
	skip "fallocate" "not here"
fi

runs "discard all of it" blkdiscard -f "$disk"
runs "the disk still reads" reads "$disk"
finish
