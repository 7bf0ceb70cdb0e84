package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// historyPath names, beside files and blobs, an idea's history as a stream for git fast-import.
const historyPath = "git-fast-import"

// entry is one page of an idea's history: a step that ended, with the tree that it left.
type entry struct {
	view     *gatewayv1.StepView
	who      string
	measured []*recordv1.Measurement
}

// History writes an idea's steps as commits, one a step in the order in which they ended, and its result folder as the last one. Authors and dates
// come from the journal, so the same journal gives the same commits. The format is that of git-fast-import(1).
func (s *Service) History(ctx context.Context, k journal.Key, w io.Writer) error {
	var pages []entry
	var created, ended time.Time
	first := entry{who: "gateway"}
	if !s.journal.View(k, func(m *journal.Machine) {
		c := m.Core()
		created, ended = c.Created, c.EndedAt
		if m.Idea != nil {
			b := m.Idea.Baseline
			first.view = &gatewayv1.StepView{Step: "baseline", Outcome: b.GetOutcome().String(), Text: "the study's template with its baseline, of " + k.String(), SnapshotOut: b.GetSnapshot()}
			first.measured = b.GetMeasurements()
		}
		for _, name := range c.Order {
			st := c.Steps[name]
			if st.Ended == nil || st.Dropped {
				continue
			}
			pages = append(pages, entry{view: stepView(c, st), who: workerOf(st.Ended), measured: st.Ended.GetJob().GetMeasurements()})
		}
	}) {
		return unknownMachine(k)
	}
	slices.SortFunc(pages, func(a, b entry) int { return int(a.view.GetN() - b.view.GetN()) })
	files, err := s.Files(ctx, k)
	if err != nil {
		return err
	}
	g := &gitStream{w: bufio.NewWriter(w), blobs: s.d.Blobs, marks: map[store.Digest]int{}, tree: map[string]store.File{}}
	if first.view != nil {
		if err := g.snapshot(ctx, store.Digest(first.view.GetSnapshotOut()), commit{first.who, created, first.message()}); err != nil {
			return err
		}
	}
	for _, p := range pages {
		if err := g.snapshot(ctx, store.Digest(p.view.GetSnapshotOut()), commit{p.who, p.view.GetEnded().AsTime(), p.message()}); err != nil {
			return err
		}
	}
	if ended.IsZero() {
		ended = created
		if n := len(pages); n > 0 {
			ended = pages[n-1].view.GetEnded().AsTime()
		}
	}
	if err := g.results(ctx, files, commit{"gateway", ended, "results: the idea's result folder\n\n" + k.String() + "\n"}); err != nil {
		return err
	}
	fmt.Fprintln(g.w, "done")
	return g.w.Flush()
}

func workerOf(e *gatewayv1.StepEnded) string {
	switch e.GetOutcome().(type) {
	case *gatewayv1.StepEnded_Job:
		return "executor"
	case *gatewayv1.StepEnded_Edited:
		return "coder"
	case *gatewayv1.StepEnded_Paper:
		return "writer"
	case *gatewayv1.StepEnded_Review:
		return "reviewer"
	}
	return "ideation"
}

// maxMeasured bounds the numbers in a commit's message.
const maxMeasured = 40

func (p entry) message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", p.view.GetStep(), p.view.GetOutcome())
	if t := strings.TrimSpace(p.view.GetText()); t != "" {
		fmt.Fprintf(&b, "%s\n", t)
	}
	for i, m := range p.measured {
		if i == maxMeasured {
			fmt.Fprintf(&b, "and %d numbers more\n", len(p.measured)-i)
			break
		}
		fmt.Fprintf(&b, "%s/%s = %v\n", m.GetDataset(), m.GetMetric(), m.GetValue())
	}
	if u := p.view.GetUsage(); u.GetCalls() > 0 {
		fmt.Fprintf(&b, "%s of the model\n", plural(int(u.GetCalls()), "call"))
	}
	if d := p.view.GetSnapshotOut(); d != "" {
		fmt.Fprintf(&b, "\nSnapshot: %s\n", d)
	}
	return b.String()
}

type commit struct {
	who     string
	at      time.Time
	message string
}

