package writer

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/bib"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/figure"
	"nullius.dev/services/writer/internal/numbers"
	"nullius.dev/services/writer/internal/tex"
)

// parts are the bodies of the paper, in source form.
type parts map[tex.Role]string

// allRoles is the order of the paper.
func allRoles() []tex.Role { return append([]tex.Role{tex.Title, tex.Abstract}, tex.Sections()...) }

// work is one paper in the making.
type work struct {
	s        *Service
	in       Request
	progress Progress

	manifest store.Manifest
	latex    map[string][]byte // files beside template.tex
	frame    tex.Document      // the template, its bodies emptied of placeholders
	oldText  string            // source.tex before a revision
	known    check.Known
	rec      *numbers.Record
	figures  check.Figures
	images   map[string][]byte
	set      *bib.Set
	papers   map[string]Paper // by key
	keys     []string         // of papers, in the order in which they came
	parts    parts
	plan     outline

	system  []llm.Part
	code    string
	diff    string
	baseTxt string

	cites    citationRecord
	failed   map[tex.Role]string // bodies that TeX could not take
	mended   []check.Finding
	declined string // the last round of mends that the model answered with NONE
	warnings []Warning
	calls    int

	mu    sync.Mutex
	usage Usage
	model string
	seen  map[string]bool

	rescuing bool // compilations get less time
}

const (
	maxTeX    = 2 << 20
	maxCode   = 1 << 20
	maxImages = 200
)

func (w *work) say(phase, detail string) {
	if w.progress != nil {
		w.progress(Event{Phase: phase, Detail: detail})
	}
}

func (w *work) warn(code, format string, a ...any) {
	w.warnings = append(w.warnings, Warning{Code: code, Text: fmt.Sprintf(format, a...)})
}

// begin loads the snapshot and prepares everything that needs no model.
func (s *Service) begin(ctx context.Context, in Request, p Progress, revise bool) (*work, error) {
	if err := in.check(true); err != nil {
		return nil, err
	}
	w := &work{s: s, in: in, progress: p, latex: map[string][]byte{}, figures: check.Figures{}, images: map[string][]byte{}, set: bib.NewSet(),
		papers: map[string]Paper{}, parts: parts{}, failed: map[tex.Role]string{}, seen: map[string]bool{}}
	w.say("reading the record", "")
	if err := w.load(ctx, revise); err != nil {
		return nil, err
	}
	return w, w.record(ctx)
}

func (w *work) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	return store.ReadFile(ctx, w.s.d.Blobs, w.in.Snapshot, name, limit)
}

// load reads the snapshot's paper: the template, or the source of an earlier version.
func (w *work) load(ctx context.Context, revise bool) error {
	m, err := store.LoadManifest(ctx, w.s.d.Blobs, w.in.Snapshot)
	if err != nil {
		return err
	}
	w.manifest = m
	main := "latex/template.tex"
	if _, ok := m.Find("latex/source.tex"); ok && revise {
		main = "latex/source.tex"
	} else if revise {
		return fault.New(fault.Invalid, ReasonFieldInvalid, "the snapshot has no latex/source.tex, so there is nothing to revise").
			WithField("snapshot", "must come from WritePaper")
	}
	text := ""
	for _, f := range m {
		dir, name := path.Split(f.Path)
		switch {
		case f.Path == main:
			data, err := w.read(ctx, f.Path, maxTeX)
			if err != nil {
				return err
			}
			text = w.utf8(data, f.Path)
		case dir == "latex/" && latexFile(name) && f.Size <= maxTeX:
			data, err := w.read(ctx, f.Path, maxTeX)
			if err != nil {
				return err
			}
			w.latex[name] = data
		}
	}
	if revise {
		w.oldText = text
	}
	w.setFrame(text, revise)
	return nil
}

// latexFile says whether a file of the latex folder is part of the paper's frame. What compilations leave behind is not.
func latexFile(name string) bool {
	switch path.Ext(name) {
	case ".sty", ".bst", ".cls", ".bib", ".def", ".clo", ".fd", ".cfg", ".bbx", ".cbx":
		return true
	case ".tex":
		return name != "template.tex" && name != "source.tex"
	}
	return false
}

func (w *work) utf8(data []byte, name string) string {
	s := string(data)
	if !utf8.ValidString(s) {
		rs := make([]rune, len(data))
		for i, b := range data {
			rs[i] = rune(b)
		}
		s = string(rs)
		w.warn("not-utf8", "%s is not UTF-8 and was read as Latin-1", name)
	}
	return strings.ReplaceAll(strings.TrimPrefix(s, "\uFEFF"), "\r\n", "\n")
}

