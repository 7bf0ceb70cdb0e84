package sandbox

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCandidates2_theGroupThatIsOursComesFirst(t *testing.T) {
	const root = "/sys/fs/cgroup"
	for own, want := range map[string][]candidate2{
		root:                                   {{root, true}},
		root + "/system.slice/nullius.service": {{root + "/system.slice/nullius.service", true}, {root + "/system.slice", false}, {root, false}},
		root + "/system.slice/nullius.service/nullius-self": {{root + "/system.slice/nullius.service", false}, {root + "/system.slice", false}, {root, false}},
		root + "/init": {{root + "/init", true}, {root, false}},
	} {
		if got := candidates2(root, own); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", own, got, want)
		}
	}
}

// unified is where this host mounts version 2, which on hybrid hosts has neither memory nor pids; empty: nowhere.
func unified() string {
	for _, dir := range []string{cgroupRoot, cgroupRoot + "/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	return ""
}

// TestGroup2_birthAndKill is what version 2 adds, on whatever of it this host has. Limits are tested by the attacks, on the version that has them.
func TestGroup2_birthAndKill(t *testing.T) {
	root := unified()
	if root == "" {
		t.Skip("not run: this host has no version 2 of cgroups")
	}
	name, err := groupName()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		if os.Geteuid() != 0 {
			t.Skipf("not run: making a cgroup there needs root: %v", err)
		}
		t.Fatal(err)
	}
	defer removeTree(dir)
	t.Logf("version 2 at %s, controllers there: %q", root, readText(filepath.Join(dir, "cgroup.controllers")))
	handle, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := &group2{dir: dir, handle: handle}
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 20 ]; do setsid sh -c 'trap \"\" TERM; sleep 300' & i=$((i+1)); done; echo up; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.fd()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if n := len(g.members()); n < 21 {
		t.Errorf("%d members", n)
	}
	if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
		t.Errorf("remove a group that is in use: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cpu.pressure")); err != nil {
		t.Logf("not run: stalls, which this kernel does not tell: %v", err)
	} else if u := g.usage(); u.Stalled == nil {
		t.Errorf("stalls are not read: %q", readText(filepath.Join(dir, "cpu.pressure")))
	}
	g.kill()
	_ = cmd.Wait()
	for until := time.Now().Add(10 * time.Second); len(g.members()) > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%v do not end", g.members())
		}
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the group is still there")
	}
}

// TestGroup2_aThreadedGroupIsReadAsWell: such a one refuses to list processes.
func TestGroup2_aThreadedGroupIsReadAsWell(t *testing.T) {
	dir := t.TempDir() // stands for a group whose cgroup.procs fails
	for file, text := range map[string]string{"cgroup.events": "populated 1\nfrozen 0\n", "cgroup.threads": "41\n42\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &group2{dir: dir}
	if got := g.members(); !reflect.DeepEqual(got, []int{41, 42}) {
		t.Errorf("%v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.events"), []byte("populated 0\nfrozen 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := g.members(); got != nil {
		t.Errorf("%v", got)
	}
}

// TestGroup2_readsWhatTheKernelSays on files as the kernel writes them (Documentation/admin-guide/cgroup-v2.rst).
func TestGroup2_readsWhatTheKernelSays(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", "memory.peak": "73400320\n",
		"memory.current": "41943040\n",
		"cpu.stat":       "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
		"memory.max":     "max\n", "memory.swap.max": "max\n", "memory.oom.group": "0\n", "pids.max": "max\n", "cpu.max": "max 100000\n", "cgroup.procs": "7\n9\n",
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &group2{dir: dir}
	if err := g.limit(Limits{MemoryBytes: 64 * mib, Processes: 40, CPUs: 1.5}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.max": "92274688", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "56", "cpu.max": "150000 100000"} {
		if got := readText(filepath.Join(dir, file)); got[:len(want)] != want {
			t.Errorf("%s: %q, want %s", file, got, want)
		}
	}
	if g.oomKills() != 2 || !reflect.DeepEqual(g.members(), []int{7, 9}) {
		t.Errorf("%d kills, %v", g.oomKills(), g.members())
	}
	if u, want := g.usage(), (Usage{CPU: 1500 * time.Millisecond, MemoryBytes: 40 * mib, PeakMemoryBytes: 70 * mib}); !reflect.DeepEqual(u, want) {
		t.Errorf("%+v, want %+v", u, want)
	}
	for _, without := range []string{"memory.oom.group", "pids.max", "memory.max"} { // no limit, no run
		if err := os.Remove(filepath.Join(dir, without)); err != nil {
			t.Fatal(err)
		}
		if err := g.limit(Limits{MemoryBytes: 64 * mib, Processes: 40}); err == nil {
			t.Errorf("without %s", without)
		}
	}
}

func readText(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}
