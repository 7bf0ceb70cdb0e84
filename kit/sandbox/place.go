package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// place is where a run at the landlock level finds what strict shows at paths
// of its own: nothing can be mounted for it, so the words of its command and
// environment that name such a path are translated.
type place struct {
	*folder             // of the host; removed after the run
	to      [][2]string // a path as strict shows it, and where it is
}

// newPlace makes the run's own /tmp and folder of interpreters.
func newPlace(u *user, p *Python) (*place, error) {
	f, err := newFolder(u != nil)
	if err != nil {
		return nil, err
	}
	dir := f.path
	pl := &place{folder: f, to: [][2]string{{"/tmp", filepath.Join(dir, "tmp")}, {BinDir, filepath.Join(dir, "bin")}}}
	err = errors.Join(os.Mkdir(pl.tmp(), 0o700), os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	if err == nil && u != nil {
		err = os.Chown(pl.tmp(), u.uid, u.gid)
	}
	if err == nil && p != nil {
		for _, name := range []string{"python", "python3"} {
			err = errors.Join(err, os.Symlink(p.Path, filepath.Join(dir, "bin", name)))
		}
	}
	if err != nil {
		return nil, errors.Join(err, pl.remove())
	}
	return pl, nil
}

func (p *place) tmp() string { return filepath.Join(p.folder.path, "tmp") }

// bind adds what the run sees of the host.
func (p *place) bind(b Bind) { p.to = append(p.to, [2]string{b.Target, b.Source}) }

// path translates one path, by the longest that is shown.
func (p *place) path(s string) string {
	best := -1
	for i, t := range p.to {
		if (s == t[0] || strings.HasPrefix(s, t[0]+"/")) && (best < 0 || len(t[0]) >= len(p.to[best][0])) {
			best = i
		}
	}
	if best < 0 {
		return s
	}
	return p.to[best][1] + s[len(p.to[best][0]):]
}

// word translates paths that make up a word, or follow a colon or an equals
// sign in it, as in PATH=/a:/b and --out=/a.
func (p *place) word(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		end := strings.IndexAny(s, ":=")
		if end < 0 {
			return b.String() + p.path(s)
		}
		b.WriteString(p.path(s[:end]))
		b.WriteByte(s[end])
		s = s[end+1:]
	}
	return b.String()
}

func (p *place) words(list []string) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = p.word(w)
	}
	return out
}

// orders translates what the helper is told.
func (p *place) orders(o *orders) {
	o.Argv, o.Env, o.Dir = p.words(o.Argv), p.words(o.Env), p.path(o.Dir)
	for _, t := range p.to { // an attack of the probe is JSON with whole paths
		o.Attack = strings.ReplaceAll(o.Attack, strconv.Quote(t[0])[:len(t[0])+1]+"/", strconv.Quote(t[1])[:len(t[1])+1]+"/")
	}
}

// grants opens what strict shows.
func (p *place) grants(s Spec, binds []Bind) []grant {
	var g []grant
	add := func(how grantKinds, paths ...string) {
		for _, path := range paths {
			g = append(g, grant{path, how})
		}
	}
	add(grantRun, "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", filepath.Join(p.folder.path, "bin"))
	add(grantRead, etc...)
	// Who finds the files of a cgroup's processors there, as everybody can, must be able to read them.
	add(grantRead, "/proc", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup/cpu.max",
		"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")
	if s.TeX {
		add(grantRead, tex...)
	}
	add(grantNode, "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
	add(grantDrive, s.Devices...)
	add(grantWrite, shmDir, p.tmp())
	for _, b := range binds {
		how := grantRun
		if b.Writable {
			how = grantWrite
		}
		add(how, b.Source)
	}
	return g
}

// reachable tells which folder on the way to path keeps others out.
func reachable(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the sandbox's user cannot enter %s (chmod o+x %s, or keep the data elsewhere)", dir, dir)
		}
		if dir == "/" {
			return nil
		}
	}
}

// processesOf lists the living processes of a real user id.
func processesOf(uid int) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && statusUID(pid) == uid && len(living(pid)) > 0 {
			found = append(found, pid)
		}
	}
	return found
}

// statusUID is a process's real user id; -1 when it is gone.
func statusUID(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(b), "\nUid:\t")
	id, _, _ := strings.Cut(rest, "\t")
	n, err := strconv.Atoi(id)
	if err != nil {
		return -1
	}
	return n
}

// tasksOf counts a user's threads, and those that ended but were not waited for: a limit of processes counts them too.
func tasksOf(uid int) int {
	n := 0
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && statusUID(pid) == uid {
			tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			n += len(tasks)
		}
	}
	return n
}
