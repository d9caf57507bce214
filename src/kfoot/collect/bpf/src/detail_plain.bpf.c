/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Full detail for kernels without bpf_rdonly_cast: what is behind pointers is copied. */
#define WITHOUT_CASTS
#include "detail.bpf.c"
