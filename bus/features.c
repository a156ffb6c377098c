// SPDX-License-Identifier: GPL-2.0
/*
 * Negotiation of feature bits: sections 2.2 and 3.1.1. The table of the features
 * that are accepted is include/virtio_features.h.
 */
#include "compat/compat.h"
#include "virtio_export.h"
#include "virtio_lite.h"
#include "trace/virtio_lite_trace.h"

/* The devices from which a feature of virtio_features.h is accepted. */
enum virtio_taken { NEVER = 0, LEGACY = 1, MODERN = 2, BOTH = 3 };

struct virtio_feature {
	u8 bit;
	u8 taken;
	u64 needs;
	const char *name;
};

#define VIRTIO_FEATURE(_bit, _name, _taken, _needs, _reason) \
	{ .bit = _bit, .taken = _taken, .needs = _needs, .name = #_name },
static const struct virtio_feature virtio_features[] = {
#include "virtio_features.h"
};
#undef VIRTIO_FEATURE

/**
 * virtio_trace_features() - the names of feature bits, in a trace
 * @p: where they are put
 * @features: the bits; one without a name in the table is a number
 *
 * Context: of a reader of the trace. Return: the names, in @p, with | between.
 */
const char *virtio_trace_features(struct trace_seq *p, u64 features)
{
	const char *text = trace_seq_buffer_ptr(p), *bar = "";
	const struct virtio_feature *f;
	int i;

	for (i = 0; i < ARRAY_SIZE(virtio_features); i++) {
		f = &virtio_features[i];
		if (!(features & BIT_ULL(f->bit)))
			continue;
		trace_seq_printf(p, "%s%s", bar, f->name);
		features &= ~BIT_ULL(f->bit);
		bar = "|";
	}
	for (i = 0; i < 64; i++) {
		if (!(features & BIT_ULL(i)))
			continue;
		trace_seq_printf(p, "%s%d", bar, i);
		bar = "|";
	}
	trace_seq_putc(p, 0);
	return text;
}

/* Bits that the driver of the device does not know are left alone. */
static u64 virtio_choose_features(struct virtio_device *vdev,
				  const struct virtio_driver *drv, u64 offered)
{
	u64 known = ~VIRTIO_DEVICE_FEATURES | drv->features;
	const enum virtio_taken mode = vdev->legacy ? LEGACY : MODERN;
	const struct virtio_feature *f;
	u64 accepted = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(virtio_features); i++) {
		f = &virtio_features[i];
		if ((offered & known & BIT_ULL(f->bit)) && (f->taken & mode))
			accepted |= BIT_ULL(f->bit);
	}

	/* GEN-FEAT-02: drop features that need another one. */
	for (i = 0; i < ARRAY_SIZE(virtio_features); i++) {
		f = &virtio_features[i];
		if (!(accepted & BIT_ULL(f->bit)) || !(f->needs & ~accepted))
			continue;
		virtio_notice_ratelimited(vdev, "%s not taken: it needs features %#llx\n",
					  f->name, f->needs & ~accepted);
		accepted &= ~BIT_ULL(f->bit);
	}
	return accepted;
}

/* Features without which the device cannot be driven at all. */
static int virtio_check_required(struct virtio_device *vdev, u64 accepted)
{
	if (!vdev->legacy && !(accepted & VIRTIO_BIT(VERSION_1))) {
		virtio_err(vdev, "device has no VERSION_1, which modern registers need, and no legacy registers\n");
		return -ENODEV;
	}
	if (compat_mem_restricted() && !(accepted & VIRTIO_BIT(ACCESS_PLATFORM))) {
		virtio_err(vdev, "the platform restricts what memory devices reach, which needs ACCESS_PLATFORM, and the device does not offer it\n");
		return -ENODEV;
	}
	return 0;
}

static int virtio_negotiate_features(struct virtio_device *vdev)
{
	struct virtio_driver *drv = drv_to_virtio(vdev->dev.driver);
	u64 offered = vdev->regs->get_features(vdev);
	u64 accepted = virtio_choose_features(vdev, drv, offered);
	int err;

	err = virtio_check_required(vdev, accepted);
	if (err)
		return err;
	if (drv->accept) {
		err = drv->accept(vdev, &accepted);
		if (err)
			return err;
	}

	/*
	 * Rings and limits depend on the features, so few may change with a reset.
	 * What the device has learned meanwhile is not taken.
	 */
	if (vdev->negotiated)
		accepted &= vdev->features | drv->may_change;
	if (vdev->negotiated &&
	    (vdev->features ^ accepted) & ~drv->may_change) {
		virtio_err(vdev, "device came back with features %#llx instead of %#llx\n",
			   accepted, vdev->features);
		return -ENODEV;
	}

	vdev->regs->set_features(vdev, accepted);
	vdev->features = accepted;
	vdev->negotiated = true;
	trace_virtio_negotiate(vdev, offered, accepted);
	if (vdev->legacy)
		return 0;	/* LEG-INIT-01: there is no FEATURES_OK */

	virtio_add_status(vdev, VIRTIO_S_FEATURES_OK);
	if (!(vdev->regs->get_status(vdev) & VIRTIO_S_FEATURES_OK)) {
		virtio_err(vdev, "device refuses features %#llx out of %#llx (FEATURES_OK does not stay set)\n",
			   accepted, offered);
		return -ENODEV;
	}
	return 0;
}

/**
 * virtio_negotiate() - first half of device initialisation, section 3.1.1
 * @vdev: the device, which has a driver
 *
 * Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. A device that is
 * reinitialised has to offer the same features again, except for the driver's
 * may_change; it may offer more, which are not taken. After an error FAILED is
 * set. Context: may sleep. Return: 0 or an error, after a message.
 */
int virtio_negotiate(struct virtio_device *vdev)
{
	int err;

	err = virtio_reset_device(vdev);
	if (err)
		return err;
	virtio_add_status(vdev, VIRTIO_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_S_DRIVER);
	err = virtio_negotiate_features(vdev);
	if (err)
		virtio_add_status(vdev, VIRTIO_S_FAILED);
	return err;
}
EXPORT_SYMBOL_LITE(virtio_negotiate);
