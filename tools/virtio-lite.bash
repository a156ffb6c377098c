# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of virtio-lite(8) for bash.

# Every virtio disk, by its name and by its PCI address.
_virtio_lite_disks()
{
	local f

	for f in /sys/bus/pci/devices/*; do
		case $(cat "$f/vendor" "$f/device" 2>/dev/null | tr '\n' ' ') in
		'0x1af4 0x1001 ' | '0x1af4 0x1042 ')
			echo "${f##*/}"
			(cd "$f" && echo virtio*/block/*) | sed -n 's,.*/block/,,p'
			;;
		esac
	done | grep -v '\*'
}

_virtio_lite()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words

	case $COMP_CWORD:${COMP_WORDS[1]}:${COMP_WORDS[2]} in
	1:*) words="list status check bind unbind persist top --help" ;;
	2:persist:*) words="on off" ;;
	3:persist:*) words="--all serial= $(_virtio_lite_disks)" ;;
	2:list:* | 2:status:* | 2:check:* | 2:bind:* | 2:unbind:*)
		words=$(_virtio_lite_disks)
		;;
	*:top:*) words="-d -n $(_virtio_lite_disks)" ;;
	esac
	# An address has colons, which bash takes for the end of a word.
	if declare -F __ltrim_colon_completions >/dev/null &&
		declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n : cur
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	! declare -F __ltrim_colon_completions >/dev/null ||
		__ltrim_colon_completions "$cur"
}

complete -F _virtio_lite virtio-lite
