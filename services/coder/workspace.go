package coder

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
	"nullius.dev/services/coder/prompts"
)

const (
	experimentFile = "experiment.py"
	plotFile       = "plot.py"
	notesFile      = "notes.txt"
	labelsFile     = "labels.json"
)

// Bounds of what a prompt shows, in bytes; 4 are about a token.
const (
	maxPrompt     = 100_000  // of a first call: 25,000 tokens
	maxTask       = 24 << 10 // of it, for the standing instruction and the task with what failed
	minFiles      = 16 << 10 // shown of the files even where runs and plan take all
	maxShownFile  = 48 << 10
	maxShownNotes = 6 << 10
	maxNeeded     = 24 << 10
	maxOutline    = 12 << 10
	maxShownDiff  = 6 << 10
	maxReference  = 24 << 10
)

// workspace is a snapshot as the edit engine sees it.
type workspace struct {
	snapshot store.Digest
	tree     edit.Tree
	policy   edit.Policy
	refs     map[string][]byte // modules that may be read only
	mentions string            // what the instruction speaks of: a long file shows the functions that it names
}

// policyOf says what may be edited in this idea.
func (s *Service) policyOf(f Frame) edit.Policy {
	allowed := []string{experimentFile, plotFile, notesFile}
	if len(f.Editable) > 0 {
		allowed = append(append([]string(nil), f.Editable...), notesFile)
	}
	e := s.cfg.Edits
	return edit.Policy{
		Allowed: allowed, Protected: append(append([]string(nil), edit.BuiltinProtected...), f.Protected...),
		NoPartialLine: e.NoPartialLine, NoNear: e.NoNear, NoAlreadyDone: e.NoAlreadyDone, NoContentCorrection: e.NoContentCorrection,
	}
}

// figurePolicy leaves the experiment alone: its results are in already.
func (s *Service) figurePolicy(f Frame) edit.Policy {
	p := s.policyOf(f)
	p.Allowed = append(p.Allowed, plotFile, labelsFile)
	p.Protected = append(p.Protected, experimentFile)
	return p
}

func (s *Service) open(ctx context.Context, snapshot store.Digest, p edit.Policy) (*workspace, error) {
	m, err := store.LoadManifest(ctx, s.blobs, snapshot)
	if err != nil {
		return nil, err
	}
	w := &workspace{
		snapshot: snapshot, policy: p, refs: map[string][]byte{},
		tree: edit.Tree{Files: map[string][]byte{}, Other: map[string]bool{}},
	}
	for _, f := range m {
		switch {
		case p.Allows(f.Path):
			data, err := s.fileOf(ctx, snapshot, f.Path)
			if err != nil {
				return nil, err
			}
			w.tree.Files[f.Path] = data
			continue
		case isModule(f.Path) && f.Size <= maxReference:
			if w.refs[f.Path], err = s.fileOf(ctx, snapshot, f.Path); err != nil {
				return nil, err
			}
		}
		w.tree.Other[f.Path] = true
	}
	return w, nil
}

// fileOf reads a file of a snapshot, of up to a byte more than can be edited: the engine refuses the rest.
func (s *Service) fileOf(ctx context.Context, snapshot store.Digest, path string) ([]byte, error) {
	return store.ReadFile(ctx, s.blobs, snapshot, path, maxFile)
}

// maxFile bounds what is read of one file. A snapshot with a larger editable file cannot be worked on.
const maxFile = 16 << 20

// isModule says whether a path is Python code in the root that experiment.py may import.
func isModule(p string) bool {
	return strings.HasSuffix(p, ".py") && !strings.Contains(p, "/") && !edit.Match("run_[0-9]*", p)
}

// source gives the lines of a project file for tracebacks.
func (w *workspace) source(p string) []string {
	data, ok := w.tree.Files[p]
	if !ok {
		data, ok = w.refs[p]
	}
	if !ok {
		return nil
	}
	return strings.Split(text(data), "\n")
}

