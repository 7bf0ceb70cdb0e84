package sandbox

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
)

func TestNew_neverOffersLessThanTheMinimum(t *testing.T) {
	for _, c := range []struct {
		name string
		with Isolation
		kind error
		says string
	}{
		{"a level below the minimum", Isolation{Level: LevelLandlock}, fault.Precondition, "landlock is below isolation.min strict"},
		{"a level below the named minimum", Isolation{Level: LevelLandlock, Min: LevelStrict}, fault.Precondition, "below"},
		{"a level that does not exist", Isolation{Level: "container"}, fault.Invalid, "isolation.level"},
		{"a minimum that does not exist", Isolation{Min: "none"}, fault.Invalid, "isolation.min"},
	} {
		if _, err := New(t.Context(), Config{Isolation: c.with}, slog.New(slog.DiscardHandler)); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Strict cannot be had: only a minimum of landlock lets that level take over.
	broken := filepath.Join(t.TempDir(), "bwrap")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no namespaces here >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(broken), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Config{Bubblewrap: broken}, slog.New(slog.DiscardHandler))
	if fault.ReasonOf(err) != ReasonTooWeak || fault.NextOf(err) == "" {
		t.Errorf("without strict: %v", err)
	}
	weaker, err := New(t.Context(), Config{Bubblewrap: broken, Isolation: Isolation{Min: LevelLandlock}}, slog.New(slog.DiscardHandler))
	if landlockABI() < minABI {
		if fault.ReasonOf(err) != ReasonTooWeak {
			t.Errorf("a kernel without landlock: %v", err)
		}
		t.Log("not run: this kernel has no landlock of version 6 or later")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer weaker.Close()
	if p := weaker.Probe(); p.Level != LevelLandlock || p.Attacks["signal"] == "" {
		t.Errorf("%+v", p)
	}
}

func TestMappedBase_needsIdsToDropTo(t *testing.T) {
	for text, want := range map[string]int{
		"0 0 4294967295\n":       1_900_000_000,
		"0 100000 65536\n":       65536 - 1024,
		"0 1000 1\n":             0,
		"0 1000 1\n1 100000 9\n": 0,
		"":                       0,
	} {
		file := filepath.Join(t.TempDir(), "uid_map")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := mappedBase(file, 1_900_000_000, 1024)
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestPlace_translatesPathsAndNothingElse(t *testing.T) {
	p := &place{to: [][2]string{{"/tmp", "/h/tmp"}, {BinDir, "/h/bin"}, {"/nullius/results/t/i", "/w/tree"}, {"/nullius/results/t/i/run_1", "/w/one"}}}
	for in, want := range map[string]string{
		"/nullius/results/t/i":                  "/w/tree",
		"/nullius/results/t/i/x.py":             "/w/tree/x.py",
		"/nullius/results/t/i/run_1/f":          "/w/one/f",
		"/nullius/results/t/i/run_10":           "/w/tree/run_10",
		"--out=/nullius/results/t/i/run_1":      "--out=/w/one",
		"PATH=/nullius/bin:/usr/bin:/bin":       "PATH=/h/bin:/usr/bin:/bin",
		"TMPDIR=/tmp":                           "TMPDIR=/h/tmp",
		"/tmpfile":                              "/tmpfile",
		"cat /tmp/x":                            "cat /tmp/x",
		"experiment.py":                         "experiment.py",
		"a=b=c:":                                "a=b=c:",
		"":                                      "",
		"/nullius/results/t/i/../../../../etc/": "/w/tree/../../../../etc/",
	} {
		if got := p.word(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestReachable_namesTheFolderThatKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.MkdirAll(filepath.Join(closed, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := reachable(filepath.Join(closed, "in")); err == nil || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("%v", err)
	}
}
