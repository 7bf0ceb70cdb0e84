package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	debianPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{1,100}$`)
	versionPattern = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){1,2}$`)
	modulePattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	yamlLine       = regexp.MustCompile(`line (\d+): (.*)`)
	unknownAnchor  = regexp.MustCompile(`unknown anchor '([^']*)' referenced`)
)

// maxYAMLDepth bounds nesting; template.yaml needs five levels.
const maxYAMLDepth = 20

// yamlRoot parses the one document of template.yaml.
func (c *checker) yamlRoot(data []byte) (*yaml.Node, bool) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decodeSafely(decoder, &document); errors.Is(err, io.EOF) {
		c.add(Finding{Rule: "file.empty", Path: settingsFile, Line: 1, Found: "no settings", Expected: "at least a title"})
		return nil, false
	} else if err != nil {
		f := Finding{Rule: "yaml.syntax", Path: settingsFile, Line: 1, Found: quote(err.Error()), Expected: "YAML"}
		if line, message := yamlFault(data, err.Error()); message != "" {
			f.Line, f.Found = line, quote(message)
			for part, expected := range yamlExpected {
				if strings.Contains(message, part) {
					f.Expected = expected
				}
			}
		}
		switch {
		case bytes.Contains(data, []byte("\t")):
			f.Fix = "spaces instead of tabs"
		case strings.Contains(f.Found, "mapping values are not allowed"):
			f.Fix = "quotes around a value that has a colon in it"
		}
		c.add(f)
		return nil, false
	}
	var more yaml.Node
	if err := decodeSafely(decoder, &more); !errors.Is(err, io.EOF) {
		c.add(Finding{Rule: "yaml.document", Path: settingsFile, Line: max(1, more.Line), Found: "a second document", Expected: "one"})
		return nil, false
	}
	if len(document.Content) == 0 {
		c.add(Finding{Rule: "file.empty", Path: settingsFile, Line: 1, Found: "no settings", Expected: "at least a title"})
		return nil, false
	}
	c.tags(document.Content[0])
	return document.Content[0], true
}

// yamlExpected says of the parser's messages what they are after.
var yamlExpected = map[string]string{
	"expected ',' or ']'":   "a comma or ]",
	"expected ',' or '}'":   "a comma or }",
	"find expected key":     "a key at the indent of its neighbours",
	"expected '-'":          "an item that begins with -",
	"expected ':'":          "a key, a colon and a value",
	"mapping values":        "one key and one value in a line",
	"cannot start any":      "quotes around a value that begins with a sign, and no tabs",
	"end of stream":         "a closing quote",
	"unknown anchor":        "the value itself",
	"expected node content": "a value",
}

// yamlFault reads line and message of an error. The parser counts lines from 0, the scanner from 1, and where a key is out of place the parser tells the line
// at which the block begins.
func yamlFault(data []byte, said string) (line int, message string) {
	if m := unknownAnchor.FindStringSubmatch(said); m != nil {
		line, _ = position(data, max(0, bytes.Index(data, []byte("*"+m[1]))))
		return line, strings.TrimPrefix(said, "yaml: ")
	}
	m := yamlLine.FindStringSubmatch(said)
	if m == nil {
		return 0, ""
	}
	line, _ = strconv.Atoi(m[1]) // digits
	if strings.HasPrefix(m[2], "did not find expected") {
		line++
	}
	if m[2] == "did not find expected key" || m[2] == "did not find expected '-' indicator" {
		line = firstRefused(data, m[2], line)
	}
	return line, m[2]
}

// firstRefused finds the first line, from one on, up to which a document ends in this error; what follows a line out of place does not mend it.
func firstRefused(data []byte, message string, from int) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	from = min(max(from, 1), len(lines))
	return from + sort.Search(len(lines)-from, func(i int) bool {
		var n yaml.Node
		err := decodeSafely(yaml.NewDecoder(bytes.NewReader(bytes.Join(lines[:from+i], nil))), &n)
		return err != nil && strings.HasSuffix(err.Error(), message)
	})
}

// yamlTags are those of plain data.
var yamlTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp", "!!merge", ""}

// tags refuses nodes that ask for more than plain data; one finding is enough.
func (c *checker) tags(n *yaml.Node) bool {
	if n.Kind != yaml.AliasNode && !slices.Contains(yamlTags, n.Tag) {
		c.bad(n, "template.tag", "the tag "+quote(n.Tag), "plain data", "removing it")
		return false
	}
	for _, child := range n.Content {
		if !c.tags(child) {
			return false
		}
	}
	return true
}

// decodeSafely turns a parser's panic on hostile input into an error.
func decodeSafely(d *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable YAML: %v", r)
		}
	}()
	return d.Decode(into)
}

