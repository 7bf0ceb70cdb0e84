package executor_test

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
)

// wheel writes a package of one module, as
// https://packaging.python.org/en/latest/specifications/binary-distribution-format/
// says, and returns its SHA-256.
func wheel(t *testing.T, dir, name, version, code string) string {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("%s-%s-py3-none-any.whl", name, version))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	info := fmt.Sprintf("%s-%s.dist-info/", name, version)
	record := ""
	for _, e := range [][2]string{
		{name + ".py", code},
		{info + "METADATA", fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", ""},
	} {
		if e[0] == info+"RECORD" {
			e[1] = record + e[0] + ",,\n"
		}
		sum := sha256.Sum256([]byte(e[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", e[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(e[1]))
		w, err := z.Create(e[0])
		if err == nil {
			_, err = w.Write([]byte(e[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// offline is an executor that installs from a folder of wheels.
func offline(t *testing.T) (w *world, wheels, state string) {
	w, wheels, state = newWorld(t), t.TempDir(), t.TempDir()
	if err := os.Chmod(wheels, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := quick(state)
	cfg.Environments.Network, cfg.Environments.Wheels = false, wheels
	w.client, _ = w.start(cfg, executor.Shared{Sandbox: box(t)})
	return w, wheels, state
}

func (w *world) withRequirements(id, text string, modules ...string) *executorv1.Job {
	w.t.Helper()
	d, err := store.PutBytes(w.t.Context(), w.blobs, []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	j := w.job(id, "import nullius_probe_a as a; print(a.WHO)")
	j.Measure, j.Outputs = false, []*executorv1.Output{{Glob: "run_1/**"}}
	j.Environment = &executorv1.Environment{Requirements: string(d), Modules: modules, Interpreter: "/usr/bin/python3"}
	return j
}

func TestEnvironment_IsBuiltOnceFromWheels(t *testing.T) {
	t.Parallel()
	w, wheels, state := offline(t)
	sum := wheel(t, wheels, "nullius_probe_a", "1.2", "WHO = 'a 1.2'\n")
	text := "# pinned\nnullius-probe-a == 1.2 ; python_version >= '3' \\\n  --hash=sha256:" + sum + "\n"
	var group sync.WaitGroup
	for i := range 3 { // together: one builds, the others wait
		j := w.withRequirements(fmt.Sprintf("together-%d", i), text, "nullius_probe_a")
		w.submit(w.client, j)
		group.Go(func() {
			s := w.watch(w.client, j.GetJobId())
			r := s.record.GetResult()
			if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || s.out != "a 1.2\n" || !strings.HasPrefix(r.GetEnvironment(), "sha256:") {
				t.Errorf("%v; %q, %q", r, s.out, s.errs)
				return
			}
			list, err := store.GetBytes(t.Context(), w.blobs, store.Digest(r.GetPackages()), 1<<20)
			if err != nil || !strings.Contains(string(list), "nullius_probe_a==1.2\n") && !strings.Contains(string(list), "nullius-probe-a==1.2\n") {
				t.Errorf("%s, %v", list, err)
			}
		})
	}
	group.Wait()
	made, err := filepath.Glob(filepath.Join(state, "environments", "*.json"))
	if err != nil || len(made) != 1 {
		t.Errorf("%v, %v", made, err)
	}
	// Nobody can change it from inside.
	j := w.withRequirements("writes", text, "nullius_probe_a")
	j.Argv = []string{"sh", "-c", "echo x >> /nullius/environment/pyvenv.cfg"}
	if r := w.run(j); r.GetEndReason() != executorv1.EndReason_FAILED || !strings.Contains(r.GetMessage(), "Read-only") && !strings.Contains(r.GetMessage(), "Permission denied") {
		t.Errorf("%v", r)
	}
}

func TestEnvironment_NamesWhatCannotBeHad(t *testing.T) {
	t.Parallel()
	w, wheels, state := offline(t)
	wheel(t, wheels, "nullius_probe_a", "1.2", "WHO = 'a'\n")
	source := filepath.Join(wheels, "nullius_probe_source-1.0.tar.gz")
	if err := os.WriteFile(source, []byte("no wheel"), 0o644); err != nil {
		t.Fatal(err)
	}
	rows := []struct{ name, text, want string }{
		{"an unknown package", "nullius-probe-none==1.0\n", "nullius-probe-none"},
		{"a source package", "nullius-probe-source==1.0\n", "nullius-probe-source"},
		{"a wrong hash", "nullius-probe-a==1.2 --hash=sha256:" + strings.Repeat("0", 64) + "\n", "HASHES"},
		{"a module that no package holds", "nullius-probe-a==1.2\n", "nullius_probe_b"},
		{"an option", "--index-url http://evil/\n", "requirement 1"},
		{"an include", "-r other.txt\n", "requirement 1"},
		{"an editable path", "nullius-probe-a\n-e .\n", "requirement 2"},
		{"an address", "nullius-probe-a @ https://evil/a.whl\n", "requirement 1"},
		{"an option in the place of a marker", "nullius-probe-a; --index-url=http://evil/\n", "requirement 1"},
		{"an option behind a marker", "nullius-probe-a;python_version>'3' -r other.txt\n", "requirement 1"},
		{"an address in the place of a marker", "nullius-probe-a ; https://evil/a.whl\n", "requirement 1"},
		{"a path", "./nullius_probe_a-1.2-py3-none-any.whl\n", "requirement 1"},
		{"half of the hashes", "a==1 --hash=sha256:" + strings.Repeat("0", 64) + "\nb==2\n", "all or none"},
	}
	if os.Getenv("NULLIUS_SOAK") != "" { // as the unknown package, after the same seconds
		rows = append(rows, struct{ name, text, want string }{"a version that is not there", "nullius-probe-a==9\n", "nullius-probe-a==9"})
	}
	for i, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			modules := []string{"nullius_probe_a"}
			if strings.Contains(c.want, "probe_b") {
				modules = append(modules, c.want)
			}
			r := w.run(w.withRequirements(fmt.Sprintf("bad-%d", i), c.text, modules...))
			if r.GetEndReason() != executorv1.EndReason_ENVIRONMENT || !strings.Contains(r.GetMessage(), c.want) {
				t.Errorf("%v", r)
			}
		})
	}
	t.Run("and remembers a failure for a while", func(t *testing.T) {
		began := time.Now()
		wheel(t, wheels, "nullius_probe_none", "1.0", "")
		j := w.withRequirements("again", "nullius-probe-none==1.0\n", "nullius_probe_a")
		if r := w.run(j); r.GetEndReason() != executorv1.EndReason_ENVIRONMENT {
			t.Errorf("%v", r)
		}
		failed, err := filepath.Glob(filepath.Join(state, "environments", "*.failed"))
		if err != nil || len(failed) == 0 {
			t.Fatalf("%v, %v", failed, err)
		}
		old := began.Add(-time.Hour)
		for _, f := range failed {
			if err := os.Chtimes(f, old, old); err != nil {
				t.Fatal(err)
			}
		}
		j = w.withRequirements("much-later", "nullius-probe-none==1.0\nnullius-probe-a\n", "nullius_probe_a")
		if r := w.run(j); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
			t.Errorf("%v", r)
		}
	})
	left, err := filepath.Glob(filepath.Join(state, "environments", "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
