package filelock_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"nullius.dev/kit/filelock"
)

func TestSweepLeavesWhatIsHeld(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dead", "held", "dead folder/file", "held folder/file"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"held", "held folder"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := filelock.Hold(f); err != nil {
			t.Fatal(err)
		}
	}
	filelock.Sweep(dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "held" || entries[1].Name() != "held folder" {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestHoldUnderSweeps: whoever holds a file has it under its name, however often others sweep.
func TestHoldUnderSweeps(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var sweeps sync.WaitGroup
	for range 2 {
		sweeps.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					filelock.Sweep(dir)
				}
			}
		})
	}
	held := 0
	for range 500 {
		f, err := os.CreateTemp(dir, "x")
		if err != nil {
			t.Fatal(err)
		}
		switch err := filelock.Hold(f); {
		case err == nil:
			held++
			if err := os.Rename(f.Name(), filepath.Join(t.TempDir(), "y")); err != nil {
				t.Error(err)
			}
		case !errors.Is(err, fs.ErrNotExist):
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	sweeps.Wait()
	t.Logf("held %d of 500", held)
}
