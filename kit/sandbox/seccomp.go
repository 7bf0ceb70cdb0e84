package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data. Both supported architectures are little
// endian, so the low half of an argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

const (
	retAllow = 0x7fff0000
	retErrno = 0x00050000
	retKill  = 0x80000000
)

// cloneNew is every CLONE_NEW* flag of clone.
const cloneNew = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS | unix.CLONE_NEWTIME

// filterKind says behind which wall the filter stands.
type filterKind uint8

const (
	filterStrict filterKind = iota // namespaces keep the network and others away
	filterOwn                      // landlock, the program has a user of its own
	filterShared                   // landlock, it runs as the user who started it
)

// assembler puts a program together. The number of the call is in the accumulator where a rule begins; what follows a matching call must return.
type assembler struct{ p []unix.SockFilter }

func (a *assembler) load(off uint32) {
	a.p = append(a.p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off})
}

// arg loads the low half of an argument, which is all that the kernel reads of an int.
func (a *assembler) arg(n uint32) { a.load(offArgs + 8*n) }

func (a *assembler) and(mask uint32) {
	a.p = append(a.p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
}

func (a *assembler) ret(v uint32) {
	a.p = append(a.p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v})
}

func (a *assembler) fail(e unix.Errno) { a.ret(retErrno | uint32(e)) }
func (a *assembler) allow()            { a.ret(retAllow) }

// when runs what follows if the accumulator equals k (BPF_JEQ), has a bit of it (BPF_JSET) or is not below it (BPF_JGE).
func (a *assembler) when(op uint16, k uint32, then func(a *assembler)) {
	var b assembler
	then(&b)
	a.p = append(a.p, unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jf: uint8(len(b.p)), K: k})
	a.p = append(a.p, b.p...)
}

func (a *assembler) call(n uintptr, rule func(a *assembler)) { a.when(unix.BPF_JEQ, uint32(n), rule) }

func (a *assembler) answer(calls []uintptr, e unix.Errno) {
	for _, n := range calls {
		a.call(n, func(a *assembler) { a.fail(e) })
	}
}

// oneOf allows the accumulator's listed values and fails otherwise.
func (a *assembler) oneOf(e unix.Errno, values ...uint32) {
	for _, v := range values {
		a.when(unix.BPF_JEQ, v, (*assembler).allow)
	}
	a.fail(e)
}

// filterSpec chooses the filter of a run.
type filterSpec struct {
	kind    filterKind
	counted bool // a cgroup counts memory, whoever holds it
	devices bool // the run has some: libraries for several GPUs take room in /dev/shm at once and know no other way
}

// filter assembles the system call filter: allow by default, EPERM for what reaches the kernel's less travelled parts.
func filter(f filterSpec) ([]unix.SockFilter, error) {
	kind := f.kind
	arch, err := auditArch()
	if err != nil {
		return nil, err
	}
	a := &assembler{}
	a.load(offArch)
	a.p = append(a.p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: arch})
	a.ret(retKill) // another architecture's numbers would pass the list below
	a.load(offNumber)
	if arch == unix.AUDIT_ARCH_X86_64 {
		a.when(unix.BPF_JGE, 0x40000000, func(a *assembler) { a.fail(unix.ENOSYS) }) // the x32 twins of every call
	}
	a.answer(deniedCalls(), unix.EPERM)
	if kind != filterStrict {
		a.unfenced()
	}
	if kind == filterShared {
		a.answer(attributeCalls(), 0)
	}
	if kind == filterStrict && !f.counted {
		a.answer([]uintptr{unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET}, unix.EPERM) // memory that no process shows
	}
	a.processes()
	a.limits(kind)
	a.memory()
	a.files(f.devices)
	a.sockets(kind)
	a.allow()
	return a.p, nil
}

// unfenced refuses what reaches others where there are no namespaces.
func (a *assembler) unfenced() {
	a.answer(deniedUnfenced(), unix.EPERM)
	for _, c := range selfOnly { // which process it is about must be 0: the caller
		a.call(c.call, func(a *assembler) { a.arg(c.arg); a.oneOf(unix.EPERM, 0) })
	}
	a.call(unix.SYS_SETPRIORITY, func(a *assembler) { // of the calling process, not of a group or a user
		a.arg(0)
		a.when(unix.BPF_JEQ, unix.PRIO_PROCESS, func(a *assembler) { a.arg(1); a.oneOf(unix.EPERM, 0) })
		a.fail(unix.EPERM)
	})
}

