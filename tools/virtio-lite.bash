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
	local cur words cword list

	# An address has colons, which bash takes for the end of a word.
	_get_comp_words_by_ref -n : cur words cword
	case $cword:${words[1]} in
	1:*) list="list status check bind unbind persist top --help" ;;
	2:persist) list="on off" ;;
	3:persist) list="--all serial= $(_virtio_lite_disks)" ;;
	2:list | 2:status | 2:check | 2:bind | 2:unbind) list=$(_virtio_lite_disks) ;;
	*:top) list="-d -n $(_virtio_lite_disks)" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
	__ltrim_colon_completions "$cur"
}

_bind_lite()
{
	local cur

	_get_comp_words_by_ref -n : cur
	mapfile -t COMPREPLY < <(compgen -W "--back $(_virtio_lite_disks)" -- "$cur")
	__ltrim_colon_completions "$cur"
}

complete -F _virtio_lite virtio-lite
complete -F _bind_lite bind-lite
