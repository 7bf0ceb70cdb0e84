package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fence is what the helper is told at the landlock level.
type fence struct {
	Grants []grant `json:"grants"`
	// Shared says that the program runs as the user who started it. Then no
	// socket but pairs may be made, since that user's own servers, which may
	// start programs for him, would answer; and what would change his files'
	// attributes, which Landlock does not know, does nothing.
	Shared bool `json:"shared"`
}

// grant opens one file or folder and all below it.
type grant struct {
	Path string     `json:"path"`
	How  grantKinds `json:"how"`
}

type grantKinds uint8

const (
	grantRead  grantKinds = iota // files and folders
	grantRun                     // the same, and execute them
	grantWrite                   // everything but devices
	grantNode                    // read and write one device
	grantDrive                   // the same, with its own commands
)

// minABI has scopes for signals and abstract sockets (Linux 6.12). Without the
// first the helper could not end what the program started, and only that.
const minABI = 6

// landlockABI is the version of Landlock in this kernel, 0 without it
// (landlock_create_ruleset(2)).
func landlockABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

const (
	accessRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	accessRun   = accessRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	accessWrite = accessRun | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	accessAll  = accessWrite | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	accessNode = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// accessFile is what a rule on a file may hold.
	accessFile = accessNode | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

func (g grant) access(abi int) uint64 {
	switch g.How {
	case grantRun:
		return accessRun
	case grantWrite:
		if abi >= 9 {
			return accessWrite | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
		}
		return accessWrite
	case grantNode:
		return accessNode
	case grantDrive:
		return accessNode | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return accessRead
}

// enclose restricts the calling thread and what it starts. extra is a
// descriptor that may be executed, or -1.
func (f *fence) enclose(extra int) error {
	abi := landlockABI()
	if abi < minABI {
		return fmt.Errorf("landlock: version %d of this kernel is below %d", abi, minABI)
	}
	attr := unix.LandlockRulesetAttr{
		Handled_access_fs:  accessAll,
		Handled_access_net: unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP,
		Scoped:             unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL,
	}
	if abi >= 9 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	}
	const size = 3 * unsafe.Sizeof(uint64(0)) // of the three fields that version 6 knows
	rules, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return fmt.Errorf("landlock: make rules: %w", e)
	}
	defer unix.Close(int(rules))
	for _, g := range f.Grants {
		if err := g.add(int(rules), abi); err != nil {
			return err
		}
	}
	if extra >= 0 {
		if err := addRule(int(rules), extra, unix.LANDLOCK_ACCESS_FS_EXECUTE|unix.LANDLOCK_ACCESS_FS_READ_FILE); err != nil {
			return fmt.Errorf("landlock: the helper: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); e != 0 {
		return fmt.Errorf("landlock: restrict: %w", e)
	}
	return nil
}

func (g grant) add(rules, abi int) error {
	fd, err := unix.Open(g.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && g.How != grantWrite {
		return nil // not every host has everything
	}
	if err != nil {
		return fmt.Errorf("landlock: %s: %w", g.Path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("landlock: %s: %w", g.Path, err)
	}
	access := g.access(abi)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= accessFile
	}
	if err := addRule(rules, fd, access); err != nil {
		return fmt.Errorf("landlock: %s: %w", g.Path, err)
	}
	return nil
}

func addRule(rules, fd int, access uint64) error {
	b := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&b)), 0, 0, 0)
	runtime.KeepAlive(&b)
	if e != 0 {
		return e
	}
	return nil
}

// sweep kills whatever the program left and waits for it. The calling thread
// stands behind the fence, whose scope keeps the signal from everybody else;
// it must therefore never be called before enclose.
func sweep() {
	for {
		_ = unix.Kill(-1, unix.SIGKILL)
		var ws unix.WaitStatus
		if _, err := unix.Wait4(-1, &ws, 0, nil); err == unix.ECHILD {
			return
		}
	}
}
