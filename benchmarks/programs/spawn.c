/* vfork, posix_spawn, fork in a thread, exec from a thread that is not the leader. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void *in_thread(void *exec)
{
	if (exec)
		execl("/bin/true", "true", "from a thread", NULL);
	if (!fork())
		_exit(3);
	wait(NULL);
	return NULL;
}

int main(void)
{
	char *argv[] = {"true", NULL};
	pthread_t thread;
	pid_t pid;
	for (int i = 0; i < 20; i++) {
		if (!vfork()) {
			execl("/nonexistent", "x", NULL);
			execv("/bin/true", argv);
			_exit(1);
		}
		wait(NULL);
	}
	posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
	waitpid(pid, NULL, 0);
	pthread_create(&thread, NULL, in_thread, NULL);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, in_thread, "exec");
	pause();
	return 0;
}
