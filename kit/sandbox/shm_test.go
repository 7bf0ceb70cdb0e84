package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// scene starts runs that wait for signs.
type scene struct {
	t     *testing.T
	s     *sandbox.Sandbox
	signs string
}

func newScene(t *testing.T, s *sandbox.Sandbox) scene { return scene{t, s, openDir(t)} }

// openDir is a folder that the users of runs can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start returns when the script has made the file up; its result comes when it has ended.
func (c scene) start(script string, limits sandbox.Limits) chan run {
	dir, done := openDir(c.t), make(chan run, 1)
	go func() {
		defer close(done)
		done <- do(c.t, c.s, sandbox.Spec{Argv: []string{"sh", "-c", script}, Dir: "/tree", Env: []string{"PATH=/usr/bin:/bin", "SIGNS=/signs"}, Limits: limits,
			Binds: []sandbox.Bind{{Source: dir, Target: "/tree", Writable: true}, {Source: c.signs, Target: "/signs"}}})
	}()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "up")); err == nil {
			return done
		} else if time.Now().After(until) {
			c.t.Fatal(err)
		}
	}
}

func (c scene) sign(name string) {
	if err := os.WriteFile(filepath.Join(c.signs, name), nil, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// TestShm_aRunKeepsWhatItPutThere although one that began before it ends and nobody has the segment open, and leaves nothing.
func TestShm_aRunKeepsWhatItPutThere(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		c := newScene(t, s)
		first := c.start("echo > up; while [ ! -e $SIGNS/one ]; do sleep 0.02; done", sandbox.Limits{})
		second := c.start("echo kept > /dev/shm/nullius-left; echo > up; while [ ! -e $SIGNS/two ]; do sleep 0.02; done; cat /dev/shm/nullius-left", sandbox.Limits{})
		c.sign("one")
		<-first
		c.sign("two")
		if r := <-second; r.out != "kept\n" {
			t.Errorf("%+v", r)
		}
		if _, err := os.Stat("/dev/shm/nullius-left"); err == nil {
			t.Error("a segment was left")
		}
	})
}

// TestShm_whoFillsItIsCharged and not the run beside it.
func TestShm_whoFillsItIsCharged(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		c := newScene(t, s)
		beside := c.start("echo > up; while [ ! -e $SIGNS/one ]; do sleep 0.02; done; echo whole", sandbox.Limits{MemoryBytes: 64 * mib})
		fills := c.start("echo > up; for i in 1 2 3 4 5 6 7 8; do head -c 40000000 /dev/zero > /dev/shm/nullius-$i; done; sleep 10", sandbox.Limits{MemoryBytes: 128 * mib, ShmBytes: 512 * mib})
		if r := <-fills; r.End != sandbox.OutOfMemory {
			t.Errorf("%+v", r)
		}
		c.sign("one")
		if r := <-beside; r.End != sandbox.Exited || r.out != "whole\n" {
			t.Errorf("%+v", r)
		}
	})
}
