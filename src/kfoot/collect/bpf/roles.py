"""Which arguments of which system call are descriptors, paths, addresses or telling scalars.

One row a call: its number under x86_64, x32, i386, arm64 and arm (arch/*/syscalls tables of Linux
6.12; numbers are never reused), then the roles of its arguments, which are named by number from 1:

  fdN      a descriptor the call acts on; a second one is the other end (splice, epoll_ctl)
  pathN    a path
  atN      the descriptor of the directory the next path starts at
  sockaddrN  a socket address, its length the argument behind it
  maskNM   scalars that tell combinations apart (an ioctl's request, a socket's family)
  object   the call returns the descriptor of what it opened; ``second``: of something besides
  close, exec  what the names say

A call without a row has no roles: it is counted by its result alone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

ABIS = ("x86_64", "x32", "i386", "arm64", "arm")
NUMBERS = 1024
"""Numbers per ABI in the programs' table (src/records.h)."""
_ROLE = struct.Struct("8B")
"""fd, fd2, path, path2, sockaddr, mask, result, kind: struct role in src/records.h."""
_AT, _AT2, _CLOSE, _EXEC = 1, 2, 4, 8
_RESULT = {"object": 1, "second": 2}
_KINDS = {"close": _CLOSE, "exec": _EXEC}