// text makes bytes fit for a prompt.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// shown lists the files of a prompt within a number of bytes: first those to edit, then modules to read. Of a file that is too long its outline is
// shown, and what the instruction speaks of.
func (w *workspace) shown(focus string, left int) []prompts.File {
	var out []prompts.File
	names := make([]string, 0, len(w.tree.Files))
	for p := range w.tree.Files {
		names = append(names, p)
	}
	sort.Slice(names, func(i, j int) bool {
		if (names[i] == focus) != (names[j] == focus) {
			return names[i] == focus
		}
		return names[i] < names[j]
	})
	for _, p := range names {
		data := text(w.tree.Files[p])
		switch {
		case p == notesFile && len(data) > maxShownNotes:
			data = "[…]\n" + tailOf(data, min(maxShownNotes, max(0, left)))
			out = append(out, prompts.File{Path: p, Role: "editable, the end of it", Text: edit.Fenced(data, "")})
		case len(data) > maxShownFile || len(data) > left:
			sketch := outline(data, min(maxOutline, left))
			out = append(out, prompts.File{Path: p, Role: fmt.Sprintf("editable, %d bytes, too long to show whole: its outline", len(data)), Text: edit.Fenced(sketch, "")})
			left -= len(sketch)
			if part := needed(data, w.mentions, min(maxNeeded, left)); part != "" {
				out = append(out, prompts.File{Path: p, Role: "editable, the functions of it that are spoken of", Text: edit.Fenced(part, language(p))})
				left -= len(part)
			}
			continue
		default:
			out = append(out, prompts.File{Path: p, Role: "editable", Text: edit.Fenced(data, language(p))})
		}
		left -= len(data)
	}
	refs := make([]string, 0, len(w.refs))
	for p := range w.refs {
		refs = append(refs, p)
	}
	sort.Strings(refs)
	for _, p := range refs {
		if data := text(w.refs[p]); len(data) <= left {
			out = append(out, prompts.File{Path: p, Role: "protected, to read only", Text: edit.Fenced(data, language(p))})
			left -= len(data)
		}
	}
	return out
}

func language(p string) string {
	switch {
	case strings.HasSuffix(p, ".py"):
		return "python"
	case strings.HasSuffix(p, ".json"):
		return "json"
	}
	return ""
}

// tailOf gives the last whole lines of a text.
func tailOf(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return strings.ToValidUTF8(s, "")
}

// headOf gives the first whole lines of a text, and says so.
func headOf(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := s[:n]
	if i := strings.LastIndexByte(cut, '\n'); i > 0 {
		cut = cut[:i]
	}
	return strings.ToValidUTF8(cut, "") + "\n[… cut]"
}

// outline shows imports, definitions and top-level names of a long file, with line numbers, in about a number of bytes.
func outline(s string, room int) string {
	var b strings.Builder
	for i, l := range strings.Split(s, "\n") {
		t := strings.TrimLeft(l, " \t")
		top := l == t && t != "" && !strings.HasPrefix(t, "#")
		if top || strings.HasPrefix(t, "def ") || strings.HasPrefix(t, "class ") || strings.HasPrefix(t, "async def ") {
			fmt.Fprintf(&b, "line %d: %s\n", i+1, headOf(l, 160))
		}
		if b.Len() > room {
			b.WriteString("[… cut]\n")
			break
		}
	}
	return b.String()
}

// commit stores changes and gives the new snapshot.
func (s *Service) commit(ctx context.Context, w *workspace, c edit.Changes) (store.Digest, error) {
	set := map[string][]byte{}
	var remove []string
	for _, ch := range c {
		if ch.Deleted {
			remove = append(remove, ch.Path)
			continue
		}
		set[ch.Path] = ch.Data
	}
	return store.Edit(ctx, s.blobs, w.snapshot, set, remove)
}
