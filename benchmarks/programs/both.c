/* Built as 32 and as 64-bit program: runs the program it is given, or calls that differ. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	struct stat what;
	for (int i = 0; i < 10; i++) {
		int fd = open("/etc/hostname", O_RDONLY);
		fstat(fd, &what);
		lseek(fd, 1, SEEK_SET);
		mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
		ioctl(fd, 0x5401, argv);
		fcntl(fd, F_GETFL);
		close(fd);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000}, &now);
		getuid();
	}
	if (argc > 1 && !fork())
		execv(argv[1], argv + 1);
	wait(NULL);
	return 0;
}
