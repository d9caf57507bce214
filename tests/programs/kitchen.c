/* Does a bit of everything, the same calls every time: descriptors of all kinds, fork, vfork and
 * exec, a thread, ioctls known and unknown, names made to mislead a parser, failing calls. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NASTY "x) = 3 <y>, \"z\" = -1 EIO (no)\n\x01\xc3\xa9"

static void *thread(void *unused)
{
	(void)unused;
	usleep(50000);
	close(open("/etc/hostname", O_RDONLY));
	return NULL;
}

static void files(void)
{
	char name[] = NASTY;
	int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600), copy, other;
	(void)!write(fd, "text) = 4\n <unfinished ...>", 27);
	copy = dup(fd);
	other = fcntl(fd, F_DUPFD, 100);
	lseek(copy, 0, SEEK_SET);
	fsync(other);
	unlink(name);
	fstat(fd, &(struct stat){0});
	mkdir("folder", 0700);
	int folder = open("folder", O_RDONLY | O_DIRECTORY);
	close(openat(folder, "inside", O_CREAT | O_WRONLY, 0600));
	renameat(folder, "inside", folder, "outside");
	unlinkat(folder, "outside", 0);
	close(folder);
	rmdir("folder");
	int null = open("/dev/null", O_RDWR);
	ioctl(null, TIOCGWINSZ, name);
	ioctl(null, 0x0707, 0);
	ioctl(null, 0x40206b00, 0);
	sendfile(null, fd, NULL, 4);
	mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	stat("/nonexistent", &(struct stat){0});
	close(99);
	syscall(9999, 1, 2, 3, 4, 5, 6);
}

static void descriptors(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	int epoll = epoll_create1(0), event = eventfd(0, 0);
	struct epoll_event what = {.events = EPOLLIN};
	epoll_ctl(epoll, EPOLL_CTL_ADD, event, &what);
	epoll_wait(epoll, &what, 1, 0);
	close(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	close(signalfd(-1, &set, 0));
	close(inotify_init());
	ftruncate(memfd_create("memory", 0), 4096);
}

static void sockets(void)
{
	struct sockaddr_in in = {AF_INET, htons(1), {htonl(INADDR_LOOPBACK)}, {0}};
	struct sockaddr_un un = {AF_UNIX, "/nonexistent/socket"};
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	connect(tcp, (void *)&in, sizeof in);
	close(tcp);
	int udp = socket(AF_INET6, SOCK_DGRAM, 0);
	(void)!write(udp, "x", 1);
	int local = socket(AF_UNIX, SOCK_DGRAM, 0);
	connect(local, (void *)&un, sizeof un);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &udp, sizeof(int));
	sendmsg(pair[0], &message, 0);
	recvmsg(pair[1], &message, 0);
	int passed;
	memcpy(&passed, CMSG_DATA(head), sizeof(int));
	(void)!write(passed, "x", 1);
}

int main(int argc, char **argv)
{
	int ends[2], status;
	if (argc > 1) {
		close(3);
		return 7;
	}
	prctl(PR_SET_NAME, "a> b(<) = 3");
	files();
	descriptors();
	sockets();
	(void)!pipe(ends);
	if (!fork()) {
		close(ends[0]);
		(void)!write(ends[1], "x", 1);
		raise(SIGKILL);
	}
	(void)!read(ends[0], &status, 1);
	waitpid(-1, &status, 0);
	if (!vfork()) {
		execl("/nonexistent", "no", NULL);
		execl(argv[0], argv[0], "again", NULL);
		_exit(1);
	}
	waitpid(-1, &status, 0);
	pthread_t other;
	pthread_create(&other, NULL, thread, NULL);
	pthread_join(other, NULL);
	return 3;
}
