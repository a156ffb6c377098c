/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ring, split (section 2.7) or packed (section 2.8), as its two users see it.
 *
 *	driver                            device
 *	  virtqueue_add      --avail-->     takes heads
 *	  virtqueue_notify   --kick--->     wakes up
 *	  virtqueue_get_buf  <--used---     returns heads
 *
 * A buffer is a table of descriptors that the caller filled with
 * virtqueue_set_desc(). With INDIRECT_DESC the table itself is handed to the
 * device and the caller's tag is the ring slot: no list of free slots exists.
 * Without, the table is copied into free slots of the ring.
 *
 * Adding and getting share no lock and no cache line: adding is serialised by
 * the caller, getting by whoever owns the queue's interrupt.
 */
#ifndef _VIRTIO_RING_LITE_H
#define _VIRTIO_RING_LITE_H

#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/io.h>
#include <linux/irqreturn.h>
#include <linux/tracepoint-defs.h>
#include "virtio_spec.h"

/**
 * struct vring_packed_pos - a place in a packed ring
 * @desc: descriptor
 * @lap: AVAIL and USED on this lap, shifted by VRING_PACKED_FLAGS_SHIFT
 * @left: slots before the end of the ring
 */
struct vring_packed_pos {
	struct vring_packed_desc *desc;
	u32 lap;
	u16 left;
};

/**
 * struct virtqueue - one queue of a device
 *
 * The first group is written when the queue is set up and only read after.
 * @desc: descriptors; of a split ring written by the driver only
 * @avail: available ring; written by the driver only
 * @used: used ring; written by the device, so never believed
 * @used_event: behind @avail: at which used index an interrupt is wanted
 * @avail_event: behind @used: at which avail index a kick is wanted
 * @driver_event: packed, instead of @avail: when an interrupt is wanted
 * @device_event: packed, instead of @used: when a kick is wanted
 * @token: what each head in flight stands for; NULL when it is not
 * @notify: where a kick is written
 * @callback: called by the interrupt handler when buffers may be used
 * @num: number of descriptors; of a split ring a power of 2
 * @mask: @num - 1
 * @max: the largest @num that the device offers
 * @index: of this queue in its device
 * @device: N of the virtioN that the queue belongs to
 * @packed: RING_PACKED was negotiated
 * @indirect: INDIRECT_DESC was negotiated
 * @in_order: IN_ORDER was negotiated, with INDIRECT_DESC: the slot is the head,
 *	      and nobody's tag
 * @event_idx: EVENT_IDX was negotiated
 * @polled: has no interrupt: whoever waits for a buffer looks for it
 * @swap: ring fields are little-endian (VERSION_1), not the guest's own order
 * @strong: ORDER_PLATFORM was negotiated: the device is not a CPU
 * @notify_id: what a kick says: @index, or what NOTIF_CONFIG_DATA has instead
 * @notify_data: NOTIFICATION_DATA was negotiated: a kick says how far we are
 * @notify_other: a kick is something else than 16 bits to memory
 * @link: private copy of the descriptors' next fields (without INDIRECT); of a
 *	  packed ring, the length of each id's chain
 * @returned: heads on their way from getting to adding (split, no INDIRECT)
 *
 * Submission, under the caller's submission lock:
 * @avail_idx: next index to fill in @avail, ahead of the ring's own idx
 * @avail_pos: next slot to fill (packed)
 * @added: slots filled since the last decision about a kick (packed)
 * @slots_added: slots ever filled (packed, no INDIRECT)
 * @kicked_idx: @avail_idx at the last decision about a kick; of a packed ring,
 *		as events name it
 * @free_head: first free slot (without INDIRECT)
 * @num_free: free slots (without INDIRECT)
 * @returned_cons: next entry of @returned to take back
 *
 * Completion, by the owner of the interrupt:
 * @used_idx: next index to look at in @used
 * @used_pos: next slot to look at (packed)
 * @slots_done: slots ever given back (packed, no INDIRECT)
 * @used_end: used.idx as last read from the device and checked
 * @batch_left: buffers that the last used entry still stands for (IN_ORDER)
 * @returned_prod: next entry of @returned to fill
 * @harvests: how often the owner found something; its own to count
 * @broken: the device broke the protocol; see virtqueue_get_buf()
 */
