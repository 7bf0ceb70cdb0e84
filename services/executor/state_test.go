package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
)

func TestState_RefusesAPlaceThatOthersCanExchange(t *testing.T) {
	for name, make := range map[string]func(dir string) (state, says string){
		"a folder for all": func(dir string) (string, string) {
			at := filepath.Join(dir, "state")
			return at, "every user of this host may write in " + mode(t, at, 0o777)
		},
		"a folder for all with the sticky bit": func(dir string) (string, string) {
			at := filepath.Join(dir, "state")
			return at, "every user of this host may write in " + mode(t, at, 0o777|os.ModeSticky)
		},
		"a parent for all": func(dir string) (string, string) {
			return filepath.Join(dir, "all", "state"), "every user of this host may write in " + mode(t, filepath.Join(dir, "all"), 0o777)
		},
		"a parent's parent for all": func(dir string) (string, string) {
			return filepath.Join(dir, "all", "own", "state"), "every user of this host may write in " + mode(t, filepath.Join(dir, "all"), 0o777)
		},
		"a parent for all with the sticky bit": func(dir string) (string, string) {
			mode(t, filepath.Join(dir, "all"), 0o777|os.ModeSticky)
			return filepath.Join(dir, "all", "state"), ""
		},
		"a link to a folder": func(dir string) (string, string) {
			mode(t, filepath.Join(dir, "real"), 0o700)
			link(t, filepath.Join(dir, "real"), filepath.Join(dir, "state"))
			return filepath.Join(dir, "state"), "is a symbolic link"
		},
		"a link in its place for running attempts": func(dir string) (string, string) {
			mode(t, filepath.Join(dir, "state"), 0o700)
			link(t, mode(t, filepath.Join(dir, "real"), 0o700), filepath.Join(dir, "state", "work"))
			return filepath.Join(dir, "state"), "is a symbolic link"
		},
		"a parent that is a link to a folder for all": func(dir string) (string, string) {
			all := mode(t, filepath.Join(dir, "all"), 0o777)
			link(t, all, filepath.Join(dir, "link"))
			return filepath.Join(dir, "link", "state"), "every user of this host may write in " + all
		},
		"a folder of its own": func(dir string) (string, string) { return filepath.Join(dir, "own", "state"), "" },
	} {
		t.Run(name, func(t *testing.T) {
			dir, says := make(t.TempDir())
			s, err := openState(dir)
			if s != nil {
				s.close()
			}
			if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || fault.NextOf(err) == "") {
				t.Errorf("%v, next %q", err, fault.NextOf(err))
			}
		})
	}
}

func mode(t *testing.T, dir string, m os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// TestGPULocks_ofAnotherUser: a lock file that another user made, as his umask left it, is a lock and not an obstacle; what is no file is none.
func TestGPULocks_ofAnotherUser(t *testing.T) {
	dir := t.TempDir()
	first, second := newGPULocks(dir), newGPULocks(dir)
	if !first.take("GPU-a") || second.take("GPU-a") || !first.take("GPU-a") {
		t.Error("one at a time")
	}
	if st, err := os.Stat(filepath.Join(dir, "nullius-gpu-GPU-a.lock")); err != nil || st.Mode().Perm()&0o044 != 0o044 {
		t.Errorf("others cannot look at it: %v, %v", st, err)
	}
	first.close()
	if err := os.Chmod(filepath.Join(dir, "nullius-gpu-GPU-a.lock"), 0o444); err != nil {
		t.Fatal(err)
	}
	if !second.take("GPU-a") {
		t.Error("its owner is gone")
	}
	second.close()
	if err := os.Symlink("elsewhere", filepath.Join(dir, "nullius-gpu-GPU-b.lock")); err != nil {
		t.Fatal(err)
	}
	if newGPULocks(dir).take("GPU-b") {
		t.Error("a link was followed")
	}
}
