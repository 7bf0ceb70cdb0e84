package coder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
)

// effect judges whether edits make another program than those that were run already: a run of the same program would only repeat their numbers.
type effect struct {
	work    *workspace
	earlier []program
}

// program is what was executed: the editable files, but for those that no run reads.
type program struct {
	name  string // for people
	files map[string][]byte
}

// rival is a program that differs from the new one in the text of its files alone, perhaps in nothing that Python executes. Pairs are the new and the old text.
type rival struct {
	why   string // what the model is told when there is no difference
	pairs [][2][]byte
}

// effectOf reads the programs of the runs so far. own is the run whose failed try is being mended; 0: none.
func (s *Service) effectOf(ctx context.Context, f Frame, w *workspace, own int) (*effect, error) {
	e := &effect{work: w}
	for _, r := range f.Runs {
		if !r.Snapshot.Valid() {
			continue
		}
		m, err := store.LoadManifest(ctx, s.blobs, r.Snapshot)
		if err != nil {
			return nil, err
		}
		p := program{name: fmt.Sprintf("run %d, whose results are known", r.Number), files: map[string][]byte{}}
		if r.Number == own && own > 0 {
			p.name = "the try that has just failed"
		}
		for _, file := range m {
			if !w.policy.Allows(file.Path) || idleFile(file.Path) {
				continue
			}
			if p.files[file.Path], err = store.GetBytes(ctx, s.blobs, file.Digest, maxFile); err != nil {
				return nil, err
			}
		}
		e.earlier = append(e.earlier, p)
	}
	return e, nil
}

// addTries adds the programs of earlier tries of a run, which led to its present files by the repairs that the request names, as far as they can be
// taken back.
func (s *Service) addTries(ctx context.Context, e *effect, files map[string][]byte, tries []Failure) error {
	for i := len(tries) - 1; i >= 0; i-- {
		diff, err := s.readBlob(ctx, tries[i].Diff)
		if err != nil {
			return err
		}
		before, ok := edit.Undo(files, diff)
		if !ok || len(diff) == 0 {
			return nil
		}
		files = before
		e.earlier = append(e.earlier, program{name: "an earlier try of this run, which failed", files: executed(files)})
	}
	return nil
}

// idle says why changes cannot have an effect, as far as names and bytes tell. Rivals are left to a look at the code.
func (e *effect) idle(c edit.Changes) (why string, rivals []rival) {
	if why := idleRun(c); why != "" {
		return why, nil
	}
	now := program{files: executed(e.work.tree.Files)}
	before := maps.Clone(now.files)
	for _, ch := range c {
		switch {
		case idleFile(ch.Path):
		case ch.Deleted:
			delete(now.files, ch.Path)
		default:
			now.files[ch.Path] = ch.Data
		}
	}
	if idle := now.unused(c); idle != "" {
		return idle + " is neither experiment.py nor named by anything that it imports, so no run would execute the change. Change what the run executes.", nil
	}
	if main, ok := now.files[experimentFile]; ok && touches(c, experimentFile) {
		rivals = append(rivals, rival{"experiment.py would do nothing any more. Send the change of this run, and keep the rest.", [][2][]byte{{main, {}}}})
	}
	const idle = "only comments, docstrings, layout, hints of types, unused imports or names of local variables were changed, so the run would repeat the last one. Change what the program does."
	if r, ok := now.rival(program{"", before}, idle); ok {
		rivals = append(rivals, r)
	}
	for _, p := range e.earlier {
		r, ok := now.rival(p, "but for comments, layout and other things that do nothing the program equals that of "+p.name+". Make a change that no run has had.")
		switch {
		case ok && len(r.pairs) == 0:
			return "with these edits the program equals that of " + p.name + ". Make a change that no run has had.", nil
		case ok:
			rivals = append(rivals, r)
		}
	}
	return "", rivals
}

// rival compares two programs; false: they differ in more than Python's text.
func (p program) rival(old program, why string) (rival, bool) {
	r := rival{why: why}
	if len(p.files) != len(old.files) {
		return r, false
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		then, there := old.files[name]
		switch now := p.files[name]; {
		case !there:
			return r, false
		case string(now) == string(then), sameData(name, now, then):
		case path.Ext(name) == ".py":
			r.pairs = append(r.pairs, [2][]byte{now, then})
		default:
			return r, false
		}
	}
	return r, true
}

// sameData says whether two texts of JSON or YAML differ in layout and comments alone.
func sameData(name string, a, b []byte) bool {
	plain := func([]byte) (string, error) { return "", errors.ErrUnsupported }
	switch path.Ext(name) {
	case ".json":
		plain = func(data []byte) (string, error) {
			var out bytes.Buffer
			err := json.Compact(&out, data)
			return out.String(), err
		}
	case ".yaml", ".yml":
		plain = func(data []byte) (string, error) {
			var n yaml.Node
			if err := yaml.Unmarshal(data, &n); err != nil {
				return "", err
			}
			bare(&n)
			out, err := yaml.Marshal(&n)
			return string(out), err
		}
	}
	x, errX := plain(a)
	y, errY := plain(b)
	return errX == nil && errY == nil && x == y
}

// bare takes comments and layout off a document.
func bare(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment, n.Style = "", "", "", 0
	for _, c := range n.Content {
		bare(c)
	}
}

// same says whether two texts of Python execute alike, by the digests of their code; a text without one does not parse.
func (r rival) same(code map[store.Digest]string) bool {
	for _, p := range r.pairs {
		a, b := code[store.DigestOf(p[0])], code[store.DigestOf(p[1])]
		if a == "" || a != b {
			return false
		}
	}
	return true
}

// unused names a changed Python file when none of the changed files is executed. A file counts as executed when its name is a word in one that is;
// other files than Python's may be read under names that are put together, and always count.
func (p program) unused(c edit.Changes) string {
	main, ok := p.files[experimentFile]
	if !ok {
		return ""
	}
	reached, todo := map[string]bool{experimentFile: true}, []string{text(main)}
	for len(todo) > 0 {
		code := todo[0]
		todo = todo[1:]
		for name, data := range p.files {
			if !reached[name] && path.Ext(name) == ".py" && mentionsWord(code, moduleOf(name)) {
				reached[name] = true
				todo = append(todo, text(data))
			}
		}
	}
	idle := ""
	for _, ch := range c {
		switch {
		case idleFile(ch.Path):
		case path.Ext(ch.Path) != ".py" || reached[ch.Path] || ch.Deleted:
			return ""
		default:
			idle = ch.Path
		}
	}
	return idle
}

// moduleOf is the word by which other code names a Python file: its own, or its folder's.
func moduleOf(name string) string {
	if dir, file := path.Split(name); file == "__init__.py" && dir != "" {
		return path.Base(dir)
	}
	return strings.TrimSuffix(path.Base(name), ".py")
}

// executed leaves out the files that no run reads.
func executed(files map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for p, data := range files {
		if !idleFile(p) {
			out[p] = data
		}
	}
	return out
}
