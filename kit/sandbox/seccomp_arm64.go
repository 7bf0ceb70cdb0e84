package sandbox

import "golang.org/x/sys/unix"

// deniedHere lists denied calls that only this architecture has.
func deniedHere() []uintptr { return nil }

// attributeCallsHere lists older forms of calls that change attributes.
func attributeCallsHere() []uintptr { return nil }

// mknodCalls makes nodes; with which argument says of what kind.
func mknodCalls() map[uintptr]uint32 { return map[uintptr]uint32{unix.SYS_MKNODAT: 2} }