struct virtqueue {
	struct vring_desc *desc;
	union {
		struct vring_avail *avail;
		struct vring_packed_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_event *device_event;
	};
	virtio16_t *used_event;
	virtio16_t *avail_event;
	void **token;
	void __iomem *notify;
	irqreturn_t (*callback)(struct virtqueue *vq);
	u16 num;
	u16 mask;
	u16 index;
	u16 device;
	bool packed;
	bool indirect;
	bool in_order;
	bool event_idx;
	bool polled;
	bool swap;
	bool strong;
	u16 notify_id;
	bool notify_data;
	bool notify_other;
	u16 max;
	u16 *link;
	u16 *returned;

	u16 avail_idx ____cacheline_aligned_in_smp;
	struct vring_packed_pos avail_pos;
	u16 added;
	u16 slots_added;
	u16 kicked_idx;
	u16 free_head;
	u16 num_free;
	u16 returned_cons;

	u16 used_idx ____cacheline_aligned_in_smp;
	u16 used_end;
	struct vring_packed_pos used_pos;
	u16 slots_done;
	u16 batch_left;
	u16 returned_prod;
	u32 harvests;
	bool broken;
};

/*
 * Byte order. On a little-endian guest all of it compiles to nothing; on a
 * big-endian one VERSION_1 decides (section 2.4.3).
 */
static inline virtio16_t vring16(const struct virtqueue *vq, u16 v)
{
	return (__force virtio16_t)(vq->swap ? (__force u16)cpu_to_le16(v) : v);
}

static inline virtio32_t vring32(const struct virtqueue *vq, u32 v)
{
	return (__force virtio32_t)(vq->swap ? (__force u32)cpu_to_le32(v) : v);
}

static inline virtio64_t vring64(const struct virtqueue *vq, u64 v)
{
	return (__force virtio64_t)(vq->swap ? (__force u64)cpu_to_le64(v) : v);
}

static inline u16 vring16_cpu(const struct virtqueue *vq, virtio16_t v)
{
	return vq->swap ? le16_to_cpu((__force __le16)v) : (__force u16)v;
}

static inline u32 vring32_cpu(const struct virtqueue *vq, virtio32_t v)
{
	return vq->swap ? le32_to_cpu((__force __le32)v) : (__force u32)v;
}

/**
 * vring_set_desc() - fill a descriptor of a table, for who walks along it
 * @vq: the queue the table is for
 * @packed: vq->packed, best a constant
 * @desc: the descriptor
 * @next: number of the one behind it
 * @addr: see virtqueue_set_desc(), as the following
 * @len: bytes
 * @flags: of a split ring
 */
static __always_inline void vring_set_desc(const struct virtqueue *vq,
					   bool packed, struct vring_desc *desc,
					   unsigned int next, u64 addr, u32 len,
					   u16 flags)
{
	struct vring_packed_desc *p = (struct vring_packed_desc *)desc;

	if (packed) {
		/* PACK-INDIR-02: no NEXT in a table, its order is the chain */
		p->addr = cpu_to_le64(addr);
		p->len = cpu_to_le32(len);
		p->flags = cpu_to_le16(flags & VRING_DESC_F_WRITE);
		return;
	}
	desc->addr = vring64(vq, addr);
	desc->len = vring32(vq, len);
	desc->flags = vring16(vq, flags);
	desc->next = vring16(vq, next);
}

/**
 * __virtqueue_set_desc() - virtqueue_set_desc() where the format is known
 * @vq: the queue the table is for
 * @packed: vq->packed, best a constant
 * @table: see virtqueue_set_desc(), as the following
 * @i: number
 * @addr: address
 * @len: bytes
 * @flags: of a split ring
 */
static __always_inline void __virtqueue_set_desc(const struct virtqueue *vq,
						 bool packed,
						 struct vring_desc *table,
						 unsigned int i, u64 addr,
						 u32 len, u16 flags)
{
	vring_set_desc(vq, packed, &table[i], i + 1, addr, len, flags);
}

/**
 * virtqueue_set_desc() - fill one descriptor of a table
 * @vq: the queue the table is for
 * @table: the table
 * @i: which descriptor; filled in order from 0
 * @addr: address for the device
 * @len: bytes
 * @flags: VRING_DESC_F_NEXT unless it is the last, and VRING_DESC_F_WRITE if
 *	   the device writes there; all it reads come first (GEN-FRAME-01)
 */
