#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# dracut, before udev: see boot. dracut sources this, so it must not exit.

/usr/lib/virtio-lite/boot
