package compile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// Labels that every paper gets, to count pages and to see that no text was lost.
const (
	BodyLabel = "nullius:body"
	EndLabel  = "nullius:end"
)

// Job is one compilation. Latex are the files of the latex folder, Root those beside it (the figures).
type Job struct {
	Latex map[string][]byte
	Root  map[string][]byte
	Epoch time.Time
}

// Result is what came out.
type Result struct {
	PDF       []byte // nil: none that counts
	Pages     int
	BodyPages int
	Log       []byte
	Aux       string
	Problems  []Problem
	Passes    int
	Limit     bool // it was stopped by a limit
}

// Errors counts TeX's errors.
func (r Result) Errors() int {
	n := 0
	for _, p := range r.Problems {
		if p.ID == "L01" || p.ID == "L04" || p.ID == "L05" || p.ID == "L03" {
			n++
		}
	}
	if r.PDF == nil {
		n += 100
	}
	return n
}

// Compiler runs pdflatex and bibtex in a sandbox. A nil sandbox or a missing program means that there is no LaTeX here.
type Compiler struct {
	Sandbox sandbox.Runner
	Temp    string // folder for staging; empty: the system's
	Wall    time.Duration
	Slots   chan struct{} // bounds how many programs run at a time: waiting for one is not taken off Wall; nil: no bound
}

const (
	mainFile  = "template"
	maxPasses = 4
	maxOutput = 64 << 20
)

// Available says whether this machine has what it takes.
func (c Compiler) Available() bool {
	return c.Sandbox != nil && sandbox.Program("pdflatex") != "" && sandbox.Program("bibtex") != ""
}

