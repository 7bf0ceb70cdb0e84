package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// TestShm_aRunKeepsWhatItPutThere although one that began before it ends and nobody has the segment open, and leaves nothing.
func TestShm_aRunKeepsWhatItPutThere(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		out := t.TempDir()
		if err := os.Chmod(filepath.Dir(out), 0o711); err != nil {
			t.Fatal(err)
		}
		runs := func(script string) chan string {
			dir := filepath.Join(t.TempDir(), "tree")
			done := make(chan string, 1)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o711); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(done)
				done <- do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "while [ ! -e $SIGNS/" + script}, Dir: "/tree", Env: []string{"PATH=/usr/bin:/bin", "SIGNS=/signs"},
					Binds: []sandbox.Bind{{Source: dir, Target: "/tree", Writable: true}, {Source: out, Target: "/signs"}}}).out
			}()
			for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(dir, "up")); err == nil {
					return done
				} else if time.Now().After(until) {
					t.Fatal(err)
				}
			}
		}
		sign := func(name string) {
			if err := os.WriteFile(filepath.Join(out, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		first := runs("one ]; do echo > up; sleep 0.02; done")
		second := runs("two ]; do [ -e up ] || echo kept > /dev/shm/nullius-left; echo > up; sleep 0.02; done; cat /dev/shm/nullius-left")
		sign("one")
		<-first
		sign("two")
		if got := <-second; got != "kept\n" {
			t.Errorf("%q", got)
		}
		if _, err := os.Stat("/dev/shm/nullius-left"); err == nil {
			t.Error("a segment was left")
		}
	})
}
