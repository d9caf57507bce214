/* One line of ftrace text: what a record is made of. Told in ftrace_text.py. */
#ifndef KFOOT_TEXT_LINE_H
#define KFOOT_TEXT_LINE_H

#include "calls.h"

#define LONGEST 65536 /* bytes of a line that are looked at */
#define COLUMN 16     /* where the dash behind a name mostly is */
#define FURTHEST 64   /* bytes of a line in which its dash is looked for */

enum { TASK, SOFTIRQ, HARDIRQ, NMI, UNKNOWN };
enum { NAME_CHAR = 1, GRAPH = 2, HEX = 4, DUMP = 8 };

extern uint8_t text_class[256];

struct record {
	const uint8_t *name, *behind; /* behind the name and its mark */
	size_t name_length;
	const uint8_t *point;	      /* in its time; NULL: it has none */
	uint64_t ns;
	int32_t tid, leader; /* leader -1: not said */
	uint8_t mark;        /* ':' '(' '>' for " -> ", '<' for " <-", 's' and 'u' for stacks */
	uint8_t context;
};

static inline bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

/* Up to `most` digits; how many is returned. */
static inline int digits(const uint8_t **p, int most, uint64_t *value)
{
	const uint8_t *q = *p;
	uint64_t v = 0;
	int n = 0;

	while (n < most && is_digit(*q)) {
		v = v * 10 + (*q++ - '0');
		n++;
	}
	*p = q;
	*value = v;
	return n;
}

static inline bool spaces(const uint8_t **p)
{
	const uint8_t *q = *p;

	while (*q == ' ')
		q++;
	bool some = q != *p;

	*p = q;
	return some;
}

static inline bool starts(const uint8_t *p, const char *word)
{
	for (; *word; p++, word++)
		if (*p != (uint8_t)*word)
			return false;
	return true;
}

static inline bool all_of(const uint8_t *p, const uint8_t *stop, uint8_t class)
{
	while (p < stop && text_class[*p] & class)
		p++;
	return p == stop;
}

/* "-16 (  12) [": task and leader; gives where the CPU's number begins, NULL when it is no head. */
const uint8_t *text_head(const uint8_t *dash, struct record *r);
/* "001] d.h. 12.345678: ", from the CPU's number on; gives where the event begins, or NULL. */
const uint8_t *text_body(const uint8_t *p, struct record *r);
/* "name:", "name(", ...; false when it is none, or not within the first LONGEST bytes. */
bool text_event(const uint8_t *line, const uint8_t *p, struct record *r);
/* The record of a line: gives its dash, NULL when it is none. */
const uint8_t *text_record(const uint8_t *line, const uint8_t *newline, struct record *r);

/* Behind "sys_enter:" and "sys_exit:"; false when it is not what the kernel writes there. */
bool text_enter(const uint8_t *p, const uint8_t *stop, int64_t ioctl, struct entered *e);
bool text_exit(const uint8_t *p, const uint8_t *stop, struct left *l);
/* "cpus=2", "version = 7", "CPU 3 is empty": heads of trace-cmd report */
bool text_trace_cmd_head(const uint8_t *p, const uint8_t *stop);

#define SIX_DIGITS 8 /* bytes of "123456: " */
#define NO_DIGITS UINT64_MAX

/* "123456: ", six digits as one number; NO_DIGITS for anything else. The kernel's clocks print
 * six. */
static inline uint64_t six_digits(const uint8_t *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const uint64_t tens = 0xFFFFF0F0F0F0F0F0, zeros = 0x203A303030303030;
	uint64_t v = word_at(p);

	if ((v & tens) != zeros || (v + 0x0000060606060606) & 0x0000404040404040)
		return NO_DIGITS;
	v = (v & 0x00000F0F0F0F0F0F) << 16; /* eight digits, the first two 0 */
	v = v * 10 + (v >> 8);
	return ((v & 0x000000FF000000FF) * 0x000F424000000064 +
		(v >> 16 & 0x000000FF000000FF) * 0x0000271000000001) >> 32;
#else
	(void)p;
	return NO_DIGITS;
#endif
}

static inline uint8_t context_of(uint8_t flag)
{
	switch (flag) {
	case '.':
		return TASK;
	case 's':
		return SOFTIRQ;
	case 'h':
	case 'H':
		return HARDIRQ;
	case 'z':
	case 'Z':
		return NMI;
	}
	return UNKNOWN;
}

#endif
