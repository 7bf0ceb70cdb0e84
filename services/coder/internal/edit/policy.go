package edit

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// BuiltinProtected is never writable, whatever a template allows.
var BuiltinProtected = []string{"run_*/**", "run_[0-9]*", "ideas.json", "seed_ideas.json", "prompt.json", "latex/**", ".git/**", ".git"}

var driveRE = regexp.MustCompile(`^[A-Za-z]:`)
var schemeRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// cleanName makes a name comparable: backslash separates, dots drop out. It never resolves "..".
func cleanName(s string) string {
	s = strings.ReplaceAll(s, "\\", "/")
	abs := strings.HasPrefix(s, "/")
	var out []string
	for _, c := range strings.Split(s, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	s = strings.Join(out, "/")
	if abs {
		return "/" + s
	}
	return s
}

// unsafePath says why a name is refused before anything is matched, or nothing.
func unsafePath(name string, t Tree) string {
	switch {
	case name == "":
		return "the name is empty"
	case !utf8.ValidString(name):
		return "the name is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }):
		return "the name holds control characters"
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, "\\"):
		return "absolute paths are refused"
	case strings.HasPrefix(name, "~"):
		return "paths into a home folder are refused"
	case driveRE.MatchString(name) || schemeRE.MatchString(name):
		return "drives and addresses are refused"
	}
	for _, c := range strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if c == ".." {
			return "paths with .. are refused"
		}
	}
	clean := cleanName(name)
	if clean == "" || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "\\") || t.isDir(clean) {
		return "the name is a folder"
	}
	for c := range strings.SplitSeq(clean, "/") {
		if len(c) > 255 {
			return "a part of the name is longer than 255 bytes"
		}
	}
	if t.twin(clean) {
		return "the tree has a file whose name differs only in case"
	}
	for p := clean; p != "." && p != "/"; p = path.Dir(p) {
		if t.Links[p] {
			return "the path goes over a link"
		}
		if p != clean && (t.Other[p] || t.Files[p] != nil) {
			return "a part of the path is a file, not a folder"
		}
	}
	return ""
}

// Match says whether a glob covers a path. A star never crosses a slash; ** stands for any number of folders.
func Match(glob, p string) bool {
	return matchParts(strings.Split(cleanName(glob), "/"), strings.Split(p, "/"))
}

func matchParts(g, p []string) bool {
	for len(g) > 0 {
		if g[0] == "**" {
			if len(g) == 1 {
				return len(p) > 0
			}
			for i := range p {
				if matchParts(g[1:], p[i:]) {
					return true
				}
			}
			return false
		}
		if len(p) == 0 {
			return false
		}
		if ok, err := path.Match(g[0], p[0]); err != nil || !ok {
			return false
		}
		g, p = g[1:], p[1:]
	}
	return len(p) == 0
}

func matchAny(globs []string, p string) bool {
	for _, g := range globs {
		if g == p || Match(g, p) {
			return true
		}
	}
	return false
}

// Allows says whether a clean path may be written.
func (p Policy) Allows(name string) bool {
	if matchAny(p.Protected, name) || name == ".git" || strings.HasPrefix(name, ".git/") {
		return false
	}
	return matchAny(p.Allowed, name)
}

// editable lists the concrete paths that may be written: named ones and existing ones that a glob covers.
func (p Policy) editable(t Tree) []string {
	seen := map[string]bool{}
	for _, a := range p.Allowed {
		if c := cleanName(a); !strings.ContainsAny(a, "*?[") && p.Allows(c) {
			seen[c] = true
		}
	}
	for f := range t.Files {
		if p.Allows(f) {
			seen[f] = true
		}
	}
	out := make([]string, 0, len(seen))
	for f := range seen {
		out = append(out, f)
	}
	sort.Strings(out)
	return out
}

// Editable describes for a person which paths may be written.
func (p Policy) Editable(t Tree) string {
	names := p.editable(t)
	for _, a := range p.Allowed {
		if strings.ContainsAny(a, "*?[") {
			names = append(names, a)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	if len(names) > MaxFiles {
		return strings.Join(names[:MaxFiles], ", ") + fmt.Sprintf(" and %d more", len(names)-MaxFiles)
	}
	return strings.Join(names, ", ")
}
