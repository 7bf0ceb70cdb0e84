package template

import (
	"bytes"
	"regexp"
	"strings"
)

// requirementLine is a line that is built from: name, version, marker, hash. Options, addresses, paths, includes and extras would let a file reach
// further than its own lines.
var requirementLine = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?` +
	`(\s*(===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+(\s*,\s*(===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+)*)?` +
	`(\s*;[^#\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})*$`)

// requirements reads the file of Python packages: the one that template.yaml names, or requirements.txt of a foreign template.
func (c *checker) requirements() {
	name := c.t.Python.Requirements
	if name == "" && c.foreign && c.has("requirements.txt") {
		name = "requirements.txt"
	}
	if name == "" {
		return
	}
	data, ok := c.text(name)
	if !ok {
		return
	}
	good, packages := true, 0
	for line, text := range logicalLines(data) {
		packages++
		if !requirementLine.MatchString(text) {
			good = false
			c.strict(Finding{Rule: "requirements.line", Path: name, Line: line, Found: quote(text),
				Expected: "a package's name, with version, marker and hash if need be; no options, addresses, paths or extras", Fix: plainRequirement(text)})
		}
	}
	if packages == 0 {
		c.strict(Finding{Rule: "requirements.line", Path: name, Line: 1, Found: "no package", Expected: "a package's name in each line", Fix: "removing the file"})
	}
	if good && packages > 0 {
		c.t.Python.Requirements = name
	}
}

var extras = regexp.MustCompile(`\[[^\]]*\]`)

// plainRequirement is what a refused line could become; an example where nothing of it can stay.
func plainRequirement(text string) string {
	if plain := extras.ReplaceAllString(text, ""); plain != text && requirementLine.MatchString(plain) {
		return plain
	}
	return "a line such as numpy==1.26.4"
}

// logicalLines yields each line with a package and its number; a backslash at a line's end joins the next, and comments are dropped.
func logicalLines(data []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		text, start, number := "", 0, 0
		for raw := range bytes.Lines(data) {
			number++
			line := strings.TrimRight(string(raw), "\r\n")
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				line = ""
			}
			line, _, _ = strings.Cut(line, " #")
			if text == "" {
				start = number
			}
			if rest, ok := strings.CutSuffix(strings.TrimRight(line, " \t"), `\`); ok {
				text += rest + " "
				continue
			}
			text = strings.TrimSpace(text + line)
			if text != "" && !yield(start, text) {
				return
			}
			text = ""
		}
		if text = strings.TrimSpace(text); text != "" {
			yield(start, text)
		}
	}
}