TABLE = """
_llseek                 -    -  140    -  140  fd1
accept                 43   43    -  202  285  fd1 second
accept4               288  288  364  242  366  fd1 second
access                 21   21   33    -   33  path1
acct                  163  163   51   89   51  path1
arch_prctl            158  158  384    -    -  mask1
arm_fadvise64_64        -    -    -    -  270  fd1
bind                   49   49  361  200  282  fd1 sockaddr2
bpf                   321  321  357  280  386  mask1
cachestat             451  451  451  451  451  fd1
chdir                  80   80   12   49   12  path1
chmod                  90   90   15    -   15  path1
chown                  92   92  182    -  182  path1
chown32                 -    -  212    -  212  path1
chroot                161  161   61   51   61  path1
clock_getres          229  229  266  114  264  mask1
clock_gettime         228  228  265  113  263  mask1
clock_gettime64         -    -  403    -  403  mask1
clock_nanosleep       230  230  267  115  265  mask1
clock_nanosleep_time64    -    -  407    -  407  mask1
clock_settime         227  227  264  112  262  mask1
clone                  56   56  120  220  120  mask1
close                   3    3    6   57    6  fd1 close
connect                42   42  362  203  283  fd1 sockaddr2
copy_file_range       326  326  377  285  391  fd1 fd3
creat                  85   85    8    -    8  path1 object
delete_module         176  176  129  106  129  path1
dup                    32   32   41   23   41  fd1
dup2                   33   33   63    -   63  fd1
dup3                  292  292  330   24  358  fd1
epoll_create          213  213  254    -  250  object
epoll_create1         291  291  329   20  357  object
epoll_ctl             233  233  255   21  251  fd1 fd3 mask2
epoll_pwait           281  281  319   22  346  fd1
epoll_pwait2          441  441  441  441  441  fd1
epoll_wait            232  232  256    -  252  fd1
eventfd               284  284  323    -  351  object
eventfd2              290  290  328   19  356  object
execve                 59  520   11  221   11  path1 exec
execveat              322  545  358  281  387  at1 path2 exec
faccessat             269  269  307   48  334  at1 path2
faccessat2            439  439  439  439  439  at1 path2
fadvise64             221  221  250  223    -  fd1
fadvise64_64            -    -  272    -    -  fd1
fallocate             285  285  324   47  352  fd1
fanotify_init         300  300  338  262  367  object
fanotify_mark         301  301  339  263  368  at4 path5 mask2
fchdir                 81   81  133   50  133  fd1
fchmod                 91   91   94   52   94  fd1
fchmodat              268  268  306   53  333  at1 path2
fchmodat2             452  452  452  452  452  at1 path2
fchown                 93   93   95   55   95  fd1
fchown32                -    -  207    -  207  fd1
fchownat              260  260  298   54  325  at1 path2
fcntl                  72   72   55   25   55  fd1 mask2
fcntl64                 -    -  221    -  221  fd1 mask2
fdatasync              75   75  148   83  148  fd1
fgetxattr             193  193  231   10  231  fd1
finit_module          313  313  350  273  379  fd1
flistxattr            196  196  234   13  234  fd1
flock                  73   73  143   32  143  fd1
fremovexattr          199  199  237   16  237  fd1
fsconfig              431  431  431  431  431  fd1 mask2
fsetxattr             190  190  228    7  228  fd1
fsmount               432  432  432  432  432  fd1 object
fsopen                430  430  430  430  430  object
fspick                433  433  433  433  433  fd1
fstat                   5    5  108   80  108  fd1
fstat64                 -    -  197    -  197  fd1
fstatat64               -    -  300    -  327  at1 path2
fstatfs               138  138  100   44  100  fd1
fstatfs64               -    -  269    -  267  fd1
fsync                  74   74  118   82  118  fd1
ftruncate              77   77   93   46   93  fd1
ftruncate64             -    -  194    -  194  fd1
futex                 202  202  240   98  240  mask2
futex_time64            -    -  422    -  422  mask2
futimesat             261  261  299    -  326  at1 path2
getdents               78   78  141    -  141  fd1
getdents64            217  217  220   61  217  fd1
getpeername            52   52  368  205  287  fd1
getrlimit              97   97   76  163    -  mask1
getsockname            51   51  367  204  286  fd1
getsockopt             55  542  365  209  295  fd1 mask23
getxattr              191  191  229    8  229  path1
inotify_add_watch     254  254  292   27  317  fd1 path2
inotify_init          253  253  291    -  316  object
inotify_init1         294  294  332   26  360  object
inotify_rm_watch      255  255  293   28  318  fd1
io_uring_enter        426  426  426  426  426  fd1
io_uring_register     427  427  427  427  427  fd1 mask2
io_uring_setup        425  425  425  425  425  object
ioctl                  16  514   54   29   54  fd1 mask2
ipc                     -    -  117    -    -  mask1
kexec_file_load       320  320    -  294  401  fd1 fd2
keyctl                250  250  288  219  311  mask1
kill                   62   62   37  129   37  mask2
landlock_add_rule     445  445  445  445  445  fd1
landlock_create_ruleset  444  444  444  444  444  object
landlock_restrict_self  446  446  446  446  446  fd1
lchown                 94   94   16    -   16  path1
lchown32                -    -  198    -  198  path1
lgetxattr             192  192  230    9  230  path1
link                   86   86    9    -    9  path1 path2
linkat                265  265  303   37  330  at1 path2 at3 path4
listen                 50   50  363  201  284  fd1
listxattr             194  194  232   11  232  path1
llistxattr            195  195  233   12  233  path1
lremovexattr          198  198  236   15  236  path1
lseek                   8    8   19   62   19  fd1
lsetxattr             189  189  227    6  227  path1
lstat                   6    6  107    -  107  path1
lstat64                 -    -  196    -  196  path1
madvise                28   28  219  233  220  mask3
membarrier            324  324  375  283  389  mask1
memfd_create          319  319  356  279  385  object
memfd_secret          447  447  447  447    -  object
mkdir                  83   83   39    -   39  path1
mkdirat               258  258  296   34  323  at1 path2
mknod                 133  133   14    -   14  path1
mknodat               259  259  297   33  324  at1 path2
mmap                    9    9   90  222    -  fd5 mask34
mmap2                   -    -  192    -  192  fd5 mask34
mount                 165  165   21   40   21  path1 path2
mount_setattr         442  442  442  442  442  at1 path2
move_mount            429  429  429  429  429  at1 path2 at3 path4
mprotect               10   10  125  226  125  mask3
mq_getsetattr         245  245  282  185  279  fd1
mq_notify             244  527  281  184  278  fd1
mq_open               240  240  277  180  274  path1 mask2 object
mq_timedreceive       243  243  280  183  277  fd1
mq_timedsend          242  242  279  182  276  fd1
mq_unlink             241  241  278  181  275  path1
name_to_handle_at     303  303  341  264  370  at1 path2
newfstatat            262  262    -   79    -  at1 path2
oldlstat                -    -   84    -    -  path1
oldstat                 -    -   18    -    -  path1
open                    2    2    5    -    5  path1 mask2 object
open_by_handle_at     304  304  342  265  371  fd1 second
open_tree             428  428  428  428  428  at1 path2 object
openat                257  257  295   56  322  at1 path2 mask3 object
openat2               437  437  437  437  437  at1 path2 object
perf_event_open       298  298  336  241  364  object
personality           135  135  136   92  136  mask1
pidfd_getfd           438  438  438  438  438  fd1
pidfd_open            434  434  434  434  434  object
pidfd_send_signal     424  424  424  424  424  fd1
pivot_root            155  155  217   41  218  path1 path2
prctl                 157  157  172  167  172  mask1
pread64                17   17  180   67  180  fd1
preadv                295  534  333   69  361  fd1
preadv2               327  546  378  286  392  fd1
prlimit64             302  302  340  261  369  mask2
ptrace                101  521   26  117   26  mask1
pwrite64               18   18  181   68  181  fd1
pwritev               296  535  334   70  362  fd1
pwritev2              328  547  379  287  393  fd1
quotactl              179  179  131   60  131  path2
quotactl_fd           443  443  443  443  443  fd1
read                    0    0    3   63    3  fd1
readahead             187  187  225  213  225  fd1
readlink               89   89   85    -   85  path1
readlinkat            267  267  305   78  332  at1 path2
readv                  19  515  145   65  145  fd1
recvfrom               45  517  371  207  292  fd1
recvmmsg              299  537  337  243  365  fd1
recvmsg                47  519  372  212  297  fd1
removexattr           197  197  235   14  235  path1
rename                 82   82   38    -   38  path1 path2
renameat              264  264  302   38  329  at1 path2 at3 path4
renameat2             316  316  353  276  382  at1 path2 at3 path4
rmdir                  84   84   40    -   40  path1
rt_sigaction           13  512  174  134  174  mask1
rt_sigprocmask         14   14  175  135  175  mask1
seccomp               317  317  354  277  383  mask1
sendfile               40   40  187   71  187  fd2 fd1
sendfile64              -    -  239    -  239  fd2 fd1
sendmmsg              307  538  345  269  374  fd1
sendmsg                46  518  370  211  296  fd1
sendto                 44   44  369  206  290  fd1 sockaddr5
setns                 308  308  346  268  375  fd1
setrlimit             160  160   75  164   75  mask1
setsockopt             54  541  366  208  294  fd1 mask23
setxattr              188  188  226    5  226  path1
shutdown               48   48  373  210  293  fd1
signalfd              282  282  321    -  349  fd1
signalfd4             289  289  327   74  355  fd1
socket                 41   41  359  198  281  mask123 object
socketcall              -    -  102    -    -  mask1
socketpair             53   53  360  199  288  mask123
splice                275  275  313   76  340  fd1 fd3
stat                    4    4  106    -  106  path1
stat64                  -    -  195    -  195  path1
statfs                137  137   99   43   99  path1
statfs64                -    -  268    -  266  path1
statx                 332  332  383  291  397  at1 path2
swapoff               168  168  115  225  115  path1
swapon                167  167   87  224   87  path1
symlink                88   88   83    -   83  path1 path2
symlinkat             266  266  304   36  331  path1 at2 path3
sync_file_range       277  277  314   84    -  fd1
syncfs                306  306  344  267  373  fd1
tee                   276  276  315   77  342  fd1 fd2
tgkill                234  234  270  131  268  mask3
timerfd_create        283  283  322   85  350  object
timerfd_gettime       287  287  326   87  354  fd1
timerfd_settime       286  286  325   86  353  fd1
tkill                 200  200  238  130  238  mask2
truncate               76   76   92   45   92  path1
truncate64              -    -  193    -  193  path1
umount                  -    -   22    -    -  path1
umount2               166  166   52   39   52  path1
unlink                 87   87   10    -   10  path1
unlinkat              263  263  301   35  328  at1 path2
unshare               272  272  310   97  337  mask1
uselib                134    -   86    -   86  path1
userfaultfd           323  323  374  282  388  object
utime                 132  132   30    -    -  path1
utimensat             280  280  320   88  348  at1 path2
utimensat_time64        -    -  412    -  412  at1 path2
utimes                235  235  271    -  269  path1
vmsplice              278  532  316   75  343  fd1
write                   1    1    4   64    4  fd1
writev                 20  516  146   66  146  fd1
"""


