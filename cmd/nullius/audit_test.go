package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/natsd"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// home is where the processes under test keep their data and temporary files.
type home struct{ root, data, tmp string }

func newHome(t *testing.T) home {
	t.Helper()
	root := t.TempDir()
	h := home{root: root, data: filepath.Join(root, "data"), tmp: filepath.Join(root, "tmp")}
	if err := os.Mkdir(h.tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

// env is added to the environment of each process.
func (h home) env() []string { return []string{"TMPDIR=" + h.tmp} }

// serve starts the all-in-one on an address.
func (h home) serve(t *testing.T, bin, address string) *child {
	t.Helper()
	c := spawn(t, "nullius", h.env(), filepath.Join(bin, "nullius"), "serve", "--data-dir", h.data, "--listen", address)
	c.listens(address)
	return c
}

// audit checks, once every process was stopped, what must hold whatever happened (reliability.md section 2): I1, the journals have no gap and each event
// carries the digest of the one before; I3, every digest in a journal names a blob that verifies, and so does every file of every snapshot; I5, no process,
// temporary folder, claim or queued message is left. It returns what the journals hold.
func (h home) audit(t *testing.T) []entry {
	t.Helper()
	h.nothingLeft(t)
	ctx := t.Context()
	s, err := natsd.Start(natsd.Config{Dir: h.data})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := s.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range []string{subject.StreamIdeas, subject.StreamJobs} {
		st, err := conn.JS.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if n := st.CachedInfo().State.Msgs; n > 0 {
			t.Errorf("%d messages are left in %s", n, name)
		}
	}
	st, err := conn.JS.Stream(ctx, subject.StreamJournal)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := store.OpenDir(filepath.Join(h.data, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return readJournals(t, st, blobs)
}

var (
	digestField = regexp.MustCompile(`"(\w+)":\s*"(sha256:[0-9a-f]{64})"`)
	notStored   = map[string]bool{"inputDigest": true, "probeDigest": true} // of requests, of what the sandbox's probe found
)

// entry is an event as it is stored, and what it says.
type entry struct {
	subject string
	data    []byte
	event   *gatewayv1.JournalEvent
}

// readJournals checks and decodes all journals.
func readJournals(t *testing.T, st jetstream.Stream, blobs store.Blobs) []entry {
	t.Helper()
	ctx := t.Context()
	var out []entry
	count, previous, seen := map[string]int64{}, map[string]string{}, map[store.Digest]bool{}
	state := st.CachedInfo().State
	if state.Msgs == 0 || state.NumDeleted > 0 {
		t.Errorf("the journal has %d messages, %d were deleted", state.Msgs, state.NumDeleted)
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := st.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		e := &gatewayv1.JournalEvent{}
		if err := protojson.Unmarshal(m.Data, e); err != nil {
			t.Fatal(err)
		}
		count[m.Subject]++
		if want := count[m.Subject]; e.GetN() != want || e.GetPrevious() != previous[m.Subject] {
			t.Errorf("%s: event %d stands where %d should, or its chain is broken", m.Subject, e.GetN(), want)
		}
		previous[m.Subject] = sumOf(m.Data)
		out = append(out, entry{m.Subject, m.Data, e})
		for _, f := range digestField.FindAllStringSubmatch(string(m.Data), -1) {
			if d := store.Digest(f[2]); !seen[d] && !notStored[f[1]] {
				seen[d] = true
				if err := verify(ctx, blobs, d, f[1] == "snapshot" || strings.HasSuffix(f[1], "Snapshot")); err != nil {
					t.Errorf("%s event %d, %s: %v", m.Subject, e.GetN(), f[1], err)
				}
			}
		}
	}
	t.Logf("%d events in %d journals, %d digests verified", state.Msgs, len(count), len(seen))
	return out
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// keepJournal writes what the journals hold to the test data of the gateway, one event a line after its subject, as NULLIUS_JOURNALS=write asks for once a
// version. The name of this host is replaced, and the chain is made anew.
func keepJournal(t *testing.T, version string, entries []entry) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	previous, changed := map[string]string{}, map[string]string{}
	for _, e := range entries {
		text := strings.ReplaceAll(string(e.data), host, "host")
		if p := previous[e.subject]; p != "" {
			text = strings.ReplaceAll(text, p, changed[e.subject])
		}
		previous[e.subject], changed[e.subject] = sumOf(e.data), sumOf([]byte(text))
		fmt.Fprintf(&out, "%s\t%s\n", e.subject, text)
	}
	path := filepath.Join("..", "..", "gateway", "internal", "journal", "testdata", version+".journal")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// verify reads a blob whole, and with tree every file of the manifest that it is.
func verify(ctx context.Context, blobs store.Blobs, d store.Digest, tree bool) error {
	r, err := blobs.Get(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil || !tree {
		return err
	}
	m, err := store.LoadManifest(ctx, blobs, d)
	if err != nil {
		return err
	}
	for _, f := range m {
		if err := verify(ctx, blobs, f.Digest, false); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// nothingLeft looks for processes that know the home, and for temporary files. What runs in a sandbox has files of the home mounted.
func (h home) nothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		var left []string
		files, err := filepath.Glob("/proc/[0-9]*/mountinfo")
		if err != nil {
			return err
		}
		for _, mounts := range files {
			dir := filepath.Dir(mounts)
			text, _ := os.ReadFile(mounts) // it may have ended
			args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			if filepath.Base(dir) != fmt.Sprint(os.Getpid()) && strings.Contains(string(text)+string(args), h.root+"/") {
				left = append(left, filepath.Base(dir)+" "+strings.ReplaceAll(string(args), "\x00", " "))
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("processes are left: %s", strings.Join(left, "; "))
		}
		return nil
	})
	var files []string
	states, err := filepath.Glob(filepath.Join(h.data, "executor*", "[jw]*")) // journal and work
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(states, h.tmp, filepath.Join(h.data, "tmp"), filepath.Join(h.data, "blobs", "tmp")) {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != dir {
				files = append(files, strings.TrimPrefix(path, h.root))
			}
			return nil // what is not there is not left
		})
		if err != nil {
			t.Error(err)
		}
	}
	if len(files) > 0 {
		t.Errorf("files are left: %.2000s", strings.Join(files, "\n"))
	}
}
