package sandbox

import "golang.org/x/sys/unix"

// deniedHere lists denied calls that only this architecture has.
func deniedHere() []uintptr {
	return []uintptr{unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS,
		unix.SYS_CREATE_MODULE, unix.SYS_MODIFY_LDT}
}