def rows(abi: str) -> Iterator[tuple[int, str, str]]:
    """(number, name, roles) of the calls that have roles under ``abi``."""
    column = ABIS.index(abi) + 1
    for line in TABLE.strip().splitlines():
        words = line.split(maxsplit=len(ABIS) + 1)
        if words[column] != "-":
            yield int(words[column]), words[0], words[-1]


def pack(roles: str) -> bytes:
    """The roles of one call as the programs read them."""
    fds: list[int] = []
    paths: list[int] = []
    at: dict[int, int] = {}
    sockaddr = mask = result = kind = 0
    start = 0
    for word in roles.split():
        name, digits = re.fullmatch(r"([a-z]+)(\d*)", word).groups()  # type: ignore[union-attr]
        if name == "fd":
            fds.append(int(digits))
        elif name == "at":
            start = int(digits)
        elif name == "path":
            if start:
                at[len(paths)] = start
                start = 0
            paths.append(int(digits))
        elif name == "sockaddr":
            sockaddr = int(digits)
        elif name == "mask":
            mask = sum(1 << (int(digit) - 1) for digit in digits)
        elif name in _RESULT:
            result = _RESULT[name]
        else:
            kind |= _KINDS[name]
    first, second = ([*fds, 0, 0])[:2]
    if 0 in at:
        first, kind = at[0], kind | _AT
    if 1 in at:
        second, kind = at[1], kind | _AT2
    path, path2 = ([*paths, 0, 0])[:2]
    return _ROLE.pack(first, second, path, path2, sockaddr, mask, result, kind)


def table(abi: str | None) -> bytes:
    """The whole table of one ABI, ``NUMBERS`` roles; all empty without one."""
    out = bytearray(NUMBERS * _ROLE.size)
    for number, _, roles in rows(abi) if abi else ():
        _ROLE.pack_into(out, number * _ROLE.size, *pack(roles))
    return bytes(out)