static inline void virtqueue_set_desc(const struct virtqueue *vq,
				      struct vring_desc *table, unsigned int i,
				      u64 addr, u32 len, u16 flags)
{
	__virtqueue_set_desc(vq, vq->packed, table, i, addr, len, flags);
}

size_t vring_size(unsigned int num, unsigned int align, bool packed);
int vring_init(struct virtqueue *vq, unsigned int num, void *mem,
	       unsigned int align, int node);
void vring_reset(struct virtqueue *vq);
void vring_swap(struct virtqueue *vq, struct virtqueue *other);
void vring_free(struct virtqueue *vq);

bool virtqueue_has_free_slots(struct virtqueue *vq, unsigned int n);
u16 virtqueue_copy_chain(struct virtqueue *vq, const struct vring_desc *table,
			 unsigned int n);
void virtqueue_return_chain(struct virtqueue *vq, u16 head);
void virtqueue_notify(const struct virtqueue *vq);

void *virtqueue_get_in_order(struct virtqueue *vq);
void *virtqueue_break(struct virtqueue *vq, const char *what, u32 value);
void virtqueue_suppress(struct virtqueue *vq);
void virtqueue_unsuppress(struct virtqueue *vq);

/**
 * vring_mb() - barrier between writing to and reading from the device
 * @vq: the queue
 *
 * A device in software is another CPU, even for a guest kernel built for one;
 * ORDER_PLATFORM says it may be hardware (section 6.3, GEN-RSVD-08). So for
 * the other two.
 */
static __always_inline void vring_mb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		mb();		/* hardware */
	else
		virt_mb();	/* another CPU */
}

static __always_inline void vring_rmb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		dma_rmb();	/* hardware */
	else
		virt_rmb();	/* another CPU */
}

static __always_inline void vring_wmb(const struct virtqueue *vq)
{
	if (unlikely(vq->strong))
		dma_wmb();	/* hardware */
	else
		virt_wmb();	/* another CPU */
}

/*
 * What a head stands for that the device gives back; NULL, and the queue is
 * broken, if it must not. Each comes back once.
 */
static __always_inline void *vring_take_token(struct virtqueue *vq, u32 id)
{
	void *token;

	if (unlikely(id >= vq->num))
		return virtqueue_break(vq, "used id", id);
	token = vq->token[id];
	if (unlikely(!token))
		return virtqueue_break(vq, "used id, which is not in flight", id);
	vq->token[id] = NULL;
	return token;
}

/* The tracepoints in inline functions; see linux/tracepoint-defs.h. */
DECLARE_TRACEPOINT(virtqueue_add);
DECLARE_TRACEPOINT(virtqueue_kick);
void virtqueue_trace_add(const struct virtqueue *vq, u16 head, unsigned int n);
void virtqueue_trace_kick(const struct virtqueue *vq, u16 idx, bool kick);

/* With so many others in flight, so often before a kick that may be needless. */
#define VRING_BUSY	8
#define VRING_LOOKS	12

#include "virtio_packed_lite.h"

/**
 * virtqueue_has_room() - can a table of @n descriptors be added now
 * @vq: the queue; the caller holds its submission lock
 * @n: length of the table
 *
 * Always true with INDIRECT_DESC: the tag is the slot.
 */
static inline bool virtqueue_has_room(struct virtqueue *vq, unsigned int n)
{
	if (likely(vq->indirect))
		return true;
	return vq->packed ? virtqueue_packed_has_room(vq, n) :
			    virtqueue_has_free_slots(vq, n);
}

/**
 * __virtqueue_add() - virtqueue_add() where the format is known
 * @vq: the queue
 * @packed: vq->packed, best a constant
 * @table: see virtqueue_add(), as the following
 * @table_addr: for the device
 * @n: length
 * @tag: slot, or id
 * @token: to get back
 */
