package sandbox

import "golang.org/x/sys/unix"

// deniedHere lists denied calls that only this architecture has.
func deniedHere() []uintptr {
	return []uintptr{unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS,
		unix.SYS_CREATE_MODULE, unix.SYS_MODIFY_LDT}
}

// attributeCallsHere lists older forms of calls that change attributes.
func attributeCallsHere() []uintptr {
	return []uintptr{unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT}
}

// mknodCalls makes nodes; with which argument says of what kind.
func mknodCalls() map[uintptr]uint32 {
	return map[uintptr]uint32{unix.SYS_MKNOD: 1, unix.SYS_MKNODAT: 2}
}
