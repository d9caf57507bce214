/* Eight threads that hand a counter around under a mutex and a condition. */
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int count;

static void *work(void *mine)
{
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&mutex);
		while (count % 8 != (int)(long)mine)
			pthread_cond_wait(&turn, &mutex);
		count++;
		pthread_cond_broadcast(&turn);
		pthread_mutex_unlock(&mutex);
		if (i % 10 == 0)
			usleep(100);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[8];
	for (long i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
