# SPDX-License-Identifier: GPL-2.0
"""The table of a journey: which event is which step, where, and what it means.

This is all there is to maintain. A step is seen as

    name        an event of the guest
    name()      a function of the guest, by the function tracer
    qemu:name   an event of QEMU; one that ends in @format or @file is that of
                the node of the image format, or of the file below it

of which the first that is in a recording counts; those with | between them
count alike. The order of the table is the order in which one request meets the
steps; those marked loose have no fixed place. A sentence may name fields of the
event; what stands in [] is left out where the event does not have them.
"""

import dataclasses
import re

# The lanes, from the program to the file: key, name, and whose it is.
LANES = (
    ("user", "user", "guest"),
    ("vfs", "VFS", "guest"),
    ("cache", "page cache, file system", "guest"),
    ("block", "block layer", "guest"),
    ("driver", "driver", "guest"),
    ("ring", "ring", "guest"),
    ("pci", "PCI", "guest"),
    ("virtio", "QEMU virtio", "qemu"),
    ("format", "image format", "qemu"),
    ("file", "image file", "qemu"),
)


@dataclasses.dataclass(frozen=True)
class Step:
    """A line of the table.

    own     counts only in the task whose journey it is
    loose   has no fixed place in the order
    """

    key: str
    lane: str
    seen: str
    says: str
    own: bool = False
    loose: bool = False

    @property
    def groups(self):
        """The events and functions, those preferred first."""
        return [group.split("|") for group in self.seen.split()]

    @property
    def names(self):
        """All of them."""
        return [n for group in self.groups for n in group]


def _own(*row, **more):
    return Step(*row, own=True, **more)


def _loose(*row, **more):
    return Step(*row, loose=True, **more)


