package template

import (
	"fmt"
	"math"
	"regexp"
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
		if means == nil || means.kind != kindObject && means.kind != kindNumber {
			c.add(at(Finding{Rule: "run_0.means", Path: name, Found: "dataset " + quote(m.name) + " without means", Expected: `"means": {metric: number}`}, data, m.offset))
			continue
		}
		for _, metric := range means.members {
			c.timing(name, data, metric)
		}
	}
	if c.t.Primary != nil {
		c.primaryMeasured(name, data, root)
	}
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
	if means == nil {
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
	if timeMetric.MatchString(m.name) {
		c.warn(at(Finding{Rule: "metric.time", Path: name, Found: "the wall time " + quote(m.name) + " among the metrics",
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

var (
	documentClass = regexp.MustCompile(`\\(documentclass|usepackage)\s*(\[[^\]]*\])?\s*\{([^}]*)\}`)
	venueStyle    = regexp.MustCompile(`(?i)^(iclr|icml|neurips|nips|aaai|ijcai|acl|emnlp|cvpr|iccv|eccv|colm|jmlr|tmlr|corl|aistats)[0-9_a-z-]*$`)
	// absentStyles are not in the small TeX set, with what serves instead.
	absentStyles = map[string]string{"lmodern": "times", "bbm": `\mathbb of amssymb`, "dsfont": `\mathbb of amssymb`,
		"bbold": `\mathbb of amssymb`, "soul": `\emph`, "ulem": `\emph`, "minted": "verbatim"}
)

// latex checks what the paper needs; without it the default article serves.
func (c *checker) latex() {
	const name = "latex/template.tex"
	if !c.has(name) {
		f := Finding{Rule: "latex.missing", Path: name, Found: "no such file", Expected: "an article with placeholders such as ABSTRACT HERE",
			Fix: "nothing: the default article is used"}
		if !c.reported(name) {
			c.warn(f)
		}
		return
	}
	data, ok := c.text(name)
	if !ok {
		return
	}
	c.t.HasLatex = true
	if len(strings.TrimSpace(string(data))) == 0 {
		c.warn(Finding{Rule: "latex.empty", Path: name, Line: 1, Found: "an empty file", Expected: "an article", Fix: "nothing: the default article is used"})
		c.t.HasLatex = false
		return
	}
	for _, m := range documentClass.FindAllSubmatchIndex(data, -1) {
		for _, style := range strings.Split(string(data[m[6]:m[7]]), ",") {
			c.style(name, data, m[0], strings.TrimSpace(style))
		}
	}
}

func (c *checker) style(name string, data []byte, offset int, style string) {
	if c.has("latex/"+style+".sty") || c.has("latex/"+style+".cls") {
		return
	}
	substitute, absent := absentStyles[style]
	if !absent && !venueStyle.MatchString(style) {
		return
	}
	c.warn(at(Finding{Rule: "latex.style", Path: name, Found: quote(style) + ", which is neither in latex/ nor in the small TeX set",
		Expected: "styles that are there", Fix: substitute}, data, offset))
}
