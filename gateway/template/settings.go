package template

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const settingsFile = "template.yaml"

// topKeys are all keys of template.yaml.
var topKeys = []string{
	"title", "sizes", "pool", "time_limit", "python", "debian", "data", "prepare", "primary", "metrics",
	"paired_seeds", "expected", "editable", "protected", "env",
}

var (
	sizeNames  = []string{"smoke", "lite", "full"}
	poolNames  = []string{"cpu", "gpu"}
	directions = []string{string(Minimize), string(Maximize), string(NoDirection)}
)

// settings reads template.yaml into the template.
func (c *checker) settings() {
	data, ok := c.required(settingsFile, "the template's settings", false)
	if !ok {
		return
	}
	root, ok := c.yamlRoot(data)
	if !ok {
		return
	}
	m := c.mapping(root, "template", topKeys)
	t := c.t
	if n := m["title"]; n != nil {
		t.Title = c.str(n, "title", "a short title")
	}
	c.pool(m["pool"], "pool", &t.Pool)
	c.sizes(m["sizes"])
	if n := m["time_limit"]; n != nil {
		t.TimeLimit = c.duration(n, "time_limit")
	}
	c.interpreter(m["python"])
	for _, n := range c.sequence(m["debian"], "debian") {
		t.Debian = append(t.Debian, c.matching(n, "debian", debianPattern, "a Debian package name"))
	}
	if n := m["prepare"]; n != nil {
		t.Prepare = c.existing(n, "prepare")
	}
	c.dataEntries(m["data"], m["prepare"] != nil)
	c.metrics(m["metrics"])
	c.primary(m["primary"])
	c.directions()
	if n := m["paired_seeds"]; n != nil {
		t.PairedSeeds = c.boolean(n, "paired_seeds")
	}
	c.expected(m["expected"])
	c.globs(m)
	c.env(m["env"])
}

// misnamedSettings warns of a file that is taken for template.yaml by its author alone.
func (c *checker) misnamedSettings() {
	for _, name := range []string{"template.yml", "template.json", "template.toml"} {
		if c.has(name) {
			c.warn(Finding{Rule: "template.misnamed", Path: name, Found: "settings that are not read", Expected: "template.yaml", Fix: "renaming it"})
		}
	}
}

func (c *checker) sizes(n *yaml.Node) {
	if n == nil {
		return
	}
	sizes := c.mapping(n, "sizes", sizeNames)
	if sizes == nil {
		return // it is no mapping, which is told
	}
	c.t.Sizes = map[string]Size{}
	for name, value := range sizes {
		m := c.mapping(value, "sizes."+name, []string{"seconds", "memory", "pool"})
		var size Size
		if v := m["seconds"]; v != nil {
			size.Seconds = c.positive(v, "sizes."+name+".seconds")
		}
		if v := m["memory"]; v != nil {
			size.MemoryBytes = c.bytes(v, "sizes."+name+".memory")
		}
		c.pool(m["pool"], "sizes."+name+".pool", &size.Pool)
		c.t.Sizes[name] = size
	}
	if len(c.t.Sizes) == 0 {
		c.bad(n, "sizes", "no size", "at least one of "+strings.Join(sizeNames, ", "), "removing the key")
	}
}

func (c *checker) pool(n *yaml.Node, key string, into *string) {
	if n != nil {
		if value := c.oneOf(n, key, poolNames); value != "" {
			*into = value
		}
	}
}

func (c *checker) interpreter(n *yaml.Node) {
	if n == nil {
		return
	}
	m := c.mapping(n, "python", []string{"min", "modules", "requirements"})
	if v := m["min"]; v != nil {
		if v.Tag == "!!float" || v.Tag == "!!int" {
			c.bad(v, "python.min", "the number "+quote(v.Value), "a version in quotes (YAML reads 3.10 as 3.1)", fmt.Sprintf("min: %q", v.Value))
		} else {
			c.t.Python.Min = c.matching(v, "python.min", versionPattern, `a version such as "3.9"`)
		}
	}
	if v := m["modules"]; v != nil {
		c.t.Python.Declared = true
		for _, item := range c.sequence(v, "python.modules") {
			c.t.Python.Modules = append(c.t.Python.Modules, c.matching(item, "python.modules", modulePattern, "the name of a module to import"))
		}
	}
	if v := m["requirements"]; v != nil {
		c.t.Python.Requirements = c.existing(v, "python.requirements")
	}
}