// gitStream writes commits of one branch.
type gitStream struct {
	w     *bufio.Writer
	blobs store.Blobs
	marks map[store.Digest]int // blobs that the stream holds already
	n     int                  // marks given
	tree  map[string]store.File
}

// snapshot commits a tree; an empty digest commits the one before again.
func (g *gitStream) snapshot(ctx context.Context, d store.Digest, c commit) error {
	next := g.tree
	if d != "" {
		m, err := store.LoadManifest(ctx, g.blobs, d)
		if err != nil {
			return err
		}
		next = map[string]store.File{}
		for _, f := range m {
			if !gitOwn(f.Path) {
				next[f.Path] = f
			}
		}
	}
	return g.commit(ctx, next, nil, c)
}

// results commits an idea's result folder.
func (g *gitStream) results(ctx context.Context, files []file, c commit) error {
	next, made := map[string]store.File{}, map[store.Digest][]byte{}
	for _, f := range files {
		if gitOwn(f.Path) {
			continue
		}
		next[f.Path] = store.File{Path: f.Path, Mode: 0o644, Size: f.Size, Digest: f.Digest}
		if f.Data != nil {
			made[f.Digest] = f.Data
		}
	}
	return g.commit(ctx, next, made, c)
}

// gitOwn says whether git keeps a path for itself, and refuses it in a tree.
func gitOwn(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if strings.EqualFold(part, ".git") || strings.HasPrefix(strings.ToLower(part), "git~") {
			return true
		}
	}
	return false
}

func (g *gitStream) commit(ctx context.Context, next map[string]store.File, made map[store.Digest][]byte, c commit) error {
	var write, remove []string
	for p, f := range next {
		if old, ok := g.tree[p]; !ok || old.Digest != f.Digest || old.Mode != f.Mode {
			write = append(write, p)
		}
	}
	for p := range g.tree {
		if _, ok := next[p]; !ok {
			remove = append(remove, p)
		}
	}
	slices.Sort(write)
	slices.Sort(remove)
	for _, p := range write {
		if err := g.blob(ctx, next[p], made); err != nil {
			return err
		}
	}
	who := fmt.Sprintf("Nullius %s <%s@nullius.invalid> %d +0000", c.who, c.who, c.at.Unix())
	fmt.Fprintf(g.w, "commit refs/heads/main\nauthor %s\ncommitter %s\ndata %d\n%s\n", who, who, len(c.message), c.message)
	for _, p := range remove {
		fmt.Fprintf(g.w, "D %s\n", gitPath(p))
	}
	for _, p := range write {
		fmt.Fprintf(g.w, "M 100%o :%d %s\n", next[p].Mode&0o777, g.marks[next[p].Digest], gitPath(p))
	}
	g.tree = next
	_, err := fmt.Fprintln(g.w)
	return err
}

// blob writes a file's bytes once.
func (g *gitStream) blob(ctx context.Context, f store.File, made map[store.Digest][]byte) error {
	if g.marks[f.Digest] > 0 {
		return nil
	}
	g.n++
	g.marks[f.Digest] = g.n
	fmt.Fprintf(g.w, "blob\nmark :%d\ndata %d\n", g.n, f.Size)
	if data, ok := made[f.Digest]; ok {
		_, err := fmt.Fprintf(g.w, "%s\n", data)
		return err
	}
	r, err := g.blobs.Get(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(g.w, r)
	if err == nil && n != f.Size {
		err = fault.New(fault.Internal, "INTERNAL", "blob %s has %d bytes, its manifest says %d", f.Digest, n, f.Size)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.w)
	return err
}

// gitPath quotes a path where git's own syntax needs it.
func gitPath(p string) string {
	if !strings.ContainsAny(p, "\"\n") {
		return p
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(p) + `"`
}

// historyFile spools an idea's history to a nameless file: it may be larger than memory, and a reader is told its size first.
func (s *Service) historyFile(ctx context.Context, k journal.Key) (*file, error) {
	tmp, err := os.CreateTemp("", "nullius-history-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	if err := s.History(ctx, k, tmp); err != nil {
		tmp.Close()
		return nil, err
	}
	size, err := tmp.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err != nil {
		tmp.Close()
		return nil, err
	}
	f := &file{spool: tmp}
	f.Path, f.Size = historyPath, size
	return f, nil
}
