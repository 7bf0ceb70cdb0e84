package template

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// resultLimits are those of final_info.json everywhere: Python writes NaN.
var resultLimits = jsonLimits{depth: 16, values: 50_000, nonFinite: true}

const (
	maxResults = 8 << 20
	maxNumbers = 10_000
)

// baseline checks a run_0 that the template brings along.
func (c *checker) baseline() {
	const name = "run_0/final_info.json"
	if !c.dirs["run_0"] {
		return
	}
	size, ok := c.files[name]
	switch {
	case !ok:
		if !c.reported(name) { // a foreign template may bring only figures or tables of its baseline
			c.strict(Finding{Rule: "run_0.results", Path: name, Found: "no such file", Expected: "the results of run_0",
				Fix: "removing run_0/, then the baseline is measured"})
		}
		return
	case size > maxResults:
		c.add(Finding{Rule: "run_0.results", Path: name, Found: fmt.Sprintf("%d bytes", size), Expected: fmt.Sprintf("at most %d", maxResults)})
		return
	}
	data, err := c.read(name, maxResults)
	if err != nil {
		c.add(Finding{Rule: "file.unreadable", Path: name, Found: quote(reason(err)), Expected: "a file that can be read"})
		return
	}
	if bad := badByte(data); bad >= 0 {
		c.add(at(Finding{Rule: "file.encoding", Path: name, Found: fmt.Sprintf("the byte 0x%02x", data[bad]), Expected: "UTF-8 text"}, data, bad))
		return
	}
	root, syntax := parseJSON(data, resultLimits)
	if syntax != nil {
		c.jsonSyntax(name, data, syntax)
		return
	}
	c.t.HasBaseline = true
	c.results(name, data, root)
}

// results checks that there is a dataset with means and, when the template names
// a primary metric, that it is there and finite.
func (c *checker) results(name string, data []byte, root *jsonNode) {
	if root.kind != kindObject || len(root.members) == 0 {
		c.add(at(Finding{Rule: "run_0.results", Path: name, Found: string(root.kind) + " without datasets", Expected: "an object: dataset to means"}, data, root.offset))
		return
	}
	if numbers := countNumbers(root); numbers > maxNumbers {
		c.add(Finding{Rule: "run_0.results", Path: name, Found: fmt.Sprintf("%d numbers", numbers), Expected: fmt.Sprintf("at most %d", maxNumbers), Fix: "curves in a file of their own"})
	}
	for _, m := range root.members {
		means := m.value.get("means")
		if !measures(means) {
			f := at(Finding{Rule: "run_0.means", Path: name, Found: "dataset " + quote(m.name) + " without means", Expected: `"means": {metric: number}`}, data, m.offset)
			if m.name == "means" || m.value.kind != kindObject {
				f.Found, f.Fix = quote(m.name)+" where a dataset is expected", `{"my_data": {"means": {…}, "stderrs": {…}}}`
				c.add(f)
				break // one level is missing, and so it goes on
			}
			c.add(f)
			continue
		}
		c.metricValues(name, data, m, means)
	}
	if c.t.Primary != nil {
		c.primaryMeasured(name, data, root)
	}
}

// measures tells whether a dataset's means have the shape of measurements.
func measures(means *jsonNode) bool {
	return means != nil && (means.kind == kindObject || means.kind == kindNumber)
}

// metricValues looks at a dataset's numbers: there must be one, and those that are not finite are told.
func (c *checker) metricValues(name string, data []byte, dataset jsonMember, means *jsonNode) {
	leaves := numericLeaves(means)
	if len(leaves) == 0 {
		c.strict(at(Finding{Rule: "run_0.means", Path: name, Found: "no number in the means of " + quote(dataset.name), Expected: `"means": {metric: number}`}, data, means.offset))
	}
	for _, metric := range means.members {
		c.timing(name, data, metric)
	}
	notFinite := slices.DeleteFunc(leaves, func(n *jsonNode) bool { return !math.IsNaN(n.number) && !math.IsInf(n.number, 0) })
	if len(notFinite) > 0 {
		c.warn(at(Finding{Rule: "metric.not-finite", Path: name, Found: fmt.Sprintf("%v in the means of %s", notFinite[0].number, quote(dataset.name)),
			Expected: "a number: this one counts as not measured"}, data, notFinite[0].offset))
	}
	for _, m := range dataset.value.get("stderrs").leaves() {
		if m.kind == kindNumber && !(m.number >= 0 && !math.IsInf(m.number, 0)) {
			c.warn(at(Finding{Rule: "metric.stderr", Path: name, Found: fmt.Sprintf("the standard error %v", m.number), Expected: "a number from 0 on: this one counts as unknown"}, data, m.offset))
			break
		}
	}
}

