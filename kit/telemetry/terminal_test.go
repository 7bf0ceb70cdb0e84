package telemetry_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"nullius.dev/kit/telemetry"
)

func TestIsTerminal_isNotFooledByOtherDevices(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	again, err := syscall.Dup(int(null.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.NewFile(uintptr(again), "/dev/stdin")
	defer stdin.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0) // a terminal's other end is one too
	if err != nil {
		t.Fatal(err)
	}
	defer pty.Close()
	for name, tt := range map[string]struct {
		f    *os.File
		want bool
	}{
		"/dev/null": {null, false}, "/dev/null as stdin": {stdin, false}, "a file": {file, false}, "a pipe": {w, false}, "a terminal": {pty, true},
	} {
		if got := telemetry.IsTerminal(tt.f); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
