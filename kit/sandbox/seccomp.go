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

// filter assembles the system call filter: allow by default, EPERM for what
// reaches the kernel's less travelled parts.
func filter(kind filterKind) ([]unix.SockFilter, error) {
	arch, err := auditArch()
	if err != nil {
		return nil, err
	}
	var p []unix.SockFilter
	load := func(off uint32) {
		p = append(p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off})
	}
	jump := func(op uint16, k uint32, yes, no uint8) {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: yes, Jf: no, K: k})
	}
	ret := func(v uint32) { p = append(p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}) }

	load(offArch)
	jump(unix.BPF_JEQ, arch, 1, 0)
	ret(retKill) // another architecture's numbers would pass the list below
	load(offNumber)
	if arch == unix.AUDIT_ARCH_X86_64 {
		jump(unix.BPF_JGE, 0x40000000, 0, 1) // the x32 twins of every call
		ret(retErrno | uint32(unix.ENOSYS))
	}
	answer := func(calls []uintptr, errno unix.Errno) {
		for _, n := range calls {
			jump(unix.BPF_JEQ, uint32(n), 0, 1)
			ret(retErrno | uint32(errno))
		}
	}
	answer(deniedCalls(), unix.EPERM)
	if kind != filterStrict {
		answer(deniedUnfenced(), unix.EPERM)
		for _, c := range selfOnly { // which process it is about must be 0: the caller
			jump(unix.BPF_JEQ, uint32(c.call), 0, 4)
			load(offArgs + 8*c.arg)
			jump(unix.BPF_JEQ, 0, 1, 0)
			ret(retErrno | uint32(unix.EPERM))
			ret(retAllow)
		}
		// setpriority of the calling process, not of a group or a user.
		jump(unix.BPF_JEQ, unix.SYS_SETPRIORITY, 0, 6)
		load(offArgs)
		jump(unix.BPF_JEQ, unix.PRIO_PROCESS, 0, 2)
		load(offArgs + 8)
		jump(unix.BPF_JEQ, 0, 1, 0)
		ret(retErrno | uint32(unix.EPERM))
		ret(retAllow)
	}
	if kind == filterShared {
		answer(attributeCalls(), 0)
	}
	// C libraries fall back to clone, whose flags can be read.
	jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1)
	ret(retErrno | uint32(unix.ENOSYS))

	jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4)
	load(offArgs)
	jump(unix.BPF_JSET, cloneNew, 0, 1)
	ret(retErrno | uint32(unix.EPERM))
	ret(retAllow)

	families := []uint32{unix.AF_UNIX}
	if kind == filterStrict {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	if kind == filterShared {
		// Only connected pairs, which can reach nobody else: a pair of datagram
		// sockets could be given another address.
		answer([]uintptr{unix.SYS_SOCKET}, unix.EPERM)
		jump(unix.BPF_JEQ, unix.SYS_SOCKETPAIR, 0, 8)
		load(offArgs)
		jump(unix.BPF_JEQ, unix.AF_UNIX, 0, 4)
		load(offArgs + 8)
		p = append(p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf}) // without its flags
		jump(unix.BPF_JEQ, unix.SOCK_STREAM, 2, 0)
		jump(unix.BPF_JEQ, unix.SOCK_SEQPACKET, 1, 0)
		ret(retErrno | uint32(unix.EPERM))
		ret(retAllow)
	} else {
		for _, call := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
			jump(unix.BPF_JEQ, call, 0, uint8(len(families)+3))
			load(offArgs)
			for i, f := range families {
				jump(unix.BPF_JEQ, f, uint8(len(families)-i), 0)
			}
			ret(retErrno | uint32(unix.EPERM))
			ret(retAllow)
		}
	}

	// mknod of anything but files, pipes and sockets.
	jump(unix.BPF_JEQ, unix.SYS_MKNODAT, 0, 6)
	load(offArgs + 2*8)
	p = append(p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: unix.S_IFMT})
	jump(unix.BPF_JEQ, unix.S_IFCHR, 1, 0)
	jump(unix.BPF_JEQ, unix.S_IFBLK, 0, 1)
	ret(retErrno | uint32(unix.EPERM))
	ret(retAllow)

	jump(unix.BPF_JEQ, unix.SYS_IOCTL, 0, 4)
	load(offArgs + 8)
	jump(unix.BPF_JEQ, unix.TIOCSTI, 0, 1)
	ret(retErrno | uint32(unix.EPERM))
	ret(retAllow)

	ret(retAllow)
	return p, nil
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
		unix.SYS_FSPICK, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR,
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
		unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_IOPRIO_SET, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	}
}

// selfOnly lists calls by which one process changes how another of the same
// user runs, and which argument names the other.
var selfOnly = []struct {
	call uintptr
	arg  uint32
}{
	{unix.SYS_PRLIMIT64, 0}, {unix.SYS_SCHED_SETAFFINITY, 0}, {unix.SYS_SCHED_SETSCHEDULER, 0},
	{unix.SYS_SCHED_SETPARAM, 0}, {unix.SYS_SCHED_SETATTR, 0},
}

// attributeCalls change a file's attributes by its name, of which Landlock
// knows nothing. They succeed and do nothing.
func attributeCalls() []uintptr {
	return append([]uintptr{
		unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR,
	}, attributeCallsHere()...)
}

// installFilter applies the filter to the calling thread and what it starts.
func installFilter(kind filterKind) error {
	prog, err := filter(kind)
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