var (
	fileContents = regexp.MustCompile(`(?s)\\begin\s*\{filecontents\*?\}(?:\[[^\]]*\])?\s*\{([^{}]+)\}(.*?)\\end\s*\{filecontents\*?\}[ \t]*\n?`)
	foreignLine  = regexp.MustCompile(`(?im)^[^\n%]*\b(?:generated|written|authored)\s+by\s+[^\n]*\bAI[ -]Scientist\b[^\n]*$\n?`)
	exampleFloat = regexp.MustCompile(`(?s)\\begin\{figure\*?\}.*?\\end\{figure\*?\}[ \t]*\n?`)
	slotLine     = regexp.MustCompile(`(?m)^[ \t]*[A-Z][A-Z &-]* HERE[ \t.]*$\n?`)
	capHere      = regexp.MustCompile(`(?i)PLEASE FILL IN CAPTION|CAPTION HERE`)
)

// setFrame cuts the file into spans, takes its bibliography out and empties the slots.
func (w *work) setFrame(text string, revise bool) {
	text = fileContents.ReplaceAllStringFunc(text, func(block string) string {
		m := fileContents.FindStringSubmatch(block)
		if path.Ext(m[1]) != ".bib" {
			return block
		}
		w.latex[path.Base(m[1])] = append(w.latex[path.Base(m[1])], (m[2] + "\n")...)
		return ""
	})
	if foreignLine.MatchString(text) {
		w.found("P05", "a line that names another system as the author was removed from the template")
		text = foreignLine.ReplaceAllString(text, "")
	}
	w.frame = tex.Parse(text)
	if a := w.frame.Author(); a != nil && !revise && oneLine(a.Body) != "" && oneLine(a.Body) != "Nullius" {
		w.found("P05", fmt.Sprintf("the template's author line %.80q was replaced", oneLine(a.Body)))
	}
	if !w.frame.Whole {
		if strings.TrimSpace(text) != "" {
			w.warn("template-incomplete", "latex/template.tex has no document class or no document; the default article is used")
		}
		w.frame = tex.Parse(tex.DefaultArticle)
	}
	for _, n := range w.frame.Complete() {
		w.warn("template-completed", "%s", n)
	}
	for i := range w.frame.Spans {
		sp := &w.frame.Spans[i]
		if sp.Role == "" {
			continue
		}
		body := sp.Body
		if !revise {
			body = exampleFloat.ReplaceAllStringFunc(body, func(f string) string {
				if capHere.MatchString(f) {
					return ""
				}
				return f
			})
			body = slotLine.ReplaceAllString(body, "")
			if sp.Role == tex.Title || sp.Role == tex.Abstract {
				body = ""
			}
		}
		w.parts[sp.Role] = strings.TrimSpace(body)
		sp.Body = ""
	}
	w.known = knownOf(text, w.latex)
	w.bibliography()
}

var (
	defines    = regexp.MustCompile(`\\(?:(?:re)?newcommand|providecommand|DeclareMathOperator|DeclareRobustCommand|NewDocumentCommand)\*?\s*\{?\s*\\([A-Za-z]+)|\\def\s*\\([A-Za-z]+)`)
	definesEnv = regexp.MustCompile(`\\(?:newenvironment|newtheorem|newfloat|DeclareFloatingEnvironment)\*?\s*\{([A-Za-z*]+)\}`)
)

// knownOf reads what the template defines itself.
func knownOf(text string, files map[string][]byte) check.Known {
	k := check.Known{Commands: map[string]bool{}, Environments: map[string]bool{}}
	scan := func(s string) {
		s = tex.Mask(s)
		for _, m := range defines.FindAllStringSubmatch(s, -1) {
			k.Commands[m[1]+m[2]] = true
		}
		for _, m := range definesEnv.FindAllStringSubmatch(s, -1) {
			k.Environments[m[1]] = true
		}
	}
	scan(text)
	for name, data := range files {
		if path.Ext(name) == ".tex" {
			scan(string(data))
		}
	}
	return k
}

// bibliography fills the closed set with the template's entries.
func (w *work) bibliography() {
	for _, name := range slices.Sorted(maps.Keys(w.latex)) {
		if path.Ext(name) != ".bib" {
			continue
		}
		entries, dropped := bib.Parse(w.utf8(w.latex[name], name))
		for _, e := range entries {
			if key := w.set.Add(e, true); key == e.Key {
				w.note(Paper{Key: key, Title: e.Title, Authors: []string{bib.Field(e.Text, "author")}, Abstract: bib.Field(e.Text, "abstract"), BibTeX: e.Text})
			}
		}
		for _, d := range dropped {
			w.mended = append(w.mended, check.Finding{ID: "B04", Severity: check.Blocking, MendedBy: "code",
				Text: fmt.Sprintf("the entry %.60s of %s was dropped: %s", d.Key, name, d.Why)})
		}
		delete(w.latex, name)
	}
}