STEPS = (
    # The program and the VFS.
    _own("write()", "user", "sys_enter_write",
         "the program calls write(): {count} bytes to file {fd}"),
    _own("read()", "user", "sys_enter_read",
         "the program calls read(): {count} bytes from file {fd}"),
    _own("ioctl()", "user", "sys_enter_ioctl",
         "the program calls ioctl(BLKDISCARD)"),
    _own("io_submit()", "user", "sys_enter_io_submit",
         "the program hands {nr} requests over in one system call"),
    _own("vfs_write", "vfs", "vfs_write()",
         "the VFS checks the file, and calls what its type has for a write"),
    _own("vfs_read", "vfs", "vfs_read()",
         "the VFS checks the file, and calls what its type has for a read"),
    _own("vfs_ioctl", "vfs", "blkdev_ioctl()",
         "the file is a block device, which knows this ioctl"),
    _own("aio_write", "vfs", "io_submit_one()",
         "each request of the list becomes a kernel I/O control block"),
    _own("file write", "vfs", "blkdev_write_iter()|ext4_file_write_iter()",
         "the file's own write: of a block device, or of ext4"),
    _own("file read", "vfs", "blkdev_read_iter()",
         "the file's own read: of a block device"),

    # Through the page cache, or past it.
    _own("buffered", "cache", "ext4_buffered_write_iter()",
         "no O_DIRECT: the data goes into the page cache"),
    _own("page found", "cache", "ext4_da_write_begin",
         "a page is found or made; its block is chosen later"),
    _own("page filled", "cache", "ext4_da_write_end() ext4_da_write_end",
         "the page has the data and is dirty: nothing is on the disk"),
    _own("write() returns early", "user", "sys_exit_write",
         "write() returns {ret}: the data is in memory only", loose=True),
    _own("fsync()", "user", "sys_enter_fsync",
         "the program calls fsync(): now the disk has to have the data"),
    _own("fsync of the file", "cache", "ext4_sync_file_enter blkdev_fsync()",
         "what of this file is dirty has to be written, and the cache of the "
         "disk emptied"),
    _own("flush asked", "cache", "blkdev_issue_flush()",
         "nothing is dirty; the disk has to empty its cache"),
    _own("writepages", "cache", "ext4_do_writepages() ext4_writepages()",
         "ext4 chooses blocks for the dirty pages and makes bios of them"),
    _loose("journal", "cache", "jbd2_start_commit",
           "the journal begins to write transaction[ {transaction}]"),
    _loose("journal commit record", "cache",
           "journal_submit_commit_record() jbd2_commit_logging",
           "the journal has its blocks; the commit record comes last"),
    _loose("journal done", "cache", "jbd2_end_commit",
           "transaction[ {transaction}] is on the disk"),
    _own("discard bios", "cache",
         "blkdev_issue_discard() blk_alloc_discard_bio()",
         "the range becomes bios without data"),
    _own("direct", "cache",
         "__blkdev_direct_IO_simple() blkdev_direct_IO() iomap_dio_rw() "
         "generic_file_direct_write()",
         "O_DIRECT: past the page cache; the user's pages become a bio"),

    # The block layer.
    Step("submit_bio", "block", "submit_bio()",
         "a bio: where on the disk, and which pages"),
    Step("bio queued", "block", "block_bio_queue",
         "the bio enters the disk's queue: {rwbs} sector {sector} + {sectors}"),
    Step("bio split", "block", "block_split",
         "the bio is larger than a request may be, and is cut"),
    Step("blk_mq_submit_bio", "block", "blk_mq_submit_bio()",
         "the multi-queue block layer takes the bio: what make_request_fn was"),
    Step("merge tried", "block", "blk_attempt_plug_merge()",
         "does it continue a request of this task's plug?"),
    _loose("merged", "block", "block_bio_backmerge|block_bio_frontmerge",
           "yes: it becomes part of that request"),
    Step("request wanted", "block", "__blk_mq_alloc_requests()",
         "no: a request of its own, from the hardware queue of this CPU"),
    Step("tag", "block", "blk_mq_get_tag()",
         "a free tag: a number less than the depth of the queue"),
    Step("request", "block", "block_getrq",
         "the request and its tag belong together until it ends"),
    Step("plugged", "block", "block_plug",
         "it waits in the task's plug, in case more comes"),
    _loose("inserted", "block", "block_rq_insert",
           "it waits in a queue of the block layer"),
    Step("unplugged", "block", "block_unplug",
         "the task has no more: what is in the plug goes to the driver"),

    # The driver and the ring.
    Step("queue_rq", "driver", "virtio_queue_rqs()|virtio_queue_rq()",
         "the driver gets the request, or a list of them"),
    Step("started", "block", "block_rq_issue",
         "from here on the request's time is counted"),
    Step("descriptors", "driver", "virtblk_queue_rq virtblk_add_req()",
         "header, data and status are described[: {descs} descriptors, tag {tag}]"),
    Step("virtqueue_add", "ring",
         "virtqueue_add virtqueue_add_sgs()",
         "[head {head}: ]the head of the chain goes into the avail ring"),
    Step("publish", "ring", "virtqueue_kick virtqueue_kick_prepare()",
         "the avail index[ is {avail}] now: the device may take the chain"),
    Step("kick decided", "ring", "virtqueue_kick virtqueue_kick_prepare()",
         "did the device ask to be told?[ kick={kick}]"),
    Step("virtqueue_notify", "ring",
         "virtqueue_trace_notify() virtqueue_notify()",
         "the kick, outside of the queue's lock"),
    Step("notify", "pci", "virtqueue_notify vp_notify()",
         "one store into the notify register names the queue[: {value}]"),
    _loose("task sleeps", "user", "sched_switch/out",
           "the task sleeps until its request ends"),

    # QEMU.
    Step("exit", "pci", "qemu:virtio_pci_notify_write|"
         "qemu:virtio_pci_notify_write_pio",
         "no ioeventfd: the vCPU leaves the guest, and QEMU runs the device"),
    Step("handle_vq", "virtio", "qemu:virtio_queue_notify",
         "QEMU is told: queue {n} has something"),
    Step("pop", "virtio", "qemu:virtqueue_pop",
         "the device takes the chain: {out_num} to read, {in_num} to write"),
    Step("handle request", "virtio",
         "qemu:virtio_blk_handle_write|qemu:virtio_blk_handle_read",
         "the header says: sector {sector}, {nsectors} sectors"),
    _loose("requests merged", "virtio", "qemu:virtio_blk_submit_multireq",
         "QEMU makes one request of {num_reqs}: offset {offset}, size {size}"),
    Step("block backend", "format", "qemu:blk_co_pwritev|qemu:blk_co_preadv",
         "the block backend: offset {offset} of the disk, {bytes} bytes"),
    Step("format node", "format", "qemu:bdrv_co_pwritev_part@format|"
         "qemu:bdrv_co_preadv_part@format",
         "the node of the image format, in a coroutine"),
    Step("qcow2 begins", "format", "qemu:qcow2_writev_start_req|"
         "qemu:qcow2_pwrite_zeroes_start_req",
         "qcow2: guest offset {offset}, {bytes} bytes"),
    Step("qcow2 looks up", "format", "qemu:qcow2_alloc_clusters_offset",
         "which cluster of the file is that?"),
    Step("qcow2 cluster there?", "format", "qemu:qcow2_handle_copied",
         "is its cluster in the file already, and of this image alone?"),
    Step("qcow2 new cluster", "format", "qemu:qcow2_handle_alloc",
         "no: a new cluster is allocated"),
    Step("qcow2 maps", "format", "qemu:qcow2_writev_data qemu:qcow2_add_task",
         "guest offset becomes file offset {to}"),
    Step("file node", "file", "qemu:bdrv_co_pwritev_part@file|"
         "qemu:bdrv_co_preadv_part@file",
         "the node of the file: offset {offset}, {bytes} bytes"),
    Step("thread pool", "file", "qemu:thread_pool_submit",
         "a thread of the pool makes the system call; the vCPU goes on"),
    Step("thread done", "file", "qemu:thread_pool_complete",
         "the system call returned {ret}"),
    _loose("qcow2 links", "format", "qemu:qcow2_cluster_link_l2",
           "the new cluster enters the L2 table"),
    Step("qcow2 done", "format", "qemu:qcow2_writev_done_req",
         "qcow2 is done: {ret}"),
    Step("rw_complete", "virtio", "qemu:virtio_blk_rw_complete",
         "back in the device: the result is {ret}"),
    Step("req_complete", "virtio", "qemu:virtio_blk_req_complete",
         "the status byte is written: {status}"),
    Step("used element", "virtio", "qemu:virtqueue_fill",
         "the used ring gets an element: the head, and {len} bytes written"),
    Step("used index", "virtio", "qemu:virtqueue_flush",
         "the used index moves by {count}: published"),
    Step("virtio_notify", "virtio",
         "qemu:virtio_notify qemu:virtio_notify_irqfd "
         "qemu:virtio_notify_irqfd_deferred_fn",
         "the driver wants to be told: QEMU raises the interrupt"),

    # Back.
    Step("interrupt", "pci", "irq_handler_entry",
         "interrupt {irq} ({name}) arrives at a CPU"),
    Step("vp_interrupt", "pci", "vp_interrupt vp_interrupt() vring_interrupt()",
         "the handler of the queue's vector"),
    Step("virtblk_done", "driver", "virtblk_done()",
         "the driver reaps the used ring"),
    Step("get_buf", "ring", "virtqueue_get_buf()|virtqueue_get_buf_ctx()",
         "the used element names the head, and with it the request"),
    Step("status", "driver", "virtblk_complete blk_mq_complete_request_remote()",
         "the request of this head is looked up[: tag {tag}, status {status}]"),
    Step("request ends", "block", "block_rq_complete",
         "the request ends, and its tag is free"),
    Step("bio ends", "block", "bio_endio()",
         "each of its bios ends"),
    Step("bio's owner", "cache",
         "submit_bio_wait_endio()|blkdev_bio_end_io_simple()|"
         "blkdev_bio_end_io_async()|ext4_end_bio()",
         "whoever made the bio is told"),
    _loose("wake-up", "user", "sched_wakeup",
           "the task is woken"),
    _loose("task runs", "user", "sched_switch/in",
           "the task runs again"),
    _own("write() returns", "user", "sys_exit_write",
         "write() returns {ret}"),
    _own("read() returns", "user", "sys_exit_read",
         "read() returns {ret}"),
    _own("ioctl() returns", "user", "sys_exit_ioctl",
         "ioctl() returns {ret}"),
    _own("fsync() returns", "user", "sys_exit_fsync",
         "fsync() returns {ret}: the disk has the data"),
    _own("io_submit() returns", "user", "sys_exit_io_submit",
         "io_submit() returns {ret}: the requests are on their way",
         loose=True),
    _own("io_getevents() returns", "user", "sys_exit_io_getevents",
         "io_getevents() returns {ret}: so many ended"),
)


