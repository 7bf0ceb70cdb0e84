package numbers

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Value is a computed number with what is known of its error.
type Value struct {
	V       float64
	SE      float64
	SEKnown bool
	N       int
	Integer bool // counts, seeds: printed as they are
	Percent bool // printed with a percent sign
	Runs    []int
	PerSeed []float64
	cell    string
}

// ExprError says why an expression has no value, and which references come near.
type ExprError struct {
	Why  string
	Near []string
}

func (e *ExprError) Error() string {
	if len(e.Near) == 0 {
		return e.Why
	}
	return e.Why + "; near: " + strings.Join(e.Near, ", ")
}

func bad(format string, a ...any) *ExprError { return &ExprError{Why: fmt.Sprintf(format, a...)} }

const maxExpr = 400

// Eval computes an expression such as run_1/data/loss or change(best/data/loss, run_0/data/loss).
func (r *Record) Eval(expr string) (Value, error) {
	if len(expr) > maxExpr {
		return Value{}, bad("the expression is longer than %d characters", maxExpr)
	}
	p := parser{s: cleanExpr(expr), rec: r}
	v, err := p.expr(0)
	if err != nil {
		return Value{}, err
	}
	if p.skip(); p.i < len(p.s) {
		return Value{}, bad("unexpected %q in the expression", p.s[p.i:])
	}
	if math.IsNaN(v.V) || math.IsInf(v.V, 0) {
		return Value{}, bad("the value of %s is not finite", expr)
	}
	slices.Sort(v.Runs)
	v.Runs = slices.Compact(v.Runs)
	return v, nil
}

// cleanExpr undoes what models do to ids in LaTeX.
func cleanExpr(s string) string {
	return strings.TrimSpace(strings.NewReplacer(`\measured`, "", `\texttt`, "", `\text`, "", `\mathrm`, "", `\_`, "_", `\,`, "", "\n", " ", "\t", " ", "{", "", "}", "", "$", "", `\%`, "%").Replace(s))
}

type parser struct {
	s   string
	i   int
	rec *Record
}

func (p *parser) skip() {
	for p.i < len(p.s) && p.s[p.i] == ' ' {
		p.i++
	}
}

func (p *parser) token() string {
	p.skip()
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune("(), ", rune(p.s[p.i])) {
		p.i++
	}
	return p.s[start:p.i]
}

func (p *parser) expr(depth int) (Value, error) {
	if depth > 4 {
		return Value{}, bad("the expression is nested too deeply")
	}
	word := p.token()
	p.skip()
	if p.i >= len(p.s) || p.s[p.i] != '(' {
		if word == "" {
			return Value{}, bad("the expression is empty")
		}
		return p.rec.ref(word)
	}
	p.i++
	fn := strings.ToLower(word)
	if fn == "avg" {
		pattern := p.token()
		if err := p.close(); err != nil {
			return Value{}, err
		}
		return p.rec.avg(pattern)
	}
	var args []Value
	for {
		v, err := p.expr(depth + 1)
		if err != nil {
			return Value{}, err
		}
		args = append(args, v)
		p.skip()
		if p.i < len(p.s) && p.s[p.i] == ',' && len(args) < 3 {
			p.i++
			continue
		}
		break
	}
	if err := p.close(); err != nil {
		return Value{}, err
	}
	return p.rec.call(fn, args)
}

func (p *parser) close() error {
	p.skip()
	if p.i >= len(p.s) || p.s[p.i] != ')' {
		return bad("a closing parenthesis is missing")
	}
	p.i++
	return nil
}

// ref looks up run/dataset/metric.
func (r *Record) ref(word string) (Value, error) {
	run, id, ok := strings.Cut(word, "/")
	if !ok || !strings.Contains(id, "/") {
		return Value{}, &ExprError{Why: fmt.Sprintf("%q is no reference of the form run/dataset/metric", word), Near: r.near(word)}
	}
	c := r.find(id)
	if c == nil {
		return Value{}, &ExprError{Why: fmt.Sprintf("nothing called %q was measured", id), Near: r.near(id)}
	}
	n, err := r.runNumber(run, c)
	if err != nil {
		return Value{}, err
	}
	m, ok := c.values[n]
	if !ok {
		if rn, known := r.Run(n); known && !rn.OK {
			return Value{}, bad("run_%d failed and has no measurements", n)
		}
		return Value{}, &ExprError{Why: fmt.Sprintf("run_%d has no usable value of %s", n, c.id), Near: r.near(c.id)}
	}
	return Value{V: m.Value, SE: m.SE, SEKnown: m.SEKnown, N: m.N, Runs: []int{n}, PerSeed: m.PerSeed, cell: c.id,
		Integer: !m.SEKnown && m.Value == math.Trunc(m.Value) && math.Abs(m.Value) < 1e6}, nil
}

// find looks a pair up as written, then without regard to characters that ids do not have.
func (r *Record) find(id string) *cell {
	if c := r.cells[id]; c != nil {
		return c
	}
	if d, m, ok := strings.Cut(id, "/"); ok {
		return r.cells[CleanID(d)+"/"+CleanID(m)]
	}
	return nil
}

func (r *Record) runNumber(word string, c *cell) (int, error) {
	w := strings.ToLower(word)
	switch w {
	case "baseline":
		return 0, nil
	case "best", "bestnew":
		return r.best(c, w == "bestnew")
	}
	n, err := strconv.Atoi(strings.TrimLeft(strings.TrimPrefix(w, "run"), "_-"))
	if err != nil {
		return 0, bad("%q is no run; runs are run_0, run_1, …, best, bestnew", word)
	}
	if _, ok := r.Run(n); !ok {
		return 0, bad("there is no run_%d", n)
	}
	return n, nil
}

