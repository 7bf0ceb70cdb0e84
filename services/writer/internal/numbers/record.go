// Package numbers puts the measured digits into a paper: it reads the references a model wrote, computes them from the record of the runs and
// finds the numbers that lead nowhere.
package numbers

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// Direction says which values of a metric are better.
type Direction int8

// The directions.
const (
	Unknown Direction = iota
	Minimize
	Maximize
	None
)

func (d Direction) String() string {
	return [...]string{"no direction", "minimize", "maximize", "descriptive"}[d]
}

// Metric describes a metric; Dataset may be empty for all.
type Metric struct {
	Dataset, Name string
	Direction     Direction
	Label, Unit   string
}

// Measurement is one number of one run.
type Measurement struct {
	Dataset, Metric string
	Value           float64
	NotFinite       bool
	SE              float64
	SEKnown         bool
	N               int
	PerSeed         []float64
	Size            string
	Imported        bool
}

// Run is one run of the record.
type Run struct {
	Number       int
	Label        string
	Plan         string
	OK           bool
	Skipped      bool
	Reason       string
	Snapshot     string
	Code         string
	Tries        int
	Measurements []Measurement
}

// Name is the id of the run in references.
func (r Run) Name() string { return "run_" + strconv.Itoa(r.Number) }

// Record is everything a number in the paper may come from.
type Record struct {
	Runs     []Run
	Metrics  []Metric // the primary first
	Paired   bool
	Figures  int
	settings []Setting
	setting  map[string]Setting
	counts   []Count
	cells    map[string]*cell // dataset/metric
	order    []string
	names    map[string]bool
}

type cell struct {
	id      string
	dataset string
	metric  string
	values  map[int]Measurement
}

// Count is a number that counts things of the record.
type Count struct {
	ID    string
	Value int
	What  string
}

// Index prepares the record for lookups. It must be called once, after the fields and before any lookup.
func (r *Record) Index() {
	r.cells, r.order, r.setting, r.names = map[string]*cell{}, nil, map[string]Setting{}, map[string]bool{}
	slices.SortFunc(r.Runs, func(a, b Run) int { return cmp.Compare(a.Number, b.Number) })
	size := ""
	for _, run := range r.Runs {
		if run.OK && len(run.Measurements) > 0 {
			size = run.Measurements[0].Size
			break
		}
	}
	ids := map[string]string{} // id to the raw pair that took it
	for _, run := range r.Runs {
		if !run.OK {
			continue
		}
		for _, m := range run.Measurements {
			if m.Size != size || m.NotFinite || math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
				continue
			}
			raw := m.Dataset + "\x00" + m.Metric
			id := CleanID(m.Dataset) + "/" + CleanID(m.Metric)
			for k := 2; ids[id] != "" && ids[id] != raw; k++ {
				id = CleanID(m.Dataset) + "/" + CleanID(m.Metric) + ":" + strconv.Itoa(k)
			}
			ids[id] = raw
			c := r.cells[id]
			if c == nil {
				c = &cell{id: id, dataset: m.Dataset, metric: m.Metric, values: map[int]Measurement{}}
				r.cells[id] = c
				r.order = append(r.order, id)
			}
			c.values[run.Number] = m
		}
	}
	r.rank()
	r.count()
}

// rank orders the measured pairs: primary first, then metrics as listed, then as measured.
func (r *Record) rank() {
	place := func(c *cell) int {
		for i, m := range r.Metrics {
			if m.Name == c.metric && (m.Dataset == "" || m.Dataset == c.dataset) {
				return i
			}
		}
		return len(r.Metrics)
	}
	sort.SliceStable(r.order, func(i, j int) bool { return place(r.cells[r.order[i]]) < place(r.cells[r.order[j]]) })
}