// Run compiles. What LaTeX does wrong is in the result; an error is a broken sandbox, a full disk or a cancelled context.
func (c Compiler) Run(ctx context.Context, job Job) (Result, error) {
	dir, err := os.MkdirTemp(c.Temp, "paper-")
	if err != nil {
		return Result{}, fault.Wrap(err, fault.Exhausted, "STORAGE_FULL", "the paper cannot be staged")
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := stage(dir, job); err != nil {
		return Result{}, fault.Wrap(err, fault.Exhausted, "STORAGE_FULL", "the paper cannot be staged")
	}
	r := run{c: c, dir: dir, epoch: job.Epoch, left: c.Wall}
	if r.left <= 0 {
		r.left = 60 * time.Second
	}
	res, err := r.passes(ctx)
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

func stage(dir string, job Job) error {
	latex := filepath.Join(dir, "latex")
	if err := os.MkdirAll(latex, 0o755); err != nil {
		return err
	}
	for name, data := range job.Root {
		if err := writeUnder(dir, name, data); err != nil {
			return err
		}
	}
	for name, data := range job.Latex {
		switch ext := filepath.Ext(name); ext { // what an earlier pass left would win over new text
		case ".aux", ".bbl", ".blg", ".log", ".out", ".toc", ".fls", ".cnf", ".fmt", ".pdf":
			continue
		}
		if err := writeUnder(latex, name, data); err != nil {
			return err
		}
	}
	return nil
}

func writeUnder(dir, name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leaves the folder", name)
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

type run struct {
	c     Compiler
	dir   string
	epoch time.Time
	left  time.Duration
	limit string
	res   Result
}

func (r *run) passes(ctx context.Context) (Result, error) {
	var before [32]byte
	bibliography := false
	for r.res.Passes < maxPasses && r.limit == "" {
		r.res.Passes++
		if err := r.program(ctx, "pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-file-line-error", "-recorder", mainFile+".tex"); err != nil {
			return Result{}, err
		}
		aux := r.read(mainFile + ".aux")
		if r.res.Passes == 1 && bytes.Contains(aux, []byte(`\bibdata`)) && bytes.Contains(aux, []byte(`\citation`)) {
			if err := r.program(ctx, "bibtex", "-terse", mainFile); err != nil {
				return Result{}, err
			}
			bibliography = true
		}
		now := sha256.Sum256(bytes.Join([][]byte{aux, r.read(mainFile + ".out"), r.read(mainFile + ".toc"), r.read(mainFile + ".bbl")}, []byte{0}))
		log := r.read(mainFile + ".log")
		again := bytes.Contains(log, []byte("Rerun to get")) || bytes.Contains(log, []byte("Rerun LaTeX")) || bytes.Contains(log, []byte("There were undefined"))
		if r.res.Passes > 1 && now == before && !(bibliography && r.res.Passes == 2) && !again {
			break
		}
		if r.res.Passes == 1 && !bytes.Contains(aux, []byte(`\newlabel`)) && !bibliography && !again && len(aux) < 64 {
			break
		}
		before = now
		if pagesOf(string(log)) == 0 {
			break // nothing came out: further passes see the same
		}
	}
	return r.finish(), nil
}

func (r *run) finish() Result {
	res := &r.res
	res.Log = r.read(mainFile + ".log")
	res.Aux = string(r.read(mainFile + ".aux"))
	res.Problems = ReadLog(string(res.Log))
	if res.Passes < 2 { // the first pass knows no label yet
		res.Problems = slices.DeleteFunc(res.Problems, func(p Problem) bool { return p.ID == "R01" || p.ID == "B02" })
	}
	res.Problems = append(res.Problems, r.bibtex()...)
	if r.limit != "" {
		res.Limit = true
		res.Problems = append(res.Problems, Problem{ID: "L03", Text: r.limit})
	}
	res.Pages = pagesOf(string(res.Log))
	if pdf := r.read(mainFile + ".pdf"); res.Pages > 0 && r.limit == "" && bytes.HasPrefix(pdf, []byte("%PDF-")) && bytes.Contains(pdf[max(0, len(pdf)-1024):], []byte("%%EOF")) {
		res.PDF = pdf
	} else {
		res.Problems = append(res.Problems, Problem{ID: "L02", Text: "no PDF came out"})
	}
	if res.BodyPages = labelPage(res.Aux, BodyLabel); res.BodyPages == 0 {
		res.BodyPages = res.Pages
	}
	if res.PDF != nil && labelPage(res.Aux, EndLabel) == 0 {
		res.Problems = append(res.Problems, Problem{ID: "P04", Text: "the end of the text did not reach the PDF: text was lost"})
	}
	if res.Pages > 100 {
		res.Problems = append(res.Problems, Problem{ID: "P03", Text: fmt.Sprintf("the paper has %d pages", res.Pages)})
	}
	return *res
}

func (r *run) bibtex() []Problem {
	var out []Problem
	for line := range strings.SplitSeq(string(r.read(mainFile+".blg")), "\n") {
		if strings.HasPrefix(line, "I was expecting") || strings.HasPrefix(line, "Repeated entry") || strings.HasPrefix(line, "I couldn't open") ||
			strings.HasPrefix(line, "I found no") {
			out = append(out, Problem{ID: "L05", Text: "BibTeX: " + clean(line)})
		}
	}
	return out
}

func (r *run) read(name string) []byte {
	f, err := os.Open(filepath.Join(r.dir, "latex", name))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	info, err := os.Lstat(f.Name())
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxOutput {
		return nil
	}
	data := make([]byte, info.Size())
	n, _ := f.Read(data)
	for n < len(data) {
		k, err := f.Read(data[n:])
		if err != nil || k == 0 {
			break
		}
		n += k
	}
	return data[:n]
}

func (r *run) program(ctx context.Context, argv ...string) error {
	if r.c.Slots != nil {
		select {
		case r.c.Slots <- struct{}{}:
			defer func() { <-r.c.Slots }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	res, err := r.c.Sandbox.Run(ctx, sandbox.Spec{
		Argv: argv, Env: r.environment(), Dir: "/paper/latex", TeX: true, Grace: time.Second,
		Binds: []sandbox.Bind{{Source: r.dir, Target: "/paper", Writable: true}},
		Limits: sandbox.Limits{Wall: r.left, MemoryBytes: 1 << 30, FileBytes: maxOutput, DiskBytes: 256 << 20, Processes: 32, OpenFiles: 256,
			TmpBytes: 64 << 20, Inodes: 2000},
	})
	if err != nil {
		return err
	}
	if res.End == sandbox.Cancelled {
		return context.Cause(ctx)
	}
	r.left -= res.Wall
	switch {
	case res.End != sandbox.Exited:
		r.limit = argv[0] + " hit a limit: " + res.End.String()
	case r.left <= 0:
		r.limit = argv[0] + " hit a limit: time"
	case res.Signal == 25 || res.Signal == 9 || res.Signal == 11:
		r.limit = fmt.Sprintf("%s was ended by signal %d", argv[0], res.Signal)
	}
	return nil
}

func (r *run) environment() []string {
	epoch := r.epoch
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "openin_any=p", "openout_any=p", "shell_escape=f", "MKTEXPK=0", "MKTEXTFM=0",
		"TEXINPUTS=.:..:", "BIBINPUTS=.:..:", "BSTINPUTS=.:..:", "max_print_line=10000", "error_line=254", "half_error_line=238",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()), "FORCE_SOURCE_DATE=1", "TZ=UTC", "LC_ALL=C.UTF-8", "TEXMFHOME=/nonexistent",
		"TEXMFCONFIG=/nonexistent", "TEXMFVAR=/tmp/texmf-var",
	}
}
