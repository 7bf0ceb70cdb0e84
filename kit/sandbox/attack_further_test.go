package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// C01 to C29: what a run leaves behind, and where it leaves it.

// TestAttackFurther_leftovers: everything that lies outside the run's folder goes with the run.
func TestAttackFurther_leftovers(t *testing.T) {
	gone := func(names ...string) func(*testing.T, run, string) {
		return func(t *testing.T, _ run, _ string) {
			for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				var left []string
				for _, n := range names {
					found, _ := filepath.Glob(n)
					left = append(left, found...)
				}
				if len(left) == 0 {
					return
				}
				if !shared || time.Now().After(until) { // where the user is shared the last of several runs removes
					t.Fatalf("left: %v", left)
				}
			}
		}
	}
	besiege(t, []assault{
		{id: "C01", name: "a chain of folders in shared memory that is deeper than any path", want: "made\n", limits: sandbox.Limits{Wall: time.Minute}, after: gone("/dev/shm/nullius-c01*"), code: `
os.chdir("/dev/shm"); os.mkdir("nullius-c01"); os.chdir("nullius-c01")
for i in range(3000): os.mkdir("d"); os.chdir("d")
write("bottom"); os.chmod(".", 0); say("made")`},
		{id: "C02", name: "folders in shared memory that are closed", want: "made\n", after: gone("/dev/shm/nullius-c02*"), code: `
os.makedirs("/dev/shm/nullius-c02/a/b"); write("/dev/shm/nullius-c02/a/b/c")
for p in ("/dev/shm/nullius-c02/a/b", "/dev/shm/nullius-c02/a", "/dev/shm/nullius-c02"): os.chmod(p, 0)
say("made")`},
		{id: "C03", name: "links in shared memory to what others own", want: "made\n", after: func(t *testing.T, r run, out string) {
			gone("/dev/shm/nullius-c03*")(t, r, out)
			if b, err := os.ReadFile(filepath.Join(filepath.Dir(out), "template.txt")); err != nil || string(b) != "as it was" {
				t.Errorf("%q, %v", b, err)
			}
		}, code: `
os.symlink(os.path.realpath("template.txt"), "/dev/shm/nullius-c03"); os.symlink(os.path.realpath("."), "/dev/shm/nullius-c03b"); os.mkfifo("/dev/shm/nullius-c03c"); say("made")`},
		{id: "C04", name: "a name in shared memory with an end of line and in no encoding", want: "made\n", after: gone("/dev/shm/nullius-c04*"), code: `
write(b"/dev/shm/nullius-c04\n\xff\xfe (deleted)"); say("made")`},
		{id: "C05", name: "strict: a chain of folders in its own /tmp", want: "made\n", limits: sandbox.Limits{Wall: time.Minute}, code: chain},
		{id: "C05", name: "landlock: a chain of folders in its own /tmp", want: "(made\n)?", exit: anyExit, signal: 9, end: sandbox.DiskFull, limits: sandbox.Limits{Wall: time.Minute}, code: chain},
	})
}

// chain is a path that the kernel takes in pieces only, with a folder at its end that is closed.
const chain = `
os.chdir(os.environ["TMPDIR"])
for i in range(3000): os.mkdir("d" * 200); os.chdir("d" * 200)
write("bottom"); os.chmod(".", 0); say("made")`

// TestAttackFurther_words is C10: the run's own words do not move its walls, and what cannot be started is the program's failure.
func TestAttackFurther_words(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		for name, c := range map[string]struct {
			argv, env []string
			exit      int
			out, err  string
		}{
			"a variable of a hundred thousand bytes":  {argv: []string{"sh", "-c", "echo ${#X}"}, env: []string{"X=" + strings.Repeat("x", 100_000)}, out: "100000\n"},
			"a variable longer than the kernel takes": {argv: []string{"true"}, env: []string{"X=" + strings.Repeat("x", 200_000)}, exit: 126, err: "argument list too long"},
			"arguments like those of bubblewrap":      {argv: []string{"sh", "-c", "echo $#", "sh", "--ro-bind", "/", "/", "--", "--share-net"}, out: "5\n"},
			"an argument with ends of lines":          {argv: []string{"sh", "-c", "echo $#; ls / | grep -c '^x$'", "sh", "a\nb\n--bind\n/\n/x"}, exit: 1, out: "1\n0\n"},
			"an argument like the helper's":           {argv: []string{"sh", "-c", "echo $0", "__nullius_sandbox_helper"}, out: "__nullius_sandbox_helper\n"},
			"a command that is not there":             {argv: []string{"/nowhere/x"}, exit: 127, err: "no such file"},
			"a command that is a folder":              {argv: []string{"/usr"}, exit: 126, err: "permission denied"},
			"a variable that looks like the linker's": {argv: []string{"sh", "-c", "echo $LD_PRELOADED"}, env: []string{"LD_PRELOADED=/x\nLD_PRELOAD=/y"}, out: "/x LD_PRELOAD=/y\n"},
		} {
			t.Run(name, func(t *testing.T) {
				r := do(t, s, sandbox.Spec{Argv: c.argv, Env: append([]string{"PATH=/usr/bin:/bin"}, c.env...)})
				if c.exit >= 0 && r.ExitCode != c.exit || r.out != c.out || !strings.Contains(r.err, c.err) || r.End != sandbox.Exited {
					t.Errorf("%s, exit code %d, %q, %q; want %d, %q, %q", r.End, r.ExitCode, r.out, tail(r.err), c.exit, c.out, c.err)
				}
			})
		}
	})
}

