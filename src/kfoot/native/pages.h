/* Memory-mapped files that are larger than memory should be. */
#ifndef KFOOT_PAGES_H
#define KFOOT_PAGES_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Pages of a mapped file that were read are given back by the thread that read them: it is a
 * tenth of the work, and the kernel does it for several threads at once.
 */
static inline void give_back(const uint8_t *begin, const uint8_t *end)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)begin + page - 1) & ~(page - 1), to = (uintptr_t)end & ~(page - 1);

	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

#endif
