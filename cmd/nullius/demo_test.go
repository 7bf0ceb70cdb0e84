package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/store"
)

// TestDemo_replaysTheShippedStudy runs the demo whole: experiments, figures, LaTeX and checks are real. A missing entry of the recording would fail the idea.
func TestDemo_replaysTheShippedStudy(t *testing.T) {
	t.Parallel()
	results, dataDir := t.TempDir(), t.TempDir()
	var out, errOut bytes.Buffer
	code := execute(t.Context(), []string{"demo", "--results", results, "--data-dir", dataDir, "--address", "127.0.0.1:0"}, &out, &errOut)
	if code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, &out, &errOut)
	}
	if !bytes.Contains(errOut.Bytes(), []byte("recorded")) {
		t.Error("the demo does not say that the model's answers are recorded")
	}
	dirs, err := filepath.Glob(filepath.Join(results, "double_descent", "*_what_removes_the_peak"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("result folders: %v, %v", dirs, err)
	}
	for _, f := range []string{"what_removes_the_peak.pdf", "what_removes_the_peak_improved.pdf", "review.txt", "review_improved.txt", "review.json", "verification.json",
		"provenance.json", "report.md", "events.jsonl", "cost.json", "trace.jsonl", "notes.txt", "run_0/final_info.json", "run_5/final_info.json", "run_5.py",
		"test_error.png", "failed/experiments_run-3_execute-1/stderr.txt"} {
		if st, err := os.Stat(filepath.Join(dirs[0], f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	var v struct {
		Outcome     string
		Pages       struct{ Total int }
		Unexplained []any
		Citations   struct{ Kept int }
		Findings    []struct{ ID, Text string }
	}
	data, err := os.ReadFile(filepath.Join(dirs[0], "verification_improved.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if v.Outcome != "COMPILED" || v.Pages.Total < 6 || v.Citations.Kept < 8 || len(v.Unexplained) > 0 || len(v.Findings) > 0 {
		t.Errorf("the paper is not what a newcomer should read: %+v", v)
	}
	settle(t, "double_descent", dataDir)
}

// settle compares a replay with its recording: entries that nobody asked for fail. With NULLIUS_RECORDINGS=write the digests of the shipped index are brought up to date;
// replies change by hand only.
func settle(t *testing.T, template, dataDir string) {
	t.Helper()
	entries, rec := replayed(t, template, dataDir)
	if os.Getenv("NULLIUS_RECORDINGS") == "write" {
		path := filepath.Join("..", "..", "templates", template, "recording", recording.IndexFile)
		index, err := os.ReadFile(path)
		if err == nil {
			index, err = recording.Redigest(index, entries)
		}
		if err == nil {
			err = os.WriteFile(path, index, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range rec.Unused(entries) {
		t.Errorf("nobody asked for the recording's %s %s %s", l.Idea, l.Step, l.Call)
	}
}

// replayed reads the ledger of a demo's data folder, and the recording that it replayed.
func replayed(t *testing.T, template, dataDir string) ([]ledger.Entry, *recording.Recording) {
	t.Helper()
	ctx := t.Context()
	s, err := natsd.Start(natsd.Config{Dir: dataDir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	conn, err := s.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	kv, err := conn.KV(ctx, ledger.Bucket())
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := store.OpenDir(filepath.Join(dataDir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := ledger.New(kv, blobs, ledger.Config{}).List(ctx, template+"-1", "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	dir, _, remove, err := templateFolder(template)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = remove() }()
	d, err := store.PutTree(ctx, blobs, filepath.Join(dir, "recording"))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := recording.Open(ctx, blobs, d)
	if err != nil {
		t.Fatal(err)
	}
	return entries, rec
}
