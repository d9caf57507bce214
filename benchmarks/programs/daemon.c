/* A daemon as of old: double fork, setsid, then some work after its parents are gone. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	if (fork())
		_exit(0);
	setsid();
	if (fork())
		_exit(0);
	(void)!chdir("/");
	umask(0);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	open("/dev/null", O_RDWR);
	for (int i = 0; i < 20; i++)
		usleep(2000);
	return 0;
}
