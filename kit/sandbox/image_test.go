package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
)

// TestImage_whatWasProbedIsWhatRuns: bubblewrap is replaced, touched and rewritten under a sandbox in use.
func TestImage_whatWasProbedIsWhatRuns(t *testing.T) {
	real, err := findBubblewrap("")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bwrap")
	install := func(text []byte) { // as package managers do
		t.Helper()
		if err := os.WriteFile(path+".new", text, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	install(b)
	s, err := New(t.Context(), Config{Bubblewrap: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := s.Probe()
	if !strings.HasPrefix(p.Helper, "sha256:") || !strings.HasPrefix(p.Bubblewrap, "sha256:") || p.Helper == p.Bubblewrap {
		t.Errorf("helper %s, bubblewrap %s", p.Helper, p.Bubblewrap)
	}
	run := func() error {
		r, err := s.Run(t.Context(), Spec{Argv: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}})
		if err == nil && (r.ExitCode != 0 || r.ProbeDigest != p.Digest) {
			t.Errorf("%+v", r)
		}
		return err
	}
	opened, err := os.OpenFile(path, os.O_WRONLY, 0) // to the first version, whatever is at the path later
	if err != nil {
		t.Fatal(err)
	}
	install([]byte("#!/bin/sh\nexec touch " + filepath.Join(dir, "ran") + "\n"))
	if _, err := opened.WriteAt(b[:1], 0); err != nil { // a new time, the same content
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Errorf("with another file at its path: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("what came to lie at the path was run")
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", s.bwrap.file.Fd()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("#!"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := run(); fault.ReasonOf(err) != ReasonBroken || !strings.Contains(err.Error(), "changed after the probe") {
		t.Errorf("with its content changed: %v", err)
	}
}

func TestSeal_makesAProgramThatNobodyChanges(t *testing.T) {
	f, err := seal(bytes.NewReader([]byte("#!/bin/sh\necho sealed\n")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if w, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
		if _, err := w.WriteAt([]byte("x"), 0); err == nil {
			t.Error("it was written")
		}
		if err := w.Truncate(0); err == nil {
			t.Error("it was truncated")
		}
		w.Close()
	}
	if b, err := io.ReadAll(f); err != nil || !strings.Contains(string(b), "sealed") {
		t.Errorf("%q, %v", b, err)
	}
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.Output(); string(out) != "sealed\n" {
		t.Errorf("%q, %v", out, err)
	}
}
