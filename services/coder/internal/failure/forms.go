package failure

import (
	"fmt"
	"regexp"
	"strings"
)

// Tracebacks in forms of their own: of IPython and notebooks (a frame is "File a.py:7, in f(x)" or "Cell In[3], line 7", before version 8
// "a.py in f(x)" with an arrow at the line), and of rich, which draws a box around them.
var (
	notebookHeadRE  = regexp.MustCompile(`^\S+ +Traceback \(most recent call last\)$`)
	notebookFrameRE = regexp.MustCompile(`^(?:File (.+):(\d+)|(Cell In ?\[\d+\]), line (\d+))(?:, in (.+))?$`)
	oldFrameRE      = regexp.MustCompile(`^(\S+\.py|<ipython-input-[^>]+>) in (\S.*)$`)
	arrowRE         = regexp.MustCompile(`^-+> ?(\d+) `)
	codeRE          = regexp.MustCompile(`^(?: *|-+> ?)\d+( |$)`)
	boxHeadRE       = regexp.MustCompile(`^[╭+][─-]+ Traceback \(most recent call last\) [─-]+[╮+]$`)
	boxFrameRE      = regexp.MustCompile(`^[│|] (\S.*):(\d+) in (\S+) *[│|]$`)
)

// usual gives such tracebacks the form of Python's own.
func usual(lines []string) []string {
	var out []string
	notebook, box := false, false
	for i, l := range lines {
		switch {
		case boxHeadRE.MatchString(l):
			box, l = true, traceHead
		case box && (strings.HasPrefix(l, "╰") || strings.HasPrefix(l, "+-")):
			box = false
			continue
		case box:
			m := boxFrameRE.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			l = frameLine(m[1], m[2], m[3])
		case l != traceHead && notebookHeadRE.MatchString(l):
			notebook, l = true, traceHead
		case notebook:
			l, notebook = notebookLine(l, lines[i+1:])
		}
		out = append(out, l)
	}
	return out
}

// notebookLine reads a line of a notebook's traceback; false: it is the exception, or nothing of a traceback.
func notebookLine(l string, below []string) (string, bool) {
	if m := notebookFrameRE.FindStringSubmatch(l); m != nil {
		return frameLine(m[1]+m[3], m[2]+m[4], m[5]), true
	}
	if m := oldFrameRE.FindStringSubmatch(l); m != nil {
		for _, b := range below {
			if a := arrowRE.FindStringSubmatch(b); a != nil {
				return frameLine(m[1], a[1], m[2]), true
			}
			if !codeRE.MatchString(b) {
				break
			}
		}
	}
	if codeRE.MatchString(l) || strings.HasPrefix(l, " ") {
		return "    " + l, true
	}
	return l, false
}

// frameLine is a frame as Python prints it; a function loses its arguments.
func frameLine(path, line, function string) string {
	function, _, _ = strings.Cut(function, "(")
	if function == "" {
		function = "<module>"
	}
	return fmt.Sprintf("  File %q, line %s, in %s", path, line, function)
}
