package gateway

import (
	"bytes"
	"context"
	"io"
	"mime"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/result"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// file is one result file of an idea: bytes made here, a blob, or a file that was written to be read once.
type file struct {
	result.File
	spool io.ReadCloser
}

func (f file) info() *gatewayv1.FileInfo {
	return &gatewayv1.FileInfo{Path: f.Path, SizeBytes: f.Size, Digest: string(f.Digest), MediaType: mediaType(f.Path)}
}

// mediaType names a file's type; what a browser would run is plain text.
func mediaType(p string) string {
	switch ext := strings.ToLower(path.Ext(p)); ext {
	case ".py", ".tex", ".bib", ".md", ".txt", ".log", ".diff", ".jsonl", ".yaml", ".sty", ".bst":
		return "text/plain; charset=utf-8"
	case ".json":
		return "application/json"
	case ".png", ".pdf", ".jpg", ".jpeg":
		return mime.TypeByExtension(ext)
	}
	return "application/octet-stream"
}

// open reads a file from an offset, at most limit bytes; 0: all.
func (f file) open(ctx context.Context, b store.Blobs, offset, limit int64) (io.ReadCloser, error) {
	if offset < 0 || limit < 0 || offset > f.Size {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "the file has %d bytes; offset %d, limit %d is outside", f.Size, offset, limit).WithField("offset", "outside the file")
	}
	var r io.ReadCloser = io.NopCloser(bytes.NewReader(f.Data))
	switch {
	case f.spool != nil:
		r = f.spool
	case f.Data == nil:
		var err error
		if r, err = b.Get(ctx, f.Digest); err != nil {
			return nil, err
		}
	}
	if offset == 0 && limit == 0 {
		return r, nil
	}
	if limit == 0 {
		limit = f.Size
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, limit), r}, nil
}

// listings keeps the folders that were listed last, so that whoever reads all files of a folder, one after the other, has it laid out once.
type listings struct {
	mu   sync.Mutex
	last []listing // oldest first
}

// listing is a folder as it was laid out after an idea's n-th event.
type listing struct {
	key   journal.Key
	n     int64
	at    time.Time
	files []file
}

const (
	maxListings = 4
	listingAge  = 5 * time.Second // spans and calls come without an event of the journal
)

// of gives a folder that was laid out a short while ago, since when the idea has had no event.
func (l *listings) of(k journal.Key, n int64) ([]file, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.last {
		if e.key == k && e.n == n && time.Since(e.at) < listingAge {
			return e.files, true
		}
	}
	return nil, false
}

func (l *listings) keep(e listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(slices.DeleteFunc(l.last, func(old listing) bool { return old.key == e.key || time.Since(old.at) >= listingAge }), e)
	l.last = l.last[max(0, len(l.last)-maxListings):]
}

// Files lists an idea's result folder, in the layout of interface.md section 10.
func (s *Service) Files(ctx context.Context, k journal.Key) ([]file, error) {
	now := listing{key: k, n: s.events(k), at: time.Now()}
	in, err := s.resultInput(ctx, k)
	if err != nil {
		return nil, err
	}
	files, err := result.Build(ctx, in)
	if err != nil {
		return nil, err
	}
	out := make([]file, len(files))
	for i, f := range files {
		out[i] = file{File: f}
	}
	now.files = out
	s.listings.keep(now)
	return out, nil
}

// events is how many events an idea has had.
func (s *Service) events(k journal.Key) (n int64) {
	s.journal.View(k, func(m *journal.Machine) { n = m.Core().N })
	return n
}

// File finds studies/{s}/ideas/{i}/files/{path}, …/blobs/{digest} of a blob that the idea's journal names, or …/history/git-fast-import; or
// templates/{t}/files/{path}.
func (s *Service) File(ctx context.Context, name string) (*file, error) {
	if strings.HasPrefix(name, "templates/") {
		return s.templates.file(ctx, name)
	}
	p := strings.SplitN(name, "/", 6)
	if len(p) != 6 || (p[4] != "files" && p[4] != "blobs" && p[4] != "history") {
		return nil, nameInvalid("name", name, "studies/{study}/ideas/{idea}/files/{path}")
	}
	k, err := parseIdea(strings.Join(p[:4], "/"))
	if err != nil {
		return nil, err
	}
	if p[4] == "history" {
		if p[5] != historyPath {
			return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "a history is read as %s, not as %q", historyPath, p[5]).WithNext("nullius files " + k.String() + " --git DIR")
		}
		return s.historyFile(ctx, k)
	}
	if p[4] == "blobs" {
		return s.blob(ctx, k, store.Digest(p[5]))
	}
	if err := store.CheckPath(p[5]); err != nil {
		return nil, err
	}
	files, ok := s.listings.of(k, s.events(k))
	if !ok {
		if files, err = s.Files(ctx, k); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if f.Path == p[5] {
			return &f, nil
		}
	}
	return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "%s has no file %q", k, p[5]).WithNext("nullius files " + k.String())
}

// blob gives a blob that a step of the idea made: a log, a diff, a reply, a report. Others are not told from unknown ones.
func (s *Service) blob(ctx context.Context, k journal.Key, d store.Digest) (*file, error) {
	named := false
	if !s.journal.View(k, func(m *journal.Machine) {
		for _, st := range m.Core().Steps {
			v := stepView(m.Core(), st)
			for _, own := range []string{v.GetDiffDigest(), v.GetReplyDigest(), v.GetReportDigest(), v.GetStdoutDigest(), v.GetStderrDigest(), st.Ended.GetReview().GetReviewDigest()} {
				named = named || (own != "" && own == string(d))
			}
		}
	}) {
		return nil, unknownMachine(k)
	}
	if !named {
		return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "no step of %s made a blob %s", k, d)
	}
	size, err := s.d.Blobs.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	return &file{File: result.File{Path: string(d) + ".txt", Digest: d, Size: size}}, nil
}