static __always_inline void __virtqueue_add(struct virtqueue *vq, bool packed,
					    const struct vring_desc *table,
					    u64 table_addr, unsigned int n,
					    u16 tag, void *token)
{
	u16 head = tag;

	/* Available at once, so what it stands for comes first. */
	if (packed) {
		if (likely(vq->indirect))
			virtqueue_packed_add(vq, table_addr, n, tag, token);
		else
			virtqueue_packed_add_chain(vq, table, n, tag, token);
	} else {
		if (likely(vq->indirect)) {
			/* Its flag is INDIRECT since vring_reset(). */
			vq->desc[head].addr = vring64(vq, table_addr);
			vq->desc[head].len = vring32(vq, n * sizeof(*table));
		} else {
			head = virtqueue_copy_chain(vq, table, n);
		}
		vq->token[head] = token;
		vq->avail->ring[vq->avail_idx++ & vq->mask] = vring16(vq, head);
		/* All of it has to be there before the index (SPLIT-IDX-01). */
		vring_wmb(vq);
		WRITE_ONCE(vq->avail->idx, vring16(vq, vq->avail_idx));
	}
	if (tracepoint_enabled(virtqueue_add))
		virtqueue_trace_add(vq, head, n);
}

/**
 * virtqueue_next_slot() - where the next buffer will be, its head with IN_ORDER
 * @vq: the queue; the caller holds its submission lock
 */
static inline u16 virtqueue_next_slot(const struct virtqueue *vq)
{
	return vq->packed ? vring_packed_slot(vq, &vq->avail_pos) :
			    vq->avail_idx & vq->mask;
}

/**
 * virtqueue_head() - the head of the next buffer
 * @vq: the queue; the caller holds its submission lock
 * @tag: of the caller
 *
 * Return: @tag; with IN_ORDER, slots in the order of the ring (SPLIT-DESC-I01).
 */
static __always_inline u16 virtqueue_head(const struct virtqueue *vq, u16 tag)
{
	return unlikely(vq->in_order) ? virtqueue_next_slot(vq) : tag;
}

/**
 * virtqueue_add() - make a buffer available
 * @vq: the queue; the caller holds its submission lock
 * @table: @n descriptors filled by virtqueue_set_desc(); stays unchanged until
 *	   the buffer comes back
 * @table_addr: where the device finds @table; unused without INDIRECT_DESC
 * @n: length of @table; at most the size of the ring (SPLIT-INDIR-03)
 * @tag: of the caller, below the size of the ring, not in flight on this queue;
 *	 with IN_ORDER only the number of buffers in flight is bounded so
 * @token: what virtqueue_get_buf() shall return; not NULL
 *
 * A device that is awake takes it at once; one that sleeps has to be kicked,
 * see virtqueue_kick_prepare(). virtqueue_has_room() was asked before.
 * Context: any.
 */
static inline void virtqueue_add(struct virtqueue *vq,
				 const struct vring_desc *table, u64 table_addr,
				 unsigned int n, u16 tag, void *token)
{
	__virtqueue_add(vq, vq->packed, table, table_addr, n,
			virtqueue_head(vq, tag), token);
}

static __always_inline bool vring_split_wants_kick(const struct virtqueue *vq,
						   u16 new, u16 old)
{
	u16 event;

	if (unlikely(!vq->event_idx))
		return !(vring16_cpu(vq, READ_ONCE(vq->used->flags)) &
			 VRING_USED_F_NO_NOTIFY);
	/* Section 2.7.10: was @event passed on the way to @new? */
	event = vring16_cpu(vq, READ_ONCE(*vq->avail_event));
	return (u16)(new - event - 1) < (u16)(new - old);
}

bool virtqueue_split_look_again(const struct virtqueue *vq);

static __always_inline bool virtqueue_split_kick_prepare(struct virtqueue *vq)
{
	bool kick;

	/* Or the device goes to sleep while we see it awake (SPLIT-KICK-01). */
	vring_mb(vq);
	kick = vring_split_wants_kick(vq, vq->avail_idx, vq->kicked_idx);
	/* A guess, without the interrupt's knowledge: has it much other work? */
	if (kick && (u16)(vq->kicked_idx - data_race(vq->used_idx)) >= VRING_BUSY)
		kick = virtqueue_split_look_again(vq);
	vq->kicked_idx = vq->avail_idx;
	if (tracepoint_enabled(virtqueue_kick))
		virtqueue_trace_kick(vq, vq->avail_idx, kick);
	return kick;
}

/**
 * virtqueue_kick_prepare() - does the device have to be told what was added
 * @vq: the queue; the caller holds its submission lock
 *
 * Return: true if virtqueue_notify() has to be called, best after dropping the
 * lock, since a notification may leave the guest.
 */
static __always_inline bool virtqueue_kick_prepare(struct virtqueue *vq)
{
	return vq->packed ? virtqueue_packed_kick_prepare(vq) :
			    virtqueue_split_kick_prepare(vq);
}

