package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

func TestRemoveTree_removesWhatHidesFromIt(t *testing.T) {
	parent := t.TempDir()
	top, kept := filepath.Join(parent, "top"), filepath.Join(parent, "kept")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(top, 0o755))
	must(os.Mkdir(kept, 0o755))
	must(os.WriteFile(filepath.Join(kept, "file"), nil, 0o644))
	must(os.Symlink(kept, filepath.Join(top, "link")))
	must(os.Mkdir(filepath.Join(top, "dark"), 0o755))
	must(os.WriteFile(filepath.Join(top, "dark", "file"), nil, 0o644))
	must(os.Chmod(filepath.Join(top, "dark"), 0))
	levels := 3000
	if soaking {
		levels = 21_000 // more than there may be descriptors
	}
	for _, name := range []string{"d", strings.Repeat("n", 250)} {
		fd, err := unix.Open(top, unix.O_DIRECTORY, 0)
		must(err)
		for range levels {
			must(unix.Mkdirat(fd, name, 0o700))
			next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
			must(err)
			must(unix.Close(fd))
			fd = next
		}
		must(unix.Close(fd))
	}
	if err := sandbox.RemoveTree(top); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(top); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(kept, "file")); err != nil {
		t.Errorf("it followed a link: %v", err)
	}
}
