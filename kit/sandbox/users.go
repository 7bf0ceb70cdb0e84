package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// users hands out real user ids, one per running sandbox, over all processes
// of the host: a file lock per id, freed by the kernel when its holder dies.
type users struct {
	dir   string
	base  int
	count int
	group int // one group for all, so that a read-only source can be shared
}

// user is a held id.
type user struct {
	uid, gid int
	lock     *os.File
}

// newUsers returns nil for an ordinary user: everything then runs as him.
func newUsers(cfg Config) (*users, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	base, err := mappedBase("/proc/self/uid_map", cfg.UIDBase, cfg.UIDCount)
	if err != nil {
		return nil, err
	}
	dir := "/run/nullius-sandbox"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("locks of user ids: %w", err)
	}
	return &users{dir: dir, base: base + 1, count: cfg.UIDCount - 1, group: base}, nil
}

// mappedBase returns want, or the highest range that this user namespace has.
func mappedBase(file string, want, count int) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, fmt.Errorf("user id map: %w", err)
	}
	defer f.Close()
	best := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) != 3 {
			continue
		}
		start, _ := strconv.Atoi(fields[0])
		n, _ := strconv.Atoi(fields[2])
		if start <= want && want+count <= start+n {
			return want, nil
		}
		best = max(best, start+n-count)
	}
	if best <= 1000 {
		return 0, fmt.Errorf("no %d user ids to drop to in this user namespace", count)
	}
	return best, nil
}

func (u *users) acquire() (*user, error) {
	for i := range u.count {
		who, err := u.take(u.base + i)
		if err == nil || !errors.Is(err, errInUse) {
			return who, err
		}
	}
	return nil, fmt.Errorf("all %d user ids are in use", u.count)
}

var errInUse = errors.New("the user id is in use")

// take holds one id.
func (u *users) take(uid int) (*user, error) {
	f, err := os.OpenFile(filepath.Join(u.dir, strconv.Itoa(uid)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of a user id: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errInUse, f.Close())
	}
	return &user{uid: uid, gid: u.group, lock: f}, nil
}

func (u *users) has(uid int) bool { return uid >= u.base && uid < u.base+u.count }

func (u *user) release() {
	if u != nil {
		u.lock.Close()
	}
}

// evict ends what runs as a held user: what an executor that was killed left, or a helper.
func (u *user) evict() error {
	return evict(fmt.Sprintf("user %d", u.uid), func() []int { return processesOf(u.uid) })
}

// give makes a tree the user's. Nothing runs in it at this time.
func (u *user) give(root string) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 {
			return fmt.Errorf("%s has %d names: a writable file must have one", path, st.Nlink)
		}
		if int(st.Uid) == u.uid && int(st.Gid) == u.gid {
			return nil
		}
		return unix.Fchownat(unix.AT_FDCWD, path, u.uid, u.gid, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// let allows the sandboxes' group into a folder that is closed to others.
func (u *user) let(path string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o005 == 0o005 || int(st.Uid) == u.uid {
		return nil
	}
	if int(st.Gid) != u.gid {
		if err := unix.Fchownat(unix.AT_FDCWD, path, -1, u.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return os.Chmod(path, os.FileMode(st.Mode&0o777|0o050))
}