// processes keeps namespaces away, and tables of descriptors that /proc does not show because a thread has one of its own.
func (a *assembler) processes() {
	// C libraries fall back to clone, whose flags can be read.
	a.answer([]uintptr{unix.SYS_CLONE3}, unix.ENOSYS)
	a.call(unix.SYS_CLONE, func(a *assembler) {
		a.arg(0)
		a.when(unix.BPF_JSET, cloneNew, func(a *assembler) { a.fail(unix.EPERM) })
		a.and(unix.CLONE_THREAD | unix.CLONE_FILES)
		a.when(unix.BPF_JEQ, unix.CLONE_THREAD, func(a *assembler) { a.fail(unix.EPERM) })
		a.allow()
	})
	a.call(unix.SYS_CLOSE_RANGE, func(a *assembler) {
		a.arg(2)
		a.when(unix.BPF_JSET, unix.CLOSE_RANGE_UNSHARE, func(a *assembler) { a.fail(unix.EINVAL) })
		a.allow()
	})
}

// limits keeps two limits as they are: the mark of the run (mark.go), and that of cores, which must be 1: at 0 a core_pattern that pipes to a program
// of the host still starts it (core(5)). Programs that set the latter to 0 get what they want, so they are told that it was done.
func (a *assembler) limits(kind filterKind) {
	keep := func(a *assembler) {
		a.when(unix.BPF_JEQ, unix.RLIMIT_RTTIME, func(a *assembler) { a.fail(unix.EPERM) })
		a.when(unix.BPF_JEQ, unix.RLIMIT_CORE, func(a *assembler) { a.fail(0) })
		a.allow()
	}
	a.call(unix.SYS_SETRLIMIT, func(a *assembler) { a.arg(0); keep(a) })
	a.call(unix.SYS_PRLIMIT64, func(a *assembler) {
		if kind != filterStrict {
			a.arg(0)
			a.p = append(a.p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1})
			a.fail(unix.EPERM)
		}
		a.arg(2) // the new limit: none is a question only
		a.when(unix.BPF_JEQ, 0, func(a *assembler) {
			a.load(offArgs + 8*2 + 4)
			a.when(unix.BPF_JEQ, 0, (*assembler).allow)
			a.arg(1)
			keep(a)
		})
		a.arg(1)
		keep(a)
	})
}

// memory keeps huge pages away, which the host set aside for somebody and memory cgroups do not count.
func (a *assembler) memory() {
	a.call(unix.SYS_MMAP, func(a *assembler) {
		a.arg(3)
		a.when(unix.BPF_JSET, unix.MAP_HUGETLB, func(a *assembler) { a.fail(unix.ENOMEM) })
		a.allow()
	})
	a.call(unix.SYS_MEMFD_CREATE, func(a *assembler) {
		a.arg(1)
		a.when(unix.BPF_JSET, unix.MFD_HUGETLB, func(a *assembler) { a.fail(unix.ENOMEM) })
		a.allow()
	})
}

// files refuses devices; room on the disk that is taken at once, and partly beyond the limit of a file's size, faster than anybody looks; and writing
// on a terminal for others.
func (a *assembler) files(devices bool) {
	for call, mode := range mknodCalls() {
		a.call(call, func(a *assembler) {
			a.arg(mode)
			a.and(unix.S_IFMT)
			for _, kind := range []uint32{unix.S_IFCHR, unix.S_IFBLK} {
				a.when(unix.BPF_JEQ, kind, func(a *assembler) { a.fail(unix.EPERM) })
			}
			a.allow()
		})
	}
	a.call(unix.SYS_FALLOCATE, func(a *assembler) { // C libraries then write what they want to have
		a.arg(1)
		if devices {
			a.when(unix.BPF_JEQ, 0, (*assembler).allow)
		}
		a.when(unix.BPF_JSET, unix.FALLOC_FL_PUNCH_HOLE, (*assembler).allow)
		a.fail(unix.EOPNOTSUPP)
	})
	a.call(unix.SYS_FCNTL, func(a *assembler) { // a lease makes others wait who open the file
		a.arg(1)
		a.when(unix.BPF_JEQ, unix.F_SETLEASE, func(a *assembler) { a.fail(unix.EPERM) })
		a.allow()
	})
	a.call(unix.SYS_IOCTL, func(a *assembler) {
		a.arg(1)
		a.when(unix.BPF_JEQ, unix.TIOCSTI, func(a *assembler) { a.fail(unix.EPERM) })
		for _, set := range attributeRequests {
			a.when(unix.BPF_JEQ, set, func(a *assembler) { a.fail(unix.EPERM) })
		}
		a.allow()
	})
}

