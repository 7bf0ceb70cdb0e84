package sandbox_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

// TestSandbox_TellsWhatWasUsed: while the program runs and when it has ended.
func TestSandbox_TellsWhatWasUsed(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		out := t.TempDir()
		if err := os.Chmod(filepath.Dir(out), 0o711); err != nil { // where nothing can be mounted, other users must get in
			t.Fatal(err)
		}
		var mu sync.Mutex
		var told []sandbox.Usage
		r := do(t, s, sandbox.Spec{
			Argv: python(`
import os, subprocess, time
b = bytearray(48 << 20)
subprocess.run(["sh", "-c", "dd if=/dev/zero of=child bs=1M count=8 conv=fsync 2>/dev/null"], check=True)
with open("own", "wb") as f:
    f.write(b"x" * (4 << 20)); f.flush(); os.fsync(f.fileno())
until = time.monotonic() + 2.6
while time.monotonic() < until: pass
`), Dir: "/out", Binds: []sandbox.Bind{{Source: out, Target: "/out", Writable: true}},
			OnUsage: func(u sandbox.Usage) { mu.Lock(); told = append(told, u); mu.Unlock() },
		})
		if r.End != sandbox.Exited || r.ExitCode != 0 {
			t.Fatalf("%s, %d: %s", r.End, r.ExitCode, r.err)
		}
		if len(told) < 2 || len(told) > int(r.Wall/time.Second)+1 {
			t.Fatalf("told %d times in %v", len(told), r.Wall)
		}
		var last sandbox.Usage
		for _, u := range told {
			if u.CPU < last.CPU || u.PeakMemoryBytes < max(last.PeakMemoryBytes, u.MemoryBytes) {
				t.Errorf("%+v after %+v", u, last)
			}
			last = u
		}
		if last.CPU == 0 || last.CPU > r.CPU+100*time.Millisecond || last.MemoryBytes < 48*mib || last.PeakMemoryBytes > r.PeakMemoryBytes {
			t.Errorf("at last %+v, in the end %v and %d bytes", last, r.CPU, r.PeakMemoryBytes)
		}
		if r.MemoryWall != sandbox.WallCgroup2 && (last.IO != nil || r.Stalled != nil) { // nobody can know
			t.Errorf("with %s: %+v, %+v", r.MemoryWall, last.IO, r.Stalled)
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(out, &fs); err != nil {
			t.Fatal(err)
		}
		if r.IO == nil {
			t.Fatal("what was written is not counted")
		}
		if fs.Type == unix.TMPFS_MAGIC {
			t.Log("not run: bytes to storage, since TMPDIR lies in memory")
		} else if r.IO.WrittenBytes < 12*mib || r.IO.WrittenBytes > 64*mib {
			t.Errorf("%d bytes written", r.IO.WrittenBytes)
		}
	})
}
