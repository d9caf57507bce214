/* Calls interrupted, restarted and never returned from. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nothing(int unused) { (void)unused; }

static void *asleep(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

int main(void)
{
	struct itimerval soon = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
	struct sigaction restart = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	struct timespec nap = {0, 20000000};
	char byte;
	int ends[2];
	(void)!pipe(ends);
	sigaction(SIGALRM, &restart, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	pid_t pid = fork();
	if (!pid) {
		usleep(50000);
		(void)!write(ends[1], "x", 1);
		pause();
	}
	(void)!read(ends[0], &byte, 1);
	poll(NULL, 0, 20);
	nanosleep(&nap, NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	kill(pid, SIGSTOP);
	usleep(10000);
	kill(pid, SIGCONT);
	usleep(10000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pthread_t thread;
	pthread_create(&thread, NULL, asleep, NULL);
	usleep(10000);
	return 0;
}