// TestAttackFurther_limits is C12: limits that leave no program room are the program's failure, at every level.
func TestAttackFurther_limits(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		for name, c := range map[string]struct {
			limits sandbox.Limits
			ends   []sandbox.End
		}{
			"one open file":      {sandbox.Limits{OpenFiles: 1}, []sandbox.End{sandbox.Exited}},
			"four open files":    {sandbox.Limits{OpenFiles: 4}, []sandbox.End{sandbox.Exited}},
			"one process":        {sandbox.Limits{Processes: 1}, []sandbox.End{sandbox.Exited}},
			"a byte of file":     {sandbox.Limits{FileBytes: 1}, []sandbox.End{sandbox.Exited}},
			"a byte of /tmp":     {sandbox.Limits{TmpBytes: 1, ShmBytes: 1}, []sandbox.End{sandbox.Exited, sandbox.DiskFull}},
			"a byte of memory":   {sandbox.Limits{MemoryBytes: 1}, []sandbox.End{sandbox.Exited, sandbox.OutOfMemory}},
			"a moment":           {sandbox.Limits{Wall: 1}, []sandbox.End{sandbox.Exited, sandbox.TimedOut}},
			"hardly a processor": {sandbox.Limits{CPUs: 0.01}, []sandbox.End{sandbox.Exited}},
		} {
			t.Run(name, func(t *testing.T) {
				r := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "echo x > $TMPDIR/f; exit 3"}, Env: []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp"}, Limits: c.limits})
				if !slices.Contains(c.ends, r.End) || r.End == sandbox.Exited && r.ExitCode == 0 {
					t.Errorf("%s, exit code %d: %s", r.End, r.ExitCode, tail(r.err))
				}
			})
		}
	})
}

// TestAttackFurther_specs is C11: what cannot be run as it is asked for is refused, not changed.
func TestAttackFurther_specs(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		tree := t.TempDir()
		open := filepath.Join(t.TempDir(), "open")
		if err := errors.Join(os.Mkdir(open, 0o755), os.Mkdir(filepath.Join(open, "x"), 0o755), os.Chmod(open, 0o777), os.Symlink(tree, filepath.Join(tree, "link"))); err != nil {
			t.Fatal(err)
		}
		bind := func(source, target string) []sandbox.Bind { return []sandbox.Bind{{Source: source, Target: target}} }
		for name, spec := range map[string]sandbox.Spec{
			"no command":                           {},
			"a command without a name":             {Argv: []string{"", "x"}},
			"an argument with a zero":              {Argv: []string{"sh", "a\x00b"}},
			"an argument in no encoding":           {Argv: []string{"sh", "\xff"}},
			"a variable without a name":            {Argv: []string{"sh"}, Env: []string{"=x"}},
			"a variable without a value":           {Argv: []string{"sh"}, Env: []string{"X"}},
			"a variable in no encoding":            {Argv: []string{"sh"}, Env: []string{"X=\xff"}},
			"a working folder that is relative":    {Argv: []string{"sh"}, Dir: "x"},
			"a source that is relative":            {Argv: []string{"sh"}, Binds: bind("x", "/x")},
			"a source that is a link":              {Argv: []string{"sh"}, Binds: bind(filepath.Join(tree, "link"), "/x")},
			"a source that is a device":            {Argv: []string{"sh"}, Binds: bind("/dev/null", "/x")},
			"a source that is not there":           {Argv: []string{"sh"}, Binds: bind(filepath.Join(tree, "none"), "/x")},
			"a source that everybody may exchange": {Argv: []string{"sh"}, Binds: bind(filepath.Join(open, "x"), "/x")},
			"the whole host":                       {Argv: []string{"sh"}, Binds: bind("/", "/x")},
			"a target that is the root":            {Argv: []string{"sh"}, Binds: bind(tree, "/")},
			"a target that leads up":               {Argv: []string{"sh"}, Binds: bind(tree, "/x/../etc")},
			"a target with a zero":                 {Argv: []string{"sh"}, Binds: bind(tree, "/x\x00--bind")},
		} {
			t.Run(name, func(t *testing.T) {
				r, err := s.Run(t.Context(), spec)
				if fault.ReasonOf(err) != sandbox.ReasonSpecInvalid {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
	})
}