// leaves are an object's values, those of objects in it included; none of nil.
func (n *jsonNode) leaves() []*jsonNode {
	if n == nil {
		return nil
	}
	if n.kind != kindObject {
		return []*jsonNode{n}
	}
	var all []*jsonNode
	for _, m := range n.members {
		all = append(all, m.value.leaves()...)
	}
	return all
}

func numericLeaves(n *jsonNode) []*jsonNode {
	return slices.DeleteFunc(n.leaves(), func(n *jsonNode) bool { return n.kind != kindNumber })
}

func (c *checker) primaryMeasured(name string, data []byte, root *jsonNode) {
	p := c.t.Primary
	f := Finding{Rule: "primary.missing", Path: name, Expected: "the primary metric " + quote(p.Dataset+"/"+p.Metric)}
	dataset := root.get(p.Dataset)
	if dataset == nil {
		f.Found = "no dataset " + quote(p.Dataset)
		c.add(at(f, data, root.offset))
		return
	}
	means := dataset.get("means")
	if !measures(means) {
		return // reported as run_0.means
	}
	value := leafOf(means, p.Metric)
	if value == nil {
		value = leafOf(means, p.Metric+"_mean")
	}
	switch {
	case value == nil && means.kind == kindNumber && p.Metric == "value":
		value = means
	case value == nil:
		f.Found = "no metric " + quote(p.Metric)
		c.add(at(f, data, means.offset))
		return
	}
	if value.kind != kindNumber || math.IsNaN(value.number) || math.IsInf(value.number, 0) {
		f.Rule, f.Expected = "primary.not-finite", "a finite number"
		f.Found = string(value.kind)
		if value.kind == kindNumber {
			f.Found = fmt.Sprint(value.number)
		}
		c.add(at(f, data, value.offset))
	}
}

// leafOf finds a value by its path joined by dots, in which a slash of a key reads as a colon; nil if there is none.
func leafOf(n *jsonNode, path string) *jsonNode {
	for _, m := range n.members {
		name := strings.ReplaceAll(m.name, "/", ":")
		if name == path {
			return m.value
		}
		if rest, ok := strings.CutPrefix(path, name+"."); ok {
			if leaf := leafOf(m.value, rest); leaf != nil {
				return leaf
			}
		}
	}
	return nil
}

func countNumbers(n *jsonNode) int {
	total := 0
	if n.kind == kindNumber {
		total++
	}
	for _, m := range n.members {
		total += countNumbers(m.value)
	}
	for _, item := range n.items {
		total += countNumbers(item)
	}
	return total
}

var timeMetric = regexp.MustCompile(`(?i)(^|_)(time|seconds|secs|duration|latency|elapsed|runtime)(_|$)`)

func (c *checker) timing(name string, data []byte, m jsonMember) {
	found := "the wall time " + quote(m.name) + " among the metrics"
	told := slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Rule == "metric.time" && f.Found == found }) // of another dataset
	if timeMetric.MatchString(m.name) && !told {
		c.warn(at(Finding{Rule: "metric.time", Path: name, Found: found,
			Expected: `times under "timing", beside "means": they differ from run to run`}, data, m.offset))
	}
}

// declaredTimes warns of wall times that template.yaml lists as metrics.
func (c *checker) declaredTimes() {
	for name := range c.t.Metrics {
		if timeMetric.MatchString(name) {
			c.warn(Finding{Rule: "metric.time", Path: settingsFile, Found: "the wall time " + quote(name) + " among the metrics",
				Expected: `times under "timing", beside "means"`})
		}
	}
}