/* Look once at how far the device has come, and whether it can have. */
static __always_inline bool vring_split_more_used(struct virtqueue *vq)
{
	u16 end = vring16_cpu(vq, READ_ONCE(vq->used->idx));

	if (end == vq->used_idx || unlikely(vq->broken))
		return false;
	if (unlikely((u16)(end - vq->used_idx) > vq->num)) {
		virtqueue_break(vq, "used index", end);
		return false;
	}
	/* The elements were written before the index (section 2.7.14). */
	vring_rmb(vq);
	vq->used_end = end;
	return true;
}

/**
 * __virtqueue_get_buf() - virtqueue_get_buf() where the format is known
 * @vq: the queue; the caller owns its interrupt
 * @packed: vq->packed, best a constant
 */
static __always_inline void *__virtqueue_get_buf(struct virtqueue *vq,
						 bool packed)
{
	void *token;
	u32 id;

	if (packed)
		return virtqueue_packed_get_buf(vq);

	if (vq->used_idx == vq->used_end && !vring_split_more_used(vq))
		return NULL;
	id = vring32_cpu(vq, READ_ONCE(vq->used->ring[vq->used_idx & vq->mask].id));
	token = vring_take_token(vq, id);
	if (unlikely(!token))
		return NULL;
	vq->used_idx++;
	if (unlikely(!vq->indirect))
		virtqueue_return_chain(vq, id);
	return token;
}

/**
 * virtqueue_get_buf() - take one buffer that the device has done with
 * @vq: the queue; the caller owns its interrupt
 *
 * Return: the token given to virtqueue_add(); NULL if there is none, or if the
 * device wrote what it must not: vq->broken tells, and no buffer comes from the
 * queue any more before the device is reset and vring_reset().
 */
static inline void *virtqueue_get_buf(struct virtqueue *vq)
{
	if (unlikely(vq->in_order))
		return virtqueue_get_in_order(vq);
	return __virtqueue_get_buf(vq, vq->packed);
}

/**
 * virtqueue_is_used() - may virtqueue_get_buf() have something to say
 * @vq: the queue; the caller need not own its completion
 */
static inline bool virtqueue_is_used(const struct virtqueue *vq)
{
	if (vq->packed)
		return vring_packed_is_used(vq, vring_packed_look(vq));
	return vring16_cpu(vq, READ_ONCE(vq->used->idx)) != READ_ONCE(vq->used_idx);
}

/**
 * virtqueue_disable_cb() - ask for no interrupts while getting buffers
 * @vq: the queue; the caller owns its interrupt
 *
 * Nothing to do with EVENT_IDX: none comes until the event moves
 * (SPLIT-UNOTIF-03).
 */
static inline void virtqueue_disable_cb(struct virtqueue *vq)
{
	if (unlikely(!vq->event_idx))
		virtqueue_suppress(vq);
}

/**
 * __virtqueue_enable_cb() - virtqueue_enable_cb() where the format is known
 * @vq: the queue; the caller owns its interrupt
 * @packed: vq->packed, best a constant
 */
static __always_inline bool __virtqueue_enable_cb(struct virtqueue *vq,
						  bool packed)
{
	if (unlikely(!vq->event_idx))
		virtqueue_unsuppress(vq);
	else if (packed)
		WRITE_ONCE(vq->driver_event->off_wrap,
			   cpu_to_le16(vring_packed_slot(vq, &vq->used_pos) |
				       (vq->used_pos.lap >> VRING_PACKED_FLAGS_SHIFT &
					VRING_PACKED_EVENT_WRAP)));
	else
		WRITE_ONCE(*vq->used_event, vring16(vq, vq->used_idx));
	vring_mb(vq);
	if (packed)
		return !vring_packed_is_used(vq, vring_packed_look(vq));
	return vring16_cpu(vq, READ_ONCE(vq->used->idx)) == vq->used_idx ||
	       vq->broken;
}

/**
 * virtqueue_enable_cb() - ask for an interrupt at the next used buffer
 * @vq: the queue; the caller owns its interrupt
 *
 * Return: false if buffers were used meanwhile, for which no interrupt may
 * come: get them first (SPLIT-RECV-I01).
 */
static inline bool virtqueue_enable_cb(struct virtqueue *vq)
{
	return __virtqueue_enable_cb(vq, vq->packed);
}

#endif /* _VIRTIO_RING_LITE_H */
