"""The areas: coarse groups people recognise, by longest path prefix.

A rule is a path prefix and its area. ``:*`` stands for the next word of the path: with
``fs/ fs:*`` fs/ext4/inode.c is in ``fs:ext4``, while fs/open.c, which has no such folder, is
left to the rule ``fs/*.c``.
"""

from __future__ import annotations

MAIN = frozenset(
    {
        "process",
        "sched",
        "workqueue",
        "mm",
        "vfs",
        "fs",
        "io_uring",
        "block",
        "net",
        "ipc",
        "signal",
        "time",
        "lock",
        "irq",
        "drivers",
        "sound",
        "security",
        "crypto",
        "trace",
        "virt",
        "power",
        "cgroup",
        "module",
        "arch",
        "lib",
        "other",
    }
)
"""The words before the colon."""

RULES = """
arch/ arch
arch/alpha/kernel/signal signal
arch/arm/crypto crypto
arch/arm/kernel/signal signal
arch/arm/kvm virt
arch/arm/mm mm
arch/arm/net trace
arch/arm/xen virt
arch/arm64/crypto crypto
arch/arm64/kernel/signal signal
arch/arm64/kvm virt
arch/arm64/mm mm
arch/arm64/net trace
arch/loongarch/kvm virt
arch/loongarch/mm mm
arch/mips/kernel/signal signal
arch/mips/kvm virt
arch/mips/mm mm
arch/powerpc/crypto crypto
arch/powerpc/kernel/signal signal
arch/powerpc/kvm virt
arch/powerpc/mm mm
arch/riscv/crypto crypto
arch/riscv/kernel/signal signal
arch/riscv/kvm virt
arch/riscv/mm mm
arch/riscv/net trace
arch/s390/crypto crypto
arch/s390/kernel/signal signal
arch/s390/kvm virt
arch/s390/mm mm
arch/sparc/kernel/signal signal
arch/sparc/mm mm
arch/x86/crypto crypto
arch/x86/events trace
arch/x86/hyperv virt
arch/x86/include/asm/trace/irq_vectors irq
arch/x86/kernel/apic irq
arch/x86/kernel/irq irq
arch/x86/kernel/signal signal
arch/x86/kernel/ldt mm
arch/x86/kvm virt
arch/x86/mm mm
arch/x86/net trace
arch/x86/power power
arch/x86/xen virt
block/ block
certs/ security
crypto/ crypto
drivers/ drivers:*
drivers/android ipc
drivers/ata block
drivers/block block
drivers/cdrom block
drivers/char/mem.c mm
drivers/char/random security
drivers/clocksource time
drivers/cpufreq power
drivers/cpuidle power
drivers/crypto crypto
drivers/dax mm
drivers/devfreq power
drivers/gpu drivers:gpu
drivers/hid drivers:hid
drivers/hv virt
drivers/hwtracing trace
drivers/idle power
drivers/infiniband drivers:rdma
drivers/irqchip irq
drivers/md block
drivers/net drivers:net
drivers/nvdimm block
drivers/nvme block
drivers/opp power
drivers/perf trace
drivers/powercap power
drivers/ptp time
drivers/rtc drivers:rtc
drivers/scsi block
drivers/target block
drivers/thermal power
drivers/ufs block
drivers/vdpa virt
drivers/vfio virt
drivers/vhost virt
drivers/virt virt
drivers/virtio virt
drivers/xen virt
fs/ fs:*
fs/*.c vfs
fs/*.h vfs
fs/aio.c io_uring
fs/binfmt_ process
fs/bpf_fs_kfuncs.c trace
fs/compat_binfmt_elf.c process
fs/coredump.c process
fs/crypto/ vfs
fs/dlm/ lock
fs/exec.c process
fs/exportfs/ vfs
fs/iomap/ vfs
fs/io_uring.c io_uring
fs/io-wq io_uring
fs/notify/ vfs
fs/pidfs.c process
fs/quota/ vfs
fs/tests/ vfs
fs/tracefs/ trace
fs/unicode/ vfs
fs/userfaultfd.c mm
fs/verity/ vfs
include/acpi/ drivers:acpi
include/asm-generic/ arch
include/clocksource/ time
include/crypto/ crypto
include/drm/ drivers:gpu
include/keys/ security
include/kunit/ lib
include/kvm/ virt
include/linux/bpf trace
include/linux/cgroup cgroup
include/linux/fs.h vfs
include/linux/futex.h lock
include/linux/io_uring io_uring
include/linux/ipc.h ipc
include/linux/irq irq
include/linux/interrupt.h irq
include/linux/hrtimer time
include/linux/kernel.h lib
include/linux/kvm virt
include/linux/ktime.h time
include/linux/mm.h mm
include/linux/mm_ mm
include/linux/module module
include/linux/mount.h vfs
include/linux/namei.h vfs
include/linux/perf_event.h trace
include/linux/pid.h process
include/linux/preempt.h sched
include/linux/sched.h sched
include/linux/sched/ sched
include/linux/sched/mm.h mm
include/linux/sched/signal.h signal
include/linux/sched/task.h process
include/linux/sched/task_stack.h process
include/linux/sched/user.h process
include/linux/seccomp.h security
include/linux/security.h security
include/linux/seq_file vfs
include/linux/signal signal
include/linux/smp irq
include/linux/socket.h net
include/linux/syscalls.h process
include/linux/time time
include/linux/trace trace
include/linux/types.h lib
include/linux/uaccess.h mm
include/linux/wait sched
include/math-emu/ arch
include/media/ drivers:media
include/net/ net
include/pcmcia/ drivers:pcmcia
include/rdma/ drivers:rdma
include/rv/ trace
include/scsi/ block
include/sound/ sound
include/target/ block
include/trace/ trace
include/trace/events/ ?
include/uapi/asm-generic/ arch
include/uapi/drm/ drivers:gpu
include/uapi/linux/netfilter net:netfilter
include/uapi/rdma/ drivers:rdma
include/uapi/scsi/ block
include/uapi/sound/ sound
include/ufs/ block
include/vdso/ time
include/video/ drivers:video
include/xen/ virt
init/ module
io_uring/ io_uring
ipc/ ipc
kernel/ process
kernel/async.c workqueue
kernel/audit security
kernel/bpf/ trace
kernel/capability.c security
kernel/cfi.c trace
kernel/cgroup/ cgroup
kernel/context_tracking.c time
kernel/cpu.c power
kernel/cpu_pm.c power
kernel/crash_ module
kernel/cred.c security
kernel/debug/ trace
kernel/dma/ mm
kernel/dma.c irq
kernel/elfcore module
kernel/entry/ arch
kernel/events/ trace
kernel/extable.c arch
kernel/fail_function.c trace
kernel/freezer.c power
kernel/ftrace trace
kernel/futex lock
kernel/gcov/ trace
kernel/groups.c security
kernel/hung_task.c trace
kernel/iomem.c mm
kernel/irq/ irq
kernel/irq_work.c irq
kernel/jump_label.c trace
kernel/kallsyms module
kernel/kcov.c trace
kernel/kcmp.c process
kernel/kcsan/ trace
kernel/kexec module
kernel/kmod.c module
kernel/kprobes.c trace
kernel/kthread.c workqueue
kernel/latencytop.c trace
kernel/livepatch/ module
kernel/locking/ lock
kernel/memremap.c mm
kernel/module module
kernel/nsproxy.c cgroup
kernel/padata.c workqueue
kernel/panic.c trace
kernel/params.c module
kernel/pid_namespace.c cgroup
kernel/power/ power
kernel/printk/ trace
kernel/profile.c trace
kernel/ptrace.c trace
kernel/rcu/ lock
kernel/reboot.c power
kernel/relay.c trace
kernel/resource drivers
kernel/rseq.c sched
kernel/sched/ sched
kernel/scftorture.c trace
kernel/seccomp.c security
kernel/signal.c signal
kernel/smp irq
kernel/softirq.c irq
kernel/stacktrace.c trace
kernel/static_call trace
kernel/stop_machine.c sched
kernel/task_work.c workqueue
kernel/taskstats.c trace
kernel/time/ time
kernel/torture.c trace
kernel/trace/ trace
kernel/tracepoint.c trace
kernel/tsacct.c trace
kernel/uid16.c security
kernel/ucount.c cgroup
kernel/up.c irq
kernel/user_namespace.c cgroup
kernel/user-return-notifier.c virt
kernel/utsname cgroup
kernel/vhost_task.c virt
kernel/watch_queue.c security
kernel/watchdog trace
kernel/workqueue workqueue
lib/ lib
lib/842/ crypto
lib/crypto/ crypto
lib/kunit/ lib
lib/vdso/ time
mm/ mm
mm/memcontrol cgroup
mm/page-writeback.c vfs
mm/backing-dev.c vfs
net/ net:*
net/*.c net
net/*.h net
net/bpf/ trace
net/core/ net
net/ethernet/ net
net/ethtool/ net
net/netlink/ net
net/rfkill/ net:wireless
net/mac80211/ net:wireless
net/sunrpc/ fs:nfs
net/9p/ fs:9p
net/ceph/ fs:ceph
rust/ lib
samples/ other
security/ security
sound/ sound
virt/ virt
"""
"""``?`` leaves the file to its section's majority."""