func (r *Record) best(c *cell, withoutBaseline bool) (int, error) {
	d := r.DirectionOf(c.id)
	if d != Minimize && d != Maximize {
		return 0, bad("%s has no direction, so no run of it is best", c.id)
	}
	best, found := 0, false
	for _, run := range r.Runs {
		m, ok := c.values[run.Number]
		if !ok || withoutBaseline && run.Number == 0 {
			continue
		}
		if !found || d == Minimize && m.Value < c.values[best].Value || d == Maximize && m.Value > c.values[best].Value {
			best, found = run.Number, true
		}
	}
	if !found {
		return 0, bad("no run has a value of %s", c.id)
	}
	return best, nil
}

func (r *Record) avg(pattern string) (Value, error) {
	parts := strings.Split(pattern, "/")
	if len(parts) != 3 || parts[1] != "*" {
		return Value{}, bad("avg takes run/*/metric")
	}
	out := Value{SEKnown: true}
	var k, variance float64
	for _, id := range r.order {
		if _, metric, _ := strings.Cut(id, "/"); metric != CleanID(parts[2]) {
			continue
		}
		v, err := r.ref(parts[0] + "/" + id)
		if err != nil {
			return Value{}, err
		}
		out.V += v.V
		variance += v.SE * v.SE
		out.SEKnown = out.SEKnown && v.SEKnown
		out.Runs = append(out.Runs, v.Runs...)
		if k == 0 || v.N < out.N {
			out.N = v.N
		}
		k++
	}
	if k == 0 {
		return Value{}, &ExprError{Why: fmt.Sprintf("nothing called */%s was measured", parts[2]), Near: r.near(parts[2])}
	}
	out.V /= k
	out.SE = math.Sqrt(variance) / k
	return out, nil
}

func (r *Record) call(fn string, a []Value) (Value, error) {
	want := 2
	if fn == "se" || fn == "n" {
		want = 1
	}
	switch fn {
	case "diff", "ratio", "change", "paired", "p", "se", "n":
	default:
		return Value{}, bad("there is no function %q; there are diff, ratio, change, paired, avg, se, n, p", fn)
	}
	if len(a) != want {
		return Value{}, bad("%s takes %d references, not %d", fn, want, len(a))
	}
	v := Value{N: a[0].N, Runs: slices.Clone(a[0].Runs), SEKnown: a[0].SEKnown}
	if want == 1 {
		if fn == "n" {
			if a[0].N == 0 {
				return Value{}, bad("the number of seeds is not known")
			}
			return Value{V: float64(a[0].N), Integer: true, Runs: v.Runs}, nil
		}
		if !a[0].SEKnown {
			return Value{}, bad("the standard error is not known")
		}
		return Value{V: a[0].SE, Runs: v.Runs, N: a[0].N}, nil
	}
	x, y := a[0], a[1]
	v.N = min(x.N, y.N)
	v.Runs = append(v.Runs, y.Runs...)
	v.SEKnown = x.SEKnown && y.SEKnown
	v.Integer = fn == "diff" && x.Integer && y.Integer
	switch fn {
	case "diff":
		v.V, v.SE = x.V-y.V, math.Hypot(x.SE, y.SE)
	case "ratio":
		if y.V == 0 {
			return Value{}, bad("the ratio divides by zero")
		}
		v.V, v.SE = x.V/y.V, math.Hypot(x.SE/y.V, x.V*y.SE/(y.V*y.V))
	case "change":
		if y.V == 0 {
			return Value{}, bad("the change is relative to zero")
		}
		v.V, v.SE, v.Percent = 100*(x.V-y.V)/math.Abs(y.V), 100*math.Hypot(x.SE/y.V, x.V*y.SE/(y.V*y.V)), true
	case "paired":
		return paired(v, x, y)
	case "p":
		return r.pValue(v, x, y)
	}
	return v, nil
}

func paired(v, x, y Value) (Value, error) {
	if len(x.PerSeed) != len(y.PerSeed) || len(x.PerSeed) < 3 {
		return Value{}, bad("paired needs per-seed lists of equal length, at least 3; use diff")
	}
	v.V, v.SE, v.N = meanDifference(x.PerSeed, y.PerSeed)
	v.SEKnown, v.Integer = true, false
	return v, nil
}

func meanDifference(a, b []float64) (mean, se float64, n int) {
	n = len(a)
	for i := range a {
		mean += (a[i] - b[i]) / float64(n)
	}
	var ss float64
	for i := range a {
		d := a[i] - b[i] - mean
		ss += d * d
	}
	return mean, math.Sqrt(ss / float64(n-1) / float64(n)), n
}

// near lists references that look like the one that failed.
func (r *Record) near(word string) []string {
	type scored struct {
		id string
		d  int
	}
	w := strings.ToLower(word)
	var all []scored
	for _, id := range r.order {
		d := distance(w, strings.ToLower(id))
		if strings.Contains(w, strings.ToLower(r.cells[id].metric)) {
			d -= len(id)
		}
		all = append(all, scored{id, d})
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.d - b.d })
	var out []string
	for _, s := range all[:min(3, len(all))] {
		out = append(out, s.id)
	}
	return out
}

func distance(a, b string) int {
	a, b = a[:min(len(a), 80)], b[:min(len(b), 80)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
