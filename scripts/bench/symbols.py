# SPDX-License-Identifier: GPL-2.0
"""The functions of a guest's kernel, and the groups that costs are told in."""

import bisect
import re

DRIVER, BLOCK, ALLOC, DMA, IRQ, SCHED, REST = GROUPS = (
    "driver", "block layer", "allocation", "DMA, scatterlist",
    "interrupt entry", "scheduler, idle", "rest")

OURS = {"virtio_lite"}
UPSTREAM = {"virtio_blk", "virtio", "virtio_ring", "virtio_pci",
            "virtio_pci_modern_dev", "virtio_pci_legacy_dev"}
# Where upstream's core is built in, its functions are known by their names, and
# so are those of other devices' drivers, which are not counted.
UPSTREAM_NAME = re.compile(r"(virtqueue_|vring_|vp_|__virtqueue_|__vring_|"
                           r"virtio_(?!fs_|net_|console|rproc|vsock|gpu|scsi)|"
                           r"detach_buf|more_used)")

# Where memory is taken, by any name that 6.1 to 7.x give it; those that are
# only called by another of them do no harm.
ALLOCATOR = re.compile(
    r"_*(kmalloc|kvmalloc|kmem_cache_alloc|mempool_alloc|alloc_pages|"
    r"folio_alloc|get_free_page|get_zeroed_page|vmalloc|kmemdup|krealloc|"
    r"alloc_percpu|pcpu_alloc|dma_pool_alloc|dma_alloc_attrs|"
    r"dma_direct_alloc)(?!.*(slab_obj|caches|info|profil))")
# The kernel's functions that access a register for a driver.
REGISTER = re.compile(r"io(read|write)\d+(be|_rep)?$")

_NAMES = (
    (DMA, r"_*(dma_|sg_|sgl?_alloc|swiotlb_|iommu_|blk_rq_map_sg|"
          r"blk_next_sg|debug_dma)|.*_map_sg"),
    (ALLOC, r"_*(kmem_|kmalloc|kfree|kvmalloc|kzalloc|mempool_|slab_|"
            r"alloc_pages|free_pages|get_page_from|rmqueue|free_unref|"
            r"memset|memcpy|cache_from_obj|should_failslab|"
            r"obj_cgroup|memcg_|mod_objcg)"),
    (IRQ, r"_*(asm_|common_interrupt|sysvec_|irq_|irqentry_|handle_irq|"
          r"handle_edge_irq|handle_fasteoi|error_(entry|return)|"
          r"apic_|native_apic|x2apic|native_eoi|lapic_|msi_|pci_msi|"
          r"do_softirq|raise_softirq|restore_regs_and_return|"
          r"add_interrupt_randomness|note_interrupt|generic_handle_irq|"
          r"ack_irq|mask_irq|unmask_irq|sync_regs|local_bh_|"
          r"swapgs_restore|common_interrupt_return|ret_from_intr)"),
    (SCHED, r"_*(schedule|switch_|update_load_avg|update_curr|psi_|enqueue_|"
            r"dequeue_|pick_(next|task|eevdf)|put_prev|set_next|finish_task|"
            r"try_to_wake_up|ttwu|wake_up|default_wake|autoremove_wake|"
            r"select_task|select_idle|place_entity|vruntime|avg_vruntime|"
            r"check_preempt|wakeup_preempt|resched|rcu_note_context|"
            r"sched_|native_sched_clock|update_rq_clock|update_cfs|"
            r"prepare_task|do_idle|default_idle|cpuidle|menu_|tick_|"
            r"arch_cpu_idle|native_safe_halt|mwait|rcu_.*(idle|eqs)|ct_|"
            r"io_schedule|clear_buddies|reweight|calc_delta|min_vruntime|"
            r"prepare_to_wait|finish_wait|wait_for_completion|do_wait_for|"
            r"swake_up|complete$|hrtick|cpuacct|raw_spin_rq|migrate_)|"
            r".*(_fair|_dl|_rt|_idle|_mm_irqs_off|_to_asm|_eevdf|_entity|"
            r"_entities|_rq_lock|_entity_se|_avg_se|_avg_cfs_rq)$"),
    (BLOCK, r"_*(blk_|blk_mq|blkdev|blkcg|blkg_|bio_|bvec_|bdev_|submit_bio|"
            r"sbitmap|elv_|rq_qos|wbt_|part_|disk_|update_io_ticks|dd_|"
            r"iov_iter_|bd_|should_fail_bio|attempt_plug|flush_plug|"
            r"plug_|dio_|rq_|get_max_io_size)"),
)
_GROUP = [(g, re.compile(p)) for g, p in _NAMES]


class Symbols:
    """Functions by address, from the lines of /proc/kallsyms."""

    def __init__(self, text):
        found = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) < 3 or words[1] not in "tTwW":
                continue
            address = int(words[0], 16)
            if not address >> 63:
                continue
            module = words[3].strip("[]") if len(words) > 3 else ""
            found.setdefault(address, (words[2], module))
        self.addresses = sorted(found)
        self.names = [found[a] for a in self.addresses]

    def at(self, address):
        """(name, module) of the function that @address belongs to."""
        n = bisect.bisect_right(self.addresses, address) - 1
        return self.names[n] if n >= 0 else ("?", "")

    def find(self, name, modules):
        """Addresses of the functions called @name in one of @modules."""
        return [a for a, (n, m) in zip(self.addresses, self.names)
                if m in modules and n == name]

    def allocators(self):
        """Addresses of the functions that allocate memory."""
        return [a for a, (n, m) in zip(self.addresses, self.names)
                if not m and ALLOCATOR.match(n)]

    def _ranges(self, wanted):
        """(first, last) of all code of the functions that are @wanted."""
        out = []
        for n, (name, module) in enumerate(self.names[:-1]):
            if wanted(name, module):
                first, last = self.addresses[n], self.addresses[n + 1] - 1
                # Modules end where the next function may be far away.
                last = min(last, first + 0x4000)
                if out and out[-1][1] + 1 == first:
                    first = out.pop()[0]
                out.append((first, last))
        return out

    def register_users(self, driver):
        """(first, last) of all code by which @driver accesses registers."""
        return self._ranges(
            lambda name, module: is_driver(name, module, driver) or
            not module and REGISTER.match(name))

    def mappers(self):
        """(first, last) of all code that maps data for a driver.

        Not of what takes memory: cmpxchg16b in there makes QEMU 7.2 call the
        plugin with callbacks of the past.
        """
        return self._ranges(lambda name, module: not module and
                            group_of(name, module, "lite") == DMA)

    def interrupts(self):
        """(first, last) of all code where interrupts and faults enter."""
        out = []
        for n, (name, _) in enumerate(self.names[:-1]):
            if name in ("irq_entries_start", "spurious_entries_start"):
                # A stub for each vector, up to the next function.
                out.append((self.addresses[n], self.addresses[n + 1] - 1))
            elif name.startswith(("asm_exc_", "asm_sysvec_")):
                out.append((self.addresses[n], self.addresses[n]))
        return out


def is_driver(name, module, driver):
    """Whether a function is part of @driver, lite or upstream."""
    if driver == "lite":
        return module in OURS
    return module in UPSTREAM or \
        (not module and bool(UPSTREAM_NAME.match(name)))


def group_of(name, module, driver):
    """The group a function's instructions are counted in."""
    if is_driver(name, module, driver):
        return DRIVER
    for group, pattern in _GROUP:
        if pattern.match(name):
            return group
    return REST