@dataclasses.dataclass(frozen=True)
class What:
    """One journey: the command in the guest, and where it begins and ends.

    task    the name of the program, as the kernel knows it
    begin, end  the first and the last step
    fs      the image has a file system, mounted at /mnt
    fold    show each step once, with how often it was met
    early   write() returns before anything is written
    prepare a command that has the program and its libraries read
    """

    task: str
    command: str
    begin: str
    end: str
    says: str
    fs: bool = False
    fold: bool = False
    early: bool = False
    prepare: str = ""


WHATS = {
    "write": What("dd", "dd if=/dev/zero of=/dev/$D bs=4096 count=1 seek=9 "
                  "oflag=direct conv=notrunc", "write()", "write() returns",
                  "a direct write of 4 KiB"),
    "read": What("dd", "dd if=/dev/$D of=/dev/null bs=4096 count=1 skip=9 "
                 "iflag=direct", "read()", "read() returns",
                 "a direct read of 4 KiB"),
    "flush": What("dd", "dd if=/dev/null of=/dev/$D count=0 "
                  "conv=fsync,notrunc", "fsync()", "fsync() returns",
                  "fsync of the disk: a flush"),
    "discard": What("blkdiscard", "blkdiscard -o 131072 -l 65536 /dev/$D",
                    "ioctl()", "ioctl() returns",
                    "a discard of 64 KiB"),
    "buffered": What("dd", "dd if=/dev/zero of=/mnt/file bs=4096 count=1 "
                     "conv=fsync", "write()", "fsync() returns",
                     "a write of 4 KiB into a file of ext4, then fsync",
                     fs=True, early=True),
    "batch": What("fio", "fio --name=b --filename=/dev/$D --rw=randwrite "
                  "--bs=4k --direct=1 --ioengine=libaio --iodepth=8 "
                  "--iodepth_batch_submit=8 --iodepth_batch_complete_min=8 "
                  "--number_ios=8 --size=256k", "io_submit()",
                  "io_getevents() returns", "8 direct writes in one batch",
                  fold=True, prepare="fio --version"),
}


def functions(table=STEPS):
    """The functions of the guest that the table names."""
    return sorted({n[:-2] for s in table for n in s.names
                   if n.endswith("()")})


def host_events(table=STEPS):
    """QEMU's events that the table names, with the names of all versions."""
    names = {re.sub(r"@\w+$", "", n[5:]) for s in table for n in s.names
             if n.startswith("qemu:")}
    return sorted(names | {n + "_aio" for n in names
                           if n.startswith("thread_pool")})


# Events of the guest, as ftrace's folders name them.
EVENTS = (
    "virtio_lite", "block", "irq/irq_handler_entry", "sched/sched_wakeup",
    "sched/sched_switch", "jbd2/jbd2_start_commit",
    "jbd2/jbd2_commit_logging", "jbd2/jbd2_end_commit",
    "ext4/ext4_da_write_begin", "ext4/ext4_da_write_end",
    "ext4/ext4_sync_file_enter",
    *(f"syscalls/sys_{way}_{call}" for way in ("enter", "exit")
      for call in ("write", "read", "fsync", "ioctl", "io_submit",
                   "io_getevents")),
)
