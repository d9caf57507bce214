/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Full detail for kernels that cannot compile what detail_plain has, either. */
#define WITHOUT_CASTS
#define WITHOUT_FETCH
#include "detail.bpf.c"
