// Package results reads final_info.json, the file in which an experiment
// leaves its numbers. It is hostile input: size, depth and count are bounded,
// and every shape that AI-Scientist's templates write is understood.
package results

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Measurement is one number with its spread.
type Measurement struct {
	Dataset, Metric string
	Value           float64
	NotFinite       bool
	StandardError   *float64 // nil: unknown, which is not zero
	N               int      // 0: unknown
	PerSeed         []float64
}

// Results of one run.
type Results struct {
	Measurements []Measurement
	Refused      []string // what is not a number, or looks wrong, in words
}

const maxRefused = 50

func unquote(s string) (string, error) {
	var out string
	err := json.Unmarshal([]byte(s), &out)
	return out, err
}

// Parse reads a results file. The error says where and why it cannot be read.
func Parse(data []byte) (Results, error) {
	top, err := parse(data)
	if err != nil {
		return Results{}, err
	}
	if top.kind != 'o' {
		return Results{}, &SyntaxError{1, 1, "the file is not an object of datasets"}
	}
	r := reader{had: map[[2]string]bool{}}
	for _, f := range top.fields {
		r.dataset(clean(f.name), f.value)
	}
	if len(r.Measurements) == 0 {
		return r.Results, &SyntaxError{1, 1, "no dataset has a number under \"means\""}
	}
	return r.Results, nil
}

// reader collects what a file holds.
type reader struct {
	Results
	had map[[2]string]bool // dataset and metric
}

// clean makes a name usable in a measurement's id.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		if r == '/' {
			return ':'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

func (r *reader) refuse(format string, a ...any) {
	if len(r.Refused) < maxRefused {
		r.Refused = append(r.Refused, fmt.Sprintf(format, a...))
	}
}

func (r *reader) dataset(name string, v value) {
	if v.kind != 'o' {
		r.refuse("%s: not an object", name)
		return
	}
	means, ok := v.field("means")
	if !ok {
		r.refuse("%s: no means", name)
		return
	}
	if means.kind == 'n' { // one bare number; its spread is not a standard error
		r.add(Measurement{Dataset: name, Metric: "value", Value: means.number})
		return
	}
	if means.kind != 'o' {
		r.refuse("%s: means is neither an object nor a number", name)
		return
	}
	var all []leaf
	leaves(means, "", &all)
	byName := make(map[string]float64, len(all))
	for _, l := range slices.Backward(all) { // of two the first
		byName[l.name] = l.number
	}
	errs := spread(v)
	seeds := perSeed(v)
	for _, l := range all {
		if base, ok := strings.CutSuffix(l.name, "_stderr"); ok && pair(byName, base) {
			continue
		}
		m := Measurement{Dataset: name, Metric: clean(strings.TrimSuffix(l.name, "_mean")), Value: l.number}
		keys := []string{l.name, strings.TrimSuffix(l.name, "_mean")}
		if !pair(byName, keys[1]) {
			m.Metric = clean(l.name)
		}
		r.fill(&m, keys, byName, errs, seeds)
		r.add(m)
	}
}

// leaf is a number at a path of names joined by dots.
type leaf struct {
	name   string
	number float64
}

// leaves collects the numbers of an object; texts in it are settings.
func leaves(v value, path string, out *[]leaf) {
	for _, f := range v.fields {
		name := f.name
		if path != "" {
			name = path + "." + name
		}
		switch f.value.kind {
		case 'n':
			*out = append(*out, leaf{name, f.value.number})
		case 'o':
			leaves(f.value, name, out)
		}
	}
}

// pair holds if a metric is written as x_mean with x_stderr.
func pair(all map[string]float64, base string) bool {
	_, mean := all[base+"_mean"]
	_, err := all[base+"_stderr"]
	return mean && err
}

// spread reads the standard errors, which may lie beside the means under equal
// or paired names.
func spread(v value) map[string]float64 {
	errs := map[string]float64{}
	s, ok := v.field("stderrs")
	if !ok || s.kind != 'o' {
		return errs
	}
	var all []leaf
	leaves(s, "", &all)
	for _, l := range all {
		errs[strings.TrimSuffix(l.name, "_stderr")] = l.number
		errs[l.name] = l.number
	}
	return errs
}

func perSeed(v value) map[string][]float64 {
	out := map[string][]float64{}
	info, ok := v.field("final_info_dict")
	if !ok {
		return out
	}
	for _, f := range info.fields {
		if f.value.kind != 'a' || len(f.value.items) == 0 {
			continue
		}
		var list []float64
		for _, item := range f.value.items {
			if item.kind != 'n' {
				list = nil
				break
			}
			list = append(list, item.number)
		}
		if list != nil {
			out[f.name] = list
		}
	}
	return out
}

// fill adds spread and seeds to a measurement known under some names.
func (r *reader) fill(m *Measurement, keys []string, all map[string]float64, errs map[string]float64, seeds map[string][]float64) {
	claimed := math.NaN()
	for _, k := range keys {
		if list, ok := seeds[k]; ok && m.N == 0 {
			m.N, m.PerSeed = len(list), list
		}
		if e, ok := errs[k]; ok && math.IsNaN(claimed) {
			claimed = e
		}
	}
	if math.IsNaN(claimed) && pair(all, keys[1]) {
		claimed = all[keys[1]+"_stderr"]
	}
	if own, ok := standardError(m.PerSeed); ok {
		if !math.IsNaN(claimed) && math.Abs(own-claimed) > 1e-3*math.Max(math.Abs(own), math.Abs(claimed))+1e-12 {
			r.refuse("%s/%s: standard error %g was written, the seeds give %g", m.Dataset, m.Metric, claimed, own)
		}
		m.StandardError = &own
		return
	}
	// One value has no spread: a zero written for it is not knowledge.
	if m.N == 1 || claimed == 0 && m.N == 0 || math.IsNaN(claimed) || math.IsInf(claimed, 0) || claimed < 0 {
		return
	}
	m.StandardError = &claimed
}

func standardError(x []float64) (float64, bool) {
	if len(x) < 2 {
		return 0, false
	}
	n := float64(len(x))
	var mean, squares float64
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	e := math.Sqrt(squares/(n-1)) / math.Sqrt(n)
	return e, !math.IsNaN(e) && !math.IsInf(e, 0)
}

func (r *reader) add(m Measurement) {
	if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
		r.refuse("%s/%s: not finite", m.Dataset, m.Metric)
		m.Value, m.NotFinite, m.StandardError = 0, true, nil
	}
	for _, v := range m.PerSeed {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			m.PerSeed = nil
			break
		}
	}
	id := [2]string{m.Dataset, m.Metric}
	if r.had[id] {
		r.refuse("%s/%s: comes twice", m.Dataset, m.Metric)
		return
	}
	r.had[id] = true
	r.Measurements = append(r.Measurements, m)
}