func (c *checker) metrics(n *yaml.Node) {
	if n == nil {
		return
	}
	c.t.Metrics = map[string]Metric{}
	for name, value := range c.mapping(n, "metrics", nil) {
		key := "metrics." + name
		if value.Kind != yaml.MappingNode {
			c.t.Metrics[name] = Metric{Direction: Direction(c.oneOf(value, key, directions))}
			continue
		}
		m := c.mapping(value, key, []string{"direction", "label", "unit"})
		var metric Metric // without a direction: the primary one's, else none
		if v := m["direction"]; v != nil {
			metric.Direction = Direction(c.oneOf(v, key+".direction", directions))
		}
		if v := m["label"]; v != nil {
			metric.Label = c.str(v, key+".label", "words for axes and tables")
		}
		if v := m["unit"]; v != nil {
			metric.Unit = c.str(v, key+".unit", "a unit")
		}
		c.t.Metrics[name] = metric
	}
}

func (c *checker) primary(n *yaml.Node) {
	if n == nil {
		return
	}
	m := c.mapping(n, "primary", []string{"dataset", "metric", "direction"})
	p := Primary{}
	for _, key := range []string{"dataset", "metric"} {
		if m[key] == nil {
			c.bad(n, "primary."+key, "no "+key, "the "+key+" that decides which run is best", key+": NAME")
			return
		}
	}
	p.Dataset = c.str(m["dataset"], "primary.dataset", "a dataset of final_info.json")
	p.Metric = c.str(m["metric"], "primary.metric", "a metric of that dataset")
	known, listed := c.t.Metrics[p.Metric]
	switch {
	case m["direction"] == nil && listed && known.Direction != NoDirection && known.Direction != "":
		p.Direction = known.Direction
	case m["direction"] == nil:
		c.bad(n, "primary.direction", "no direction", "minimize or maximize", "direction: minimize")
		return
	default:
		p.Direction = Direction(c.oneOf(m["direction"], "primary.direction", directions[:2]))
		if listed && known.Direction != "" && known.Direction != p.Direction && p.Direction != "" {
			c.bad(m["direction"], "primary.direction", quote(string(p.Direction))+" here and "+quote(string(known.Direction))+" under metrics",
				"the same direction in both", "")
		}
	}
	if len(c.t.Metrics) > 0 && !listed {
		names := mapKeys(c.t.Metrics)
		c.bad(m["metric"], "primary.metric", quote(p.Metric), "one of the metrics: "+strings.Join(names, ", "), nearest(p.Metric, names))
	}
	c.t.Primary = &p
}

// directions gives metrics that tell no direction that of the primary metric, if it is the same, else none.
func (c *checker) directions() {
	for name, m := range c.t.Metrics {
		if m.Direction != "" {
			continue
		}
		m.Direction = NoDirection
		if p := c.t.Primary; p != nil && p.Metric == name && p.Direction != "" {
			m.Direction = p.Direction
		}
		c.t.Metrics[name] = m
	}
}

func (c *checker) expected(n *yaml.Node) {
	if n == nil {
		return
	}
	c.t.Expected = map[string]map[string]Expected{}
	for size, values := range c.mapping(n, "expected", sizeNames) {
		if _, ok := c.t.Sizes[size]; !ok && len(c.t.Sizes) > 0 {
			c.bad(values, "expected."+size, quote(size)+", which is not under sizes", "one of "+strings.Join(mapKeys(c.t.Sizes), ", "), "")
		}
		c.t.Expected[size] = map[string]Expected{}
		for id, value := range c.mapping(values, "expected."+size, nil) {
			key := "expected." + size + "." + id
			if !strings.Contains(id, "/") {
				c.bad(value, key, quote(id), "dataset/metric", "")
				continue
			}
			m := c.mapping(value, key, []string{"value", "rel", "abs", "min", "max"})
			var e Expected
			for name, into := range map[string]**float64{"value": &e.Value, "rel": &e.Rel, "abs": &e.Abs, "min": &e.Min, "max": &e.Max} {
				if v := m[name]; v != nil {
					number := c.finite(v, key+"."+name)
					*into = &number
				}
			}
			within := e.Rel != nil || e.Abs != nil
			if ranged := e.Min != nil || e.Max != nil; (e.Value != nil) != within || !within && !ranged {
				c.bad(value, key, "no complete expectation", "value with rel or abs, or min, max or both", "{value: 0.5, rel: 0.01}")
			}
			switch {
			case e.Min != nil && e.Max != nil && *e.Min > *e.Max:
				c.bad(value, key, "min over max", "a range that a number can lie in", "")
			case e.Rel != nil && *e.Rel < 0 || e.Abs != nil && *e.Abs < 0:
				c.bad(value, key, "a tolerance below 0", "rel or abs from 0 on", "")
			}
			c.t.Expected[size][id] = e
		}
	}
}