// sockets allows families that stay in the run's namespaces, and of the internet's protocols those that no module has to be loaded for.
func (a *assembler) sockets(kind filterKind) {
	if kind == filterShared {
		// Only connected pairs, which can reach nobody else: a pair of datagram
		// sockets could be given another address.
		a.answer([]uintptr{unix.SYS_SOCKET}, unix.EPERM)
		a.call(unix.SYS_SOCKETPAIR, func(a *assembler) {
			a.arg(0)
			a.when(unix.BPF_JEQ, unix.AF_UNIX, func(a *assembler) {
				a.arg(1)
				a.and(0xf) // without its flags
				a.oneOf(unix.EPERM, unix.SOCK_STREAM, unix.SOCK_SEQPACKET)
			})
			a.fail(unix.EPERM)
		})
		return
	}
	for _, call := range []uintptr{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		a.call(call, func(a *assembler) {
			a.arg(0)
			if kind == filterStrict {
				for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
					a.when(unix.BPF_JEQ, family, func(a *assembler) { a.arg(2); a.oneOf(unix.EPERM, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP) })
				}
				a.oneOf(unix.EPERM, unix.AF_UNIX, unix.AF_NETLINK)
				return
			}
			a.oneOf(unix.EPERM, unix.AF_UNIX)
		})
	}
}

func auditArch() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	}
	return 0, fmt.Errorf("no system call filter for architecture %s", runtime.GOARCH)
}

func deniedCalls() []uintptr {
	calls := []uintptr{
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
		unix.SYS_FSPICK, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOUNT_SETATTR,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
		unix.SYS_PROCESS_MADVISE,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
		unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_ACCT, unix.SYS_SYSLOG,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL,
	}
	return append(calls, deniedHere()...)
}

// deniedUnfenced lists calls that reach what strict keeps in namespaces.
func deniedUnfenced() []uintptr {
	return []uintptr{
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
		unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
		unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_IOPRIO_SET, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	}
}

// selfOnly lists calls by which one process changes how another of the same
// user runs, and which argument names the other.
var selfOnly = []struct {
	call uintptr
	arg  uint32
}{
	{unix.SYS_SCHED_SETAFFINITY, 0}, {unix.SYS_SCHED_SETSCHEDULER, 0},
	{unix.SYS_SCHED_SETPARAM, 0}, {unix.SYS_SCHED_SETATTR, 0},
}

// attributeRequests of ioctl change what a file is, though it was opened for reading only (linux/fs.h, linux/fsverity.h, linux/fscrypt.h). None has a
// use in a run, and Landlock knows nothing of them.
var attributeRequests = []uint32{
	0x40086602, 0x40046602, // FS_IOC_SETFLAGS, of 64 and 32 bits
	0x40087602, 0x40047602, // FS_IOC_SETVERSION
	0x401c5820, // FS_IOC_FSSETXATTR
	0x40806685, // FS_IOC_ENABLE_VERITY
	0x800c6613, // FS_IOC_SET_ENCRYPTION_POLICY
}

// attributeCalls change a file's attributes by its name, or by a handle that need not be open for writing, of which Landlock
// knows nothing. They succeed and do nothing.
func attributeCalls() []uintptr {
	return append([]uintptr{
		unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR,
		unix.SYS_FCHMOD, unix.SYS_FCHOWN, unix.SYS_FSETXATTR, unix.SYS_FREMOVEXATTR,
	}, attributeCallsHere()...)
}

// installFilter applies the filter to the calling thread and what it starts.
func installFilter(f filterSpec) error {
	prog, err := filter(f)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0)
	runtime.KeepAlive(prog)
	if err != nil {
		return fmt.Errorf("system call filter: %w", err)
	}
	return nil
}
