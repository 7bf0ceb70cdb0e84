package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// stageDirs are folders that every Linux has and no program here needs; one is
// covered, in the thread's own mount namespace only, by the staged sources.
var stageDirs = []string{"/mnt", "/srv", "/media", "/run"}

// stage makes the sources reachable for the user that bubblewrap runs as. As
// root they are bound below a folder of a private mount namespace, since they
// may lie where only root can go; an ordinary user reaches his own as they are.
func (l *launch) stage() ([]Bind, error) {
	all := slices.Clone(l.spec.Python.binds())
	all = append(all, l.spec.Binds...)
	if l.user == nil || len(all) == 0 {
		return all, nil
	}
	for _, b := range l.spec.Binds { // an interpreter is as its owner made it
		if err := l.prepare(b); err != nil {
			return nil, err
		}
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		if l.place != nil { // as in most containers: what can be reached is
			return all, nil
		}
		return nil, fmt.Errorf("own mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("private mounts: %w", err)
	}
	handles := make([]int, len(all))
	for i, b := range all {
		fd, err := unix.Open(b.Source, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Source, err)
		}
		defer unix.Close(fd)
		handles[i] = fd
	}
	root, err := stageRoot()
	if err != nil {
		return nil, err
	}
	for i := range all {
		at := filepath.Join(root, strconv.Itoa(i))
		if l.place != nil { // paths relative to each other lead where they do at strict
			at = filepath.Join(root, all[i].Target)
		}
		if err := bindHandle(handles[i], at); err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].Source, err)
		}
		all[i].Source = at
	}
	return all, nil
}

// prepare gives a writable source to the run's user and lets him read another.
func (l *launch) prepare(b Bind) error {
	if b.Writable {
		return l.user.give(b.Source)
	}
	var st unix.Stat_t
	if err := unix.Lstat(b.Source, &st); err != nil {
		return fmt.Errorf("%s: %w", b.Source, err)
	}
	return l.user.let(b.Source, &st)
}

func stageRoot() (string, error) {
	var errs []error
	for _, dir := range stageDirs {
		err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=0711")
		if err == nil {
			return dir, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", dir, err))
	}
	return "", errors.Join(errs...)
}

func bindHandle(fd int, at string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := unix.Mkdir(at, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	} else if f, err := unix.Open(at, unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644); err != nil {
		return err
	} else {
		unix.Close(f)
	}
	return unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), at, "", unix.MS_BIND|unix.MS_REC, "")
}