func (r *Record) count() {
	ok, failed, skipped, tries, seeds := 0, 0, 0, 0, 0
	for _, run := range r.Runs {
		if run.Number > 0 {
			tries += run.Tries
		}
		switch {
		case run.OK && run.Number > 0:
			ok++
		case run.Skipped:
			skipped++
		case !run.OK && run.Number > 0:
			failed++
		}
	}
	datasets, metrics := map[string]bool{}, map[string]bool{}
	for _, c := range r.cells {
		datasets[c.dataset], metrics[c.metric] = true, true
		for _, m := range c.values {
			seeds = max(seeds, m.N)
		}
	}
	r.counts = []Count{
		{"runs", ok, "runs beside the baseline that succeeded"}, {"all_runs", ok + 1, "successful runs, the baseline counted"},
		{"failed_runs", failed, "runs that failed"}, {"tries", tries, "executions it took"}, {"seeds", seeds, "random seeds per run"},
		{"datasets", len(datasets), "datasets"}, {"metrics", len(metrics), "metrics"}, {"figures", r.Figures, "figures"},
	}
	if skipped > 0 {
		r.counts = append(r.counts, Count{"skipped_runs", skipped, "planned runs that were skipped"})
	}
}

// Counts lists what \counted knows.
func (r *Record) Counts() []Count { return r.counts }

// CleanID turns a name into an id: characters that ids do not have become colons.
func CleanID(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 128 && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_.:+-", c)) {
			return c
		}
		return ':'
	}, s)
}

// DirectionOf returns what is better for a measured pair.
func (r *Record) DirectionOf(id string) Direction {
	if m, ok := r.metricOf(id); ok {
		return m.Direction
	}
	return Unknown
}

// metricOf gathers what is told of a pair's metric: the first direction, label and unit, those told for its dataset before those for all.
func (r *Record) metricOf(id string) (Metric, bool) {
	c := r.cells[id]
	if c == nil {
		return Metric{}, false
	}
	out, found := Metric{Name: c.metric}, false
	for _, sameDataset := range []bool{true, false} { // a direction told for one dataset holds for the metric
		for _, m := range r.Metrics {
			if m.Name != c.metric || sameDataset && m.Dataset != "" && m.Dataset != c.dataset {
				continue
			}
			found = true
			if out.Direction == Unknown {
				out.Direction = m.Direction
			}
			out.Label, out.Unit = cmp.Or(out.Label, m.Label), cmp.Or(out.Unit, m.Unit)
		}
	}
	return out, found
}

// Label is what people call a metric.
func (r *Record) Label(id string) string {
	if m, ok := r.metricOf(id); ok && m.Label != "" {
		return m.Label
	}
	if c := r.cells[id]; c != nil {
		return c.metric
	}
	return id
}

// Run returns a run by number.
func (r *Record) Run(n int) (Run, bool) {
	for _, run := range r.Runs {
		if run.Number == n {
			return run, true
		}
	}
	return Run{}, false
}

// Lines writes the table of measurements that a model reads: one line a dataset and metric, within a number of bytes. What does not fit is named.
func (r *Record) Lines(limit int) string {
	var b strings.Builder
	var named []string
	for _, id := range r.order {
		c := r.cells[id]
		n := 0
		for _, m := range c.values {
			n = max(n, m.N)
		}
		line := id + " " + r.DirectionOf(id).String()
		if l := r.Label(id); l != c.metric {
			line += " (" + l + ")"
		}
		if n > 0 {
			line += " n=" + strconv.Itoa(n)
		}
		for _, run := range r.Runs {
			switch m, ok := c.values[run.Number]; {
			case ok && m.SEKnown:
				line += fmt.Sprintf(" | %d: %.4g±%.2g", run.Number, m.Value, m.SE)
			case ok:
				line += fmt.Sprintf(" | %d: %.4g", run.Number, m.Value)
			case run.OK:
				line += fmt.Sprintf(" | %d: none", run.Number)
			default:
				line += fmt.Sprintf(" | %d: failed", run.Number)
			}
		}
		if b.Len()+len(line) > limit {
			named = append(named, id)
			continue
		}
		b.WriteString(line + "\n")
	}
	if len(named) > 0 {
		more := strings.Join(named, ", ")
		if len(more) > limit/4 {
			more = strings.ToValidUTF8(more[:limit/4], "") + " …"
		}
		b.WriteString("Also measured, usable by name: " + more + "\n")
	}
	return b.String()
}

// Pairs lists the measured dataset/metric ids, most important first.
func (r *Record) Pairs() []string { return slices.Clone(r.order) }