// globs reads what may be edited and what may not.
func (c *checker) globs(m map[string]*yaml.Node) {
	t := c.t
	for key, into := range map[string]*[]string{"editable": &t.Editable, "protected": &t.Protected} {
		n := m[key]
		if n == nil {
			continue
		}
		*into = nil
		for _, item := range c.sequence(n, key) {
			glob := c.str(item, key, "a path or glob")
			if glob == "" {
				continue
			}
			if problem := globProblem(glob); problem != "" {
				c.bad(item, key, quote(glob)+": "+problem, "a path or glob inside the template, such as src/*.py", "")
				continue
			}
			if !c.matchesAny(glob) {
				line, column := item.Line, item.Column
				c.warn(Finding{Rule: key, Path: settingsFile, Line: line, Column: column, Found: quote(glob) + ", which matches no file", Expected: "a file of the template"})
			}
			*into = append(*into, glob)
		}
	}
	if n := m["editable"]; n != nil && n.Kind == yaml.SequenceNode && !slices.ContainsFunc(t.Editable, func(g string) bool { return GlobMatch(g, "experiment.py") }) {
		c.bad(m["editable"], "editable", "no experiment.py", "experiment.py among the editable files", "adding it")
	}
	if m["protected"] != nil && slices.ContainsFunc(t.Protected, func(g string) bool { return GlobMatch(g, "experiment.py") }) {
		c.bad(m["protected"], "protected", "experiment.py", "files that no run changes", "removing it")
	}
}

func (c *checker) matchesAny(glob string) bool {
	for name := range c.files {
		if GlobMatch(glob, name) {
			return true
		}
	}
	return false
}

func globProblem(glob string) string {
	switch {
	case strings.HasPrefix(glob, "/") || strings.HasPrefix(glob, "~") || strings.Contains(glob, ":"):
		return "absolute"
	case slices.Contains(strings.Split(glob, "/"), ".."):
		return "leaves the template"
	case strings.Contains(glob, `\`):
		return "a backslash"
	case path.Clean(glob) != glob || glob == ".":
		return "not a plain path"
	}
	if _, err := path.Match(glob, "x"); err != nil {
		return "brackets do not close"
	}
	return ""
}

// GlobMatch matches a path against a glob in which a star never crosses a slash
// and ** stands for any number of folders.
func GlobMatch(glob, name string) bool {
	return matchParts(strings.Split(glob, "/"), strings.Split(name, "/"))
}

func matchParts(glob, name []string) bool {
	for len(glob) > 0 {
		if glob[0] == "**" {
			for i := range len(name) + 1 {
				if matchParts(glob[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(glob[0], name[0]); err != nil || !ok {
			return false
		}
		glob, name = glob[1:], name[1:]
	}
	return len(name) == 0
}

var envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// refusedVariable reports variables that would open the sandbox, redirect the
// interpreter or pretend to be the executor.
func refusedVariable(name string) bool {
	for _, prefix := range []string{"LD_", "NVIDIA_", "NULLIUS_", "DYLD_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "CUDA_VISIBLE_DEVICES", "PATH", "HOME", "TRACEPARENT"}, name)
}

var secretVariable = regexp.MustCompile(`(?i)(^|_)(api_?key|token|secret|password|passwd|credentials?)(_|$)`)

func (c *checker) env(n *yaml.Node) {
	if n == nil {
		return
	}
	c.t.Env = map[string]string{}
	for name, value := range c.mapping(n, "env", nil) {
		switch {
		case !envPattern.MatchString(name):
			c.bad(value, "env", quote(name), "a variable's name", "")
		case secretVariable.MatchString(name):
			c.warn(Finding{Rule: "template.env.secret", Path: settingsFile, Line: value.Line, Column: value.Column, Found: quote(name),
				Expected: "no secrets: a template is stored and its logs are shown, and a run has no network", Fix: "removing it"})
			c.t.Env[name] = c.str(value, "env."+name, "a value in quotes")
		case refusedVariable(name):
			c.bad(value, "env.refused", quote(name), "a variable that the sandbox leaves to templates", "removing it")
		default:
			c.t.Env[name] = c.str(value, "env."+name, "a value in quotes")
		}
	}
}

func (c *checker) duration(n *yaml.Node, key string) time.Duration {
	if n.Kind == yaml.ScalarNode {
		if d, err := time.ParseDuration(n.Value); err == nil && d > 0 && d <= 7*24*time.Hour {
			return d
		}
	}
	c.bad(n, key, show(n), "a duration over 0 and up to 168h, such as 90s, 10m or 2h", "")
	return defaultTimeLimit
}
