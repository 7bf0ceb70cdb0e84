package template

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"time"
)

// Direction says which way a metric is better.
type Direction string

// Directions of a metric.
const (
	Minimize    Direction = "minimize"
	Maximize    Direction = "maximize"
	NoDirection Direction = "none" // neither: a difference, a setting
)

// Template is what a valid template says about itself.
type Template struct {
	Name  string
	Title string
	// Foreign is set when there is no template.yaml: AI-Scientist's own format.
	Foreign bool

	// Sizes is nil when the template has none; NULLIUS_SIZE is then ignored.
	Sizes     map[string]Size
	Pool      string        // "cpu" or "gpu"
	TimeLimit time.Duration // of one run

	Python  Python
	Debian  []string
	Data    []Data
	Prepare string // a script, or empty

	Primary     *Primary // nil when unknown
	Metrics     map[string]Metric
	PairedSeeds bool
	Expected    map[string]map[string]Expected // size, then dataset/metric

	Editable  []string // paths and globs that runs may change
	Protected []string // globs that win over Editable
	Writable  []string // paths an experiment may write beside its run folder; "." for foreign ones
	Env       map[string]string

	Ideas  []SeedIdea
	Prompt Prompt

	HasBaseline bool // run_0/ with results lies in the template
	HasLatex    bool // latex/template.tex is there; else the default article serves
	EmptyPlot   bool // plot.py is blank: the coder writes it

	Files int
	Bytes int64
}

// Size is one of smoke, lite and full.
type Size struct {
	Seconds     float64 // expected, of one run; 0 when not told
	MemoryBytes uint64  // 0 when not told
	Pool        string  // the template's pool unless the size names another
}

// Python is what the interpreter must offer.
type Python struct {
	Min          string
	Modules      []string
	Declared     bool   // Modules stand in template.yaml; else they were found by reading imports
	Requirements string // a file, or empty; what it lists is installed before the first run, so no module is asked of this machine
}

// Data is a file that a run reads and no run makes.
type Data struct {
	Path      string
	SHA256    string
	Bytes     int64
	Licence   string
	URL       string
	Sizes     []string // empty: all
	Generated bool     // made by Prepare
	Present   bool     // lies in the template
}

// Primary is the metric that decides which run is best.
type Primary struct {
	Dataset, Metric string
	Direction       Direction
}

// Metric says how a metric is read and shown.
type Metric struct {
	Direction   Direction
	Label, Unit string
}

// Expected is what a baseline should measure: Value within Rel or Abs, or Min to Max.
type Expected struct {
	Value, Rel, Abs, Min, Max *float64
}

// SeedIdea is an entry of seed_ideas.json.
type SeedIdea struct {
	Name, Title, Experiment                   string
	Interestingness, Feasibility, Novelty     float64 // 1 to 10; 0 when not told
	Hypothesis, PrimaryMetric, Planned, Risks string  // ours; often empty
}

// Prompt is prompt.json.
type Prompt struct {
	System, Task string
}

// Options is what Load needs from its caller.
type Options struct {
	Name   string // the template's name; Init and uploads know it, a file system does not
	Limits Limits // zero fields take their default

	// ParsePython looks at sources by name, all at once since an interpreter takes
	// its time to start, and gives what it found for each. It must not run them.
	// Nil: syntax is not checked.
	ParsePython func(sources map[string][]byte) map[string]Syntax
	// PythonVersion tells the version, such as 3.11.2, of the interpreter that imports these modules; empty: it is not known. Nil: not checked.
	PythonVersion func(modules []string) string
	// Size is that of a study that is to start: data that only other sizes need is
	// then not asked for. Empty: all of it is.
	Size string
	// MissingModules tells which modules no interpreter of this machine imports; an
	// error of reason PYTHON_UNSUITABLE says that there is no interpreter. Nil: not
	// checked.
	MissingModules func(modules []string) ([]string, error)
}

// Limits of a template's files.
type Limits struct {
	Files      int
	FileBytes  int64
	TotalBytes int64
}

// DefaultLimits are those of an upload.
func DefaultLimits() Limits {
	return Limits{Files: 10_000, FileBytes: 1 << 30, TotalBytes: 2 << 30}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.Files <= 0 {
		l.Files = d.Files
	}
	if l.FileBytes <= 0 {
		l.FileBytes = d.FileBytes
	}
	if l.TotalBytes <= 0 {
		l.TotalBytes = d.TotalBytes
	}
	return l
}

// defaultTimeLimit is that of one run when the template tells none.
const defaultTimeLimit = 2 * time.Hour

// Load reads a template and returns it with all findings, errors first. The
// template is nil when one of them is an error. It only reads; nothing in the
// template is run.
func Load(fsys fs.FS, o Options) (*Template, []Finding) {
	c := &checker{fsys: fsys, o: o, limits: o.Limits.withDefaults()}
	c.name()
	_, err := fs.Lstat(fsys, settingsFile)
	c.foreign = errors.Is(err, fs.ErrNotExist)
	c.walk()
	t := &Template{
		Name: o.Name, Title: titleOf(o.Name), Pool: "cpu", TimeLimit: defaultTimeLimit,
		Editable: []string{"experiment.py", "plot.py"}, Files: len(c.files), Bytes: c.total,
	}
	c.t = t
	if c.foreign {
		t.Foreign, t.Writable = true, []string{"."}
		c.misnamedSettings()
	} else {
		c.settings()
	}
	c.prompt()
	c.ideas()
	c.requirements()
	c.python()
	c.latex()
	c.data()
	c.baseline()
	findings := c.sorted()
	if len(Errors(findings)) > 0 {
		return nil, findings
	}
	return t, findings
}

// DefaultSize is the size of a study that names none: lite on cpu, full on gpu,
// the other where that one is missing, and "" when the template has no sizes.
func (t *Template) DefaultSize() string {
	order := []string{"lite", "full", "smoke"}
	if t.Pool == "gpu" {
		order = []string{"full", "lite", "smoke"}
	}
	for _, size := range order {
		if _, ok := t.Sizes[size]; ok {
			return size
		}
	}
	return ""
}

// SmokeSeconds is what a smoke run should take; 0 when the template has no such size.
func (t *Template) SmokeSeconds() float64 { return t.Sizes["smoke"].Seconds }

// PoolFor returns the pool of a size.
func (t *Template) PoolFor(size string) string {
	if p := t.Sizes[size].Pool; p != "" {
		return p
	}
	return t.Pool
}

// DirectionOf returns which way a metric is better, NoDirection when unknown.
func (t *Template) DirectionOf(metric string) Direction {
	if m, ok := t.Metrics[metric]; ok && m.Direction != "" {
		return m.Direction
	}
	if t.Primary != nil && t.Primary.Metric == metric {
		return t.Primary.Direction
	}
	return NoDirection
}

// Environment is that of every job of a size: threads, hashing and drawing made
// reproducible, then the template's own variables, then NULLIUS_SIZE.
func (t *Template) Environment(size string) map[string]string {
	env := map[string]string{
		"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
		"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg",
		"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "LC_ALL": "C.UTF-8", "TZ": "UTC",
	}
	maps.Copy(env, t.Env)
	if size != "" {
		env["NULLIUS_SIZE"] = size
	}
	return env
}

func titleOf(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' }), " ")
}
