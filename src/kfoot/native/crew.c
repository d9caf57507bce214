/* Work that threads share: see crew.h. */
#include "crew.h"

#include <string.h>

static bool over(const struct crew *crew)
{
	return crew->stop || crew->failed || crew->taken == crew->count;
}

/* Does one piece, when there is one; called and left with the lock held. */
static bool do_one(struct crew *crew, int worker)
{
	while (!over(crew) && crew->taken >= crew->joined + crew->room)
		pthread_cond_wait(&crew->changed, &crew->lock);
	if (over(crew))
		return false;
	size_t piece = crew->taken++;

	pthread_mutex_unlock(&crew->lock);
	crew->work(crew->owner, worker, piece);
	pthread_mutex_lock(&crew->lock);
	crew->done[piece % crew->room] = true;
	while (crew->joined < crew->taken && crew->done[crew->joined % crew->room] &&
	       !crew->failed) {
		crew->done[crew->joined % crew->room] = false;
		crew->failed = !crew->join(crew->owner, crew->joined);
		crew->joined++;
	}
	pthread_cond_broadcast(&crew->changed);
	return true;
}

static void *other(void *argument)
{
	struct crew *crew = argument;

	pthread_mutex_lock(&crew->lock);
	int worker = ++crew->others;

	while (do_one(crew, worker))
		;
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

void crew_begin(struct crew *crew, int threads, size_t count)
{
	crew->count = count;
	crew->taken = crew->joined = 0;
	crew->room = crew_room(threads);
	crew->failed = crew->stop = false;
	crew->others = crew->started = 0;
	memset(crew->done, 0, sizeof crew->done);
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->changed, NULL);
	/* Without a thread the others, and be it the caller alone, do its pieces. */
	while (crew->started + 1 < threads && (size_t)crew->started + 1 < count &&
	       !pthread_create(&crew->threads[crew->started], NULL, other, crew))
		crew->started++;
}

bool crew_step(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	if (!do_one(crew, 0))
		while (crew->joined < crew->taken && !crew->failed && !crew->stop)
			pthread_cond_wait(&crew->changed, &crew->lock);
	bool more = !crew->failed && crew->joined < crew->count;

	pthread_mutex_unlock(&crew->lock);
	return more;
}

void crew_end(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->stop = true;
	pthread_cond_broadcast(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
	while (crew->started)
		pthread_join(crew->threads[--crew->started], NULL);
	pthread_cond_destroy(&crew->changed);
	pthread_mutex_destroy(&crew->lock);
}