// bad adds an error about a node of template.yaml.
func (c *checker) bad(n *yaml.Node, rule, found, expected, fix string) {
	c.add(Finding{Rule: "template." + strings.TrimPrefix(ruleOf(rule), "template."), Path: settingsFile, Line: n.Line, Column: n.Column,
		Found: found, Expected: expected, Fix: fix})
}

// ruleOf drops names that the user chose from a key, so that rules are a closed list.
func ruleOf(key string) string {
	parts := strings.Split(key, ".")
	switch parts[0] {
	case "metrics", "sizes":
		if len(parts) > 2 {
			return parts[0] + "." + parts[len(parts)-1]
		}
		return parts[0]
	case "expected":
		return "expected"
	case "env":
		if key != "env.refused" {
			return "env"
		}
	}
	return key
}

// show renders a node for a finding.
func show(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return quote(n.Value)
}

// mapping returns a mapping's values by key. Keys outside known (nil: any) and
// keys given twice are reported.
func (c *checker) mapping(n *yaml.Node, key string, known []string) map[string]*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode || depthOf(n) > maxYAMLDepth {
		c.bad(n, key, show(n), "a mapping of keys to values", "")
		return nil
	}
	values := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode || k.Value == "<<":
			c.bad(k, key, show(k), "a plain key", "")
		case values[k.Value] != nil:
			c.bad(k, "template.duplicate-key", "the key "+quote(k.Value)+" twice", "each key once", "")
		case known != nil && !slices.Contains(known, k.Value):
			fix := nearest(k.Value, known)
			c.bad(k, "template.unknown-key", "the unknown key "+quote(k.Value), "one of "+strings.Join(known, ", "), fix)
		case v.Kind == yaml.AliasNode:
			c.bad(v, key, "an alias", "the value itself", "")
		default:
			values[k.Value] = v
		}
	}
	return values
}

func depthOf(n *yaml.Node) int {
	deepest := 0
	for _, child := range n.Content {
		deepest = max(deepest, depthOf(child))
	}
	return deepest + 1
}

func (c *checker) sequence(n *yaml.Node, key string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		c.bad(n, key, show(n), "a list", "["+n.Value+"]")
		return nil
	}
	return n.Content
}

// str reads a scalar as text; lists, mappings and nothing are refused.
func (c *checker) str(n *yaml.Node, key, expected string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" || len(n.Value) > 4096 || strings.ContainsRune(n.Value, 0) {
		c.bad(n, key, show(n), expected, "")
		return ""
	}
	return n.Value
}

func (c *checker) matching(n *yaml.Node, key string, pattern *regexp.Regexp, expected string) string {
	if n.Kind != yaml.ScalarNode || !pattern.MatchString(n.Value) {
		c.bad(n, key, show(n), expected, "")
		return ""
	}
	return n.Value
}

func (c *checker) oneOf(n *yaml.Node, key string, words []string) string {
	if n.Kind == yaml.ScalarNode && slices.Contains(words, n.Value) {
		return n.Value
	}
	c.bad(n, key, show(n), strings.Join(words, " or "), nearest(n.Value, words))
	return ""
}

func (c *checker) boolean(n *yaml.Node, key string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		c.bad(n, key, show(n), "true or false", "")
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

func (c *checker) finite(n *yaml.Node, key string) float64 {
	value, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		c.bad(n, key, show(n), "a finite number", "")
		return 0
	}
	return value
}

func (c *checker) positive(n *yaml.Node, key string) float64 {
	value, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || !(value > 0) || value > 1e7 {
		c.bad(n, key, show(n), "seconds over 0", "")
		return 0
	}
	return value
}

var bytesPattern = regexp.MustCompile(`^([0-9]{1,15})(|B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)

// bytes reads 256MiB, 1GB or a bare number of bytes.
func (c *checker) bytes(n *yaml.Node, key string) uint64 {
	units := map[string]uint64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	if m := bytesPattern.FindStringSubmatch(n.Value); n.Kind == yaml.ScalarNode && m != nil {
		if value, err := strconv.ParseUint(m[1], 10, 64); err == nil && value > 0 && value < math.MaxInt64/units[m[2]] {
			return value * units[m[2]]
		}
	}
	c.bad(n, key, show(n), "a size such as 256MiB or 2GiB", "")
	return 0
}

// existing reads a path of a file that the template must hold.
func (c *checker) existing(n *yaml.Node, key string) string {
	name := c.str(n, key, "a file of the template")
	if name == "" {
		return ""
	}
	if globProblem(name) != "" || !c.has(name) {
		c.bad(n, key, quote(name)+", which is not there", "a file of the template", nearest(name, mapKeys(c.files)))
		return ""
	}
	return name
}

func mapKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