// note keeps what is known of a paper under its key.
func (w *work) note(p Paper) {
	if _, ok := w.papers[p.Key]; !ok {
		w.keys = append(w.keys, p.Key)
	}
	w.papers[p.Key] = p
}

// addPaper puts a paper of the literature service into the closed set and returns its key.
func (w *work) addPaper(p Paper) string {
	entries, _ := bib.Parse(p.BibTeX)
	var e bib.Entry
	if len(entries) == 1 {
		e = entries[0]
	} else {
		made, _ := bib.Parse(plainEntry(p))
		if len(made) != 1 {
			return ""
		}
		e = made[0]
	}
	if e.DOI == "" {
		e.DOI = p.DOI
	}
	key := w.set.Add(e, false)
	if old, ok := w.papers[key]; ok && old.Abstract != "" {
		return key
	}
	p.Key = key
	w.note(p)
	return key
}

func plainEntry(p Paper) string {
	key := tex.CleanLabel(p.Key)
	if key == "" {
		key = tex.CleanLabel(strings.ReplaceAll(p.ID, "/", "-"))
	}
	return fmt.Sprintf("@misc{%s,\n  title = {%s},\n  author = {%s},\n  year = {%d}\n}", key, tex.Escape(p.Title),
		tex.Escape(strings.Join(p.Authors, " and ")), p.Year)
}

// record prepares numbers, figures and the blocks that the model reads.
func (w *work) record(ctx context.Context) error {
	r := &numbers.Record{Runs: slices.Clone(w.in.Record.Runs), Metrics: w.in.Record.Metrics, Paired: w.in.Record.Paired}
	w.rec = r
	if err := w.loadFigures(ctx); err != nil {
		return err
	}
	r.Figures = len(w.figures)
	r.Index()
	code, err := w.loadCode(ctx)
	if err != nil {
		return err
	}
	idea := w.in.Record.Idea
	r.AddNames(idea.Title, idea.Experiment, idea.Hypothesis, idea.Risks, strings.Join(idea.Planned, " "), w.in.Record.Task, code)
	for _, run := range r.Runs {
		r.AddNames(run.Name(), run.Label, run.Plan)
		for _, m := range run.Measurements {
			r.AddNames(m.Dataset, m.Metric)
		}
	}
	for _, m := range r.Metrics {
		r.AddNames(m.Label, m.Name)
	}
	for _, p := range w.in.Record.Literature {
		w.addPaper(p)
	}
	for _, k := range w.keys {
		r.AddNames(w.papers[k].Title)
	}
	notes := ""
	if f, ok := w.manifest.Find("notes.txt"); ok && f.Size < maxCode {
		data, err := w.read(ctx, f.Path, maxCode)
		if err != nil {
			return err
		}
		notes = cut(strings.ToValidUTF8(string(data), ""), notesBytes)
	}
	w.blocks(notes)
	return nil
}

func (w *work) loadFigures(ctx context.Context) error {
	taken := map[string]bool{}
	for _, f := range w.in.Record.Figures[:min(len(w.in.Record.Figures), maxImages)] {
		entry, ok := w.manifest.Find(f.Path)
		if !ok {
			w.found("G01", "the figure "+f.Path+" is not in the snapshot and is left out")
			continue
		}
		if entry.Size > 64<<20 {
			w.found("G05", "the figure "+f.Path+" is left out: larger than 64 MB")
			continue
		}
		data, err := w.read(ctx, f.Path, 64<<20)
		if err != nil {
			return err
		}
		img, why := figure.Check(f.Path, data)
		if why != "" {
			w.found("G05", "the figure "+f.Path+" is "+why)
		}
		if img == nil {
			continue
		}
		name := img.Name
		for k := 2; taken[strings.ToLower(name)]; k++ {
			name = strings.TrimSuffix(img.Name, path.Ext(img.Name)) + fmt.Sprintf("-%d", k) + path.Ext(img.Name)
		}
		taken[strings.ToLower(name)] = true
		w.figures[name] = f.Description
		w.images[name] = img.Data
	}
	return nil
}

// found lists something that code has dealt with.
func (w *work) found(id, text string) {
	w.mended = append(w.mended, check.Finding{ID: id, Severity: check.Blocking, Text: text, MendedBy: "code"})
}

func (w *work) measured() bool {
	return slices.ContainsFunc(w.rec.Runs, func(r numbers.Run) bool { return r.Number > 0 && r.OK && len(r.Measurements) > 0 })
}

// nothing is a result without a paper: what exists is kept.
func (w *work) nothing(o Outcome, reason string) Result {
	return Result{Outcome: o, Reason: reason, Snapshot: w.in.Snapshot, Usage: w.usage, Warnings: w.warnings, Findings: w.mended}
}
