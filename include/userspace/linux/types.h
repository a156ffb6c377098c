/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's integers. What sparse checks falls away. */
#ifndef _SHIM_TYPES_H
#define _SHIM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __bitwise
#define __force
#define __iomem

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;

typedef u16 __le16;
typedef u32 __le32;
typedef u64 __le64;

#endif /* _SHIM_TYPES_H */
