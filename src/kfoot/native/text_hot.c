/* Names, and the two tables their records are counted in: see struct text_hot. */
#include "text_hot.h"

const char *const text_life_names[4] = {
	"task_newtask", "task_rename", "sched_process_fork", "sched_process_exec",
};

uint64_t text_name_mask[NAME_BYTES][NAME_WORDS];

static void __attribute__((constructor)) make_masks(void)
{
	for (size_t length = 0; length < NAME_BYTES; length++)
		memset(text_name_mask[length], 0xFF, length);
}

static struct text_name *name_of(struct text_part *part, const uint8_t *text, size_t length)
{
	struct text_name key = {
		.hash = hash_bytes(text, length) | 1, .text = text, .length = (uint32_t)length,
		.number = (uint32_t)part->names.used,
	};
	bool fresh;
	struct text_name *name = text_names_find(&part->names, &key, &fresh);

	if (name && fresh) {
		name->text = arena_copy(&part->texts, text, length);
		if (!name->text || name->number >> 30) {
			name->text = (const uint8_t *)"";
			name->length = 0;
			return NULL;
		}
	}
	return name;
}

static bool keep_key(struct text_part *part, const struct text_hot *hot, uint64_t key)
{
	if (part->keys_used == part->keys_size) {
		size_t size = part->keys_size ? part->keys_size * 2 : 256;
		struct text_key *keys = realloc(part->keys, size * sizeof *keys);

		if (!keys)
			return false;
		part->keys = keys;
		part->keys_size = size;
	}
	part->keys[part->keys_used++] = (struct text_key){hot->name, key, hot->length};
	return true;
}

static bool settle(struct text_part *part, const struct text_hot *hot)
{
	bool fresh;

	if (!hot->count)
		return true;
	uint64_t tid = (hot->who - 1) >> 3, context = (hot->who - 1) & 7;
	uint64_t key = (tid << 33 | context << 30 | hot->number) + 1;
	struct text_event event = {.hash = mix(key)};
	struct text_event *slot = text_events_find(&part->events, &event, &fresh);

	if (!slot || (fresh && !keep_key(part, hot, key)))
		return false;
	slot->count += hot->count;
	return true;
}

bool text_settle(struct text_part *part)
{
	bool fine = true;

	for (size_t i = 0; i < HOT && fine; i++)
		fine = settle(part, &part->hot[i]);
	memset(part->hot, 0, sizeof part->hot);
	return fine;
}

uint8_t text_role_of(const uint8_t *name, size_t length)
{
	if (is_name(name, length, "sys_enter"))
		return SYS_ENTER;
	if (is_name(name, length, "sys_exit"))
		return SYS_EXIT;
	/* Their text may hold line ends. */
	if (is_name(name, length, "print") || is_name(name, length, "console") ||
	    is_name(name, length, "9p_protocol_dump"))
		return TALKER;
	for (int kind = 0; kind < 4; kind++)
		if (is_name(name, length, text_life_names[kind]))
			return LIFE + kind;
	return PLAIN;
}

struct text_hot *text_hot_of(struct text_part *part, const struct record *r, const uint8_t *text,
			     size_t length)
{
	uint64_t words[NAME_WORDS] = {0}, who = who_of(r);

	memcpy(words, text, length < NAME_BYTES ? length : NAME_BYTES);
	struct text_hot *hot = hot_place(part, words, who);

	if (same_hot(hot, words, who) && hot->length == length && !memcmp(hot->name, text, length))
		return hot;
	if (!settle(part, hot))
		return NULL;
	struct text_name *name = name_of(part, text, length);

	if (!name)
		return NULL;
	*hot = (struct text_hot){
		.who = who, .name = name->text, .length = (uint16_t)name->length,
		.number = name->number, .role = text_role_of(text, length),
	};
	memcpy(hot->words, words, sizeof words);
	return hot;
}
